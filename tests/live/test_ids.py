"""protocol = frame with ids = yes: each reply names its request, and goes out as it comes."""

import json
import os
import random
import socket
import struct
import subprocess
import threading

import pytest

import harness
from harness import echo, frame, pool, program, wait_for

OK, BUSY, TIMEOUT, FAILED, TOO_LARGE, BAD = range(6)


def ask(number, payload):
    return frame(struct.pack(">I", number) + payload)


def answer(number, status, payload=b""):
    """The bytes of a reply."""
    return frame(struct.pack(">IB", number, status) + payload)


def reply(client):
    """The next reply: id, status, payload."""
    data = client.frame()
    return (*struct.unpack(">IB", data[:5]), data[5:])


def replies(client, count):
    return {number: (status, payload) for number, status, payload in
            (reply(client) for _ in range(count))}


def ids(service, **keys):
    return {**service, "protocol": "frame", "ids": "yes", **keys}


def wild(**keys):
    return ids(pool(program("wild.py")), **keys)


def wait_busy(daemon, count):
    daemon.wait_service(lambda s: sum(i["state"] == "busy" for i in s["instances"]) == count,
                        f"{count} busy instances")


# ---- bytes ----


def test_every_byte(start):
    """The format itself, spelled out, with one byte more in each write."""
    client = start({"a": ids(echo())}).connect()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"\0\0\0\x09\xfe\xdc\xba\x98a\nb\0c" + b"\0\0\0\x04\0\0\0\x07":
        client.send(bytes([byte]))
    assert client.take(14) == b"\0\0\0\x0a\xfe\xdc\xba\x98\0a\nb\0c"
    assert client.take(9) == b"\0\0\0\x05\0\0\0\x07\0"
    assert client.finish_sending().rest() == b""


def test_cut_anywhere(start):
    daemon = start({"a": ids(echo())})
    text = ask(1, b"first") + frame(b"abc") + ask(2, b"second")
    expected = answer(1, OK, b"first") + answer(0, BAD) + answer(2, OK, b"second")
    for cut in range(1, len(text)):
        client = daemon.connect()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(text[:cut])
        client.send(text[cut:])
        assert client.take(len(expected)) == expected, cut
        client.close()


def test_without_room_for_an_id(start):
    """The framing is intact, so the connection goes on; nobody is asked."""
    daemon = start({"a": ids(echo())})
    client = daemon.connect()
    client.send(b"".join(frame(b"abc"[:length]) for length in range(4)) + ask(9, b"on"))
    assert [reply(client) for _ in range(5)] == [(0, BAD, b"")] * 4 + [(9, OK, b"on")]
    assert daemon.counters()["bad"] == 4


def test_without_ids_nothing_changes(start):
    client = start({"a": echo(protocol="frame", ids="no")}).connect()
    assert client.send(ask(1, b"one")).frame() == b"\0\0\0\1one"


def test_discard(start):
    daemon = start({"a": ids(echo(handler="discard"))})
    client = daemon.connect()
    client.send(ask(1, b"one") + ask(2, b"two"))
    assert client.finish_sending().rest() == b""
    assert daemon.counters()["requests"] == 2


@pytest.mark.parametrize("unit, told", [
    ("protocol = line", "ids: is for protocol frame alone; the protocol is line"),
    ("protocol = stream", "ids: is for protocol frame alone; the protocol is stream"),
])
def test_only_with_frame(folder, unit, told):
    path = folder / "a.conf"
    path.write_text(f"[service a]\nlisten = 0\n{unit}\nhandler = echo\nids = yes\n")
    done = harness.hostlerd("-t", "-f", path)
    assert done.returncode != 0
    assert told in done.stdout + done.stderr


# ---- order ----


def test_as_completed(start):
    """Four instances, each slower than the next one: the replies come in the opposite order."""
    daemon = start({"a": wild(instances=4)})
    client = daemon.connect()
    for number in range(4):
        client.send(ask(100 + number, b"sleep %.1f n%d" % (0.3 * (3 - number), number)))
    assert [reply(client) for _ in range(4)] == [
        (100 + number, OK, b"n%d" % number) for number in (3, 2, 1, 0)]


def test_a_slow_one_holds_up_nobody(start):
    """A hundred requests pass one that takes long, on the same connection."""
    daemon = start({"a": wild(instances=2, pipeline=8, concurrency=1)})
    client = daemon.connect()
    client.send(ask(1, b"mute"))
    wait_busy(daemon, 1)
    for number in range(2, 102):
        client.send(ask(number, b"x%d" % number))
    assert [reply(client) for _ in range(100)] == [
        (number, OK, b"X%d" % number) for number in range(2, 102)]


def test_pipeline_is_the_bound(start):
    """So many are under way; one more is read when one of them is answered, whichever."""
    daemon = start({"a": wild(instances=4, pipeline=3)})
    client = daemon.connect()
    client.send(ask(1, b"mute") + ask(2, b"mute") + ask(3, b"sleep 0.5 three") + ask(4, b"four"))
    wait_busy(daemon, 3)
    assert daemon.counters()["requests"] == 3
    assert reply(client) == (3, OK, b"three")
    assert reply(client) == (4, OK, b"FOUR")


def test_the_same_id_twice(start):
    """The client's own business: both are answered."""
    client = start({"a": wild(instances=2)}).connect()
    client.send(ask(5, b"sleep 0.3 slow") + ask(5, b"fast"))
    assert [reply(client) for _ in range(2)] == [(5, OK, b"FAST"), (5, OK, b"slow")]


def exchange(address, number, count, failures, overtaken):
    """One client that keeps 16 in flight; each reply must be the one to its id."""
    dice = random.Random(number)
    client = harness.Client(address, 30)
    waiting, sent, last = {}, 0, 0
    try:
        while sent < count or waiting:
            while sent < count and len(waiting) < 16:
                sent += 1
                key = dice.getrandbits(32)
                if key in waiting:
                    continue
                text = b"%d-%d-%x" % (number, sent, key)
                deed = b"sleep 0.%03d " % dice.randrange(4) if dice.random() < 0.2 else b""
                waiting[key] = (sent, text if deed else text.upper())
                client.send(ask(key, deed + text))
            key, status, payload = reply(client)
            order, expected = waiting.pop(key)
            if status != OK or payload != expected:
                failures.append((number, key, status, payload, expected))
            overtaken.append(order < last)
            last = max(last, order)
    except (AssertionError, KeyError, OSError) as error:
        failures.append((number, repr(error)))
    finally:
        client.close()


@pytest.mark.slow
@pytest.mark.backends
def test_many_clients_many_in_flight(start):
    """64 connections with 16 in flight each: every reply is its request's, and many overtake."""
    daemon = start({"a": wild(instances=4, queue=2000)})
    address, failures, overtaken = daemon.address(), [], []
    threads = [threading.Thread(target=exchange, args=(address, n, 40, failures, overtaken))
               for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * harness.SCALE)
    assert not failures, failures[:5]
    assert sum(overtaken) > 50, f"{sum(overtaken)} of {len(overtaken)} were overtaken"
    assert daemon.counters()["replies"] == len(overtaken)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_under_load(start, concurrency):
    daemon = start({"a": ids(pool(program("upper.py"), instances=4, concurrency=concurrency,
                                  queue=2000))})
    host, port = daemon.address()
    done = subprocess.run(
        [harness.BUILD / "hostler-load", "run", "--protocol", "frame", "--ids", "--connections",
         "64", "--depth", "16", "--count", "20000", "--expect", "upper", "--json",
         f"{host}:{port}"], stdout=subprocess.PIPE, timeout=60 * harness.SCALE, check=True)
    counts = json.loads(done.stdout)["requests"]
    assert counts["requests"] == counts["right"] == 20000, counts


# ---- what goes wrong ----


def test_busy(start):
    daemon = start({"a": wild(queue=1)})
    client = daemon.connect()
    client.send(ask(1, b"sleep 0.4 one"))
    wait_busy(daemon, 1)
    client.send(ask(2, b"two") + ask(3, b"three"))
    assert [reply(client) for _ in range(3)] == [
        (3, BUSY, b""), (1, OK, b"one"), (2, OK, b"TWO")]


def test_timeouts(start):
    """One runs too long, one waits too long; the connection stays."""
    daemon = start({"a": wild(request_timeout="1s", queue_timeout="300ms")})
    client = daemon.connect()
    client.send(ask(1, b"mute"))
    wait_busy(daemon, 1)
    client.send(ask(2, b"two"))
    assert [reply(client) for _ in range(2)] == [(2, TIMEOUT, b""), (1, TIMEOUT, b"")]
    daemon.wait_full()
    assert reply(client.send(ask(3, b"three"))) == (3, OK, b"THREE")


def test_failed(start):
    daemon = start({"a": wild(instances=2)})
    client = daemon.connect()
    client.send(ask(7, b"die") + ask(8, b"half") + ask(9, b"good"))
    got = replies(client, 3)
    assert got == {7: (FAILED, b""), 8: (FAILED, b""), 9: (OK, b"GOOD")}


def test_a_word_like_an_error_is_a_reply(start):
    client = start({"a": ids(echo())}).connect()
    assert reply(client.send(ask(1, b"ERR failed"))) == (1, OK, b"ERR failed")


def test_a_message_that_cannot_be_carried(start):
    """The program speaks lines: a payload with LF is refused under its id, nothing else ends."""
    client = start({"a": wild()}).connect()
    client.send(ask(1, b"two\nlines") + ask(2, b"good"))
    assert replies(client, 2) == {1: (BAD, b""), 2: (OK, b"GOOD")}


@pytest.mark.parametrize("handler", ["echo", "program"])
def test_the_largest_message(start, handler):
    """max_message counts the payload alone."""
    service = echo() if handler == "echo" else pool(program("frames.py"), framing="frame")
    client = start({"a": ids(service, max_message="1000B")}).connect()
    assert reply(client.send(ask(1, b"m" * 1000))) == (1, OK, b"m" * 1000)
    assert client.send(ask(2, b"m" * 1001)).rest() == answer(2, TOO_LARGE)


def test_too_large_with_others_under_way(start):
    """It is told at once, by its id; the others are answered, then the connection closes."""
    daemon = start({"a": wild(instances=2, max_message="100B")})
    client = daemon.connect()
    client.send(ask(1, b"sleep 0.4 slow"))
    wait_busy(daemon, 1)
    client.send(ask(2, b"quick") + struct.pack(">II", 0xffffffff, 3))
    got = [reply(client) for _ in range(3)]
    assert sorted(got[:2]) == [(2, OK, b"QUICK"), (3, TOO_LARGE, b"")]
    assert got[2] == (1, OK, b"slow")
    assert client.rest() == b""
    assert daemon.counters()["too_large"] == 1


def test_too_large_is_told_with_its_id(start):
    """Its length alone decides; yet it is told when the id is there, or never will be."""
    daemon = start({"a": ids(echo(max_message="100B"))})
    client = daemon.connect().send(struct.pack(">I", 105))
    assert client.is_silent(0.2)
    assert client.send(struct.pack(">I", 0x01020304)).rest() == answer(0x01020304, TOO_LARGE)
    client = daemon.connect().send(struct.pack(">I", 105) + b"\1\2\3")
    assert client.finish_sending().rest() == answer(0, TOO_LARGE)


@pytest.mark.parametrize("rest, number", [
    (b"\0", 0), (b"\0\0\0\x09", 0), (b"\0\0\0\x09\1\2\3", 0), (b"\0\0\0\x09\1\2\3\4half", 0x01020304),
    (b"\0\0\0\x03ab", 0),
])
def test_half_a_message_at_the_end(start, rest, number):
    client = start({"a": ids(echo())}).connect()
    client.send(ask(1, b"whole") + rest)
    assert client.finish_sending().rest() == answer(1, OK, b"whole") + answer(number, BAD)


def test_message_timeout(start):
    daemon = start({"a": ids(echo(message_timeout="300ms"))})
    client = daemon.connect().send(ask(77, b"unfinished")[:12])
    assert client.rest() == answer(77, TIMEOUT)
    assert daemon.connect().send(b"\0\0").rest() == answer(0, TIMEOUT)
    assert daemon.counters()["slow_cut"] == 2


# ---- ends ----


def test_a_half_close_gets_every_reply(start):
    daemon = start({"a": wild(instances=3)})
    client = daemon.connect()
    client.send(ask(1, b"sleep 0.5 one") + ask(2, b"sleep 0.2 two") + ask(3, b"three"))
    assert client.finish_sending().rest() == (
        answer(3, OK, b"THREE") + answer(2, OK, b"two") + answer(1, OK, b"one"))


def test_a_stop_waits_for_replies(start):
    daemon = start({"a": wild(instances=2)})
    client = daemon.connect()
    client.send(ask(1, b"sleep 0.6 one") + ask(2, b"sleep 0.3 two"))
    wait_busy(daemon, 2)
    daemon.stop()
    assert client.rest() == answer(2, OK, b"two") + answer(1, OK, b"one")


@pytest.mark.backends
def test_a_client_that_leaves(start):
    """What waits is withdrawn, what runs goes on, and nobody else gets a wrong reply."""
    daemon = start({"a": wild(pipeline=64)})
    client, other = daemon.connect(), daemon.connect()
    client.send(ask(1, b"sleep 0.5 one"))
    wait_busy(daemon, 1)
    client.send(b"".join(ask(number, b"x") for number in range(2, 40)))
    daemon.wait_service(lambda s: s["waiting"] == 38, "38 waiting requests")
    client.reset()
    daemon.wait_service(lambda s: s["waiting"] == 0, "no waiting request")
    assert reply(other.send(ask(1, b"other"))) == (1, OK, b"OTHER")
    wait_for(lambda: daemon.counters()["withdrawn"] == 39, "39 withdrawn")


def test_on_cancel_kill(start):
    daemon = start({"a": wild(on_cancel="kill", instances=1)})
    client = daemon.connect()
    client.send(ask(1, b"mute"))
    wait_busy(daemon, 1)
    client.reset()
    daemon.wait_log("was serving a client that left")
    daemon.wait_full()


def test_a_killed_worker_breaks_only_its_own(start):
    daemon = start({"a": wild(instances=2)}, {"workers": 1})
    client = daemon.connect()
    client.send(ask(1, b"sleep 5 one") + ask(2, b"two"))
    assert reply(client) == (2, OK, b"TWO")
    os.kill(daemon.worker_pids()[0], 9)
    assert client.is_ended()
    daemon.wait_full()
    assert reply(daemon.connect().send(ask(1, b"again"))) == (1, OK, b"AGAIN")


def test_a_reload_turns_it_on(start):
    """A matter of new connections alone: the instances stay."""
    daemon = start({"a": wild(ids="no")})
    pids = daemon.instance_pids()
    assert daemon.connect().send(frame(b"one")).frame() == b"ONE"
    reply_of_reload = daemon.reloaded({"a": {"ids": "yes"}})
    assert reply_of_reload["services"][0]["change"] == "limits"
    assert reply(daemon.connect().send(ask(1, b"two"))) == (1, OK, b"TWO")
    assert daemon.instance_pids() == pids
