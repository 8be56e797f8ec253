"""A peer of hostler-load that can misbehave, and a run against it whose counts add up.

The peer is a little server in this process: what uses it needs no hostlerd.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import subprocess
import threading
import time

from harness import BUILD, SCALE, wait_for

LOAD = str(BUILD / "hostler-load")
PATIENCE = 20 * SCALE  # seconds until a run that should be over is a failure

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10  # opcodes of WebSocket


class Client:
    """One connection of hostler-load, as the peer sees it."""

    def __init__(self, peer, number, reader, writer):
        self.peer = peer
        self.number = number
        self.reader = reader
        self.writer = writer
        self.is_over = False
        self.head = None  # of HTTP, of the handshake of a WebSocket
        self.control, self.masks = [], set()  # websocket: what came beside the messages

    async def receive(self):
        """The next message without its framing; None at the end."""
        try:
            if self.peer.protocol == "frame":
                head = await self.reader.readexactly(4)
                message = await self.reader.readexactly(struct.unpack(">I", head)[0])
            elif self.peer.protocol == "http":
                self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
                if self.head.startswith("POST "):
                    length = int(re.search(r"Content-Length: (\d+)\r\n", self.head).group(1))
                    message = await self.reader.readexactly(length)
                else:
                    message = self.head.split()[1].replace("&", "?").rpartition("?")[2].encode()
            elif self.peer.protocol == "websocket":
                message = await self.receive_websocket()
                if message is None:
                    return None
            else:
                message = (await self.reader.readuntil(b"\n"))[:-1]
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self.peer.received.append(message)
        return message

    async def receive_handshake(self):
        """Its head; what is to be said to the key is kept."""
        self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        key = re.search(r"\r\nSec-WebSocket-Key: (\S{24})\r\n", self.head).group(1)
        assert len(base64.b64decode(key)) == 16
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.accept = base64.b64encode(digest).decode()

    async def send_handshake(self, status=101, fields=(), behind=b""):
        lines = [f"HTTP/1.1 {status} x", "Upgrade: websocket", "Connection: Upgrade",
                 *(fields or [f"Sec-WebSocket-Accept: {self.accept}"])]
        await self.send_raw("\r\n".join([*lines, "", ""]).encode() + behind)

    async def receive_frame(self):
        """(opcode, payload) of a frame, which must be masked and whole."""
        first, second = await self.reader.readexactly(2)
        assert first & 0xF0 == 0x80 and second & 0x80
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(length)
        wide = mask * (length // 4 + 1)
        number = int.from_bytes(payload, "big") ^ int.from_bytes(wide[:length], "big")
        self.masks.add(mask)
        return first & 0x0F, number.to_bytes(length, "big")

    async def receive_websocket(self):
        if self.head is None:
            await self.receive_handshake()
            await self.send_handshake()
        while True:
            self.opcode, payload = await self.receive_frame()
            if self.opcode in (TEXT, BINARY):
                return payload
            self.control.append((self.opcode, payload))
            if self.opcode == CLOSE:
                await self.send_frame(CLOSE, payload[:2])
                return None

    async def send_frame(self, opcode, payload=b"", last=True):
        length = len(payload)
        head = bytes([last << 7 | opcode, min(length, 126) if length < 65536 else 127])
        if length > 125:
            head += length.to_bytes(2 if length < 65536 else 8, "big")
        await self.send_raw(head + payload)

    async def send_close(self, code, reason=b""):
        await self.send_frame(CLOSE, struct.pack(">H", code) + reason)

    async def send(self, message):
        if self.peer.protocol == "frame":
            await self.send_raw(struct.pack(">I", len(message)) + message)
        elif self.peer.protocol == "http":
            await self.send_http(message)
        elif self.peer.protocol == "websocket":
            await self.send_frame(self.opcode, message)
        else:
            await self.send_raw(message + b"\n")

    async def send_raw(self, data):
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            pass

    async def send_http(self, body, status=200, fields=(), length=True):
        lines = [f"HTTP/1.1 {status} x", *fields, *([f"Content-Length: {len(body)}"] * length)]
        await self.send_raw("\r\n".join([*lines, "", ""]).encode() + body)

    def hold_back(self):
        """What is sent from now on leaves together with the FIN, in one segment."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    def reset(self):
        """Closes with RST instead of FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def echo(client):
    while (message := await client.receive()) is not None:
        await client.send(message)


async def upper(client):
    while (message := await client.receive()) is not None:
        await client.send(message.upper())


def replying(change):
    """A peer whose replies to the messages number 0, 1, 2 … are the list change(number, message)."""

    async def behave(client):
        number = 0
        while (message := await client.receive()) is not None:
            for reply in change(number, message):
                await client.send(reply)
            number += 1

    return behave


def closing_after(count):
    """Each connection ends with its reply number `count`: reply and FIN arrive together."""

    async def behave(client):
        for number in range(count):
            message = await client.receive()
            if message is None:
                return
            if number == count - 1:
                client.hold_back()
            await client.send(message)

    return behave


class Peer:
    """Serves each connection with `behave(client)` until that returns; then the connection ends."""

    def __init__(self, behave, protocol="line", path=None, family=socket.AF_INET, port=0):
        self.behave = behave
        self.protocol = protocol
        self.received = []
        self.clients = []
        self.errors = []
        self.accepted = 0
        self.listener = socket.socket(socket.AF_UNIX if path else family)
        if path:
            self.listener.bind(path)
            self.address = f"unix:{path}"
        else:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", port))
            host, self.port = self.listener.getsockname()[:2]
            host = f"[{host}]" if family == socket.AF_INET6 else host
            self.address = f"{host}:{self.port}"
        self.listener.listen(1024)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.ready = threading.Event()

    def run(self):
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: None)  # resets are part of the game
        asyncio.set_event_loop(self.loop)
        unix = self.listener.family == socket.AF_UNIX
        start = asyncio.start_unix_server if unix else asyncio.start_server
        self.server = self.loop.run_until_complete(
            start(self.accept, sock=self.listener, limit=1 << 25)
        )
        self.ready.set()
        self.loop.run_forever()
        self.server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def accept(self, reader, writer):
        client = Client(self, self.accepted, reader, writer)
        self.accepted += 1
        self.clients.append(client)
        try:
            await self.behave(client)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # shown by the fixture: a mistake in the test itself
            self.errors.append(repr(error))
        finally:
            client.is_over = True
            writer.close()

    def wait_over(self):
        """Every client has been served to its end."""
        wait_for(lambda: all(client.is_over for client in self.clients), "the end of all clients")

    def stop_listening(self):
        # asyncio forgets, and leaves open, who was accepted just before its server was closed.
        self.loop.remove_reader(self.listener)
        self.listener.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.listener.close()
        assert self.errors == []


class Result:
    def __init__(self, process, seconds):
        self.status = process.returncode
        self.stderr = process.stderr
        self.seconds = seconds
        self.all = json.loads(process.stdout)
        self.requests = self.all["requests"]
        self.connections = self.all["connections"]

    def counts(self):
        """The outcomes that are not zero."""
        names = "right error wrong duplicate overdue broken broken_new unsent late pending".split()
        return {name: self.requests[name] for name in names if self.requests[name]}


def run(*arguments, status=0, **more):
    """Runs `hostler-load run --json ...`; every request must have come to one end."""
    command = [LOAD, "run", "--json", *[str(a) for a in arguments]]
    began = time.monotonic()
    process = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **more)
    assert process.returncode == status, process.stdout + process.stderr
    result = Result(process, time.monotonic() - began)
    assert result.all["status"] == status
    assert result.requests["outcomes"] == result.requests["requests"]
    assert result.all["gap_right"] >= result.all["gap"]
    return result


def assert_balanced(result):
    """Where no reply was one too many, the outcomes add up to the requests."""
    assert result.requests["stray"] == 0
    ends = "right error wrong overdue broken unsent pending".split()
    assert sum(result.requests[end] for end in ends) == result.requests["requests"]
    assert sum(result.requests["errors"].values()) == result.requests["error"]


def sockets_in_state(state, port):
    # The kernel picks them out; in a table that it writes down for us the whole machine stands.
    done = subprocess.run(["ss", "-Htn", "state", state, f"( dport = :{port} )"], check=True,
                          capture_output=True, text=True)
    return {line.split()[2] for line in done.stdout.splitlines()}


def connections_in_state(state, port):
    """How many sockets are "established", "syn-sent" or "close-wait" towards this port (ss(8)).

    They are listed in pieces while they change; what is in two readings was there between them, all
    at once.
    """
    return len(sockets_in_state(state, port) & sockets_in_state(state, port))


@contextlib.contextmanager
def refusing_port():
    """A port where nobody listens, and which nobody else is given meanwhile; a Peer may take it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
