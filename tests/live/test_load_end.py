"""hostler-load run against a peer that ends connections, or is late, or goes away."""

import asyncio
import fcntl
import json
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from harness import SCALE, wait_for
from load_peer import (
    LOAD, PATIENCE, Peer, assert_balanced, closing_after, connections_in_state, echo,
    refusing_port, run)


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
    assert result.seconds < 5 * SCALE


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
    assert result.seconds < 5 * SCALE
    assert result.all["gap"] > 0.3


def test_late_reply_counts_as_overdue_only():
    async def behave(client):
        message = await client.receive()
        await asyncio.sleep(0.65 * SCALE)  # later than the timeout, whenever it was sent
        await client.send(message)
        await echo(client)

    with Peer(behave) as peer:
        result = run("--count", 5, "--timeout", f"{500 * SCALE:.0f}ms", peer.address, status=1)
    assert result.counts() == {"right": 4, "overdue": 1, "late": 1}
    assert result.all["latency"]["max"] < 0.5 * SCALE
    assert_balanced(result)


def test_gap():
    async def behave(client):
        await client.send(await client.receive())
        message = await client.receive()
        await asyncio.sleep(0.4)  # the gap itself
        await client.send(message)
        await echo(client)

    before = time.time()
    with Peer(behave) as peer:
        result = run("--count", 20, "--gaps", "50ms", peer.address)
    assert result.counts() == {"right": 20}
    assert 0.39 < result.all["gap"] < 2 * SCALE
    assert result.all["gaps"][int(result.all["gap_at"] / 0.05)] == result.all["gap"]
    assert result.all["gaps"].count(0) >= 6  # where the gap goes on
    # The gap begins with the first reply, and so does the request that waits.
    assert 0 < result.all["gap_at"] == result.all["gap_right_at"] < result.all["seconds"] - 0.39
    assert result.all["slowest_at"] == pytest.approx(result.all["gap_at"], abs=0.1 * SCALE)
    assert before < result.all["measured_at"] < time.time() - result.all["seconds"]
    assert result.all["latency"]["max"] == pytest.approx(result.all["gap"], abs=0.1 * SCALE)
    assert result.all["latency"]["p50"] < 0.2


# --- a client that is told to connect again


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
            while sum(connections_in_state(s, peer.port) for s in ("established", "close-wait")) > 1:
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


@pytest.fixture
def port():
    with refusing_port() as number:
        yield number


@pytest.mark.alone  # it counts the failed connects of the whole machine
def test_refused_while_the_server_is_away(port):
    """Between two servers on a port connections are refused, and that is all that happens."""
    first = Peer(closing_after(5), port=port)
    with first:
        process = subprocess.Popen(
            [LOAD, "run", "--json", "--reconnect", "--connections", "4", "--duration", "2s",
             str(port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(lambda: len(first.received) > 20, "requests")
        first.loop.call_soon_threadsafe(first.stop_listening)
        wait_for(lambda: not connections_in_state("established", port), "no connection")
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
    assert result.all["gap"] < result.all["gap_right"]
    assert 0.15 < result.all["gap_right_at"] < 0.6
