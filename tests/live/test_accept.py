"""Who is woken for a new connection, who takes it, and that nobody who sleeps or is ill keeps it."""

import contextlib
import os
import resource
import signal
import subprocess
import time

import pytest

import harness
from harness import echo

WORKERS = 8
CONNECTIONS = 200


def sleeps(pids):
    """How often the processes went to sleep of their own accord: once for each time they woke."""
    return sum(int(harness.status_field(pid, "voluntary_ctxt_switches")[0]) for pid in pids)


def asked_one_by_one(daemon, count):
    for number in range(count):
        with contextlib.closing(harness.Client(daemon.address())) as client:
            assert client.ask(b"%d" % number) == b"%d" % number


def connections(daemon):
    return [worker["connections"] for worker in daemon.status()["workers"]]


@pytest.mark.skipif(harness.BACKEND not in ("auto", "epoll"), reason="only epoll can")
def test_a_connection_wakes_one_worker(start):
    daemon = start({"a": echo()}, {"workers": WORKERS})
    pids, address = daemon.worker_pids(), daemon.address()
    began, before = time.monotonic(), sleeps(pids)
    for number in range(CONNECTIONS):
        with contextlib.closing(harness.Client(address)) as client:
            assert client.ask(b"%d" % number) == b"%d" % number
    took = time.monotonic() - began
    # Beside connections: five ticks a second, a ping, what was closed before.
    woken = sleeps(pids) - before - 10 * WORKERS * (took + 1)
    # One is woken to accept, to read and to close; if all were, it would be 8 and 2.
    assert woken < 5 * CONNECTIONS, woken / CONNECTIONS


@pytest.mark.alone
@pytest.mark.parametrize("workers", [2, 4])
def test_kept_connections_are_shared(start, workers):
    daemon = start({"a": echo()}, {"workers": workers})
    address = daemon.address()
    for _ in range(20 * workers):
        clients = [harness.Client(address) for _ in range(5)]
        daemon.clients += clients
        for client in clients:
            client.send(b"hello\n")
        # Each worker gets a moment to run, on a busy machine too.
        assert [client.line() for client in clients] == [b"hello"] * len(clients)
    found = connections(daemon)
    assert sum(found) == 100 * workers
    # About 110; whoever the system lets sleep for long gets fewer.
    assert max(found) < 170, found


def test_who_stands_still_keeps_nobody_waiting(start):
    daemon = start({"a": echo()}, {"workers": 4, "worker_timeout": "30s"})
    stopped = daemon.worker_pids()[1:]
    daemon.workers_stand_still = True
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        asked_one_by_one(daemon, 40)
        assert time.monotonic() - began < 5 * harness.SCALE
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_a_full_service_holds_up_no_other(start):
    """The one is looked at again in a while, whoever stands back from the other much sooner."""
    daemon = start({"full": echo(max_connections=1), "a": echo()},
                   {"workers": 2, "worker_timeout": "30s"})
    assert daemon.connect("full").ask(b"in") == b"in"
    daemon.connect("full")  # waits outside
    stopped = daemon.worker_pids()[1]
    daemon.stop_worker(stopped)  # so the other one has more than its share, and stands back
    try:
        began = time.monotonic()
        for _ in range(200):
            assert daemon.connect("a").ask(b"at once") == b"at once"
        assert time.monotonic() - began < harness.SCALE
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_who_has_no_descriptors_keeps_nobody_waiting(start):
    """The one that is woken cannot accept: then another one must, although it was not woken."""
    # A worker of another user would not let us.
    user = {"user": "root"} if os.geteuid() == 0 else {}
    daemon = start({"a": echo()}, {"workers": 2, **user})
    first = daemon.connect()
    assert first.ask(b"first") == b"first"
    poor = next(w["pid"] for w in daemon.status()["workers"] if w["connections"])
    used = harness.descriptors(poor)
    free = next(number for number in range(len(used) + 1) if number not in used)
    try:
        hard = resource.prlimit(poor, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(poor, resource.RLIMIT_NOFILE, (free, hard))
    except PermissionError:
        pytest.skip("may not change the limit of a worker")
    # One alone: the next would wake the other worker, which would find both.
    assert daemon.connect(timeout=2.0).ask(b"later") == b"later"
    assert first.ask(b"again") == b"again"


def test_reloads_drop_nobody_who_connects(start):
    """An old worker may have been woken for a connection in the moment in which it stops."""
    daemon = start({"a": echo()}, {"workers": 4})
    load = harness.BUILD / "hostler-load"
    if not load.exists():
        pytest.skip("hostler-load is not built")
    run = subprocess.Popen(
        [str(load), "run", "%s:%d" % daemon.address(), "--per-request", "--connections", "2",
         "--duration", "2s", "--timeout", "10s"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for number in range(5):
        daemon.configure({"a": {"pipeline": 8 + number}})
        daemon.reloaded()
    out, err = run.communicate(timeout=60 * harness.SCALE)
    assert run.returncode == 0, out + err
