"""Clients that others wrote, against protocol websocket: Python's websockets, node's ws, curl."""

import asyncio
import json
import os

import pytest

import clients
import harness
from clients import run, url
from harness import PROGRAMS, echo, pool, program, wait_for

websockets = pytest.importorskip("websockets", reason="needs python3-websockets")


def web(**keys):
    return echo(protocol="websocket", **keys)


def open_socket(daemon, name=None, target="/", **options):
    """A connection of Python's websockets, without pings of its own."""
    return websockets.connect(url(daemon.address(name), target, "ws"), ping_interval=None,
                              open_timeout=10 * harness.SCALE, close_timeout=10 * harness.SCALE,
                              max_size=None, **options)  # fmt: skip


def play(story):
    asyncio.run(asyncio.wait_for(story, 30 * harness.SCALE))


async def is_closed(socket):
    """With which code the other side closes it."""
    with pytest.raises(websockets.ConnectionClosed):
        await socket.recv()
    return socket.close_code


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages(start, compression):
    daemon = start({"a": web(max_message="2M", deflate="yes" if compression else "no")})

    async def story():
        async with open_socket(daemon, compression=compression) as socket:
            assert [e.name for e in socket.extensions] == ["permessage-deflate"] * bool(compression)
            for message in ("", "a", "h\u00e9 \U0001f40e", "x" * 1000000, b"", b"\0\xff", os.urandom(70000)):
                await socket.send(message)
                assert await socket.recv() == message, "of its kind, too"
            await socket.send(["in ", "three ", "parts"])
            await socket.send([b"\xf0\x9f", b"\x90", b"\x8e"])
            assert await socket.recv() == "in three parts"
            assert await socket.recv() == b"\xf0\x9f\x90\x8e"
            for number in range(300):
                await socket.send(str(number))
            assert [await socket.recv() for _ in range(300)] == [str(n) for n in range(300)]
            await asyncio.wait_for(await socket.ping(b"still there"), 5 * harness.SCALE)
            await socket.close(4000, "enough")
        assert socket.close_code == 4000

    play(story())


def test_subprotocols_and_origins(start):
    daemon = start({"a": web(subprotocols="v2 v1"), "open": web(origins="*")})

    async def story():
        for asked, given in ((["v1", "v2"], "v1"), (["v3", "v2"], "v2"), (["v3"], None), (None, None)):
            async with open_socket(daemon, "a", subprotocols=asked) as socket:
                assert socket.subprotocol == given
        here = url(daemon.address("a"), "")
        async with open_socket(daemon, "a", origin=here) as socket:
            await socket.send("same host")
            assert await socket.recv() == "same host"
        with pytest.raises(websockets.InvalidStatusCode, match="403"):
            await open_socket(daemon, "a", origin="http://elsewhere.example")
        async with open_socket(daemon, "open", origin="http://elsewhere.example"):
            pass

    play(story())


def test_how_it_ends(start):
    daemon = start({
        "small": web(max_message="1K"), "dies": pool(program("wild.py"), protocol="websocket"),
        "busy": pool(program("nap.py"), protocol="websocket", queue=1, pipeline=8),
        "late": pool(program("nap.py"), protocol="websocket", request_timeout="100ms"),
    })

    async def story():
        for name, messages, code in (("small", ["x" * 1025], 1009), ("small", [b"x" * 600] * 2, None),
                                     ("dies", ["die"], 1011), ("late", ["5000 x"], 1011),
                                     ("busy", ["200 x"] * 4, 1013), ("dies", ["two\nlines"], 1007)):
            async with open_socket(daemon, name) as socket:
                for message in messages:
                    await socket.send(message)
                replies = []
                try:
                    while len(replies) < len(messages):
                        replies.append(await socket.recv())
                except websockets.ConnectionClosed:
                    pass
            assert socket.close_code == (code or 1000), (name, replies)
        async with open_socket(daemon, "small") as socket:
            await socket.send("before")
            assert await socket.recv() == "before"
            daemon.send_signal(15)
            assert await is_closed(socket) == 1001

    play(story())


def test_a_silent_client_is_pinged(start):
    """Its library answers by itself, so it stays; one whose process stands still is closed."""
    daemon = start({"a": web(ping_interval="200ms")})

    async def story():
        async with open_socket(daemon) as socket:
            await asyncio.sleep(1.2)  # several intervals: the silence is what is tried
            await socket.send("here")
            assert await socket.recv() == "here"
        deaf = daemon.connect()
        key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        deaf.send(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + key
                  + b"\r\n")
        assert clients.read_reply(deaf)[0] == 101
        assert deaf.rest().startswith(b"\x89"), "a ping, and in the end a Close"

    play(story())


def test_many_over_a_reload(start):
    """A hundred of them talk on while the workers are replaced."""
    daemon = start({"a": pool(program("upper.py"), protocol="websocket", instances=2, pipeline=4),
                    "other": echo()})

    async def story():
        sockets = [await open_socket(daemon, "a") for _ in range(100)]
        for round in range(4):
            async def talk(socket, number):
                for turn in range(5):
                    await socket.send(f"n{number} {round} {turn}")
                    assert await socket.recv() == f"N{number} {round} {turn}"

            talks = [asyncio.ensure_future(talk(socket, n)) for n, socket in enumerate(sockets)]
            await asyncio.get_running_loop().run_in_executor(
                None, lambda: daemon.reloaded({"other": {"pipeline": 10 + round}}))
            await asyncio.gather(*talks)
        for socket in sockets:
            await socket.close()
            assert socket.close_code == 1000

    play(story())
    assert daemon.counters("a")["replies"] == 2000


def test_node_ws(start):
    daemon = start({"echo": web(max_message="1M", subprotocols="chat", deflate="yes", pipeline=200),
                    "small": web(max_message="1K")})
    env = {**os.environ, "NODE_PATH": "/usr/share/nodejs:/usr/lib/nodejs"}
    if run("node", "-e", "try { require('ws'); console.log(1) } catch { console.log(0) }",
           env=env).stdout.strip() != b"1":
        pytest.skip("needs node-ws")
    told = json.loads(run("node", PROGRAMS / "node_ws.js", url(daemon.address("echo"), "/", "ws"),
                          url(daemon.address("small"), "/", "ws"), env=env).stdout)
    assert told == ["plain", "permessage-deflate", 1009, "origin"]


def test_curl_sees_the_handshake(start):
    """The example of RFC 6455."""
    daemon = start({"socket": web()})
    here = url(daemon.address("socket"))
    fields = ["-H", "Connection: keep-alive, Upgrade", "-H", "Upgrade: websocket",
              "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]  # fmt: skip
    done = run("curl", "-sS", "-i", "--max-time", "0.3", *fields, "-H", "Sec-WebSocket-Version: 13",
               here, status=28)
    assert done.stdout.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in done.stdout
    done = run("curl", "-sS", "-i", *fields, "-H", "Sec-WebSocket-Version: 8", here)
    assert done.stdout.startswith(b"HTTP/1.1 426 ") and b"Sec-WebSocket-Version: 13" in done.stdout
    assert run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", here).stdout == b"426"
