"""hostler-load run at a fixed rate, with a warm-up, and what it shows of both."""

import asyncio
import json
import os
import re
import subprocess

from harness import SCALE
from load_peer import LOAD, PATIENCE, Peer, assert_balanced, echo, run


def stalling(at, seconds):
    """An echo that does nothing for a while before its reply number `at`."""

    async def behave(client):
        number = 0
        while (message := await client.receive()) is not None:
            if number == at:
                await asyncio.sleep(seconds)
            await client.send(message)
            number += 1

    return behave


def test_a_stall_is_not_omitted():
    """One reply is late, but 60 requests were due meanwhile and would have waited."""
    with Peer(stalling(100, 0.3)) as peer:
        result = run("--rate", 180, "--count", 200, peer.address)
    assert result.stderr == ""  # progress is for terminals
    due, sent = result.all["latency"], result.all["latency_sent"]
    assert due["p90"] > 0.1 and due["max"] >= 0.3
    assert sent["p90"] < 0.05 * SCALE and sent["max"] >= 0.3
    assert due["count"] == sent["count"] == 200
    assert result.all["schedule"]["behind"] > 0.25
    assert result.all["schedule"]["missed"] == 0
    assert_balanced(result)


def test_closed_loop_has_one_latency():
    with Peer(stalling(100, 0.1)) as peer:
        result = run("--count", 200, peer.address)
    assert result.all["latency"] == result.all["latency_sent"]
    assert result.all["latency"]["max"] >= 0.1
    assert result.all["settings"]["rate"] is None


def test_rate_is_kept_and_shared():
    with Peer(echo) as peer:
        result = run("--rate", "300/s", "--duration", "500ms", "--connections", 3, peer.address)
        received = [len(set(m for m in peer.received if m.split(b"-")[1] == str(c).encode()))
                    for c in range(3)]
    made = result.requests["requests"]
    assert made + result.all["schedule"]["missed"] in range(149, 290)  # a busy machine stops late
    assert result.requests["right"] == made == sum(received)
    assert max(received) - min(received) <= 2 + result.all["schedule"]["behind"] * 300
    assert_balanced(result)


def test_a_slow_server_misses_requests():
    async def slow(client):
        while (message := await client.receive()) is not None:
            await asyncio.sleep(0.05)
            await client.send(message)

    with Peer(slow) as peer:
        command = [LOAD, "run", "--rate", "200", "--duration", "400ms", peer.address]
        table = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        result = run("--rate", 200, "--duration", "400ms", peer.address)
    assert re.search(r"missed +\d\d +due and never sent: the server did not keep up", table.stdout)
    assert result.requests["right"] < 20
    missed = result.all["schedule"]["missed"]
    assert result.requests["requests"] + missed in range(80, 155)
    assert result.all["latency"]["max"] > 0.3 > result.all["latency_sent"]["p50"]


def test_rate_with_depth_per_request_and_a_broken_connection():
    async def once_broken(client):
        while (message := await client.receive()) is not None:
            if client.number == 3:
                return
            await client.send(message)

    with Peer(once_broken) as peer:
        result = run("--rate", 400, "--count", 40, "--per-request", "--connections", 2,
                     peer.address)
    assert result.counts() == {"right": 39, "broken": 1, "broken_new": 1}
    with Peer(echo) as peer:
        result = run("--rate", 4000, "--count", 400, "--depth", 8, "--connections", 2,
                     "--reconnect", peer.address)
    assert result.counts() == {"right": 400}


def test_warmup_is_left_out():
    async def slow_at_first(client):
        number = 0
        while (message := await client.receive()) is not None:
            if number < 2:
                await asyncio.sleep(0.15 * SCALE)
            await client.send(message)
            number += 1

    with Peer(slow_at_first) as peer:
        result = run("--warmup", f"{400 * SCALE:.0f}ms", "--count", 50, peer.address)
    assert result.all["warmup_requests"] > 2
    assert result.requests["right"] == result.all["warmup_requests"] + 50
    assert result.all["latency"]["count"] in (49, 50)  # one was under way
    assert result.all["latency"]["max"] < 0.15 * SCALE
    assert result.all["rate"] > 100 / SCALE
    assert_balanced(result)


def test_rate_wrong():
    for rate in ("0", "1/h", "x", "10000001", "/s"):
        process = subprocess.run(
            [LOAD, "run", "--rate", rate, "80"], capture_output=True, text=True, timeout=PATIENCE)
        assert process.returncode == 2
        assert "--rate" in process.stderr


def progress(*arguments):
    """What a run shows on a terminal."""
    master, slave = os.openpty()
    with Peer(echo) as peer, open(master, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [LOAD, "run", "--rate", "200", "--duration", "1200ms", *arguments, peer.address],
            stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        try:
            while part := screen.read(4096):
                shown += part
        except OSError:  # how a terminal says that nobody writes any more
            pass
        assert process.wait(PATIENCE) == 0
    return shown


def test_progress_on_a_terminal_is_one_line():
    shown = progress()
    assert re.search(rb"\r +1 s +\d+ requests/s   right \d+   error 0   other 0   p99 [0-9.]+ .s",
                     shown)
    assert shown.endswith(b"\r\033[K")
    assert b"\n" not in shown


def test_progress_elsewhere_is_lines():
    with Peer(echo) as peer:
        result = run("--progress", "--duration", "1100ms", "--rate", 100, peer.address)
        assert re.match(r" +1 s .*\n", result.stderr)


def test_histogram():
    for locale, bar in (("C", "#"), ("C.UTF-8", "█")):
        with Peer(echo) as peer:
            process = subprocess.run(
                [LOAD, "run", "--histogram", "--count", "300", peer.address], text=True,
                capture_output=True, timeout=PATIENCE, check=True, encoding="utf-8",
                env={**os.environ, "LC_ALL": locale, "COLUMNS": "64"})
        rows = re.findall(r"^ *([0-9.]+ .?s) to +([0-9.]+ .?s) +(\d+) +([0-9.]+)%(.*)$",
                          process.stdout, re.MULTILINE)
        assert 1 < len(rows) <= 24
        assert sum(int(row[2]) for row in rows) == 300
        assert rows[-1][3] == "100.0"
        assert max(rows, key=lambda row: int(row[2]))[4] == " " + bar * 23
        assert all(before[1] == after[0] for before, after in zip(rows, rows[1:]))


def keys(value):
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            yield from keys(below)
    if isinstance(value, list):
        for below in value:
            yield from keys(below)


def test_every_key_is_in_the_manual_page():
    page = os.path.join(os.path.dirname(__file__), "../../docs/man/hostler-load.1")
    with open(page) as text:
        words = set(re.findall(r"[a-z0-9_-]+", text.read().split(".Sh OUTPUT")[1]))
    with Peer(echo) as peer:
        found = run("--count", 10, peer.address).all
    assert set(keys(found)) <= words, set(keys(found)) - words
    assert sum(row["count"] for row in found["histogram"]) == 10
    assert json.dumps(found)
