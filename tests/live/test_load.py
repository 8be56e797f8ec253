"""hostler-load run against a peer that can misbehave: every count is shown to count.

The peer is a little server in this process, so nothing here needs hostlerd.
"""

import asyncio
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

LOAD = os.path.join(os.environ.get("HOSTLER_BUILD", "."), "hostler-load")
PATIENCE = 20  # seconds until a run that should be over is a failure


class Client:
    """One connection of hostler-load, as the peer sees it."""

    def __init__(self, peer, number, reader, writer):
        self.peer = peer
        self.number = number
        self.reader = reader
        self.writer = writer

    async def receive(self):
        """The next message without its framing; None at the end."""
        try:
            if self.peer.protocol == "frame":
                head = await self.reader.readexactly(4)
                message = await self.reader.readexactly(struct.unpack(">I", head)[0])
            elif self.peer.protocol == "http":
                self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
                message = self.head.split()[1].replace("&", "?").rpartition("?")[2].encode()
            else:
                message = (await self.reader.readuntil(b"\n"))[:-1]
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self.peer.received.append(message)
        return message

    async def send(self, message):
        if self.peer.protocol == "frame":
            await self.send_raw(struct.pack(">I", len(message)) + message)
        elif self.peer.protocol == "http":
            await self.send_http(message)
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
            writer.close()

    def stop_listening(self):
        self.server.close()

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
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return {row[1] for row in rows if row[2] == f"0100007F:{port:04X}" and row[3] == state}


def connections_in_state(state, port):
    """How many sockets are connected (01), connecting (02) or half-closed (08) to this port.

    The kernel's table is read in pieces while it changes; what is in two readings was there between
    them, all at once.
    """
    return len(sockets_in_state(state, port) & sockets_in_state(state, port))


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


# --- replies that are right


@pytest.mark.parametrize("protocol", ["line", "frame"])
@pytest.mark.parametrize("expect", ["echo", "upper"])
@pytest.mark.parametrize(
    "connections, depth, size, count",
    [(1, 1, 32, 20), (7, 5, 64, 500), (3, 64, 1000, 2000), (2, 3, 300000, 20), (2, 3, 5000000, 8)],
)
def test_right(protocol, expect, connections, depth, size, count):
    with Peer(echo if expect == "echo" else upper, protocol) as peer:
        result = run(
            "--protocol", protocol, "--expect", expect, "--connections", connections,
            "--depth", depth, "--size", size, "--count", count, peer.address,
        )  # fmt: skip
    assert result.counts() == {"right": count}
    assert result.requests["sent"] == count
    assert_balanced(result)
    assert len(peer.received) == len(set(peer.received)) == count
    assert {len(message) for message in peer.received} == {size}
    assert peer.received[0] != peer.received[0].upper()
    latency = result.all["latency"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert latency["count"] == count
    assert 0 < latency["mean"] <= latency["max"]
    assert result.connections["closed_by_peer"] == 0
    assert result.all["rate"] == pytest.approx(count / result.all["seconds"])


async def serve_ids(client, answer):
    """Takes eight requests at a time and answers them backwards with answer(id, payload)."""
    while True:
        batch = []
        while len(batch) < 8:
            message = await client.receive()
            if message is None:
                return
            batch.append(message)
        for message in reversed(batch):
            await client.send(answer(message[:4], message[4:]))


@pytest.mark.parametrize("answer, status, counts", [
    pytest.param(lambda number, payload: number + b"\0" + payload, 0, {"right": 80}, id="right"),
    pytest.param(lambda number, payload: number + b"\1", 0, {"error": 80}, id="busy"),
    pytest.param(lambda number, payload: number + b"\0" + payload.upper(), 1, {"wrong": 80},
                 id="wrong"),
    pytest.param(lambda number, payload: number, 1, {"wrong": 80}, id="no-status"),
])
def test_ids(answer, status, counts):
    """Any order is right, as long as each reply names the request that it answers."""
    with Peer(lambda client: serve_ids(client, answer), "frame") as peer:
        result = run("--protocol", "frame", "--ids", "--depth", 8, "--connections", 2, "--count",
                     80, peer.address, status=status)
    assert result.counts() == counts
    assert result.all["settings"]["ids"] is True
    assert_balanced(result)


def test_messages_differ_from_run_to_run():
    with Peer(echo) as peer:
        run("--count", 3, peer.address)
        run("--count", 3, peer.address)
    assert len(set(peer.received)) == 6


def test_duration():
    with Peer(echo) as peer:
        result = run("--duration", "300ms", "--connections", 3, peer.address)
    assert 0.29 <= result.all["seconds"] < 2
    assert result.requests["right"] == result.requests["requests"] == len(peer.received) > 3


def test_reply_byte_by_byte():
    async def dribble(client):
        while (message := await client.receive()) is not None:
            for byte in message + b"\n":
                await client.send_raw(bytes([byte]))
                await asyncio.sleep(0)

    with Peer(dribble) as peer:
        result = run("--count", 20, "--depth", 4, peer.address)
    assert result.counts() == {"right": 20}


def test_unix_socket(tmp_path):
    with Peer(echo, path=str(tmp_path / "s")) as peer:
        result = run("--connections", 300, "--hold", "--count", 600, peer.address)
    assert result.counts() == {"right": 600}
    assert result.connections["opened"] == 300


def test_ipv6():
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on the loopback interface")
    with Peer(echo, family=socket.AF_INET6) as peer:
        assert run("--count", 10, peer.address).counts() == {"right": 10}


def test_per_request_opens_a_connection_each():
    with Peer(echo) as peer:
        result = run("--per-request", "--connections", 4, "--count", 50, peer.address)
    assert result.counts() == {"right": 50}
    assert peer.accepted >= 50
    assert len(set(peer.received)) == 50


def test_hold_opens_all_before_the_first_request():
    open_at_first = []

    async def behave(client):
        message = await client.receive()
        if not open_at_first:
            open_at_first.append(connections_in_state("01", client.peer.port))
        while message is not None:
            await client.send(message)
            message = await client.receive()

    with Peer(behave) as peer:
        result = run("--hold", "--connections", 200, "--count", 400, peer.address)
    assert open_at_first == [200]
    assert result.counts() == {"right": 400}
    assert result.connections["opened"] == 200
    assert 0 < result.all["opening"] < PATIENCE


# --- replies that are not


def replying(change):
    """A peer whose replies to the messages number 0, 1, 2 … are the list change(number, message)."""

    async def behave(client):
        number = 0
        while (message := await client.receive()) is not None:
            for reply in change(number, message):
                await client.send(reply)
            number += 1

    return behave


@pytest.mark.parametrize(
    "damage",
    [
        lambda m: m[:-1] + bytes([m[-1] ^ 1]),
        lambda m: b"x" + m[1:] if m[:1] != b"x" else b"y" + m[1:],
        lambda m: m[:-1],
        lambda m: m + b"a",
        lambda m: m + b"\r",
        lambda m: m.upper(),
        lambda m: b"",
        lambda m: b"ERRbusy",
    ],
    ids="last-bit first-letter short long cr capitals empty err-without-space".split(),
)
def test_wrong(damage):
    with Peer(replying(lambda n, m: [damage(m) if n == 3 else m])) as peer:
        result = run("--count", 10, peer.address, status=1)
    assert result.counts() == {"right": 9, "wrong": 1}
    assert_balanced(result)
    assert "wrong reply on connection 0" in result.stderr


def test_wrong_samples_are_few():
    with Peer(echo) as peer:
        result = run("--expect", "upper", "--count", 100, peer.address, status=1)
    assert result.counts() == {"wrong": 100}
    assert len(result.stderr.splitlines()) == 6


def test_two_replies_swapped():
    async def behave(client):
        messages = [await client.receive() for _ in range(8)]
        messages[2], messages[3] = messages[3], messages[2]
        for message in messages:
            await client.send(message)
        await echo(client)

    with Peer(behave) as peer:
        result = run("--depth", 8, "--count", 8, peer.address, status=1)
    assert result.counts() == {"right": 7, "wrong": 1}
    assert_balanced(result)


def test_another_connections_replies():
    async def behave(client):
        client.message = await client.receive()
        while not (len(peer.clients) == 2 and all(hasattr(c, "message") for c in peer.clients)):
            await asyncio.sleep(0.001)
        await client.send(peer.clients[1 - client.number].message)
        await echo(client)

    with Peer(behave) as peer:
        result = run("--connections", 2, "--hold", "--count", 2, peer.address, status=1)
    assert result.counts() == {"wrong": 2}
    assert_balanced(result)


def test_unasked_reply_is_wrong():
    async def behave(client):
        await client.send(b"welcome")
        await client.send(b"ERR busy")
        await echo(client)

    with Peer(behave) as peer:
        result = run("--count", 5, "--connections", 1, "--hold", peer.address, status=1)
    assert result.requests["right"] + result.requests["wrong"] >= 5
    assert result.requests["wrong"] >= 1


def test_one_line_too_many():
    with Peer(replying(lambda n, m: [b"by the way", m] if n == 4 else [m])) as peer:
        result = run("--count", 10, peer.address, status=1)
    assert result.counts() == {"right": 9, "wrong": 2}


def test_missing_reply():
    with Peer(replying(lambda n, m: [] if n == 2 else [m])) as peer:
        result = run("--depth", 4, "--count", 8, "--timeout", "500ms", peer.address, status=1)
    assert result.counts() == {"right": 2, "wrong": 3, "overdue": 1}
    assert result.connections["given_up"] == 1
    assert_balanced(result)


def test_reply_larger_than_any():
    with Peer(replying(lambda n, m: [m] if n < 2 else [m * 200])) as peer:
        result = run("--count", 10, peer.address, status=1)
    assert result.counts() == {"right": 2, "wrong": 1}
    assert result.connections["damaged"] == 1


def test_duplicate():
    with Peer(replying(lambda n, m: [m, m] if n == 4 else [m])) as peer:
        result = run("--count", 10, peer.address, status=1)
    assert result.counts() == {"right": 10, "duplicate": 1}
    assert "duplicate reply on connection 0" in result.stderr


def test_duplicate_after_the_last_reply():
    async def behave(client):
        last = None
        while (message := await client.receive()) is not None:
            last = message
            await client.send(message)
        await client.send(last)  # hostler-load has half-closed

    with Peer(behave) as peer:
        result = run("--count", 10, peer.address, status=1)
    assert result.counts() == {"right": 10, "duplicate": 1}


def test_duplicate_on_another_connection():
    async def behave(client):
        if client.number == 0:
            await echo(client)
        wait = await client.receive()
        while not client.peer.first_done.is_set():
            await asyncio.sleep(0.001)
        await client.send(client.peer.first)
        await client.send(wait)
        await echo(client)

    async def first(client):
        if client.number > 0:
            return await behave(client)
        client.peer.first = await client.receive()
        await client.send(client.peer.first)
        second = await client.receive()  # so the first reply has arrived
        client.peer.first_done.set()
        await client.send(second)
        await echo(client)

    with Peer(first) as peer:
        peer.first_done = threading.Event()
        result = run("--connections", 2, "--hold", "--count", 20, peer.address, status=1)
    assert result.counts() == {"right": 20, "duplicate": 1}


# --- errors


def test_errors_are_counted_by_kind_and_are_no_failure():
    texts = [b"ERR busy", b"ERR timeout", b"ERR failed", b"ERR too-large", b"ERR bad", b"ERR what"]
    with Peer(replying(lambda n, m: [texts[n]] if n < 6 else [m])) as peer:
        result = run("--count", 10, peer.address)
    assert result.counts() == {"right": 4, "error": 6}
    kinds = ["busy", "timeout", "failed", "too-large", "bad", "other"]
    assert result.requests["errors"] == {kind: 1 for kind in kinds}
    assert_balanced(result)


def test_error_frames():
    with Peer(replying(lambda n, m: [b"ERR busy"]), "frame") as peer:
        result = run("--protocol", "frame", "--count", 7, "--depth", 3, peer.address)
    assert result.counts() == {"error": 7}
    assert result.requests["errors"]["busy"] == 7


# --- connections that end


@pytest.mark.parametrize("how", ["close", "reset", "half a reply"])
def test_broken(how):
    async def behave(client):
        await client.send(await client.receive())
        message = await client.receive()
        if how == "reset":
            client.reset()
        elif how == "half a reply":
            await client.send_raw(message[:20])

    with Peer(behave) as peer:
        result = run("--count", 10, peer.address)
    assert result.counts() == {"right": 1, "broken": 1}
    assert result.connections["closed_by_peer"] == 1
    assert_balanced(result)


def test_reconnect_sends_nothing_again():
    async def behave(client):
        for _ in range(3):
            message = await client.receive()
            if message is None:
                return
            await client.send(message)
        await client.receive()  # and no reply

    with Peer(behave) as peer:
        result = run("--reconnect", "--count", 20, peer.address)
    assert result.counts() == {"right": 15, "broken": 5}
    assert result.connections["reconnected"] == 4
    assert len(peer.received) == len(set(peer.received)) == 20
    assert_balanced(result)


def test_reply_to_a_broken_request_is_wrong_on_the_next_connection():
    async def behave(client):
        message = await client.receive()
        if client.number == 0:
            client.peer.lost = message
            return
        await client.send(client.peer.lost)
        await echo(client)

    with Peer(behave) as peer:
        result = run("--reconnect", "--count", 5, peer.address, status=1)
    assert result.counts() == {"right": 3, "wrong": 1, "broken": 1, "broken_new": 1}


def test_per_request_goes_on_after_a_broken_one():
    async def behave(client):
        message = await client.receive()
        if message is not None and client.number % 2 == 0:
            await client.send(message)

    with Peer(behave) as peer:
        result = run("--per-request", "--count", 10, peer.address)
    assert result.counts() == {"right": 5, "broken": 5, "broken_new": 5}
    assert len(set(peer.received)) == 10


@pytest.fixture
def deaf():
    """A listening socket that nobody accepts from: what is sent stays in the kernel's buffers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener


def test_unsent(deaf):
    process = subprocess.Popen(
        [LOAD, "run", "--json", "--size", "1000", "--depth", "60000", "--count", "60000",
         str(deaf.getsockname()[1])],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    client, _ = deaf.accept()
    before = -1
    while (now := unread(client)) != before or now == 0:  # until the buffers are full
        before = now
        time.sleep(0.1)
    client.close()
    result = json.loads(process.communicate(timeout=PATIENCE)[0])
    requests = result["requests"]
    assert requests["broken"] == requests["sent"] > 0
    assert requests["unsent"] > 0
    assert requests["broken"] + requests["unsent"] == requests["requests"]
    assert process.returncode == 0


def unread(client):
    """How many bytes the kernel holds for us."""
    return struct.unpack("i", fcntl.ioctl(client, termios.FIONREAD, bytes(4)))[0]


def test_peer_that_does_not_read_does_not_hold_the_run(deaf):
    result = run(
        "--size", 1000, "--depth", 60000, "--duration", "200ms", "--timeout", "500ms",
        deaf.getsockname()[1], status=1,
    )  # fmt: skip
    assert result.requests["overdue"] == result.requests["sent"] > 0
    assert result.counts().keys() <= {"overdue", "unsent"}
    assert_balanced(result)
    assert result.seconds < 5


# --- replies that do not come, or late


def test_overdue():
    async def mute(client):
        while await client.receive() is not None:
            pass

    with Peer(mute) as peer:
        result = run(
            "--count", 100, "--depth", 2, "--connections", 3, "--timeout", "300ms",
            peer.address, status=1,
        )  # fmt: skip
    assert result.counts() == {"overdue": 6}
    assert result.connections["given_up"] == 3
    assert result.seconds < 5
    assert result.all["gap"] > 0.3


def test_late_reply_counts_as_overdue_only():
    async def behave(client):
        message = await client.receive()
        while client.peer.release > time.monotonic():
            await asyncio.sleep(0.01)
        await client.send(message)
        await echo(client)

    with Peer(behave) as peer:
        peer.release = time.monotonic() + 0.75
        result = run("--count", 5, "--timeout", "500ms", peer.address, status=1)
    assert result.counts() == {"right": 4, "overdue": 1, "late": 1}
    assert result.all["latency"]["max"] < 0.5
    assert_balanced(result)


def test_gap():
    async def behave(client):
        await client.send(await client.receive())
        message = await client.receive()
        await asyncio.sleep(0.4)  # the gap itself
        await client.send(message)
        await echo(client)

    with Peer(behave) as peer:
        result = run("--count", 20, peer.address)
    assert result.counts() == {"right": 20}
    assert 0.39 < result.all["gap"] < 2
    assert result.all["latency"]["max"] == pytest.approx(result.all["gap"], abs=0.02)
    assert result.all["latency"]["p50"] < 0.2


# --- a client that is told to connect again


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


@pytest.mark.parametrize("protocol", ["line", "frame", "http"])
def test_reconnects_when_an_idle_connection_is_closed(protocol):
    with Peer(closing_after(3), protocol) as peer:
        result = run(
            "--protocol", protocol, "--expect", "echo", "--reconnect", "--connections", 4,
            "--count", 120, peer.address,
        )  # fmt: skip
    assert result.counts() == {"right": 120}
    assert_balanced(result)
    assert result.connections["closed_by_peer"] == 0
    assert result.connections["closed_idle"] >= 36
    assert result.connections["reconnected"] == result.connections["opened"] - 4 >= 36
    assert len(set(peer.received)) == 120


@pytest.mark.parametrize("protocol", ["line", "http"])
def test_a_connection_that_has_nothing_to_ask_is_closed(protocol):
    async def behave(client):
        await client.send(await client.receive())
        if client.number == 0:
            await client.peer.clients[1].receive()  # so the second one waits already
            client.writer.close()
            while connections_in_state("01", peer.port) + connections_in_state("08", peer.port) > 1:
                await asyncio.sleep(0.001)  # until the client has closed too
            client.peer.closed.set()

    async def second(client):
        if client.number == 0:
            while len(client.peer.clients) < 2:
                await asyncio.sleep(0.001)
            return await behave(client)
        while not client.peer.closed.is_set():
            await asyncio.sleep(0.001)
        await client.send(client.peer.received[-1])

    with Peer(second, protocol) as peer:
        peer.closed = threading.Event()
        result = run(
            "--protocol", protocol, "--expect", "echo", "--connections", 2, "--count", 2,
            peer.address,
        )  # fmt: skip
    assert result.counts() == {"right": 2}
    assert result.connections["closed_idle"] == 1
    assert result.connections["finished"] == 1


def test_without_reconnect_a_closed_connection_ends():
    with Peer(closing_after(3)) as peer:
        result = run("--connections", 2, "--count", 100, peer.address)
    assert result.requests["right"] == result.requests["requests"] - result.requests["broken"] == 6
    assert result.connections["opened"] == 2


@pytest.mark.parametrize("protocol", ["line", "frame", "http"])
def test_broken_on_used_and_on_new_connections(protocol):
    """Odd connections answer nothing, even ones two requests; then all of them close."""

    async def behave(client):
        for _ in range(0 if client.number % 2 else 2):
            message = await client.receive()
            if message is None:
                return
            await client.send(message)
        await client.receive()

    with Peer(behave, protocol) as peer:
        result = run(
            "--protocol", protocol, "--expect", "echo", "--reconnect", "--count", 40, peer.address
        )
    assert result.counts() == {"right": 20, "broken": 20, "broken_new": 10}
    assert result.connections["closed_by_peer"] == 20
    assert result.connections["closed_idle"] == 0
    assert_balanced(result)


def test_a_reset_is_not_idle():
    async def behave(client):
        await client.send(await client.receive())
        if client.number == 0:
            client.reset()
        else:
            await echo(client)

    with Peer(behave) as peer:
        result = run("--reconnect", "--count", 10, peer.address)
    assert result.connections["closed_by_peer"] == 1
    assert result.connections["closed_idle"] == 0
    assert_balanced(result)


def test_rest_of_a_reply_that_nobody_asked_for_is_wrong():
    async def behave(client):
        await client.send(await client.receive())
        await client.send_raw(b"and furthermore")

    with Peer(behave) as peer:
        result = run("--count", 1, peer.address, status=1)
    assert result.counts() == {"right": 1, "wrong": 1}
    assert result.requests["stray"] == 1
    assert "cut short" in result.stderr


def failed_attempts():
    """How many connects of this machine ever failed (AttemptFails of RFC 4022)."""
    with open("/proc/net/snmp", encoding="ascii") as table:
        names, values = [line.split() for line in table if line.startswith("Tcp:")]
    return int(values[names.index("AttemptFails")])


def test_refused_while_the_server_is_away():
    """Between two servers on a port connections are refused, and that is all that happens."""
    port = free_port()
    first = Peer(closing_after(5), port=port)
    with first:
        process = subprocess.Popen(
            [LOAD, "run", "--json", "--reconnect", "--connections", "4", "--duration", "2s",
             str(port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(lambda: len(first.received) > 20, "requests")
        first.loop.call_soon_threadsafe(first.stop_listening)
        wait_for(lambda: not connections_in_state("01", port), "no connection")
        failed = failed_attempts()
        wait_for(lambda: failed_attempts() >= failed + 8, "refused attempts")
    with Peer(echo, port=port) as second:
        wait_for(lambda: len(second.received) > 20, "requests to the second server")
        result = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert result["connections"]["refused"] > 0
    assert result["requests"]["wrong"] == result["requests"]["overdue"] == 0
    assert result["requests"]["right"] >= len(second.received) + 20
    assert result["requests"]["outcomes"] == result["requests"]["requests"]


def test_gap_without_right_replies():
    async def behave(client):
        began = None
        while (message := await client.receive()) is not None:
            began = began or time.monotonic()
            if 0.2 < time.monotonic() - began < 0.6:
                await client.send(b"ERR busy")
                await asyncio.sleep(0.01)  # a pace, so that errors are few
            else:
                await client.send(message)

    with Peer(behave) as peer:
        result = run("--duration", "1s", peer.address)
    assert result.counts().keys() == {"right", "error"}
    assert 0.38 < result.all["gap_right"] < 0.9
    assert result.all["gap"] < 0.3


# --- http


@pytest.mark.parametrize("expect", ["echo", "upper", "status"])
@pytest.mark.parametrize("more", [[], ["--depth", 16], ["--per-request"], ["--new-connection"]])
def test_http_right(expect, more):
    with Peer(upper if expect == "upper" else echo, "http") as peer:
        result = run(
            "--protocol", "http", "--expect", expect, "--connections", 3, "--count", 200, *more,
            peer.address,
        )  # fmt: skip
    assert result.counts() == {"right": 200}
    assert_balanced(result)
    assert len(peer.received) == 200
    assert len(set(peer.received)) == (1 if expect == "status" else 200)
    assert peer.accepted >= 200 if more and "--depth" not in more else peer.accepted == 3


def test_http_request():
    heads = []

    async def behave(client):
        while await client.receive() is not None:
            heads.append(client.head)
            await client.send_http(b"", 204, length=False)

    with Peer(behave, "http") as peer:
        http = ["--protocol", "http", "--count", 1, "--expect-status", 204]
        run(*http, peer.address)
        run(*http, "--path", "/a/b?c=d", peer.address)
        run(*http, "--path", "/a", "--expect", "echo", peer.address, status=1)
        run(*http, "--path", "/a?b", "--expect", "echo", "--size", 40, peer.address, status=1)
    assert heads[0] == f"GET / HTTP/1.1\r\nHost: {peer.address}\r\n\r\n"
    assert heads[1] == f"GET /a/b?c=d HTTP/1.1\r\nHost: {peer.address}\r\n\r\n"
    assert re.match(r"GET /a\?[a-z0-9]{6}-0-0-[a-z0-9]{53} HTTP", heads[2])
    assert re.match(r"GET /a\?b&[a-z0-9]{6}-0-0-[a-z0-9]{29} HTTP", heads[3])


def test_http_over_a_unix_socket(tmp_path):
    heads = []

    async def behave(client):
        while await client.receive() is not None:
            heads.append(client.head)
            await client.send_http(b"x")

    with Peer(behave, "http", path=str(tmp_path / "s")) as peer:
        assert run("--protocol", "http", "--count", 1, peer.address).counts() == {"right": 1}
    assert "\r\nHost: localhost\r\n" in heads[0]


def chunked(body):
    chunks = [body[i : i + 7] for i in range(0, len(body), 7)]
    lines = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + lines + b"0\r\n\r\n"


def measured(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def lasting(body):
    return b"HTTP/1.1 200 OK\r\n\r\n" + body


@pytest.mark.parametrize("wrap", [chunked, measured])
@pytest.mark.parametrize("size", [64, 6000])
def test_http_byte_by_byte(wrap, size):
    async def dribble(client):
        while (message := await client.receive()) is not None:
            reply = wrap(message)
            step = max(1, len(reply) // 300)
            for at in range(0, len(reply), step):
                await client.send_raw(reply[at : at + step])
                await asyncio.sleep(0)

    with Peer(dribble, "http") as peer:
        result = run(
            "--protocol", "http", "--expect", "echo", "--size", size, "--count", 12, "--depth", 3,
            peer.address,
        )  # fmt: skip
    assert result.counts() == {"right": 12}


@pytest.mark.parametrize("how", ["--reconnect", "--per-request"])
def test_http_body_until_the_connection_ends(how):
    async def behave(client):
        message = await client.receive()
        if message is not None:
            await client.send_raw(lasting(message))

    with Peer(behave, "http") as peer:
        result = run(
            "--protocol", "http", "--expect", "echo", how, "--connections", 2, "--count", 30,
            peer.address,
        )  # fmt: skip
    assert result.counts() == {"right": 30}
    assert_balanced(result)


@pytest.mark.parametrize("wrap", [chunked, measured, lasting])
@pytest.mark.parametrize("end", ["fin", "reset"])
def test_http_cut_short_is_broken(wrap, end):
    """At any byte; a body that the end of the connection ends is whole with a FIN alone."""

    async def behave(client):
        if await client.receive() is None:
            return
        reply = wrap(b"x" * 60)
        cut = min(client.number, 39) * (len(reply) - 1) // 39
        if end == "reset" and cut > 0:
            await client.send_raw(reply[:cut])
            await sent(client)
        elif end == "fin":
            await client.send_raw(reply[:cut])
        if end == "reset":
            client.reset()

    async def sent(client):
        """Until the client has what was sent: a reset may overtake it."""
        raw = client.writer.get_extra_info("socket")
        while struct.unpack("i", fcntl.ioctl(raw, termios.TIOCOUTQ, bytes(4)))[0] > 0:
            await asyncio.sleep(0.001)

    with Peer(behave, "http") as peer:
        result = run(
            "--protocol", "http", "--per-request", "--connections", 8, "--count", 40, peer.address,
        )  # fmt: skip
    counts = result.counts()
    if wrap is lasting and end == "fin":
        assert counts.pop("right") > 20  # the head was whole
    assert counts["broken"] == counts["broken_new"] == sum(counts.values()) / 2
    assert_balanced(result)


@pytest.mark.parametrize(
    "damage, why",
    [
        (lambda m: measured(m) + b"x", "cut short"),
        (lambda m: measured(m) * 2, "asked"),
        (lambda m: b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "CR LF"),
        (lambda m: measured(m).replace(b"\r\n\r\n", b"\r\nContent-Length: 64\r\n\r\n"), "two"),
        (lambda m: measured(m[1:] + b"!"), None),
        (lambda m: measured(b""), None),
        (lambda m: m + b"\r\n", "status line"),
    ],
    ids="rest-behind twice lf-alone two-lengths another-body no-body no-http".split(),
)
def test_http_wrong(damage, why):
    async def behave(client):
        await client.send(await client.receive())
        await client.send_raw(damage(await client.receive()))

    with Peer(behave, "http") as peer:
        result = run(
            "--protocol", "http", "--expect", "echo", "--count", 2, peer.address, status=1
        )
    assert result.requests["wrong"] + result.requests["duplicate"] == 1
    assert result.requests["right"] == (2 if why in ("cut short", "asked") else 1)
    if why and why != "asked":
        assert why in result.stderr


def test_http_statuses():
    statuses = [400, 413, 429, 500, 502, 503, 504, 200, 404, 301, 201]

    async def behave(client):
        for status in statuses:
            if await client.receive() is None:
                return
            await client.send_http(b"a page about it", status)
        await client.receive()

    with Peer(behave, "http") as peer:
        result = run("--protocol", "http", "--count", len(statuses), peer.address, status=1)
        assert result.counts() == {"right": 1, "error": 7, "wrong": 3}
        assert_balanced(result)
        kinds = ["busy", "timeout", "failed", "too-large", "bad"]
        assert result.requests["errors"] == {**{kind: 1 for kind in kinds}, "other": 2}
        assert "another status" in result.stderr
        other = run(
            "--protocol", "http", "--expect-status", 503, "--count", len(statuses), peer.address,
            status=1,
        )  # fmt: skip
        assert other.requests["right"] == 1 and other.requests["wrong"] == 4


def test_http_interim_replies_are_read_over():
    async def behave(client):
        while (message := await client.receive()) is not None:
            await client.send_raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            await client.send(message)

    with Peer(behave, "http") as peer:
        assert run("--protocol", "http", "--count", 10, peer.address).counts() == {"right": 10}


def test_http_connection_close_is_obeyed():
    """Told to go, the client sends nothing more there, though the server would still listen."""

    async def behave(client):
        for number in range(1000):
            message = await client.receive()
            if message is None:
                return
            assert number < 5, "a request after Connection: close"
            await client.send_http(message, fields=["Connection: close"] if number == 4 else [])

    with Peer(behave, "http") as peer:
        result = run(
            "--protocol", "http", "--expect", "echo", "--reconnect", "--connections", 3,
            "--count", 90, peer.address,
        )  # fmt: skip
    assert result.counts() == {"right": 90}
    assert result.connections["closed_idle"] >= 15
    assert result.connections["reconnected"] >= 15


def test_http_what_was_pipelined_behind_a_close_is_broken():
    async def behave(client):
        for number in range(3):
            message = await client.receive()
            if message is None:
                return
            await client.send_http(message, fields=["Connection: close"] if number == 2 else [])
        while client.reader.at_eof() is False and await client.receive() is not None:
            if len(client.peer.received) % 8 == 0:
                return

    with Peer(behave, "http") as peer:
        result = run(
            "--protocol", "http", "--expect", "echo", "--depth", 8, "--count", 8, peer.address
        )
    assert result.counts() == {"right": 3, "broken": 5}
    assert_balanced(result)


def test_http_table():
    with Peer(echo, "http") as peer:
        process = subprocess.run(
            [LOAD, "run", "--protocol", "http", "--path", "/x", "--count", "10", peer.address],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    first = process.stdout.splitlines()[0]
    assert "GET /x" in first and "any body with status 200" in first


# --- connections that cannot be opened


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_refused():
    result = run("--connections", 5, f"127.0.0.1:{free_port()}", status=3)
    assert result.connections["refused"] == 5
    assert result.requests["requests"] == 0
    assert "Connection refused" in result.stderr
    assert result.seconds < 5


def test_refused_while_reconnecting_ends():
    result = run(
        "--reconnect", "--count", 5, "--timeout", "300ms", "--connect-timeout", "300ms",
        f"127.0.0.1:{free_port()}", status=3,
    )  # fmt: skip
    assert result.connections["refused"] > 1
    assert result.seconds < 5


def test_refused_per_request_is_unsent():
    async def behave(client):
        message = await client.receive()
        if client.number == 9:
            client.peer.stop_listening()
        if message is not None:
            await client.send(message)

    with Peer(behave) as peer:
        result = run("--per-request", "--count", 12, peer.address)
    assert result.requests["right"] == 10
    assert result.counts().keys() <= {"right", "unsent", "broken", "broken_new"}
    assert result.connections["refused"] >= 1
    assert result.requests["unsent"] == result.connections["refused"]
    assert_balanced(result)


def test_connect_timeout_and_pace():
    """Nobody accepts: at most 256 attempts are under way at once."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [LOAD, "run", "--json", "--hold", "--connections", "400", "--connect-timeout", "1s",
             "--count", "1", "--timeout", "200ms", str(port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        most = 0
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            most = max(most, connections_in_state("02", port))
            time.sleep(0.02)
        result = json.loads(process.communicate(timeout=PATIENCE)[0])
    connections = result["connections"]
    assert most == 256
    assert connections["timed_out"] > 300
    assert connections["timed_out"] + connections["opened"] == 400


def test_a_socket_that_meets_itself_is_no_server():
    """With a single local port left, a connect to it would be answered by itself."""
    script = (
        "ip link set lo up && echo 40001 40001 >/proc/sys/net/ipv4/ip_local_port_range && "
        f"exec {LOAD} run --json --count 5 40001"
    )
    command = ["unshare", "--net", "sh", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if process.returncode not in (0, 1, 3) or not process.stdout:
        pytest.skip("needs root, unshare and ip: " + process.stderr.strip())
    assert process.returncode == 3
    assert json.loads(process.stdout)["connections"]["refused"] == 1


def limits(soft, hard):
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_soft_descriptor_limit_is_raised():
    with Peer(echo) as peer:
        result = run(
            "--connections", 100, "--hold", "--count", 200, peer.address,
            preexec_fn=limits(40, 400),
        )  # fmt: skip
    assert result.counts() == {"right": 200}
    assert result.connections["opened"] == 100


def test_more_connections_than_descriptors():
    process = subprocess.run(
        [LOAD, "run", "--connections", "100", "1"],
        capture_output=True, text=True, timeout=PATIENCE, preexec_fn=limits(64, 64),
    )  # fmt: skip
    assert process.returncode == 2
    assert "100 connections need 132 descriptors, but the limit is 64" in process.stderr


# --- the program itself


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_prints_what_it_has(number):
    with Peer(replying(lambda n, m: [m] if n < 10 else [])) as peer:
        process = subprocess.Popen(
            [LOAD, "run", "--json", "--duration", "1h", "--timeout", "1h", peer.address],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(lambda: len(peer.received) == 11, "the eleventh request")
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE)
    result = json.loads(out)
    assert process.returncode == 0
    assert result["interrupted"] is True
    assert result["requests"]["right"] == 10
    assert result["requests"]["pending"] == 1


def test_table():
    with Peer(replying(lambda n, m: [b"ERR busy"] if n < 2 else [m])) as peer:
        process = subprocess.run(
            [LOAD, "run", "--count", "10", "--connections", "1", peer.address],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    rows = {}
    for line in process.stdout.splitlines()[1:]:
        name, value, *rest = line.split()
        rows[name] = (value, " ".join(rest))
    assert process.returncode == 0 and process.stderr == ""
    assert rows["requests"][0] == "10"
    assert rows["right"][0] == "8"
    assert rows["error"] == ("2", "busy 2")
    assert rows["wrong"][0] == rows["duplicate"][0] == rows["overdue"][0] == "0"
    assert {"time", "rate", "latency", "gap", "connections"} <= set(rows)
    assert "p99.9" in process.stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "address is missing"),
        (["80", "81"], "'81'"),
        (["--ids", "80"], "--ids wants --protocol frame"),
        (["--protocol", "gopher", "80"], "expected line, frame or http"),
        (["--expect", "x", "80"], "expected echo, upper or status"),
        (["--expect", "status", "80"], "needs --protocol http"),
        (["--path", "/", "80"], "need --protocol http"),
        (["--expect-status", "200", "80"], "need --protocol http"),
        (["--protocol", "http", "--path", "x", "80"], "expected /"),
        (["--protocol", "http", "--path", "/a b", "80"], "expected /"),
        (["--protocol", "http", "--path", "/a\r\nb", "80"], "expected /"),
        (["--protocol", "http", "--path", "/" * 5000, "80"], "expected /"),
        (["--protocol", "http", "--expect-status", "199", "80"], "from 200"),
        (["--size", "31", "80"], "from 32"),
        (["--duration", "10", "80"], "with a unit"),
        (["--count", "0", "80"], "from 1"),
        (["--depth", "2", "--per-request", "80"], "exclude each other"),
        (["nowhere:80"], "nowhere"),
        (["0"], "port 0"),
        (["--frobnicate", "80"], "frobnicate"),
    ],
)
def test_usage(arguments, words):
    process = subprocess.run(
        [LOAD, "run", *arguments], capture_output=True, text=True, timeout=PATIENCE
    )
    assert process.returncode == 2
    assert process.stdout == ""
    assert words in process.stderr
    assert process.stderr.startswith("hostler-load run: ")


def test_help():
    for arguments in (["--help"], ["run", "--help"]):
        process = subprocess.run(
            [LOAD, *arguments], capture_output=True, text=True, timeout=PATIENCE
        )
        assert process.returncode == 0 and "xample" in process.stdout
    assert subprocess.run([LOAD], capture_output=True, timeout=PATIENCE).returncode == 2
    assert subprocess.run([LOAD, "walk"], capture_output=True, timeout=PATIENCE).returncode == 2
