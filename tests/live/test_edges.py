"""Faults that a review found once: each has its test here so that it does not come back."""

import os
import signal
import statistics
import subprocess
import time

import pytest

import harness
from harness import echo, pool, program


def wait_waiting(daemon, count):
    daemon.wait_service(lambda s: s["waiting"] == count, f"{count} waiting requests")


def test_who_closes_a_unix_socket_has_left(start, folder):
    """A unix client's close is announced together with its last bytes, and never again."""
    daemon = start({"a": pool(program("wild.py"), listen=f"unix:{folder}/a.sock")})
    busy = daemon.connect().send(b"sleep 1.5 done\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    for _ in range(3):
        daemon.connect().send(b"turn 1\n").close()
    wait_waiting(daemon, 0)
    assert busy.line() == b"done"
    assert daemon.counters()["withdrawn"] == 3


@pytest.mark.parametrize("kept", [False, True], ids=["a newcomer", "a kept connection"])
def test_who_resets_together_with_a_request_is_not_served(start, kept):
    """The kernel tells of both at once and never again."""
    daemon = start({"a": pool(program("wild.py"))}, {"workers": 1})
    leaver, worker = daemon.connect(), daemon.worker_pids()[0]
    if kept:
        assert leaver.send(b"x\n").line() == b"X"
    busy = daemon.connect().send(b"sleep 0.4 done\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    os.kill(worker, signal.SIGSTOP)
    harness.wait_for(lambda: harness.Process(worker).state == "T", "a stopped worker")
    if not kept:
        leaver = daemon.connect()
    leaver.send(b"more\n").reset()
    os.kill(worker, signal.SIGCONT)
    assert busy.line() == b"done"
    harness.wait_for(lambda: daemon.counters()["withdrawn"] == 1, "a withdrawn request")


def test_idle_timeout_runs_from_the_accept(start):
    """Not from whenever the loop last looked at its clock."""
    daemon = start({"a": echo(idle_timeout="600ms")}, {"workers": 1})
    for pause in (0.15, 0.05, 0.11):
        time.sleep(pause)  # so that no timer fires just before the accept
        begun = time.monotonic()
        client = daemon.connect()
        assert client.is_ended()
        assert time.monotonic() - begun > 0.55


def test_a_reply_does_not_wait_for_the_one_before_to_be_confirmed(start):
    """Nagle's algorithm would hold it back until the client's delayed ACK, 40 ms later."""
    daemon = start({"up": pool(program("upper.py"), instances=2, concurrency=1)})
    client, took = daemon.connect(), []
    for _ in range(20):
        begin = time.monotonic()
        client.send(b"line\n" * 8).lines(8)
        took.append(time.monotonic() - begin)
    assert statistics.median(took) < 0.02 * harness.SCALE


def test_too_few_descriptors_are_told_at_the_start():
    """Ready but unable to accept would be a riddle."""
    done = subprocess.run(["prlimit", "--nofile=100:100", str(harness.HOSTLERD), "run", "--listen",
                           "127.0.0.1:0", "--handler", "echo"], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, timeout=10 * harness.SCALE)
    assert done.returncode == 1
    assert "limit of descriptors (ulimit -n) is 100" in done.stderr


def test_a_new_worker_knows_more_instances_than_its_channel_holds(start):
    """Whoever was granted an instance that it had not been told of used to end that instance."""
    count = 500
    if harness.BACKEND == "select":
        pytest.skip(f"select does not carry {count} instances")
    daemon = start({"many": pool("/bin/cat", instances=count, start_rate=1000, queue=5000)},
                   wait="running")
    daemon.wait_full(timeout=30)
    clients = [daemon.connect(timeout=20) for _ in range(40)]
    for victim in daemon.worker_pids():
        os.kill(victim, signal.SIGKILL)
        daemon.wait_status(lambda s: all(w["state"] == "ready" and w["pid"] != victim
                                         for w in s["workers"]), "the worker back", timeout=20)
        clients = [daemon.connect(timeout=20) for _ in range(40)]
        for client in clients:
            client.send(b"".join(b"line %d\n" % number for number in range(30)))
        for client in clients:
            assert client.lines(30) == [b"line %d" % number for number in range(30)]
    assert "nobody could explain" not in daemon.log()


def test_a_standing_worker_does_not_swallow_the_instances(start):
    """Its tickets would be granted one instance after another, and nobody would take them up."""
    daemon = start({"a": pool(program("slow.py", "0.02"), instances=2, queue=2000,
                              request_timeout="1s")},
                   {"workers": 2, "worker_timeout": "20s"})
    clients = [daemon.connect(timeout=20) for _ in range(24)]
    daemon.wait_status(lambda s: all(w["connections"] > 0 for w in s["workers"]),
                       "connections on both workers")
    for client in clients:
        client.send(b"".join(b"%d\n" % number for number in range(20)))
    daemon.wait_service(lambda s: s["waiting"] > 300, "a long line")
    standing = daemon.worker_pids()[0]
    daemon.stop_worker(standing)
    granted = daemon.service()["grants"]
    # What it had taken up stays with it until its deadline, at most both instances for two seconds.
    daemon.wait_service(lambda s: s["grants"] > granted + 40, "the other worker goes on", timeout=5)
    os.kill(standing, signal.SIGCONT)
    # Who goes on finds out and comes back to the line: nobody was forgotten.
    failed = 0
    for client in clients:
        for number, reply in enumerate(client.lines(20)):
            assert reply in (b"%d" % number, b"ERR failed", b"ERR timeout")
            failed += reply.startswith(b"ERR")
    assert failed <= 2, "only what the standing worker had given to an instance"


def test_run_explains_itself():
    done = harness.hostlerd("run", "--help")
    assert done.returncode == 0
    assert "--listen" in done.stdout and "--hostler.workers" in done.stdout
    # behind -- it is the program's own
    done = harness.hostlerd("-t", "run", "--", "/bin/true", "--help")
    assert done.returncode == 0 and "usage" not in done.stdout


def test_a_reply_without_its_newline_is_named(start, folder):
    """Whoever writes all but the newline is not sent looking for a flush."""
    script = folder / "no-newline.sh"
    script.write_text('while read -r line; do printf %s "$line"; done\n')
    daemon = start({"a": pool(f"sh {script}", request_timeout="30s")})
    daemon.connect().send(b"ping\n")
    daemon.wait_log(r"has said 4 bytes .* does it write the newline", timeout=9)
