"""An echo of lines in asyncio, or with --uvloop in that: a Protocol, the fastest that both have.

Each line is a request of its own, as for hostlerd; replies to what came in one piece go out in one.
With --bytes what comes goes back as it is, without a look at lines.
"""

import asyncio
import sys

import peer


class Lines(asyncio.Protocol):
    rest = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        replies = [self.reply(line) for line in lines]
        self.transport.write(b"".join(replies))

    def reply(self, line):
        return line + b"\n"


class Bytes(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def main():
    protocol = Bytes if "--bytes" in sys.argv else Lines
    loop = asyncio.get_running_loop()
    await peer.serve(await loop.create_server(protocol, "127.0.0.1", 0, backlog=peer.BACKLOG))


if "--uvloop" in sys.argv:
    import uvloop

    peer.run(main(), uvloop.new_event_loop)
else:
    peer.run(main())
