"""The pool: programs that behave, programs that do not, and who is served when."""

import concurrent.futures
import os
import re
import shutil
import signal
import time

import pytest

import harness
from harness import frame, pool, program, wait_for
from swarm import Swarm


def wild(**keys):
    return pool(program("wild.py"), **{"concurrency": 1, **keys})


def wait_busy(daemon, count=1):
    daemon.wait_service(lambda s: sum(i["state"] == "busy" for i in s["instances"]) == count,
                        f"{count} busy instances")


def wait_waiting(daemon, count):
    daemon.wait_service(lambda s: s["waiting"] == count, f"{count} waiting requests")


def replaced(daemon, pid, why, slot=0):
    """Waits until the instance is gone for this reason, and another one idle in its place."""
    daemon.wait_log(rf"instance {slot} \(pid {pid}\) .*{why}")
    daemon.wait_service(lambda s: s["instances"][slot]["pid"] not in (None, pid) and
                        s["instances"][slot]["state"] == "idle", "a new instance in its place")
    wait_for(lambda: not harness.exists(pid), f"the end of {pid}")


# ---- misbehaving programs ----

DEEDS = [
    # what the program does, the replies, why it went
    pytest.param(b"die", [b"ERR failed"], r"ended: exit status 3; last said: about to die",
                 id="dies-before"),
    pytest.param(b"crash", [b"ERR failed"], r"ended: killed by signal 11", id="crashes"),
    pytest.param(b"half", [b"ERR failed"], "ended: exit status 4", id="half-a-reply"),
    pytest.param(b"after text", [b"text"], "ended: exit status 5", id="dies-after"),
    pytest.param(b"twice text", [b"text"], "wrote output that nobody asked for", id="two-replies"),
    pytest.param(b"babble text", [b"text"], "wrote output that nobody asked for", id="babbles"),
    pytest.param(b"flood", [b"ERR failed"], "wrote a reply larger than max_message", id="floods"),
    pytest.param(b"close", [b"ERR failed"], "closed its output", id="closes-stdout"),
    pytest.param(b"mute", [b"ERR timeout"], "did not reply within request_timeout", id="mute"),
    pytest.param(b"orphan", [b"ERR failed"], "ended: exit status 6", id="grandchild"),
    pytest.param(b"orphan-after text", [b"text"], "ended: exit status 7", id="grandchild-after"),
    pytest.param(b"late %.1f" % (1.2 * harness.SCALE), [b"ERR timeout"], "did not reply within request_timeout", id="late"),
]


@pytest.mark.parametrize("deed, replies, why", DEEDS)
def test_a_deed(start, deed, replies, why):
    """The asker learns of it in time, the instance goes, and the next request is answered."""
    daemon = start({"wild": wild(request_timeout=f"{800 * harness.SCALE:.0f}ms")})
    pid = daemon.instance_pids()[0]
    client, other = daemon.connect(), daemon.connect()
    begun = time.monotonic()
    client.send(deed + b"\n")
    assert client.lines(len(replies)) == replies
    assert time.monotonic() - begun < 2 * harness.SCALE
    if deed.startswith(b"babble"):
        daemon.wait_log("has babbled")
    if b"after" in deed:  # until its death is noticed the next request could be given to it
        replaced(daemon, pid, why)
    # The same connection stays, and nobody ever sees what the other one left behind.
    assert other.ask(b"you") == b"YOU"
    assert client.ask(b"hello again") == b"HELLO AGAIN"
    replaced(daemon, pid, why)
    assert client.is_silent(0.1) and other.is_silent(0.1)


@pytest.mark.parametrize("deed, replies, why", [d for d in DEEDS if d.id in (
    "dies-before", "half-a-reply", "two-replies", "closes-stdout", "grandchild")])
def test_a_deed_amid_pipelined_requests(start, deed, replies, why):
    """The neighbours of a deed get their own replies."""
    daemon = start({"wild": wild(request_timeout="5s", instances=2)})
    client = daemon.connect(timeout=15)
    lines = []
    for number in range(30):
        lines += [b"text %d" % number] + ([deed] if number % 10 == 5 else [])
    client.send(b"".join(line + b"\n" for line in lines))
    for line in lines:
        expected = replies[0] if line == deed else line.upper()
        assert client.line() == expected
    daemon.wait_full()


@pytest.mark.backends
def test_an_early_answer(start):
    """A reply before the request was given in whole cannot be meant for it."""
    daemon = start({"wild": wild(max_message="1M", request_timeout="5s")})
    pid = daemon.instance_pids()[0]
    client = daemon.connect()
    assert client.ask(b"early " + b"e" * 500000) == b"ERR failed"
    assert client.ask(b"hello") == b"HELLO"
    replaced(daemon, pid, "replied before it was given the whole request")


def test_a_late_reply_reaches_nobody(start):
    """Also when its client has left: the reply is dropped, and the instance serves the next."""
    daemon = start({"wild": wild()})
    pid = daemon.instance_pids()[0]
    first = daemon.connect().send(b"sleep 0.4 for the one who left\n")
    wait_busy(daemon)
    first.reset()
    assert daemon.connect().ask(b"mine") == b"MINE"
    assert daemon.instance_pids() == [pid]
    assert daemon.counters()["withdrawn"] == 1


def test_a_deaf_program(start):
    """It never reads: a request larger than a pipe waits for its deadline, no longer."""
    daemon = start({"deaf": pool(program("deaf.sh"), request_timeout="600ms", max_message="1M")})
    pid = daemon.instance_pids()[0]
    begun = time.monotonic()
    assert daemon.connect().ask(b"d" * 400000) == b"ERR timeout"
    assert 0.5 < time.monotonic() - begun < 2.5 * harness.SCALE
    replaced(daemon, pid, "did not reply within request_timeout")


def test_a_banner_at_the_start(start, folder):
    """What a program says before it was asked is never taken for a reply."""
    daemon = start({"a": pool(program("banner.sh", folder / "greeted"))}, wait="running")
    daemon.wait_log("has greeted")
    assert daemon.connect().ask(b"hello") == b"good hello"
    daemon.wait_log("wrote output that nobody asked for")
    assert daemon.counters()["retried"] == 1, "of the request no byte had been written"


def test_a_family_that_ignores_term(start):
    daemon = start({"wild": wild(stop_timeout="300ms")})
    assert daemon.connect().ask(b"family ok") == b"ok"
    pid = daemon.instance_pids()[0]
    family = [p.pid for p in harness.processes() if p.group == pid]
    assert len(family) == 2
    daemon.stop(timeout=4)
    wait_for(lambda: not any(harness.exists(pid) for pid in family), "the end of the family", 1)


def test_a_grandchild_that_ignores_term_goes_with_its_group(start):
    daemon = start({"wild": wild()})
    assert daemon.connect().ask(b"family ok") == b"ok"
    pid = daemon.instance_pids()[0]
    family = [p.pid for p in harness.processes() if p.group == pid and p.pid != pid]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(harness.exists(p) for p in family), "the end of the grandchild")
    daemon.wait_full()


def test_a_grandchild_that_ran_away_hides_no_death(start):
    """It left the group and keeps the output open, so no end of file tells of the death."""
    daemon = start({"wild": wild(request_timeout="20s")})
    begun = time.monotonic()
    reply = daemon.connect().ask(b"runaway")
    took = time.monotonic() - begun
    line = daemon.wait_log(r"wild/\d+: \d+ ran away$")[0]
    os.kill(int(line.split()[-3]), signal.SIGKILL)
    assert reply == b"ERR failed" and took < 2 * harness.SCALE
    assert daemon.connect().ask(b"hello") == b"HELLO"


def test_a_crash_loop(start, folder):
    """It backs off, says so in one clear line, shows in the status, ends when it is mended."""
    mended = folder / "mended"
    daemon = start({"flaky": pool(program("flaky.sh", mended), queue_timeout="20s"),
                    "good": pool(program("upper.py"))}, wait="running")
    daemon.wait_service(lambda s: s["state"] == "backing off" and s["backoff"] >= 0.4,
                        "backing off", "flaky")
    flaky = daemon.service("flaky")
    assert "exit status 9" in flaky["instances"][0]["last_exit"]
    assert flaky["instances"][0]["last_stderr"] == f"cannot work without {mended}"
    clear = daemon.log_lines(r" warn .*service flaky: .*exit status 9.*cannot work without")
    assert len(clear) == 1 and "one after another" in clear[0], clear
    deaths = len(daemon.log_lines(r"service flaky: instance 0 \(pid \d+\) ended"))
    assert deaths <= 8, "it backs off"
    client = daemon.connect("flaky", timeout=20).send(b"news\n")
    assert daemon.connect("good").ask(b"hello") == b"HELLO", "others are unharmed"
    wait_waiting_of(daemon, "flaky", 1)
    mended.touch()
    assert client.line() == b"good news"
    daemon.wait_service(lambda s: s["state"] == "ready", "state ready", "flaky")


def wait_waiting_of(daemon, name, count):
    daemon.wait_service(lambda s: s["waiting"] == count, f"{count} waiting", name)


def test_a_program_that_cannot_be_executed(start, folder):
    """Like a crash loop, and it ends in the same way."""
    script = folder / "later.sh"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    daemon = start({"a": pool(str(script), queue_timeout="20s")}, wait="running")
    daemon.wait_service(lambda s: s["state"] == "backing off", "backing off")
    client = daemon.connect(timeout=20).send(b"hello\n")
    fresh = folder / "fresh.sh"
    fresh.write_text("#!/bin/sh\nexec sed -u 's/^/now /'\n")
    fresh.chmod(0o755)
    fresh.rename(script)
    assert client.line() == b"now hello"


def test_kills_by_the_master_are_no_crash_loop(start):
    """Programs that time out again and again are replaced at once, without a growing back-off."""
    daemon = start({"wild": wild(request_timeout="100ms")})
    client = daemon.connect()
    for _ in range(8):
        assert client.ask(b"mute") == b"ERR timeout"
    begun = time.monotonic()
    assert client.ask(b"hello") == b"HELLO"
    assert time.monotonic() - begun < 1.5 * harness.SCALE
    assert daemon.service()["backoff"] == 0


@pytest.mark.backends
def test_an_instance_killed_from_outside_is_replaced(start):
    daemon = start({"up": pool(program("upper.py"), instances=3)})
    for victim in daemon.instance_pids():
        os.kill(victim, signal.SIGKILL)
    wait_for(lambda: daemon.is_full() and all(i["starts"] == 2 for i in daemon.instances()),
             "three new instances")
    assert [i["incarnation"] for i in daemon.instances()] == [2, 2, 2]
    assert daemon.connect().ask(b"hello") == b"HELLO"


MORTAL = "/bin/sh -c 'while read -r l; do case $l in die*) exit 1;; esac; echo \"$l\"; done'"


def test_deaths_before_a_waiting_line(start):
    """Instances die all the while, and requests wait all the while: none is forgotten."""
    daemon = start({"a": pool(MORTAL, instances=3, start_rate=1000, pipeline=20,
                              queue_timeout="30s", concurrency=1)})
    clients = [daemon.connect(timeout=20) for _ in range(6)]
    lines = [b"die" if n % 7 == 3 else b"line %d" % n for n in range(200)]
    for client in clients:
        client.send(b"\n".join(lines) + b"\n")
    begun = time.monotonic()
    for client in clients:
        assert client.lines(200) == [b"ERR failed" if l == b"die" else l for l in lines]
    assert time.monotonic() - begun < 10 * harness.SCALE
    daemon.wait_full()


# ---- messages ----


@pytest.mark.backends
def test_large_messages_both_ways(start):
    """A mebibyte there and back through pipes of 64 KiB: nobody waits for the other's pipe."""
    daemon = start({"cat": pool("/bin/cat", max_message="2M", high_water="4M")})
    clients = [daemon.connect(timeout=20) for _ in range(3)]
    for round_ in range(3):
        texts = [bytes([97 + number + round_]) * (1 << 20) for number in range(3)]
        for client, text in zip(clients, texts):
            client.send(text + b"\n")
        for client, text in zip(clients, texts):
            assert client.line() == text


@pytest.mark.backends
def test_a_large_reply_to_a_small_request(start):
    daemon = start({"wild": wild(max_message="1M")})
    assert daemon.connect(timeout=10).ask(b"big 1000000") == b"b" * 1000000


def test_the_largest_reply(start):
    daemon = start({"wild": wild(max_message="1000B")})
    pid = daemon.instance_pids()[0]
    client = daemon.connect()
    assert client.ask(b"big 1000") == b"b" * 1000
    assert daemon.instance_pids() == [pid]
    assert client.ask(b"big 1001") == b"ERR failed"
    replaced(daemon, pid, "wrote a reply larger than max_message")


@pytest.mark.backends
def test_a_slow_reader_does_not_hold_an_instance(start):
    """The lease ends when the reply is in our buffer, not when the client has read it."""
    daemon = start({"wild": wild(max_message="1M")})
    slow = daemon.connect(timeout=20)
    slow.send(b"big 1000000\n" * 4)
    assert daemon.connect().ask(b"hello") == b"HELLO"
    for _ in range(4):
        assert slow.line() == b"b" * 1000000


def test_a_newline_in_a_frame_for_a_line_program(start):
    """It cannot be carried; it is refused, never cut, and the connection stays."""
    daemon = start({"up": pool(program("upper.py"), protocol="frame")})
    client = daemon.connect()
    client.send(frame(b"one") + frame(b"two\nlines") + frame(b"three"))
    assert [client.frame() for _ in range(3)] == [b"ONE", b"ERR bad", b"THREE"]
    assert daemon.counters()["bad"] == 1


@pytest.mark.parametrize("protocol", ["line", "frame"])
def test_a_program_that_speaks_frames(start, protocol):
    daemon = start({"up": pool(program("upper.py", "--frame"), protocol=protocol,
                               framing="frame", instances=2)})
    client = daemon.connect()
    for text in (b"hello", b"", b"x" * 60000, b"with\rreturn"):
        if protocol == "line":
            assert client.ask(text) == text.upper()
        else:
            assert client.send(frame(text)).frame() == text.upper()
    if protocol == "frame":
        assert client.send(frame(b"with\nnewline")).frame() == b"WITH\nNEWLINE"


def test_a_framed_reply_with_a_newline_for_a_line_client(start):
    """What the program says cannot be carried to this client: told as an error, not cut."""
    daemon = start({"a": pool(program("newline.py"), framing="frame")})
    client = daemon.connect()
    assert client.ask(b"hello") in (b"ERR bad", b"ERR failed")
    assert client.is_silent(0.1)


# ---- concurrency ----


def test_concurrency(start):
    """Up to N messages in one instance; each connection's order stands."""
    daemon = start({"batch": pool(program("batch.py"), concurrency=8, pipeline=64, instances=2)},
                   {"workers": 2})
    clients = [daemon.connect(timeout=15) for _ in range(6)]
    for number, client in enumerate(clients):
        client.send(b"".join(b"%d.%d\n" % (number, n) for n in range(100)))
    sizes = []
    for number, client in enumerate(clients):
        for n in range(100):
            text, size = client.line().split(b" ")
            assert text == b"%d.%d" % (number, n)
            sizes.append(int(size))
    assert 1 < max(sizes) <= 8, "several at once, and never more than N"


def test_what_comes_later_joins_those_in_the_instance(start):
    """Up to N in a lease, whenever they come: each is answered only when the next one is there."""
    daemon = start({"late": pool("sed -u -n x;1!p;8{x;p}", concurrency=8, instances=1)})
    client = daemon.connect().send(b"0\n")
    for number in range(1, 8):
        assert client.ask(b"%d" % number) == b"%d" % (number - 1)
    assert client.line() == b"7"


def test_hundreds_in_one_instance(start):
    """More than are sent ahead in one go."""
    daemon = start({"batch": pool(program("batch.py"), concurrency=500, pipeline=500, instances=1)},
                   {"workers": 1})
    client = daemon.connect(timeout=15).send(b"".join(b"%d\n" % n for n in range(500)))
    assert [line.split()[0] for line in client.lines(500)] == [b"%d" % n for n in range(500)]


def test_concurrency_of_one(start):
    daemon = start({"batch": pool(program("batch.py"), concurrency=1)})
    client = daemon.connect(timeout=15).send(b"".join(b"%d\n" % n for n in range(50)))
    assert client.lines(50) == [b"%d 1" % n for n in range(50)]


def test_the_head_of_a_batch_times_out(start):
    """It gets ERR timeout, those in the same instance ERR failed; others are served."""
    daemon = start({"wild": wild(concurrency=4, request_timeout="700ms")})
    client = daemon.connect().send(b"sleep 0.3 first\nmute\none\ntwo\nthree\nfour\n")
    assert client.line() == b"first"
    assert client.line() == b"ERR timeout"
    rest = client.lines(4)
    assert rest[-1] == b"FOUR", rest
    failed = [reply for reply in rest if reply == b"ERR failed"]
    assert len(failed) <= 3
    for reply, text in zip(rest, (b"ONE", b"TWO", b"THREE", b"FOUR")):
        assert reply in (text, b"ERR failed")


# ---- those who leave ----


def test_on_cancel_finish(start):
    daemon = start({"wild": wild(on_cancel="finish")})
    pid = daemon.instance_pids()[0]
    client = daemon.connect().send(b"sleep 0.3 nobody\n")
    wait_busy(daemon)
    client.reset()
    daemon.wait_log("slept for nobody")
    daemon.wait_full()
    assert daemon.instance_pids() == [pid]


@pytest.mark.backends
def test_on_cancel_kill(start):
    daemon = start({"wild": wild(on_cancel="kill")})
    pid = daemon.instance_pids()[0]
    client = daemon.connect().send(b"mute\n")
    wait_busy(daemon)
    client.reset()
    replaced(daemon, pid, "was serving a client that left")
    assert daemon.connect().ask(b"hello") == b"HELLO"


def test_who_leaves_is_withdrawn_from_the_line(start):
    daemon = start({"wild": wild(queue=3)})
    busy = daemon.connect().send(b"sleep 1.5 done\n")
    wait_busy(daemon)
    waiting = [daemon.connect().send(b"turn %d\n" % number) for number in range(3)]
    wait_waiting(daemon, 3)
    assert daemon.connect().ask(b"too many") == b"ERR busy"
    waiting[1].reset()
    wait_waiting(daemon, 2)
    tardy = daemon.connect().send(b"tardy\n")
    wait_waiting(daemon, 3)
    assert busy.line() == b"done"
    assert (waiting[0].line(), waiting[2].line(), tardy.line()) == (b"TURN 0", b"TURN 2", b"TARDY")
    assert daemon.counters()["withdrawn"] == 1


@pytest.mark.backends
def test_a_half_close_is_not_leaving(start):
    daemon = start({"wild": wild(on_cancel="kill")})
    client = daemon.connect().send(b"sleep 0.3 still here\n").finish_sending()
    assert client.rest() == b"still here\n"


# ---- the waiting line ----


def test_the_bound_of_the_queue(start):
    """Six clients, queue = 4, one instance: exactly one is refused, at once."""
    daemon = start({"slow": pool(program("slow.py", 0.4), queue=4)})
    clients = [daemon.connect() for _ in range(6)]
    begun = time.monotonic()
    for client in clients:
        client.send(b"mine\n")
    daemon.wait_service(lambda s: s["refused"] == 1, "one refused")
    refused_after = time.monotonic() - begun
    replies = [client.line() for client in clients]
    assert sorted(replies) == [b"ERR busy"] + [b"mine"] * 5
    assert refused_after < 0.35 * harness.SCALE
    assert daemon.counters()["busy"] == 1


def test_a_refused_client_may_ask_again(start):
    daemon = start({"wild": wild(queue=1)})
    first = daemon.connect().send(b"sleep 0.5 one\n")
    wait_busy(daemon)
    second = daemon.connect().send(b"two\n")
    wait_waiting(daemon, 1)
    third = daemon.connect()
    assert third.ask(b"three") == b"ERR busy"
    assert first.line() == b"one" and second.line() == b"TWO"
    assert third.ask(b"three") == b"THREE"


def test_pipelined_requests_count_in_the_queue(start):
    daemon = start({"slow": pool(program("slow.py", 0.3), queue=2, pipeline=32)})
    client = daemon.connect().send(b"0\n1\n2\n3\n4\n5\n")
    replies = client.lines(6)
    assert replies.count(b"ERR busy") == 3
    assert replies[:3] == [b"0", b"1", b"2"]


def test_the_pipeline_of_a_connection(start):
    """So many requests are under way at a time; then reading waits."""
    daemon = start({"slow": pool(program("slow.py", 0.05), pipeline=4)})
    client = daemon.connect().send(b"".join(b"%d\n" % number for number in range(20)))
    most = 0
    while daemon.counters()["replies"] < 20:
        most = max(most, daemon.service()["waiting"])
    assert 1 <= most <= 3, "one is being served"
    assert client.lines(20) == [b"%d" % number for number in range(20)]


def test_queue_timeout(start):
    daemon = start({"wild": wild(queue_timeout="300ms")})
    busy = daemon.connect().send(b"sleep 1.2 done\n")
    wait_busy(daemon)
    begun = time.monotonic()
    client = daemon.connect()
    assert client.ask(b"waits") == b"ERR timeout"
    assert 0.25 < time.monotonic() - begun < 1.0 * harness.SCALE
    wait_waiting(daemon, 0)
    assert busy.line() == b"done"
    assert client.ask(b"again") == b"AGAIN", "the connection stays"
    assert daemon.instances()[0]["starts"] == 1, "and so does the instance"


def test_first_come_first_served(start):
    """Whichever worker has the connection: grants follow the arrival numbers."""
    daemon = start({"slow": pool(program("slow.py", 0.01), instances=2)}, {"workers": 4})
    swarm = Swarm(daemon.address(), 20, expect=bytes, per_client=10)
    swarm.start()
    swarm.finish().check_clean()
    arrivals = [grant["arrival"] for grant in daemon.trace()]
    assert len(arrivals) == 200 and arrivals == sorted(arrivals)
    assert {grant["slot"] for grant in daemon.trace()} == {0, 1}


@pytest.mark.parametrize("placed", ["as they fall", "all on one worker"])
def test_work_conserving(start, placed):
    """16 clients, 4 instances of a program that takes 100 ms: four rounds of each instance."""
    daemon = start({"slow": pool(program("slow.py", 0.1), instances=4)})
    stopped = daemon.worker_pids()[1] if placed == "all on one worker" else None
    if stopped:
        daemon.stop_worker(stopped)
    clients = [daemon.connect() for _ in range(16)]
    if stopped:
        daemon.wait_status(lambda s: s["workers"][0]["connections"] == 16, "all on worker 0")
        os.kill(stopped, signal.SIGCONT)
    begun = time.monotonic()
    for number, client in enumerate(clients):
        client.send(b"%d\n" % number)
    assert [client.line() for client in clients] == [b"%d" % n for n in range(16)]
    took = time.monotonic() - begun
    slots = [grant["slot"] for grant in daemon.trace()]
    assert [slots.count(slot) for slot in range(4)] == [4, 4, 4, 4], slots
    assert 0.4 <= took < 0.8 * harness.SCALE


def test_start_rate(start):
    daemon = start({"cat": pool("/bin/cat", instances=12, start_rate=5)}, wait="running")
    daemon.wait_full(timeout=10)
    times = [seconds_of(line) for line in daemon.log_lines(r"instance \d+ \(pid \d+\) started")]
    assert len(times) == 12
    # In no second more than the rate, besides a burst of the same size at the start.
    assert times[11] - times[0] > 0.9
    for first, sixth in zip(times[5:], times[11:]):
        assert sixth - first > 0.8


def seconds_of(line):
    hours, minutes, seconds = line.split()[1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


# ---- stderr and hints ----


def test_stderr_goes_to_the_log(start):
    daemon = start({"wild": wild()})
    pid = daemon.instance_pids()[0]
    assert daemon.connect().ask(b"stderr 10240") == b"ok"
    lines = daemon.wait_log(rf"wild/{pid}: e+")
    assert len(lines) == 1
    assert lines[0].endswith(f"wild/{pid}: " + "e" * 10240), "neither wrapped nor cut"


def test_much_stderr_blocks_nobody(start):
    """A program that writes without end to stderr neither stops nor slows the others."""
    daemon = start({"noise": pool("/bin/sh -c 'yes noise >&2 & exec cat'"),
                    "up": pool(program("upper.py"))})
    client = daemon.connect("up")
    for number in range(50):
        begun = time.monotonic()
        assert client.ask(b"hello %d" % number) == b"HELLO %d" % number
        assert time.monotonic() - begun < 1.5 * harness.SCALE
    assert daemon.connect("noise").ask(b"me too") == b"me too"


def test_stderr_is_escaped(start):
    daemon = start({"a": pool("/bin/sh -c 'printf \"a\\033[31mb\\n\" >&2; exec cat'")})
    daemon.wait_log(r"a/\d+: a\\x1b\[31mb$")


@pytest.mark.slow
def test_does_it_flush(start):
    """A program that read a request and keeps silent for 5 s: a hint, once."""
    daemon = start({"sed": pool("sed s/a/b/")})
    pid = daemon.instance_pids()[0]
    client = daemon.connect().send(b"banana\n")
    lines = daemon.wait_log(rf"instance 0 \(pid {pid}\).*flush", timeout=8)
    assert len(lines) == 1
    client.close()
    # Left alone, it would hold up the stop for its request_timeout.
    daemon.check_violations()
    os.kill(pid, signal.SIGKILL)


# ---- everything at once ----


@pytest.mark.backends
def test_each_reply_is_the_askers(start):
    daemon = start({"up": pool(program("upper.py"), instances=4)}, {"workers": 4})
    swarm = Swarm(daemon.address(), 50, per_client=100)
    swarm.start()
    swarm.finish().check_clean()
    assert swarm.right == 5000
    service = daemon.service()
    assert service["grants"] + service["counters"]["ahead"] == 5000
    assert service["waiting"] == 0
    assert sum(i["served"] for i in service["instances"]) == 5000


def test_a_zoo(start):
    """Good and bad requests of many clients in one pool: each gets its own reply."""
    daemon = start({"wild": wild(instances=4, request_timeout="1s", queue_timeout="20s")})
    address = daemon.address()
    # Without those that harm the next request: what comes late cannot be told apart.
    deeds = [b"twice %d", b"die %d", b"half %d", b"close %d", b"orphan %d", b"crash %d"]

    def good(number):
        client = harness.Client(address, timeout=20)
        for n in range(20):
            text = b"good %d of %d" % (n, number)
            assert client.ask(text) == text.upper()
        client.close()

    def bad(number):
        client = harness.Client(address, timeout=20)
        for n in range(4):
            text = deeds[(number + n) % len(deeds)] % number
            reply = client.ask(text)
            assert reply in (b"ERR failed", b"%d" % number), (text, reply)
        client.close()

    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        jobs = [threads.submit(good, n) for n in range(13)]
        jobs += [threads.submit(bad, n) for n in range(7)]
        for job in jobs:
            job.result()
    daemon.wait_full()


def test_several_services_share_the_workers(start):
    daemon = start({f"s{n}": pool(f"sed -u 's/^/{n} /'", instances=2) for n in range(5)})
    swarms = [Swarm(daemon.address(f"s{n}"), 5, per_client=50,
                    expect=lambda text, n=n: b"%d " % n + text) for n in range(5)]
    for swarm in swarms:
        swarm.start()
    for swarm in swarms:
        swarm.finish().check_clean()


@pytest.mark.parametrize("command, question, answer", [
    ("bc -l", b"6 * 7", b"42"),
    ("jq --unbuffered -c .a", b'{"a":[1,2]}', b"[1,2]"),
    ("sed -u 's/cat/dog/'", b"a cat", b"a dog"),
    ("gawk '{ print toupper($0); fflush() }'", b"hello", b"HELLO"),
    ("cat", b"as it is", b"as it is"),
    ("perl -ne '$| = 1; print scalar reverse(substr($_, 0, -1)), \"\\n\"'", b"abc", b"cba"),
], ids=lambda value: value.split()[0] if isinstance(value, str) else "")
def test_a_program_of_others(start, command, question, answer):
    tool = command.split()[0]
    if not shutil.which(tool, path="/usr/local/bin:/usr/bin:/bin"):
        pytest.skip(f"{tool} is not installed")
    daemon = start({"a": pool(command, instances=2)})
    clients = [daemon.connect() for _ in range(4)]
    for _ in range(5):
        for client in clients:
            assert client.ask(question) == answer
    assert re.search(r"instance 1 \(pid \d+\) started", daemon.log())
