"""hostler-load with --protocol websocket against a peer that can misbehave."""

import asyncio
import json
import subprocess
import sys

import pytest

import harness
from load_peer import (
    BINARY, CLOSE, LOAD, PATIENCE, PING, PONG, TEXT, Peer, assert_balanced, echo, replying, run, upper,
)  # fmt: skip

WEBSOCKET = ["--protocol", "websocket"]


@pytest.fixture(autouse=True)
def websocket():
    harness.need("protocol = websocket")


def peer_of(behave, **more):
    return Peer(behave, "websocket", **more)


def closing(code, reason=b"", after=0):
    """Answers so many messages of a connection, then says Close instead."""

    async def behave(client):
        for _ in range(after):
            if (message := await client.receive()) is None:
                return
            await client.send(message)
        if await client.receive() is not None:
            await client.send_close(code, reason)
            while await client.receive() is not None:
                pass

    return behave


# ---- what it says ----


@pytest.mark.parametrize("expect", ["echo", "upper", "any"])
@pytest.mark.parametrize("more", [
    [], ["--depth", 16], ["--new-connection"], ["--binary"], ["--size", "32..70000"], ["--rate", 5000],
])
def test_right(expect, more):
    with peer_of(upper if expect == "upper" else echo) as peer:
        result = run(*WEBSOCKET, "--expect", expect, "--connections", 3, "--count", 100, *more, peer.address)
        peer.wait_over()
    assert result.counts() == {"right": 100}
    assert_balanced(result)
    assert len(set(peer.received)) == 100
    spoke = [client for client in peer.clients if client.masks]
    assert {client.opcode for client in spoke if not client.control} <= {TEXT, BINARY}
    assert sum(len(client.masks) for client in spoke) >= 100, "a mask for each frame"
    if "--new-connection" in more:
        assert result.connections["done"] >= 97 and result.connections["closed_by_peer"] == 0
    else:
        assert result.connections["finished"] == len(spoke) == 3
        assert result.all["statuses"] == {"101": 3}
    # Who has been opened says good-bye, with no request left unanswered.
    for client in spoke:
        assert client.control == [(CLOSE, b"\x03\xe8")]


def test_handshake_and_kinds(tmp_path):
    kinds = []

    async def behave(client):
        while (message := await client.receive()) is not None:
            kinds.append(client.opcode)
            await client.send(message)

    lines = tmp_path / "lines"
    with peer_of(behave) as peer:
        run("--count", 1, f"ws://{peer.address}/a?b")
        run("--count", 1, "--binary", f"WS://{peer.address}")
        lines.write_bytes("gr\u00fcn\n\n".encode())
        run("--count", 2, "--lines", lines, f"ws://{peer.address}")
        lines.write_bytes(b"caf\xe9\nx\n")
        run("--count", 2, "--lines", lines, f"ws://{peer.address}")
        heads = [client.head for client in peer.clients]
    assert heads[0].startswith(f"GET /a?b HTTP/1.1\r\nHost: {peer.address}\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\nSec-WebSocket-Key: ")
    assert heads[0].endswith("==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    assert heads[1].startswith("GET / HTTP/1.1\r\n")
    assert len({client.accept for client in peer.clients}) == 4, "a key for each"
    assert kinds == [TEXT, BINARY, TEXT, TEXT, BINARY, BINARY]


def test_unix_socket(tmp_path):
    with peer_of(echo, path=str(tmp_path / "s")) as peer:
        assert run(*WEBSOCKET, "--count", 1, peer.address).counts() == {"right": 1}
        assert "\r\nHost: localhost\r\n" in peer.clients[0].head


def test_table():
    with peer_of(echo) as peer:
        process = subprocess.run([LOAD, "run", "--count", "10", f"ws://{peer.address}/x"],
                                 capture_output=True, text=True, timeout=PATIENCE)
    assert process.stdout.startswith(f"{peer.address}, WebSocket /x, messages of 64 bytes, 1 connection,")
    assert "statuses" not in process.stdout


# ---- the handshake ----


@pytest.mark.parametrize("answer, why, statuses", [
    (lambda client: client.send_handshake(403, ["Content-Length: 0"]), "answered with status 403", {"403": 1}),
    (lambda client: client.send_raw(b"HTTP/1.0 404 x\r\n\r\nlasts"), "answered with status 404", {"404": 1}),
    (lambda client: client.send_handshake(101, ["Sec-WebSocket-Accept: " + "A" * 28]),
     "a Sec-WebSocket-Accept that is not the key's", {}),
    (lambda client: client.send_raw(b"SSH-2.0-x\r\n"), "no status line", {}),
    (lambda client: client.send_raw(b"HTTP/1.1 101 x\r\n"), "it ended before the handshake was answered", {}),
])  # fmt: skip
def test_handshake_refused(answer, why, statuses):
    async def behave(client):
        await client.receive_handshake()
        await answer(client)

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 5, peer.address, status=3)
        assert why in result.stderr
        assert result.connections["failed"] == 1 and result.connections["opened"] == 0
        assert result.all["statuses"] == statuses
        done = subprocess.run([LOAD, "call", f"ws://{peer.address}", "x"],
                              capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 3 and done.stdout == ""
    assert "the handshake: " in done.stderr
    assert why.replace("answered with ", "").replace("it ended before the handshake was answered",
                                                     "a reply that is cut short") in done.stderr


def test_handshake_not_answered():
    async def behave(client):
        await client.receive_handshake()
        await client.reader.read()

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 5, "--connect-timeout", "100ms", peer.address, status=3)
    assert result.connections["timed_out"] == 1


def test_handshake_byte_by_byte_and_a_ping_behind_it():
    async def behave(client):
        await client.receive_handshake()
        head = (f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                f"Sec-WebSocket-Accept: {client.accept}\r\n\r\n").encode() + b"\x89\x02hi"
        for at in range(len(head) - 6):
            await client.send_raw(head[at : at + 1])
            await asyncio.sleep(0)
        await client.send_raw(head[-6:])
        await echo(client)

    with peer_of(behave) as peer:
        assert run(*WEBSOCKET, "--count", 3, peer.address).counts() == {"right": 3}
        peer.wait_over()
        assert peer.clients[0].control == [(PONG, b"hi"), (CLOSE, b"\x03\xe8")]


def test_pongs_wait_behind_a_message_that_leaves_slowly():
    """The socket is full when the pings come: pongs follow the message, and count as none of it."""
    async def behave(client):
        await client.receive_handshake()
        client.writer.transport.pause_reading()
        await client.send_handshake()
        for number in range(20):
            await client.send_frame(PING, b"%d" % number)
        await client.peer.may_read.wait()
        client.writer.transport.resume_reading()
        await echo(client)

    with peer_of(behave) as peer:
        peer.may_read = asyncio.Event()
        process = subprocess.Popen([LOAD, "run", "--json", "--count", "3", "--depth", "3", "--size", "6M",
                                    f"ws://{peer.address}"], stdout=subprocess.PIPE, text=True)
        harness.wait_for(lambda: is_full(peer.port), "a socket that takes no more")
        peer.loop.call_soon_threadsafe(peer.may_read.set)
        counts = json.loads(process.communicate(timeout=PATIENCE)[0])["requests"]
        peer.wait_over()
        pongs = [payload for opcode, payload in peer.clients[0].control if opcode == PONG]
    assert counts["right"] == counts["requests"] == counts["sent"] == 3
    assert pongs == [b"%d" % number for number in range(20)]


def is_full(port):
    """Whether what was written towards the port waits on both sides, and the pings were read."""
    done = subprocess.run(["ss", "-Htn", "state", "established", f"( dport = :{port} or sport = :{port} )"],
                          check=True, capture_output=True, text=True)
    queues = {tuple(line.split()[:2]) for line in done.stdout.splitlines()}
    return len(queues) == 2 and all(int(ours) > 100000 or int(theirs) > 100000 for ours, theirs in queues)


# ---- replies ----


@pytest.mark.parametrize("depth", [1, 6])
def test_fragments_and_pings(depth):
    async def behave(client):
        number = 0
        while (message := await client.receive()) is not None:
            await client.send_frame(client.opcode, message[:1], last=False)
            await client.send_frame(PING, b"%d" % number)
            for at in range(1, len(message) - 1):
                await client.send_frame(0, message[at : at + 1], last=False)
            await client.send_frame(PONG)
            await client.send_frame(0, message[-1:])
            number += 1

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--depth", depth, "--count", 12, peer.address)
        peer.wait_over()
        pongs = [payload for opcode, payload in peer.clients[0].control if opcode == PONG]
    assert result.counts() == {"right": 12}
    assert pongs == [b"%d" % number for number in range(12)]


@pytest.mark.parametrize("size", [64, 70000])
def test_byte_by_byte(size):
    async def behave(client):
        while (message := await client.receive()) is not None:
            head = b"\x81\x40" if size == 64 else b"\x81\x7f" + size.to_bytes(8, "big")
            step = max(1, size // 300)
            for at in range(0, len(head + message), step):
                await client.send_raw((head + message)[at : at + step])
                await asyncio.sleep(0)

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--size", size, "--count", 8, "--depth", 2, peer.address)
    assert result.counts() == {"right": 8}


@pytest.mark.parametrize("opcode, change, why", [
    (BINARY, lambda m: m, "binary for text"),
    (TEXT, lambda m: m[:-1] + b"\xff", "text that is no UTF-8"),
    (TEXT, lambda m: m[:-1] + b"?", "wrong reply on connection"),
    (TEXT, lambda m: b"ERR busy", "wrong reply on connection"),
])  # fmt: skip
def test_a_wrong_message_is_one(opcode, change, why):
    async def behave(client):
        number = 0
        while (message := await client.receive()) is not None:
            await client.send_frame(*((opcode, change(message)) if number == 2 else (TEXT, message)))
            number += 1

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 6, peer.address, status=1)
    assert result.counts() == {"right": 5, "wrong": 1}
    assert why in result.stderr
    assert_balanced(result)


def test_what_is_no_frame_ends_the_connection():
    async def behave(client):
        await client.receive()
        await client.send_raw(b"\x81\x85....hello")
        await client.reader.read()

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 6, peer.address, status=1)
    assert result.counts() == {"wrong": 1}
    assert result.connections["damaged"] == 1 and "(a masked frame)" in result.stderr


def test_a_duplicate_is_one():
    with Peer(replying(lambda number, message: [message] * (1 + (number == 3))), "websocket") as peer:
        result = run(*WEBSOCKET, "--count", 8, peer.address, status=1)
    assert result.counts() == {"right": 8, "duplicate": 1}


def test_a_reply_too_many_is_seen_before_the_close():
    """It comes when the run is over, and before the server answers Close."""
    async def behave(client):
        for _ in range(3):
            await client.send(await client.receive())
        assert await client.receive_frame() == (CLOSE, b"\x03\xe8")
        await client.send_frame(TEXT, b"more")
        await client.send_close(1000)

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 3, peer.address, status=1)
    assert result.counts() == {"right": 3, "wrong": 1}
    assert result.requests["stray"] == 1 and result.connections["finished"] == 1


# ---- Close ----


@pytest.mark.parametrize("code, reason, error", [
    (1013, b"", "busy"), (1011, b"", "failed"), (1011, b"timeout", "timeout"), (1009, b"", "too-large"),
    (1007, b"", "bad"), (1008, b"", "other"), (1002, b"x", "other"),
])  # fmt: skip
def test_close_that_is_an_error(code, reason, error):
    with peer_of(closing(code, reason, after=2)) as peer:
        result = run(*WEBSOCKET, "--count", 9, "--reconnect", peer.address)
        peer.wait_over()
        answers = [client.control[-1] for client in peer.clients[:3]]
    assert result.counts() == {"right": 6, "error": 3}
    assert result.requests["errors"][error] == 3
    assert result.connections["closed_idle"] + result.connections["finished"] == 3
    assert answers == [(CLOSE, code.to_bytes(2, "big"))] * 3
    assert_balanced(result)


def test_close_takes_what_waits_behind_it():
    with peer_of(closing(1013, after=1)) as peer:
        result = run(*WEBSOCKET, "--count", 8, "--depth", 8, peer.address)
    assert result.counts() == {"right": 1, "error": 1, "broken": 6}
    assert result.connections["closed_by_peer"] == 1
    assert_balanced(result)


@pytest.mark.parametrize("code", [1000, 1001, 3000])
def test_close_that_answers_nothing(code):
    with peer_of(closing(code, after=2)) as peer:
        result = run(*WEBSOCKET, "--count", 9, "--reconnect", peer.address)
    assert result.counts() == {"right": 6, "broken": 3}
    assert result.connections["closed_by_peer"] == 3


def test_close_of_an_idle_connection_costs_nothing():
    async def behave(client):
        for number in range(3):
            if (message := await client.receive()) is None:
                return
            if number == 2:
                client.hold_back()
            await client.send(message)
        await client.send_close(1001)

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 30, "--reconnect", peer.address)
    assert result.counts() == {"right": 30}
    assert result.connections["closed_idle"] >= 9


def test_nothing_is_sent_behind_a_close():
    async def behave(client):
        for _ in range(3):
            if (message := await client.receive()) is None:
                return
            await client.send(message)
        await client.send_close(1001)
        opcode, code = await client.receive_frame()
        assert opcode == CLOSE and code in (b"\x03\xe8", b"\x03\xe9"), "ours or its own"

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 9, "--rate", 20, "--reconnect", peer.address)
    assert result.counts() == {"right": 9}


def test_close_in_one_segment_with_the_handshake():
    async def behave(client):
        await client.receive_handshake()
        client.hold_back()
        await client.send_handshake(behind=b"\x88\x02\x03\xf5")

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 1, peer.address)
    assert result.counts() == {"error": 1} and result.requests["errors"]["busy"] == 1


def test_a_reset_behind_the_close_is_its_end():
    async def behave(client):
        await client.send(await client.receive())
        await client.receive_frame()
        client.reset()

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 5, "--new-connection", peer.address)
    assert result.counts() == {"right": 5}
    assert result.connections["closed_by_peer"] == 0 and result.connections["done"] >= 4


def test_a_server_that_does_not_answer_close():
    async def behave(client):
        await client.send(await client.receive())
        await client.reader.read()

    with peer_of(behave) as peer:
        result = run(*WEBSOCKET, "--count", 3, "--new-connection", "--connect-timeout", "100ms", peer.address)
    assert result.counts() == {"right": 3}


# ---- call ----


def call(*arguments, status=0):
    done = subprocess.run([LOAD, "call", *[str(a) for a in arguments]],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == status, done
    return done.stdout.splitlines(), done.stderr


def test_call():
    async def behave(client):
        while (message := await client.receive()) is not None:
            await client.send_frame(PING, b"!")
            await client.send_frame(client.opcode, message[:1], last=False)
            await client.send_frame(PING, b"?")
            await client.send_frame(0, message[1:].upper())

    with peer_of(behave) as peer:
        assert call(f"ws://{peer.address}/up", "one", "\u00fc two", "", "x" * 70000)[0] == [
            "oNE", "\u00fc TWO", "", "x" + "X" * 69999]
        assert call(*WEBSOCKET, peer.address, "one")[0] == ["oNE"]
        peer.wait_over()
        first, second = peer.clients
    assert first.head.startswith("GET /up HTTP/1.1\r\n") and second.head.startswith("GET / HTTP/1.1\r\n")
    assert first.control == [(PONG, b"!"), (PONG, b"?")] * 4 + [(CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize("behind, accepted", [(b"\x89\x01!", 1), (b"\x88\x00", 3), (b"\x81\x01x", 3), (b"\x81", 3)])
def test_call_hears_what_is_said_between(behind, accepted):
    async def behave(client):
        while (message := await client.receive()) is not None:
            await client.send_raw(b"\x81" + bytes([len(message)]) + message + behind)

    with peer_of(behave) as peer:
        assert call(f"ws://{peer.address}", "one", "two", "three")[0] == ["one", "two", "three"]
        assert peer.accepted == accepted
        if accepted == 1:
            peer.wait_over()
            assert peer.clients[0].control[:2] == [(PONG, b"!")] * 2


def test_call_told_by_close():
    with peer_of(closing(1009, after=1)) as peer:
        shown, said = call(f"ws://{peer.address}", "a", "b", "c", status=1)
        assert shown == ["a", "ERR too-large", "c"]
    with peer_of(closing(1001)) as peer:
        shown, said = call("--retries", 3, f"ws://{peer.address}", "a", status=1)
        assert shown == [] and "closed the connection with code 1001; it may have been executed" in said
        assert len(peer.received) == 1
    with peer_of(closing(1013)) as peer:
        shown, said = call("--retries", 2, "--backoff", "1ms", f"ws://{peer.address}", "a", status=1)
        assert shown == ["ERR busy"] and len(peer.received) == 3


# ---- other people's servers ----

SERVER = """
import asyncio, websockets

async def serve(client, path=None):
    async for message in client:
        await client.send(message.upper())

async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, max_size=None, ping_interval=0.02) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def websockets():
    probe = subprocess.run([sys.executable, "-c", "import websockets"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("python3-websockets is not installed")
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    yield f"ws://127.0.0.1:{int(server.stdout.readline())}/"
    server.terminate()
    said = server.communicate(timeout=10 * harness.SCALE)[1]
    assert "ProtocolError" not in said and "Invalid" not in said


@pytest.mark.parametrize("more", [
    [], ["--binary", "--depth", 8], ["--size", "32..70000"], ["--new-connection"], ["--rate", 2000],
])
def test_python_websockets(websockets, more):
    result = run("--expect", "upper", "--connections", 4, "--count", 200, *more, websockets)
    assert result.counts() == {"right": 200}


# ---- hostlerd ----


@pytest.mark.parametrize("more", [
    [], ["--depth", 32], ["--binary", "--depth", 8], ["--new-connection"], ["--size", "32..60K"], ["--rate", 2000],
])
def test_hostlerd(start, more):
    daemon = start({"a": harness.echo(protocol="websocket"),
                    "b": harness.pool(harness.program("upper.py"), protocol="websocket")})
    for service, expect in (("a", "echo"), ("b", "upper")):
        result = run("--expect", expect, "--connections", 4, "--count", 300, *more,
                     f"ws://{daemon.service(service)['listen'][0]}/x")
        assert result.counts() == {"right": 300}


def test_what_hostlerd_says_by_close(start):
    daemon = start({"a": harness.echo(protocol="websocket", max_message="1K"),
                    "b": harness.pool(harness.program("slow.py", "0.05"), protocol="websocket", queue=1, instances=1),
                    "c": harness.pool(harness.program("slow.py", "5"), protocol="websocket", instances=1,
                                      request_timeout="200ms")})

    def errors(service, *more):
        url = f"ws://{daemon.service(service)['listen'][0]}"
        result = run("--expect", "any", "--reconnect", *more, url)
        assert not {*result.counts()} - {"right", "error"}
        return {name: count for name, count in result.requests["errors"].items() if count}

    assert errors("a", "--size", "2K", "--count", 5) == {"too-large": 5}
    assert {*errors("b", "--connections", 8, "--count", 20)} == {"busy"}
    assert errors("c", "--count", 1) == {"timeout": 1}


def test_run_websocket(launch):
    daemon = launch("run", "--websocket", "127.0.0.1:0", "--hostler.control", "{control}", "--instances", "1",
                    "--command", harness.program("upper.py"))
    daemon.wait_full()
    url = daemon.log_lines(r"service run: listening on ws://127\.0\.0\.1:\d+/$")[0].split()[-1]
    assert call(url, "ping", "pong")[0] == ["PING", "PONG"]
