"""hostler-load run: replies that are right, what it prints, what it refuses."""

import asyncio
import json
import re
import signal
import socket
import subprocess

import pytest

from harness import SCALE, need, wait_for
from load_peer import (
    LOAD, PATIENCE, Peer, assert_balanced, connections_in_state, echo, replying, run, upper)


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
    assert 0.29 <= result.all["seconds"] < 2 * SCALE
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
            open_at_first.append(connections_in_state("established", client.peer.port))
        while message is not None:
            await client.send(message)
            message = await client.receive()

    with Peer(behave) as peer:
        result = run("--hold", "--connections", 200, "--count", 400, peer.address)
    assert open_at_first == [200]
    assert result.counts() == {"right": 400}
    assert result.connections["opened"] == 200
    assert 0 < result.all["opening"] < PATIENCE


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
    moment = r", at \d+\.\d\d\d s"
    assert re.search(f" max [^,]+{moment}$", rows["latency"][1])
    assert re.search(f"any reply{moment}; without a right one [^,]+{moment}$", rows["gap"][1])


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "address is missing"),
        (["80", "81"], "'81'"),
        (["--ids", "80"], "--ids wants --protocol frame"),
        (["--protocol", "gopher", "80"], "expected line, frame, stream, http or websocket"),
        (["--expect", "/nowhere/x", "80"], "cannot start '/nowhere/x'"),
        (["--expect", "uper", "80"], "nor is it one of the words echo, upper"),
        (["--expect", "status", "80"], "needs --protocol http"),
        (["--path", "/", "80"], "needs --protocol http or websocket"),
        (["--get", "80"], "need --protocol http"),
        (["--path", "/", "http://localhost:80"], "has a path already"),
        (["http://localhost:80/a b"], "expected /"),
        (["ws://localhost:80/#"], "expected /"),
        (["--binary", "80"], "--binary needs --protocol websocket"),
        (["--get", "ws://localhost:80"], "need --protocol http"),
        (["--expect", "status", "ws://localhost:80"], "needs --protocol http"),
        (["http://localhost?x"], "expected /"),
        (["http://:80"], "http://:80"),
        (["http:///x"], "is a URL"),
        (["https://localhost"], "TLS is not spoken"),
        (["WSS://localhost/x"], "TLS is not spoken"),
        (["http://[::1/"], "[::1"),
        (["https://localhost"], "https"),
        (["http://" + "x" * 5000], "is a URL"),
        (["--get", "--lines", "/dev/null", "--protocol", "http", "--expect", "echo", "80"], "exclude each"),
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
        (["--gaps", "10ms", "80"], "--gaps needs --json"),
        (["nowhere:80"], "nowhere"),
        (["0"], "port 0"),
        (["--frobnicate", "80"], "frobnicate"),
    ],
)
def test_usage(arguments, words):
    if "ws:" in " ".join(arguments):
        need("protocol = websocket")
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
