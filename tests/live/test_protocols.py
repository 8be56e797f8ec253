"""Bytes of clients: framing, order, backpressure, limits and time, with the echo handler."""

import os
import random
import socket
import subprocess
import time

import pytest

import harness
from harness import echo, frame, pool, program, wait_for
from swarm import Swarm

FRAMED = {"line": lambda text: text + b"\n", "frame": frame}


def read_one(client, protocol):
    return client.line() if protocol == "line" else client.frame()


# ---- framing ----


@pytest.mark.parametrize("protocol", ["stream", "line", "frame"])
def test_byte_by_byte(start, protocol):
    daemon = start({"a": echo(protocol=protocol)})
    client = daemon.connect()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    text = b"hello\nyou\n" if protocol != "frame" else frame(b"hello") + frame(b"you")
    for number in range(len(text)):
        client.send(text[number:number + 1])
    assert client.take(len(text)) == text
    assert client.finish_sending().rest() == b""


@pytest.mark.parametrize("protocol", ["line", "frame"])
@pytest.mark.backends
def test_messages_cut_anywhere(start, protocol):
    """Two messages, cut into two writes at every place."""
    daemon = start({"a": echo(protocol=protocol)})
    text = FRAMED[protocol](b"first") + FRAMED[protocol](b"second")
    for cut in range(1, len(text)):
        client = daemon.connect()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(text[:cut])
        client.send(text[cut:])
        assert client.take(len(text)) == text, cut
        client.close()


@pytest.mark.parametrize("protocol", ["stream", "line", "frame"])
@pytest.mark.backends
def test_partial_writes(start, protocol):
    """Replies far larger than a socket's buffers, read in odd pieces, come whole."""
    size = 4 << 20
    daemon = start({"a": echo(protocol=protocol, max_message="8M")})
    client = daemon.connect()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    payload = bytes(97 + n % 23 for n in range(1 << 16)) * (size >> 16)
    text = payload if protocol == "stream" else FRAMED[protocol](payload)
    client.socket.setblocking(False)
    got, sent = bytearray(), 0
    deadline = time.monotonic() + 20 * harness.SCALE
    while len(got) < len(text):
        assert time.monotonic() < deadline, (sent, len(got))
        try:
            sent += client.socket.send(text[sent:sent + 65536])
        except BlockingIOError:
            pass
        try:
            got += client.socket.recv(3001)
        except BlockingIOError:
            pass
    assert bytes(got) == text


def test_carriage_returns(start):
    client = start({"a": echo()}).connect()
    client.send(b"one\r\ntwo\nthree\r\r\n\r\n\n")
    assert client.finish_sending().rest() == b"one\r\ntwo\nthree\r\r\n\r\n\n"


def test_carriage_returns_of_a_program(start):
    """One CR is dropped before the program sees the line, and that reply gets one too."""
    client = start({"a": pool(program("wild.py"))}).connect()
    client.send(b"size 12345\r\nsize 12345\n")
    assert client.take(5) == b"5\r\n5\n"


def test_empty_messages(start):
    daemon = start({"line": echo(), "frame": echo(protocol="frame")})
    assert daemon.connect("line").send(b"\n\n\n").take(3) == b"\n\n\n"
    assert daemon.connect("frame").send(frame(b"") * 3).take(12) == frame(b"") * 3


@pytest.mark.backends
def test_the_rest_at_the_end_is_a_message(start):
    client = start({"a": echo()}).connect()
    assert client.send(b"one\ntwo").finish_sending().rest() == b"one\ntwo\n"


def test_half_a_frame_at_the_end_is_refused(start):
    client = start({"a": echo(protocol="frame")}).connect()
    reply = client.send(frame(b"one") + b"\0\0\0\5tw").finish_sending().rest()
    assert reply == frame(b"one") + frame(b"ERR bad")


def test_every_byte_value(start):
    every = bytes(range(256))
    daemon = start({"line": echo(), "frame": echo(protocol="frame"),
                    "stream": echo(protocol="stream")})
    line = every.replace(b"\n", b"") + b"\n"
    assert daemon.connect("line").send(line).take(len(line)) == line
    assert daemon.connect("frame").send(frame(every)).frame() == every
    assert daemon.connect("stream").send(every).take(256) == every


# ---- order, half-close, backpressure ----


@pytest.mark.parametrize("handler", ["echo", "program"])
@pytest.mark.parametrize("protocol", ["line", "frame"])
@pytest.mark.backends
def test_pipelining_in_order(start, protocol, handler):
    keys = {"protocol": protocol, "pipeline": 8}
    service = echo(**keys) if handler == "echo" else pool(program("upper.py"), instances=3, **keys)
    client = start({"a": service}).connect(timeout=15)
    texts = [b"MESSAGE %d" % number for number in range(500)]
    client.send(b"".join(map(FRAMED[protocol], texts)))
    assert [read_one(client, protocol) for _ in texts] == texts


@pytest.mark.parametrize("handler", ["echo", "program"])
@pytest.mark.backends
def test_a_half_close_gets_every_reply(start, handler):
    service = echo() if handler == "echo" else pool(program("slow.py", 0.02), instances=2)
    client = start({"a": service}).connect()
    lines = b"".join(b"line %d\n" % number for number in range(40))
    assert client.send(lines).finish_sending().rest() == lines


@pytest.mark.backends
def test_discard(start):
    daemon = start({p: echo(protocol=p, handler="discard") for p in ("stream", "line", "frame")})
    for protocol in ("stream", "line", "frame"):
        text = FRAMED.get(protocol, bytes)(b"nothing comes back") * 1000
        assert daemon.connect(protocol).send(text).finish_sending().rest() == b""
    assert daemon.counters("line")["requests"] == 1000
    assert daemon.counters("frame")["requests"] == 1000


class Hose:
    """Sends the same message for ever, without reading."""

    def __init__(self, client, text):
        self.client, self.sent = client, 0
        self.text = memoryview(text * (1 + 65536 // len(text)))

    def send(self, quiet):
        """Until nothing is taken for a while (scaled). Returns False when it was cut."""
        self.client.socket.settimeout(quiet * harness.SCALE)
        try:
            while self.sent < 64 << 20:
                self.sent += self.client.socket.send(self.text[self.sent % len(self.text):])
        except socket.timeout:
            pass
        except ConnectionError:
            return False
        self.client.socket.settimeout(self.client.timeout)
        return True


@pytest.mark.parametrize("protocol", ["stream", "line", "frame"])
def test_a_slow_reader_is_bounded(start, protocol):
    """Reading stops while output is above high_water; nothing is lost, memory stays small."""
    daemon = start({"a": echo(protocol=protocol, high_water="64K", write_timeout="30s")})
    before = {pid: harness.resident_bytes(pid) for pid in daemon.worker_pids()}
    client = daemon.connect(timeout=20)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    text = FRAMED.get(protocol, bytes)(b"x" * 1000)
    hose = Hose(client, text)
    assert hose.send(0.4)
    sent = hose.sent
    assert sent < 32 << 20, "the daemon went on reading"
    assert daemon.connect().send(text).take(len(text)) == text, "others are served"
    if not harness.SANITIZED:
        for pid, size in before.items():
            assert harness.resident_bytes(pid) - size < 4 << 20
    # A window smaller than a segment of the loopback would crawl from probe to probe.
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    got = 0
    tail = len(text) * 2
    while got < sent - tail:
        got += len(client.take(min(1 << 16, sent - tail - got)))


def test_a_reader_that_stopped_is_cut(start):
    daemon = start({"a": echo(write_timeout="700ms", high_water="64K")})
    client = daemon.connect()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    hose = Hose(client, b"x" * 1000 + b"\n")
    # The reset lies outside a window that shrank, so this side learns of it by its next probe of the
    # other's window, and these become rare: the daemon knows better.
    wait_for(lambda: not hose.send(0.1) or daemon.service()["connections"] == 0,
             "the connection cut", 8)
    daemon.wait_service(lambda s: s["connections"] == 0, "no connection")
    assert daemon.counters()["slow_cut"] == 1


def test_a_reader_that_reads_steadily_is_not_cut(start, folder):
    """However long the whole takes: write_timeout is for what waits at one time."""
    # A unix socket's buffer is small and of a fixed size, which makes the pace ours.
    daemon = start({"a": echo(listen=f"unix:{folder}/s", write_timeout="1s", high_water="64K")})
    client = daemon.connect()
    client.socket.setblocking(False)
    text = (b"y" * 999 + b"\n") * 4000
    sent = got = 0
    begun = time.monotonic()
    while got < len(text):
        assert time.monotonic() - begun < 20 * harness.SCALE
        try:
            sent += client.socket.send(text[sent:])
        except BlockingIOError:
            pass
        try:
            got += len(client.socket.recv(65536))
        except BlockingIOError:
            pass
        if time.monotonic() - begun < 2.5 * harness.SCALE:
            time.sleep(0.04)  # the pace of this reader, not a wait for anything
    assert daemon.counters()["slow_cut"] == 0


@pytest.mark.backends
def test_one_busy_client_does_not_starve_others(start):
    daemon = start({"a": echo(protocol="stream")}, {"workers": 1})
    hose = daemon.connect(timeout=20)
    hose.socket.setblocking(False)
    client = daemon.connect()
    worst = 0.0
    for number in range(200):
        for _ in range(8):
            try:
                hose.socket.send(b"z" * 65536)
            except BlockingIOError:
                pass
            try:
                hose.socket.recv(1 << 18)
            except BlockingIOError:
                pass
        begun = time.monotonic()
        assert client.send(b"ping").take(4) == b"ping"
        worst = max(worst, time.monotonic() - begun)
    assert worst < 0.5 * harness.SCALE


# ---- too large, bad ----


@pytest.mark.parametrize("protocol", ["line", "frame"])
@pytest.mark.backends
def test_the_largest_message(start, protocol):
    daemon = start({"a": echo(protocol=protocol, max_message="1000B")})
    client = daemon.connect()
    largest = b"m" * 1000
    client.send(FRAMED[protocol](largest))
    assert read_one(client, protocol) == largest
    # One byte more, and much more behind it: no reset may destroy the answer on its way.
    client.send(FRAMED[protocol](largest) + FRAMED[protocol](largest + b"m"))
    daemon.wait_service(lambda s: s["counters"]["too_large"] == 1, "the refusal")
    for _ in range(10):
        client.send(b"n" * 30000)
    assert client.rest() == FRAMED[protocol](largest) + FRAMED[protocol](b"ERR too-large")
    assert daemon.counters()["too_large"] == 1


@pytest.mark.backends
def test_an_endless_line(start):
    """Refused as soon as it is known to be too long, without waiting for its end."""
    client = start({"a": echo(max_message="1000B")}).connect()
    assert client.send(b"m" * 1002).line() == b"ERR too-large"
    assert client.rest() == b""


def test_a_crlf_does_not_count(start):
    client = start({"a": echo(max_message="1000B")}).connect()
    assert client.send(b"m" * 1000 + b"\r\n").take(1002) == b"m" * 1000 + b"\r\n"


def test_a_huge_frame_length(start):
    client = start({"a": echo(protocol="frame")}).connect()
    assert client.send(b"\xff\xff\xff\xff").frame() == b"ERR too-large"
    assert client.rest() == b""


# ---- time ----


def elapsed(since):
    return time.monotonic() - since


@pytest.mark.parametrize("protocol", ["stream", "line", "frame"])
def test_idle_timeout(start, protocol):
    daemon = start({"a": echo(protocol=protocol, idle_timeout="500ms")})
    client, begun = daemon.connect(), time.monotonic()
    text = FRAMED.get(protocol, bytes)(b"hello")
    assert client.send(text).take(len(text)) == text
    assert client.rest() == b""
    assert 0.4 < elapsed(begun) < 2.5 * harness.SCALE
    assert daemon.counters()["idle_cut"] == 1


def test_idle_does_not_count_while_a_request_is_under_way(start):
    daemon = start({"a": pool(program("slow.py", 0.8), idle_timeout="300ms")})
    assert daemon.connect().ask(b"hello") == b"hello"


@pytest.mark.parametrize("protocol", ["line", "frame"])
def test_message_timeout_is_for_the_whole(start, protocol):
    """A message that trickles in is cut, though the connection is never idle for long."""
    daemon = start({"a": echo(protocol=protocol, message_timeout="600ms", idle_timeout="60s")})
    client, begun = daemon.connect(), time.monotonic()
    text, got = FRAMED[protocol](b"t" * 1000), b""
    client.socket.settimeout(0.05)
    for number in range(400):
        try:
            client.socket.send(text[number:number + 1])
            data = client.socket.recv(100)
        except socket.timeout:
            continue
        except ConnectionError:
            break
        got += data
        if not data:
            break
    assert got == FRAMED[protocol](b"ERR timeout")
    assert 0.5 < elapsed(begun) < 2.5 * harness.SCALE
    assert daemon.counters()["slow_cut"] == 1


def test_an_idle_connection_is_not_cut_by_message_timeout(start):
    daemon = start({"a": echo(message_timeout="200ms", idle_timeout="60s")})
    client = daemon.connect()
    assert client.ask(b"one") == b"one"
    assert client.is_silent(0.6)
    assert client.ask(b"two") == b"two"


# ---- many ----


@pytest.mark.backends
def test_max_connections(start):
    """The backlog waits and is served when others leave; the bound is one for all workers."""
    daemon = start({"a": echo(max_connections=5)})
    clients = [daemon.connect() for _ in range(5)]
    for client in clients:
        assert client.ask(b"hello") == b"hello"
    late = [daemon.connect() for _ in range(3)]
    for client in late:
        client.send(b"late\n")
    assert late[0].is_silent(0.3) and late[1].is_silent(0.1)
    assert daemon.service()["connections"] == 5
    for client, waiting in zip(clients, late):
        client.close()
    assert [client.line() for client in late] == [b"late"] * 3
    counters = daemon.counters()
    assert counters["accepted"] == 8 and counters["full_pauses"] >= 1


def test_max_connections_of_the_daemon(start):
    daemon = start({"a": echo(), "b": echo()}, {"max_connections": 4})
    clients = [daemon.connect(name) for name in "abab"]
    for client in clients:
        assert client.ask(b"hello") == b"hello"
    late = daemon.connect("a").send(b"late\n")
    assert late.is_silent(0.3)
    clients[1].close()  # a connection of the other service makes room too
    assert late.line() == b"late"


def test_a_connection_more_or_less_under_pressure(start):
    """Many come and go at a small bound: it is never passed, and everybody is served."""
    daemon = start({"a": echo(max_connections=3)})
    swarm = Swarm(daemon.address(), 3, expect=bytes, per_client=400)
    others = [Swarm(daemon.address(), 1, expect=bytes, per_client=1) for _ in range(30)]
    swarm.start()
    for other in others:
        other.start()
    while any(s.is_alive() for s in (swarm, *others)):
        assert daemon.service()["connections"] <= 3
    for one in (swarm, *others):
        one.finish().check_clean()


@pytest.mark.parametrize("protocol", ["line"])
@pytest.mark.backends
def test_many_clients(start, protocol):
    daemon = start({"a": echo(protocol=protocol)})
    swarm = Swarm(daemon.address(), 1000, expect=bytes, per_client=10)
    swarm.start()
    swarm.finish().check_clean()
    assert swarm.right == 10000
    assert daemon.counters()["replies"] == 10000


@pytest.mark.backends
def test_a_storm_of_resets(start):
    daemon = start({"a": echo(), "up": pool(program("upper.py"), instances=2)})
    canary = daemon.connect("a")
    assert canary.ask(b"hello") == b"hello"
    before = {pid: len(harness.descriptors(pid)) for pid in daemon.worker_pids()}
    for number in range(600):
        client = harness.Client(daemon_address(daemon, number))
        client.send(b"half a line" if number % 3 else b"whole\nlines\nand half")
        client.reset()
        if number % 50 == 0:
            assert canary.ask(b"still") == b"still"
    daemon.wait_service(lambda s: s["connections"] == 1, "all gone but the canary", "a")
    daemon.wait_service(lambda s: s["connections"] == 0 and s["waiting"] == 0, "all gone", "up")
    daemon.wait_full()
    for pid, count in before.items():
        wait_for(lambda: len(harness.descriptors(pid)) <= count, "the descriptors given back")
    assert canary.ask(b"still") == b"still"
    assert daemon.connect("up").ask(b"and this") == b"AND THIS"


ADDRESSES = {}


def daemon_address(daemon, number):
    """The addresses of the two services in turn, asked for once."""
    if daemon not in ADDRESSES:
        ADDRESSES[daemon] = daemon.address("a"), daemon.address("up")
    return ADDRESSES[daemon][number % 2]


def test_no_descriptors_left(start):
    """Accepting pauses, says so at most once a second, harms nobody, and resumes by itself."""
    daemon = start({"a": echo()}, {"workers": 1}, prefix=["prlimit", "--nofile=200:200"])
    address = daemon.address()
    first = daemon.connect()
    assert first.ask(b"hello") == b"hello"
    clients = [harness.Client(address) for _ in range(250)]
    for client in clients:
        client.send(b"ping\n")
    daemon.wait_service(lambda s: s["counters"]["fd_pauses"] > 0, "accepting paused")
    begun = time.monotonic()
    served = daemon.service()["counters"]["accepted"]
    assert 20 < served < 200
    assert clients[-1].is_silent(1.5)
    assert first.ask(b"still") == b"still", "existing clients are unharmed"
    lines = daemon.log_lines(r" (warn|error) .*descriptor")
    assert 1 <= len(lines) <= elapsed(begun) + 3, lines
    waited = 0
    for client in clients:  # each that is answered leaves and makes room
        assert client.line() == b"ping"
        client.close()
        waited += 1
    assert waited == 250
    assert first.ask(b"still") == b"still"


def test_accept_itself_fails(start):
    """The limit is lowered under the feet of a running worker: EMFILE, as from the kernel."""
    daemon = start({"a": echo()}, {"workers": 1})
    first = daemon.connect()
    assert first.ask(b"hello") == b"hello"
    worker = daemon.worker_pids()[0]
    taken = harness.descriptors(worker)
    set_descriptor_limit(worker, next(n for n in range(len(taken) + 1) if n not in taken))
    late = [daemon.connect().send(b"late\n") for _ in range(3)]
    assert late[0].is_silent(1.2)
    assert first.ask(b"still") == b"still"
    assert 1 <= len(daemon.log_lines(r" (warn|error) .*descriptor")) <= 3
    set_descriptor_limit(worker, 4000)
    assert [client.line() for client in late] == [b"late"] * 3


def set_descriptor_limit(pid, limit):
    """As the user of the process: root alone, without its capabilities, is not enough."""
    uid = harness.status_field(pid, "Uid")[0]
    words = ["setpriv", f"--reuid={uid}", f"--regid={harness.status_field(pid, 'Gid')[0]}",
             "--clear-groups"] if os.geteuid() == 0 else []
    words += ["prlimit", f"--pid={pid}", f"--nofile={limit}:"]
    result = subprocess.run(words, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        pytest.skip(f"no right to change the limits of another process: {result.stderr.strip()}")


@pytest.mark.skipif(harness.SANITIZED, reason="a sanitizer's memory says nothing about ours")
def test_an_idle_connection_is_cheap(start):
    """It holds no buffer: what it costs is its record and the event's."""
    if harness.BACKEND == "select":
        pytest.skip("select does not carry 3,500 connections in one worker")
    daemon = start({"a": echo()}, {"workers": 1})
    address = daemon.address()
    worker = daemon.worker_pids()[0]

    def open_some(count):
        clients = [harness.Client(address) for _ in range(count)]
        for client in clients:
            client.send(b"x" * 20000 + b"\n")
        for client in clients:
            assert client.line() == b"x" * 20000
        return clients

    first = open_some(500)
    before = harness.resident_bytes(worker)
    more = open_some(3000)
    each = (harness.resident_bytes(worker) - before) / len(more)
    assert each < 2048, f"{each:.0f} bytes for a connection"
    for client in first + more:
        client.close()


@pytest.mark.skipif(harness.SANITIZED, reason="a sanitizer's memory says nothing about ours")
def test_memory_stays(start):
    """Connections and requests come and go; the processes do not grow."""
    daemon = start({"up": pool(program("upper.py"), instances=2)}, {"workers": 1})
    address = daemon.address()
    pids = daemon.pid, *daemon.worker_pids()

    def churn(count):
        for number in range(count):
            client = harness.Client(address)
            assert client.ask(b"number %d" % number) == b"NUMBER %d" % number
            client.close()

    churn(500)
    before = [harness.resident_bytes(pid) for pid in pids]
    churn(3000)
    for pid, size in zip(pids, before):
        assert harness.resident_bytes(pid) - size < 256 << 10


# ---- anything at all ----


def random_lines(dice):
    """A stream of lines, and what echo makes of it."""
    sent = expected = b""
    for _ in range(dice.randrange(1, 40)):
        length = dice.choice([0, 1, 2, 100, 999, 1000, 1001 if dice.random() < 0.1 else 3])
        text = dice.randbytes(length).replace(b"\n", b"-").replace(b"\r", b"+")
        end = dice.choice([b"\n", b"\r\n"])
        sent += text + end
        if length > 1000:
            return sent, expected + b"ERR too-large\n"
        expected += text + end
    rest = dice.randbytes(dice.randrange(50)).replace(b"\n", b"-").replace(b"\r", b"+")
    return sent + rest, expected + (rest + b"\n" if rest else b"")


def random_frames(dice):
    sent = expected = b""
    for _ in range(dice.randrange(1, 40)):
        length = dice.choice([0, 1, 2, 100, 999, 1000, 1001 if dice.random() < 0.1 else 3])
        text = frame(dice.randbytes(length))
        sent += text
        if length > 1000:
            return sent, expected + frame(b"ERR too-large")
        expected += text
    if dice.random() < 0.5:
        return sent, expected
    return sent + text[:-1], expected + frame(b"ERR bad")


@pytest.mark.parametrize("handler", ["echo", "program"])
@pytest.mark.parametrize("protocol", ["line", "frame"])
@pytest.mark.backends
def test_random_streams(start, protocol, handler):
    """Many clients whose bytes come in random pieces; each gets what the protocol promises."""
    seed = int(os.environ.get("HOSTLER_SEED", random.randrange(1 << 32)))
    print(f"HOSTLER_SEED={seed}")
    dice = random.Random(seed)
    keys = {"protocol": protocol, "max_message": "1000B", "pipeline": 7, "high_water": "3000B"}
    service = echo(**keys) if handler == "echo" else pool(
        program("frames.py"), framing="frame", instances=2, **keys)
    daemon = start({"a": service})
    make = random_lines if protocol == "line" else random_frames
    todo = []
    for _ in range(60):
        sent, expected = make(dice)
        todo.append([daemon.connect(), sent, expected])
    clients = list(todo)
    while todo:
        item = dice.choice(todo)
        client, left, _ = item
        piece = dice.choice([1, 3, 50, 700, 5000])
        client.send(left[:piece])
        item[1] = left[piece:]
        if not item[1]:
            client.finish_sending()
            todo.remove(item)
    for client, _, expected in clients:
        assert client.rest() == expected


def test_sockets_of_unix_clients(start, folder):
    daemon = start({"a": echo(listen=f"unix:{folder}/s.sock", protocol="frame")})
    client = daemon.connect()
    assert client.send(frame(b"one") + frame(b"two")).finish_sending().rest() == (
        frame(b"one") + frame(b"two"))
    swarm_free = [daemon.connect() for _ in range(100)]
    for other in swarm_free:
        assert other.send(frame(b"me")).frame() == b"me"


