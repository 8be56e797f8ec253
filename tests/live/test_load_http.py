"""hostler-load run --protocol http against a peer that can misbehave."""

import asyncio
import fcntl
import re
import struct
import subprocess
import termios

import pytest

import harness
from load_peer import LOAD, PATIENCE, Peer, assert_balanced, echo, run, upper


@pytest.mark.parametrize("expect", ["echo", "upper", "status"])
@pytest.mark.parametrize("more", [
    [], ["--get"], ["--depth", 16], ["--get", "--depth", 16], ["--per-request"], ["--new-connection"],
])
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
    assert peer.accepted >= 200 if {*more} & {"--per-request", "--new-connection"} else peer.accepted == 3


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
        run(*http, "--path", "/a", "--expect", "echo", "--get", peer.address, status=1)
        run(*http, "--path", "/a?b", "--expect", "echo", "--get", "--size", 40, peer.address, status=1)
        run(*http, "--path", "/a?b", "--expect", "echo", peer.address, status=1)
        run(*http, "--expect", "any", "--size", 1000, "--new-connection", peer.address)
        run(*http, "--new-connection", peer.address)
        run(*http[2:], f"http://{peer.address}/u?v")
        run(*http[2:], f"HTTP://{peer.address}")
    assert heads[0] == f"GET / HTTP/1.1\r\nHost: {peer.address}\r\n\r\n"
    assert heads[1] == f"GET /a/b?c=d HTTP/1.1\r\nHost: {peer.address}\r\n\r\n"
    assert re.match(r"GET /a\?[a-z0-9]{6}-0-0-[a-z0-9]{53} HTTP", heads[2])
    assert re.match(r"GET /a\?b&[a-z0-9]{6}-0-0-[a-z0-9]{29} HTTP", heads[3])
    host = f" HTTP/1.1\r\nHost: {peer.address}\r\n"
    assert heads[4] == f"POST /a?b{host}Content-Length: 64\r\n\r\n"
    assert heads[5] == f"POST /{host}Connection: close\r\nContent-Length: 1000\r\n\r\n"
    assert heads[6] == f"GET /{host}Connection: close\r\n\r\n"
    assert heads[7] == f"GET /u?v{host}\r\n"
    assert heads[8] == f"GET /{host}\r\n"


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


@pytest.mark.parametrize("keeps", [True, False])
def test_http_of_version_1_0(keeps):
    """Its connections last for one request, unless it says otherwise."""
    field = b"\r\nConnection: Keep-Alive" if keeps else b""

    async def behave(client):
        while (message := await client.receive()) is not None:
            reply = measured(message).replace(b"/1.1 200 OK", b"/1.0 200 OK" + field)
            await client.send_raw(reply)

    with Peer(behave, "http") as peer:
        result = run("--reconnect", "--expect", "echo", "--count", 20, f"http://{peer.address}")
    assert result.counts() == {"right": 20}
    assert peer.accepted == 1 if keeps else peer.accepted >= 20


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
        assert result.counts() == {"right": 1, "error": 8, "wrong": 2}
        assert result.all["statuses"] == {str(status): 1 for status in statuses}
        assert_balanced(result)
        kinds = ["busy", "timeout", "failed", "too-large", "bad"]
        assert result.requests["errors"] == {**{kind: 1 for kind in kinds}, "other": 3}
        assert "another status" in result.stderr
        other = run(
            "--protocol", "http", "--expect-status", 503, "--count", len(statuses), peer.address,
            status=1,
        )  # fmt: skip
        assert other.requests["right"] == 1 and other.requests["wrong"] == 3


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
    assert "statuses" not in process.stdout


def test_http_table_tells_statuses():
    async def behave(client):
        for status in (503, 200, 404, 503):
            await client.receive()
            await client.send_http(b"", status)
        await client.receive()

    with Peer(behave, "http") as peer:
        process = subprocess.run(
            [LOAD, "run", "--expect", "any", "--count", "4", f"http://{peer.address}/x"],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    assert process.stdout.startswith(f"{peer.address}, POST /x with 64 bytes")
    assert re.search(r"^other statuses +3   404: 1, 503: 2$", process.stdout, re.M)


def test_http_sizes_and_lines(tmp_path):
    lines = tmp_path / "lines"
    lines.write_bytes(b"".join(b"%d %% & \xff\r\n" % 10**n for n in range(40)) + b"\n")
    http = ["--protocol", "http", "--connections", 3, "--depth", 5, "--count", 500]
    with Peer(upper, "http") as peer:
        result = run(*http, "--lines", lines, "--expect", "upper", peer.address)
        assert result.counts() == {"right": 500}
        assert {*peer.received} == {*lines.read_bytes().replace(b"\r", b"").split(b"\n")}
        result = run(*http, "--size", "32..20K", "--expect", "upper", peer.address)
        assert result.counts() == {"right": 500}
        result = run(*http, "--rate", 5000, "--expect", "tr a-z A-Z", peer.address)
        assert result.counts() == {"right": 500}


@pytest.mark.parametrize("more", [
    [], ["--get"], ["--depth", 32], ["--get", "--depth", 32], ["--new-connection"],
    ["--get", "--new-connection"], ["--size", "32..60K"], ["--rate", 2000],
])
def test_http_of_hostlerd(start, more):
    daemon = start({"a": harness.echo(protocol="http"), "b": harness.pool(harness.program("upper.py"), protocol="http")})
    for service, expect in (("a", "echo"), ("b", "upper")):
        result = run("--expect", expect, "--connections", 4, "--count", 300, *more,
                     f"http://{daemon.service(service)['listen'][0]}/x")
        assert result.counts() == {"right": 300}
        assert result.all["statuses"] == {"200": 300}
