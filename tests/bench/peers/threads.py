"""The work of burn.py inside one process: asyncio for the clients, a pool of threads for the work.

threads.py [THREADS]   as many as hostlerd has instances (2)
"""

import asyncio
import concurrent.futures
import sys

import burn
import peer


async def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    loop = asyncio.get_running_loop()
    executor = concurrent.futures.ThreadPoolExecutor(threads)

    async def serve(reader, writer):
        try:
            while message := await reader.readline():
                writer.write(await loop.run_in_executor(executor, burn.work, message))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    await peer.serve(await asyncio.start_server(serve, "127.0.0.1", 0, backlog=peer.BACKLOG))


peer.run(main())
