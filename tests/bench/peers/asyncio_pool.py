"""A pool of children written by hand in asyncio, as one writes it who knows it well.

    asyncio_pool.py [--children N] [--depth N] -- COMMAND...

Streams towards the clients, pipes towards the children, a queue of places: a child has --depth of
them (1), and replies come back in the order of the messages. First come, first served. No limits
and no time limits; a child that ends, ends the server.
"""

import argparse
import asyncio
import collections

import peer


class Child:
    """A process, and those who await a reply from it, oldest first."""

    def __init__(self, process):
        self.process = process
        self.asking = collections.deque()

    def ask(self, message):
        reply = asyncio.get_running_loop().create_future()
        self.asking.append(reply)
        self.process.stdin.write(message)
        return reply

    async def read(self):
        while line := await self.process.stdout.readline():
            reply = self.asking.popleft()
            if not reply.cancelled():
                reply.set_result(line)
        raise SystemExit("a child has ended")


class Pool:
    def __init__(self):
        self.places = asyncio.Queue()
        self.readers = []

    async def start(self, command, children, depth):
        for _ in range(children):
            child = Child(
                await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
                )
            )
            self.readers.append(asyncio.create_task(child.read()))
            for _ in range(depth):
                self.places.put_nowait(child)

    async def ask(self, message):
        child = await self.places.get()
        try:
            return await child.ask(message)
        finally:
            self.places.put_nowait(child)

    async def serve(self, reader, writer):
        try:
            while message := await reader.readline():
                writer.write(await self.ask(message))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    pool = Pool()
    await pool.start(options.command, options.children, options.depth)
    await peer.serve(
        await asyncio.start_server(pool.serve, "127.0.0.1", 0, backlog=peer.BACKLOG)
    )


peer.run(main())
