"""
One event loop, and the work done in one of three places: `inline` (the loop stands still meanwhile,
for every client), `threads` (a pool of two, under the interpreter's lock) or `processes` (a pool of
two: each request is pickled, sent through a queue, and its result comes back through another).
"""

import asyncio
import concurrent.futures
import signal
import sys

from cpu_work import work

turns = int(sys.argv[2])
pools = {
    "inline": lambda: None,
    "threads": lambda: concurrent.futures.ThreadPoolExecutor(2),
    "processes": lambda: concurrent.futures.ProcessPoolExecutor(2),
}


async def main():
    pool = pools[sys.argv[1]]()
    loop = asyncio.get_running_loop()

    async def serve(reader, writer):
        while message := await reader.readline():
            if pool is None:
                writer.write(work(message, turns))
            else:
                writer.write(await loop.run_in_executor(pool, work, message, turns))
            await writer.drain()
        writer.close()

    ended = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    # The pool starts its processes now: they must not inherit how signals are handled here.
    if pool is not None:
        await asyncio.gather(*(loop.run_in_executor(pool, work, b"", turns) for _ in range(4)))
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()
    if pool is not None:
        pool.shutdown(cancel_futures=True)


asyncio.run(main())
