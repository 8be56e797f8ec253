"""Connections that move: nothing is closed or lost, whatever each is in the middle of."""

import contextlib
import os
import resource
import select
import socket
import time

import pytest

import harness
from harness import Client, echo, frame, pool, program, wait_for
from movers import Frame, Ids, Movers, Stream, WebSocket, Wire

RELOADS = int(os.environ.get("HOSTLER_RELOADS", "5"))
CONNECTIONS = int(os.environ.get("HOSTLER_MOVED", "200"))

UPPER = program("upper.py")
UPPER_FRAMES = program("frames.py")


@pytest.fixture
def movers():
    crowd = Movers()
    yield crowd
    crowd.close()


def one_left(daemon, timeout=10):
    return daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", timeout)


def reload(daemon, number):
    """A change to a service that nobody is connected to; the old generation ends by itself."""
    daemon.configure({"other": {"pipeline": 100 + number}})
    reply = daemon.reload()
    assert reply["ok"], reply
    one_left(daemon)


def listed(daemon, name):
    rows = daemon.request("connections")["connections"]
    return [row for row in rows if row["service"] == name]


# ---- whatever they are doing ----

WIRES = {
    "line": Wire(echo(idle_timeout="60s")),
    "up": Wire(pool(UPPER, instances=2, queue=CONNECTIONS), bytes.upper),
    "frame": Frame(echo(protocol="frame")),
    "ids": Ids(echo(protocol="frame", ids="yes")),
    "stream": Stream(echo(protocol="stream")),
    "websocket": WebSocket(echo(protocol="websocket", ping_interval="0")),
}

# Half as much again as the kernel keeps of what a client on a unix socket does not read; for one on
# TCP it may keep megabytes.
LARGE = 60000, 6


def idle(peer):
    peer.say(b"hello")


def never(peer):
    """Connected, and nothing else until the end."""


def trickle(peer):
    peer.pace, peer.asks = 1, True
    peer.say(b"in pieces")


def deaf(peer):
    peer.reads = False
    size, count = LARGE
    for _ in range(count):
        peer.say(peer.name.encode() * (size // len(peer.name)))


def half_closed(peer):
    """Has said all, and reads the replies only at the end."""
    deaf(peer)
    peer.finishes = True


def asking(peer):
    peer.asks = True
    peer.say(b"first")


KINDS = (idle, never, trickle, deaf, half_closed, asking)


def populate(movers, daemon, count):
    """As many of each kind on each service."""
    addresses = {(name, which): daemon.address(name, which) for name in WIRES for which in (0, 1)}
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        name = list(WIRES)[number // len(KINDS) % len(WIRES)]
        peer = movers.add(addresses[name, kind in (deaf, half_closed)], WIRES[name],
                          f"{name} {kind.__name__} {number}")
        peer.kind = kind
        kind(peer)


def unread(daemon):
    """How many there are whose output waits for them."""
    return sum(row["out"] > 0 for row in daemon.request("connections")["connections"])


def replies(movers, kind):
    return sum(peer.replies for peer in movers.peers if peer.kind is kind)


@pytest.mark.bound(60 + RELOADS * 10)
def test_nobody_is_closed(start, movers, folder):
    """Idle, half-way through a message, not reading, half-closed, asking: on every protocol."""
    services = {name: {**wire.keys, "high_water": "64K", "write_timeout": "10m",
                       "message_timeout": "10m", "max_message": "64K",
                       "listen": f"127.0.0.1:0 unix:{folder}/{name}"}
                for name, wire in WIRES.items()}
    daemon = start({**services, "other": echo()})
    populate(movers, daemon, CONNECTIONS)
    movers.start()
    wait_for(lambda: daemon.request("connections")["total"] == CONNECTIONS, "all have come", 30)
    wait_for(lambda: all(peer.number == 0 or not peer.owed for peer in movers.peers
                         if peer.kind in (idle, never)), "all are idle who will be")
    movers.check()
    deaf_ones = sum(peer.kind in (deaf, half_closed) for peer in movers.peers)
    # A list has at most a thousand connections of each worker.
    wait_for(lambda: unread(daemon) >= 0.9 * deaf_ones, "output that nobody reads", 20)
    before = {name: daemon.counters(name) for name in WIRES}
    asked = {kind: replies(movers, kind) for kind in (asking, trickle)}
    for number in range(RELOADS):
        reload(daemon, number)
        movers.check()
    wait_for(lambda: all(replies(movers, kind) > count for kind, count in asked.items()),
             "answers for those that ask, and for those that take their time")
    movers.check()
    for name in WIRES:
        after = daemon.counters(name)
        assert (after["accepted"], after["closed"]) == (before[name]["accepted"], 0)
    movers.finish(30 + CONNECTIONS / 20)
    halves = sum(peer.kind is half_closed for peer in movers.peers)
    wait_for(lambda: sum(daemon.service(name)["connections"] for name in WIRES) ==
             CONNECTIONS - halves, "those that were half-closed are gone")
    movers.close()
    for name in WIRES:
        daemon.wait_service(lambda s: s["connections"] == 0, "none is left", name)
        counters = daemon.counters(name)
        assert counters["accepted"] == counters["closed"]
        assert counters["requests"] == counters["replies"]
    assert sum(w["connections"] for w in daemon.status()["workers"]) == 0
    assert daemon.status()["generation"] == 1 + RELOADS
    assert not daemon.log_lines("worker .* is killed|broke the rules")


# ---- deadlines ----


class Timed:
    """A client that is to be cut: when it was, counted from the moment that counts."""

    def __init__(self, daemon, name, said=b"", each=b""):
        self.name, self.each, self.heard = name, each, b""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        self.socket.connect(daemon.address(name))
        self.socket.setblocking(False)
        self.reads, self.cut = True, None
        self.said = said
        self.begun = time.monotonic()

    def turn(self):
        """Sends what it has to, reads what there is, notes its end."""
        if self.cut:
            return
        try:
            with contextlib.suppress(BlockingIOError):
                sent = self.socket.send(self.said or self.each)
                self.said = self.said[sent:]
            while self.reads:
                data = self.socket.recv(65536)
                self.heard += data
                if not data:
                    break
            if not self.reads:  # what it has not read must not hide its end
                self.socket.send(b"")
                if not self.hung_up():
                    return
        except BlockingIOError:
            return
        except ConnectionError:
            pass
        self.cut = time.monotonic() - self.begun
        self.socket.close()

    def hung_up(self):
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(0))


def test_no_deadline_begins_anew(start):
    """Each is cut when its time is over, however often it has moved meanwhile."""
    limits = {"idle_timeout": "60s", "message_timeout": "60s", "write_timeout": "60s"}
    daemon = start({
        "idle": echo(**{**limits, "idle_timeout": "2s"}),
        "slow": echo(**{**limits, "message_timeout": "2s"}),
        "deaf": echo(**{**limits, "write_timeout": "2s"}),
        "done": echo(**limits, max_message="10B"),
        "other": echo()})
    clients = [Timed(daemon, "idle"), Timed(daemon, "idle", b"hello\n"),
               Timed(daemon, "slow", b"x", each=b"x"),
               Timed(daemon, "deaf", 40 * (50000 * b"y" + b"\n"))]
    clients[3].reads = False
    # Has the end of the stream, and does not close its own side: that is waited for, for 2 s.
    done = daemon.connect("done").send(b"longer than ten\n")
    assert done.rest() == b"ERR too-large\n"
    begun, lingered, number = time.monotonic(), None, 0
    while lingered is None or any(client.cut is None for client in clients):
        for client in clients:
            client.turn()
        if lingered is None and daemon.service("done")["connections"] == 0:
            lingered = time.monotonic() - begun
        # The last one long before the end: from there on it would be 2 s again.
        if 0.25 * number < time.monotonic() - begun < 1.6:
            number += 1
            reload(daemon, number)
        assert time.monotonic() - begun < 20 * harness.SCALE, [c.cut for c in clients]
        time.sleep(0.02)
    assert daemon.status()["generation"] == 1 + number and number >= 3
    times = [(client.name, client.cut) for client in clients] + [("done", lingered)]
    assert all(1.9 <= seconds <= 3.4 for _, seconds in times), times
    assert clients[1].heard == b"hello\n"
    assert clients[2].heard == b"ERR timeout\n"
    assert daemon.counters("idle")["idle_cut"] == 2
    assert daemon.counters("slow")["slow_cut"] == daemon.counters("deaf")["slow_cut"] == 1


def test_who_comes_later_is_not_cut_earlier(start):
    """Those that move are put among those that are there by their time, not behind them."""
    limit = 2 * harness.SCALE
    daemon = start({"a": echo(idle_timeout=f"{int(limit * 1000)}ms")}, {"workers": 4})
    old = [daemon.connect() for _ in range(20)]
    begun = time.monotonic()
    for client in old:
        assert client.ask(b"x") == b"x"
    wait_for(lambda: time.monotonic() >= begun + limit / 2, "the time between")
    late = time.monotonic()
    new = [daemon.connect() for _ in range(20)]
    for client in new:
        assert client.ask(b"x") == b"x"
    assert daemon.request("scale", workers=1)["ok"]
    wait_for(lambda: len(daemon.worker_pids()) == 1, "one worker")
    assert daemon.service()["connections"] == 40
    assert all(client.is_ended() for client in old)
    assert limit <= time.monotonic() - begun < 1.45 * limit
    # A client may see its end a moment before the worker has counted it.
    daemon.wait_service(lambda s: s["connections"] == 20, "the new ones alone")
    assert all(client.is_ended() for client in new)
    assert limit <= time.monotonic() - late < 2 * limit


# ---- where it cannot go on, and where it goes on otherwise ----


def refused_everywhere(daemon, fresh):
    """A request under way, a whole message behind it, half a message, an idle or fresh one."""
    idle = daemon.connect("slow")
    assert fresh or idle.ask(b"0 x") == b"0 X"
    busy = daemon.connect("slow").send(b"900 a\n0 b\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance", "slow")
    half = daemon.connect("slow").send(b"0 ha")
    wait_for(lambda: len(listed(daemon, "slow")) == 3, "all three have come")
    return busy, half, idle


@pytest.mark.parametrize("change", ["service", "address", "protocol"])
def test_what_is_gone_drains(start, change):
    """Those of a service that is gone, of an address, of another protocol: as ever."""
    slow = pool(program("nap.py"), queue_timeout="20s")
    daemon = start({"slow": {**slow, "listen": "127.0.0.1:0"}, "e": echo()}, {"workers": 1})
    fresh = change == "service"  # who has just come may ask once, and is waited for
    busy, half, idle = refused_everywhere(daemon, fresh)
    kept = daemon.connect("e")
    assert kept.ask(b"x") == b"x"
    keys = {"service": None, "address": {"listen": "127.0.0.2:0"}, "protocol": {
        "protocol": "frame"}}[change]
    daemon.configure({"slow": keys})
    assert daemon.reload()["ok"]
    old = daemon.wait_status(
        lambda s: (s["generations"][0]["staying"], s["generations"][0]["asking"]) == (1 + fresh, 1),
        "what cannot move is told")["generations"][0]
    assert (old["generation"], old["state"], old["moving"]) == (1, "draining", 0)
    assert half.send(b"lf\n").rest() == b"0 HALF\n"
    assert busy.rest() == b"900 A\n0 B\n"
    assert idle.rest() == b""
    for client in (busy, half, idle):
        client.close()
    assert kept.ask(b"y") == b"y"
    one_left(daemon)
    assert daemon.service("e")["connections"] == 1
    assert sum(s["connections"] for s in daemon.status()["services"]) == 1
    assert not daemon.log_lines("worker .* is killed")


def test_new_limits_hold_for_who_was_there(start):
    daemon = start({"e": echo(max_message="1K", pipeline=8)}, {"workers": 1})
    grown, shrunk = daemon.connect(), daemon.connect()
    grown.send(b"x" * 900)
    shrunk.send(b"y" * 100)
    daemon.wait_status(lambda s: sum(r["in"] for r in listed(daemon, "e")) == 1000, "both read")
    daemon.reloaded({"e": {"max_message": "2K"}})
    assert grown.send(b"x" * 1000 + b"\n").line() == b"x" * 1900
    daemon.reloaded({"e": {"max_message": "50B"}})
    assert shrunk.rest() == b"ERR too-large\n"
    assert grown.ask(b"x" * 50) == b"x" * 50
    assert grown.send(b"x" * 51 + b"\n").line() == b"ERR too-large"


def test_a_new_pool_serves_who_was_there(start):
    """Half a message read by the one, the other half by the other, the reply by the new pool."""
    daemon = start({"a": pool("sed -u s/^/a:/")}, {"workers": 2})
    clients = [daemon.connect().send(b"first\nha") for _ in range(10)]
    assert [client.line() for client in clients] == 10 * [b"a:first"]
    daemon.reloaded({"a": {"command": "sed -u s/^/b:/"}})
    for client in clients:
        assert client.send(b"lf\n").line() == b"b:half"
    daemon.reloaded({"a": {"command": "sed -u s/^/c:/"}})
    assert [client.ask(b"x") for client in clients] == 10 * [b"c:x"]
    assert daemon.counters()["accepted"] == 10


def test_collect_and_discard_go_on(start, folder):
    """No message is lost, none is written twice, and each answer comes."""
    daemon = start({
        "c": {"listen": "127.0.0.1:0", "protocol": "line", "handler": "collect",
              "file": folder / "c.log", "ack": "synced"},
        "d": echo(handler="discard", protocol="stream"), "other": echo()})
    writers = [daemon.connect("c") for _ in range(20)]
    drains = [daemon.connect("d").send(b"some") for _ in range(20)]
    for number in range(RELOADS):
        for index, writer in enumerate(writers):
            writer.send(b"%d of %d\nha" % (number, index))
        reload(daemon, number)
        for writer in writers:
            assert writer.line() == b"OK"
            assert writer.send(b"lf\n").line() == b"OK"
        for drain in drains:
            drain.send(b"more")
    for drain in drains:
        assert drain.finish_sending().rest() == b""
    lines = (folder / "c.log").read_bytes().splitlines()
    wanted = {b"%d of %d" % (n, i) for n in range(RELOADS) for i in range(20)}
    assert sorted(lines) == sorted([*wanted, *(RELOADS * 20 * [b"half"])])
    assert daemon.counters("d")["accepted"] == daemon.counters("d")["closed"] == 20


# ---- what is told of them ----


def test_counts_and_ages_go_on(start, folder):
    log = folder / "access.log"
    daemon = start({"e": echo(access_log=log), "other": echo()})
    clients = [daemon.connect("e") for _ in range(8)]
    begun = time.monotonic()
    peers = {"%s:%d" % client.socket.getsockname() for client in clients}
    for number in range(3):
        assert [client.ask(b"x%d" % number) for client in clients] == 8 * [b"x%d" % number]
    wait_for(lambda: time.monotonic() >= begun + 1.1, "an age to be seen")
    reload(daemon, 1)
    rows = listed(daemon, "e")
    assert {row["peer"] for row in rows} == peers
    assert {row["requests"] for row in rows} == {3}
    assert min(row["age"] for row in rows) >= 1
    assert {row["generation"] for row in rows} == {2}
    assert {row["state"] for row in rows} == {"idle"}
    assert [client.ask(b"again") for client in clients] == 8 * [b"again"]
    assert {row["requests"] for row in listed(daemon, "e")} == {4}
    wait_for(lambda: len(log.read_text().splitlines()) == 32, "a line of each request")
    told = [line.split()[3] for line in log.read_text().splitlines()]
    assert set(told) == peers and all(told.count(peer) == 4 for peer in peers)
    assert daemon.counters("e")["accepted"] == 8


# ---- limits ----


def test_no_place_is_lost_or_doubled(start):
    """A full house stays as full as it is, whoever of its guests changes rooms."""
    daemon = start({"e": echo(max_connections=10), "other": echo()}, {"max_connections": 12})
    clients = [daemon.connect("e") for _ in range(10)]
    assert [client.ask(b"x") for client in clients] == 10 * [b"x"]
    late = daemon.connect("e").send(b"late\n")
    for number in range(RELOADS):
        reload(daemon, number)
        # Who looks whether there is a place is counted for that moment.
        daemon.wait_service(lambda s: s["connections"] == 10, "as many as before", "e")
        assert daemon.counters("e")["accepted"] == 10
    assert late.is_silent(0.05)
    clients.pop().close()
    assert late.line() == b"late"
    for client in [*clients, late]:
        client.close()
    daemon.wait_service(lambda s: s["connections"] == 0, "none is left", "e")
    assert [daemon.connect("e").ask(b"y") for _ in range(10)] == 10 * [b"y"]


def test_a_receiver_without_descriptors_lets_them_wait(start):
    """As many move as there is room for; the others are served where they are until there is."""
    # A worker of another user would not let us.
    user = {"user": "root"} if os.geteuid() == 0 else {}
    daemon = start({"e": echo()}, {"workers": 2, "drain_timeout": "50s", **user})
    clients = [daemon.connect() for _ in range(120)]
    assert [client.ask(b"x") for client in clients] == 120 * [b"x"]
    stays = next(w["pid"] for w in daemon.status()["workers"] if w["worker"] == 0)
    try:
        hard = resource.prlimit(stays, resource.RLIMIT_NOFILE)[1]
        # What it has, what it keeps for itself, and room for twenty.
        room = len(harness.descriptors(stays)) + 64 + 20
        resource.prlimit(stays, resource.RLIMIT_NOFILE, (room, hard))
    except PermissionError:
        pytest.skip("may not change the limit of a worker")
    assert len(listed(daemon, "e")) == 120  # each time it is asked something it looks at its limit
    assert daemon.request("scale", workers=1)["ok"]
    some = daemon.wait_status(
        lambda s: [w for w in s["workers"] if w["state"] == "draining" and w["connections"] < 55],
        "some have moved")
    assert len(some["workers"]) == 2
    assert [client.ask(b"y") for client in clients] == 120 * [b"y"]
    held = [w["connections"] for w in daemon.status()["workers"]]
    assert sum(held) == 120 and len(held) == 2 and held[1] > 0, held
    assert len(harness.descriptors(stays)) <= room
    for client in clients[:60]:
        client.close()
    wait_for(lambda: len(daemon.worker_pids()) == 1, "the others have moved too", 10)
    assert [client.ask(b"z") for client in clients[60:]] == 60 * [b"z"]
    assert daemon.service()["connections"] == 60
    assert not daemon.log_lines("worker .* is killed|broke the rules")
