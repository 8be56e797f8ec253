"""What the peers in Python share: the backlog, and the line that tells that they are ready."""

import asyncio

BACKLOG = 4096


async def serve(server):
    """Announces a server of asyncio and serves until we are ended."""
    host, port = server.sockets[0].getsockname()[:2]
    print(f"listening on {host}:{port}", flush=True)
    async with server:
        await server.serve_forever()


def run(main, loop_factory=None):
    """asyncio.run() with a loop of choice, which it has no argument for before Python 3.12."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)
