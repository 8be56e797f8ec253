"""Regressions of defects that attacks on the running daemon brought to light."""

import os
import resource
import signal
import subprocess
import threading
import time

import pytest

import harness
from harness import echo, pool, program


def wait_state(pid, state):
    harness.wait_for(lambda: harness.Process(pid).state == state, f"{pid} in state {state}")


def test_log_without_a_reader(folder):
    """Standard error is a pipe that nobody reads any more: that is no reason to die at the start.

    As root the first line is written before anything else happens.
    """
    config, control = folder / "hostler.conf", folder / "control.sock"
    harness.write_config(config, {"e": echo()}, {"workers": 1, "control": control})
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen([str(harness.HOSTLERD), "-f", str(config)], stderr=writing,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.close(writing)

    def is_serving():
        assert process.poll() is None, f"ended with {process.returncode}"
        try:
            status = harness.Control(control).request("status")
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        return status["state"] == "running" and status

    try:
        status = harness.wait_for(is_serving, "state running", 10)
        address = harness.parse_address(status["services"][0]["listen"][0])
        assert harness.Client(address).ask(b"still here") == b"still here"
        process.terminate()
        assert process.wait(5 * harness.SCALE) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_term_to_a_worker(start):
    """A worker that somebody sends TERM drains and is replaced; it has broken no rule."""
    daemon = start({"e": echo()})
    client = daemon.connect()
    assert client.ask(b"a") == b"a"
    for victim in daemon.worker_pids():
        os.kill(victim, signal.SIGTERM)
        daemon.wait_log(rf"worker \d \(pid {victim}\) ended: exit status 0")
    assert client.rest() == b""  # an orderly end
    daemon.wait_full()
    assert daemon.connect().ask(b"b") == b"b"
    assert not daemon.log_lines("broke the rules|is replaced")


@pytest.mark.slow
def test_master_that_stood_still(start):
    """Who is stopped and goes on has not listened: nobody was silent because of that."""
    daemon = start({"e": echo()}, {"worker_timeout": "1s"})
    client = daemon.connect()
    assert client.ask(b"before") == b"before"
    workers = daemon.worker_pids()
    for _ in range(2):
        # A question is under way when the master is stopped: the worker answers it meanwhile.
        daemon.stop_worker(workers[0])
        wait_state(workers[0], "T")
        time.sleep(0.9)  # pings go out once a second, and worker_timeout is not over yet
        os.kill(daemon.pid, signal.SIGSTOP)
        wait_state(daemon.pid, "T")
        time.sleep(2.2)  # longer than worker_timeout
        os.kill(daemon.pid, signal.SIGCONT)
        os.kill(workers[0], signal.SIGCONT)
        # Answered: the worker lives through the next question as well.
        assert client.ask(b"after") == b"after"
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert daemon.worker_pids() == workers
            time.sleep(0.1)
    assert not daemon.log_lines("is replaced")


def test_no_descriptors_to_start_with(start):
    """Replies of the living do not hurry the starts of those that cannot be started.

    Each failure to start would be a line in the log, as many a second as there are replies.
    """
    daemon = start({"u": pool(program("upper.py"), instances=4, start_rate=1000)})
    address = daemon.address()
    most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    victims = daemon.instance_pids()[2:]
    client = harness.Client(address)
    daemon.clients.append(client)
    assert client.ask(b"a") == b"A"
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (8, most[1]))
    try:
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        deadline, replies = time.monotonic() + 1.5, 0
        while time.monotonic() < deadline:
            assert client.ask(b"b") == b"B"
            replies += 1
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, most)
    failures = daemon.log_lines("cannot be started: cannot make a pipe")
    # At once, then after 0.1 s, 0.2 s, 0.4 s, 0.8 s ...
    assert 2 <= len(failures) <= 8, failures
    assert replies > 20
    daemon.wait_full(timeout=10)
    client.ask(b"c")
    daemon.wait_log("service u: works again")


def test_stop_amid_a_flood(start):
    """A client that sends faster than it is read does not hold up the stop."""
    daemon = start({"e": echo()}, {"shutdown_timeout": "20s"})
    clients = [daemon.connect() for _ in range(4)]
    replies = [0] * len(clients)

    def send(client):
        try:
            while True:
                client.send(b"x\n" * 2000)
        except OSError:
            pass

    def receive(number, client):
        try:
            while client.more():
                replies[number] += client.pending.count(b"\n")
                client.pending = b""
        except OSError:  # the end of what was cut
            pass

    threads = [threading.Thread(target=send, args=(c,)) for c in clients]
    threads += [threading.Thread(target=receive, args=(n, c)) for n, c in enumerate(clients)]
    for thread in threads:
        thread.start()
    harness.wait_for(lambda: min(replies) > 1000, "a flood")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait_exit(5) == 0  # two of them go for reading on until the clients are told
    for thread in threads:
        thread.join(5 * harness.SCALE)
    assert not daemon.log_lines("shutdown_timeout is over")
