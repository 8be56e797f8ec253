"""Clients that are as slow as they can be on purpose, hundreds at once, while others are served.

HOSTLER_SLOW=1000 makes them as many, and their limits as long, as the figures in
docs/reliability.md are of.
"""

import contextlib
import json
import os
import resource
import socket
import struct
import subprocess
import time

import pytest

import clients
import harness
from harness import echo, wait_for
from load_peer import LOAD

COUNT = int(os.environ.get("HOSTLER_SLOW", "300"))
AS_FIGURES = COUNT >= 1000
LIMIT = 10.0 if AS_FIGURES else 2.0  # message_timeout and write_timeout of the services here, seconds
LINGER = 2.0  # how long what follows an error is read
STEP = 0.5  # between two bytes of a client
RATE = max(150, COUNT // 4)  # at which slowhttptest connects, a second
# By how much one request in a hundred may take longer than at a daemon that nobody is slow with. Of
# fewer than a hundred that is the longest, and other tests run beside this one.
PATIENCE = 0.02 if AS_FIGURES else 0.5


def descriptors(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        pytest.skip(f"needs {wanted} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


class Canary:
    """One request each 50 ms, on a connection of its own, for as long as it lives."""

    def __init__(self, address):
        self.process = subprocess.Popen(
            [LOAD, "run", "--rate", "20", "--per-request", "--duration", "5m", "--timeout", "10s",
             "--json", "--expect", "echo", clients.url(address)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def end(self, who):
        """Every request was answered; how long one in a hundred took at least, in seconds."""
        self.process.terminate()
        found = json.loads(self.process.communicate(timeout=15 * harness.SCALE)[0])
        requests, latency = found["requests"], found["latency"]
        told = {key: round(latency[key] * 1000, 2) for key in ("p50", "p99", "max")}
        print(f"{who}: {requests['right']} requests, in ms {told}")  # pytest -s shows it
        assert requests["right"] == requests["sent"] - requests["pending"] > 10, requests
        return latency["p99"]


@contextlib.contextmanager
def canaries(start, address):
    """Nobody notices anything of what is done meanwhile, compared with those of a quiet daemon."""
    quiet = start({"quiet": echo(protocol="http")}).address()
    both = [Canary(address), Canary(quiet)]
    try:
        yield
        here, there = both[0].end("beside them"), both[1].end("elsewhere")
        assert here <= there + PATIENCE * harness.SCALE
    finally:
        for one in both:
            if one.process.poll() is None:
                one.process.kill()
                one.process.communicate()


class Slow:
    """A client that sends a byte from time to time, or reads one."""

    def __init__(self, address, first, drip, reads=False):
        self.socket = socket.socket()
        if reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.connect(address)
        self.begun, self.ended = time.monotonic(), None
        self.socket.sendall(first)
        self.socket.setblocking(False)
        self.drip, self.reads, self.got = drip, reads, b""

    def step(self):
        """Does its little; False when the connection is over."""
        try:
            if self.reads:
                data = self.socket.recv(1)
            else:
                self.socket.send(self.drip)
                data = self.socket.recv(1000)
            self.got += data
            if data or self.reads:
                return bool(data)
        except BlockingIOError:
            return True
        except ConnectionError:
            pass
        self.ended = self.ended or time.monotonic()
        return False

    def took(self):
        return self.ended - self.begun


def attack(all_of_them, seconds, is_over=lambda: False):
    """Lets them go on, a byte each STEP, until all connections are over or the time is."""
    left, end = list(all_of_them), time.monotonic() + seconds
    while left and not is_over() and time.monotonic() < end:
        begun = time.monotonic()
        for client in list(left):
            if not client.step():
                client.ended = client.ended or time.monotonic()
                client.socket.close()
                left.remove(client)
        time.sleep(max(0, STEP - (time.monotonic() - begun)))  # the pace of the attack
    return left


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "
BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SHAKE = (b"GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
FRAME = b"\x82\xfe\x10\x00\0\0\0\0"  # 4096 bytes, masked by nothing
KINDS = {
    "line": (b"", b"G"),
    "head": (HEAD, b"x"),
    "fields": (HEAD[:-8], b"a:b\r\n"),
    "body": (BODY, b"x"),
    "chunks": (CHUNKS, b"1\r\nx\r\n"),
    "trailer": (CHUNKS + b"0\r\n", b"a:b\r\n"),
    "handshake": (SHAKE, b"X: y\r\n"),
    "message": (SHAKE + b"\r\n" + FRAME, b"x"),
    "parts": (SHAKE + b"\r\n\x02\x81\0\0\0\0x", b"\0\x81\0\0\0\0x"),
    "pings": (SHAKE + b"\r\n\x02\x81\0\0\0\0x", b"\x89\x80\0\0\0\0"),
}
SOCKETS = ("message", "parts", "pings")


def web(**keys):
    return echo(protocol="http", message_timeout=f"{LIMIT:g}s", write_timeout=f"{LIMIT:g}s", **keys)


@pytest.mark.slow
@pytest.mark.bound(90)
def test_drips(start):
    """Whatever it is that comes byte by byte, it ends when its time is over, all of it, and says so.

    That parts or pings come of an unfinished message of a WebSocket is no help to it.
    """
    descriptors(2 * COUNT + 200)
    daemon = start({"a": web(), "socket": echo(protocol="websocket", path="/socket",
                                               message_timeout=f"{LIMIT:g}s")})
    address = daemon.address()
    with canaries(start, address):
        crowd = {kind: [Slow(address, *how) for _ in range(COUNT // len(KINDS))]
                 for kind, how in KINDS.items()}
        every = [client for kind in crowd.values() for client in kind]
        left = attack(every, LIMIT + LINGER + 4 * harness.SCALE)
        assert not left, f"{len(left)} of {len(every)} are still there"
    for kind, some in crowd.items():
        for client in some:
            if kind in SOCKETS:
                assert client.got.startswith(b"HTTP/1.1 101 "), (kind, client.got)
                assert b"\x88" in client.got and b"\x03\xf0" in client.got, "Close 1008"
            else:
                assert client.got.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), (kind, client.got)
            assert LIMIT <= client.took() + STEP, (kind, client.took())
    cut = [daemon.counters(name)["slow_cut"] for name in ("a", "socket")]
    assert cut == [7 * len(crowd["head"]), 3 * len(crowd["head"])]
    wait_for(lambda: not any(s["connections"] for s in daemon.status()["services"]), "no connection")


def in_the_kernel(port):
    """States (TCP_ESTABLISHED is 1) of the connections of that port that it keeps on this side."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    states = [int(row[3], 16) for row in rows if int(row[1].split(":")[1], 16) == port]
    return [state for state in states if state not in (6, 10)]  # TIME_WAIT, LISTEN


@pytest.mark.slow
@pytest.mark.bound(90)
@pytest.mark.parametrize("name", ["a", "socket"])
def test_slow_readers(start, name):
    """When its time is over nothing is kept for any of them, here and in the kernel.

    They may not even hear of it: a reset lies outside a window as small as theirs.
    """
    count = COUNT // 4
    descriptors(2 * count + 200)
    size = 1 << 20  # most of it the kernel must not take, or nothing would be late
    daemon = start({"a": web(max_message="8M"), "b": web(), "socket": echo(
        protocol="websocket", path="/socket", max_message="8M", write_timeout=f"{LIMIT:g}s")})
    address = daemon.address(name)
    text = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    if name == "socket":
        text = SHAKE + b"\r\n\x82\xff" + struct.pack(">QL", size, 0) + bytes(size)
    begun = time.monotonic()
    crowd = [Slow(address, text, b"", reads=True) for _ in range(count)]
    last = crowd[-1].begun
    # What they sent is much, and work as any other.
    wait_for(lambda: daemon.counters(name)["replies"] == count, "all of it echoed", 20)
    with canaries(start, daemon.address("b")):
        attack(crowd, LIMIT + 4 * harness.SCALE,
               lambda: daemon.service(name)["connections"] == 0)
        assert daemon.counters(name)["slow_cut"] == count
        assert time.monotonic() - last <= LIMIT + 2 * STEP + 3 * harness.SCALE
        assert begun + LIMIT <= time.monotonic()
        wait_for(lambda: not in_the_kernel(address[1]), "no connection of theirs")


@pytest.mark.slow
@pytest.mark.bound(90)
@pytest.mark.parametrize("attack, more, told", [
    ("-H", [], "slow_cut"),
    ("-B", [], "slow_cut"),
    ("-X", ["-k", 10, "-n", 1, "-w", 10, "-y", 20, "-z", 5], "idle_cut"),
])  # fmt: skip
def test_slowhttptest(start, folder, attack, more, told):
    """Slow heads, slow bodies, slow reading; what the last of them is sent the kernel takes."""
    clients.tool("slowhttptest")
    descriptors(2 * COUNT + 200)
    daemon = start({"a": web(idle_timeout=f"{LIMIT:g}s")})
    target = clients.url(daemon.address(), "/?" + "x" * 7000)
    log, duration = folder / "slowhttptest.log", 2 * (LIMIT + LINGER) + 4
    with canaries(start, daemon.address()), clients.running(
            "slowhttptest", attack, "-c", COUNT, "-r", RATE, "-i", 1, "-l", f"{duration:.0f}",
            "-u", target, *more, log=log):
        wait_for(lambda: daemon.counters()[told] >= COUNT, f"{COUNT} are cut", LIMIT + COUNT / RATE + 3)
        # The canary's own and slowhttptest's, which looks after the service too.
        wait_for(lambda: daemon.service()["connections"] <= 2, "no connection of theirs", 4)
