"""hostler-load run against a peer whose replies are wrong: every kind of wrong is counted."""

import asyncio
import threading

import pytest

from load_peer import Peer, assert_balanced, echo, replying, run


# --- replies that are not


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
