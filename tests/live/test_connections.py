"""hostlerctl connections: the workers' own account, whatever state they and their clients are in."""

import os
import signal
import threading
import time

import pytest

import harness
from harness import echo, pool, program, wait_for


def listing(daemon):
    reply = daemon.request("connections")
    assert reply["ok"], reply
    return reply


def row_of(daemon, client):
    """The row of this client, or None."""
    name = client.socket.getsockname()
    rows = [row for row in listing(daemon)["connections"]
            if row["peer"] == f"{name[0]}:{name[1]}"]
    assert len(rows) <= 1
    return rows[0] if rows else None


def wait_state(daemon, client, state):
    return wait_for(lambda: (row := row_of(daemon, client)) and row["state"] == state and row,
                    f"state {state}")


def test_states(start):
    """One client in each state, and what is counted of it."""
    daemon = start({"up": pool("sleep 1000", instances=1, stop_timeout="1s"),
                    "echo": echo(max_message="1M", high_water="64K")})
    idle, reading, running, waiting = (daemon.connect("up") for _ in range(4))
    reading.send(b"half a message")
    running.send(b"first\n")
    wait_state(daemon, running, "running")
    waiting.send(b"one\ntwo\n")
    row = wait_state(daemon, waiting, "waiting")
    assert (row["service"], row["requests"], row["under_way"]) == ("up", 2, 2)
    assert wait_state(daemon, idle, "idle")["requests"] == 0
    assert wait_state(daemon, reading, "reading")["in"] == len(b"half a message")
    writing = daemon.connect("echo")
    thread = threading.Thread(target=flood, args=(writing,), daemon=True)
    thread.start()
    row = wait_state(daemon, writing, "writing")
    assert row["out"] > 0 and row["requests"] > 0
    writing.reset()
    thread.join(10)
    daemon.request("stop", quick=True)
    assert daemon.wait_exit() == 0


def flood(client):
    try:
        for _ in range(200):
            client.send(b"x" * 100000 + b"\n")
    except OSError:
        pass  # it is closed in the middle


def test_draining(start):
    daemon = start({"up": pool(program("slow.py", "1000"), instances=1)})
    client = daemon.connect()
    client.send(b"a\n")
    wait_state(daemon, client, "running")
    daemon.request("stop")
    wait_state(daemon, client, "draining")
    daemon.request("stop", quick=True)
    assert daemon.wait_exit() == 0


def test_requests_and_age(start):
    daemon = start({"echo": echo(), "other": echo()}, {"workers": 1})
    old = daemon.connect("other")
    old.ask(b"a")
    wait_for(lambda: row_of(daemon, old)["age"] >= 1, "a second's age")
    new = daemon.connect("echo")
    for number in range(5):
        new.ask(b"%d" % number)
    assert (row_of(daemon, old)["requests"], row_of(daemon, new)["requests"]) == (1, 5)
    assert row_of(daemon, new)["age"] == 0
    # The oldest first, in whatever service.
    assert [row["service"] for row in listing(daemon)["connections"]] == ["other", "echo"]


def test_unix_and_ipv6_peers(start, folder):
    daemon = start({"echo": echo(listen=f"unix:{folder}/e.sock")})
    client = daemon.connect()
    assert client.ask(b"a") == b"a"
    assert [row["peer"] for row in listing(daemon)["connections"]] == ["unix:"]


def test_no_more_than_a_thousand(start):
    """The oldest are shown, the total is told, and the master is not held up."""
    daemon = start({"echo": echo()}, {"workers": 1})
    clients = [harness.Client(daemon.address()) for _ in range(1200)]
    for client in clients:
        assert client.ask(b"x") == b"x"
    reply = listing(daemon)
    assert (reply["total"], reply["shown"], len(reply["connections"])) == (1200, 1000, 1000)
    ports = {row["peer"] for row in reply["connections"]}
    assert f"127.0.0.1:{clients[0].socket.getsockname()[1]}" in ports
    for client in clients:
        client.close()


def test_a_worker_that_stands_still(start):
    """It is named after a second; the others are listed, and the service goes on."""
    daemon = start({"echo": echo()})
    clients = [daemon.connect() for _ in range(8)]
    for client in clients:
        client.ask(b"a")
    first, second = daemon.worker_pids()
    daemon.stop_worker(first)
    begun = time.monotonic()
    reply = listing(daemon)
    assert 0.9 < time.monotonic() - begun < 3.0 * harness.SCALE
    assert [missing["pid"] for missing in reply["missing"]] == [first]
    assert all(row["worker"] == 1 for row in reply["connections"])
    os.kill(first, signal.SIGCONT)
    # What it still says of that listing is too late, and no mistake of its own.
    wait_for(lambda: not listing(daemon)["missing"], "both workers' answers")
    assert daemon.worker_pids() == [first, second]


def test_a_worker_that_dies_meanwhile(start):
    """Nobody waits for the dead."""
    daemon = start({"echo": echo()})
    victim = daemon.worker_pids()[0]
    daemon.stop_worker(victim)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(listing(daemon)))
    thread.start()
    os.kill(victim, signal.SIGKILL)
    thread.join(5)
    assert answers and all(missing["pid"] != victim for missing in answers[0]["missing"]) or \
        answers[0]["missing"] == [], answers
    daemon.wait_full()


def test_many_at_once(start):
    """Each asker gets a list that was begun after its question."""
    daemon = start({"echo": echo()})
    failures = []

    def ask(number):
        try:
            for _ in range(10):
                client = harness.Client(daemon.address())
                client.ask(b"x")
                assert row_of(daemon, client), "the connection that was made before"
                client.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures


def test_asker_that_leaves(start):
    """A client that goes while the workers are asked costs nothing."""
    daemon = start({"echo": echo()})
    before = len(harness.descriptors(daemon.pid))
    victim = daemon.worker_pids()[0]
    daemon.stop_worker(victim)
    for _ in range(20):
        control = harness.Control(daemon.control_path)
        control.client.send(b'{"command":"connections"}\n')
        control.close()
    assert listing(daemon)["ok"]
    os.kill(victim, signal.SIGCONT)
    wait_for(lambda: len(harness.descriptors(daemon.pid)) <= before, "the descriptors given back")


# ---- the level of the log ----


def test_verbose_reaches_everybody_until_a_reload(start):
    daemon = start({"echo": echo()})
    assert daemon.request("verbose") == {"ok": True, "level": "debug", "was": "info"}
    # Closing a connection is told at the level debug, by the worker that has it.
    # Several at once are shared out; one after the other may all be one worker's.
    wait_for(lambda: ([daemon.connect().ask(b"a") for _ in range(8)],
                      [c.close() for c in daemon.clients],
                      {line.split("worker ")[1][0] for line in
                       daemon.log_lines(r"debug worker \d: .*closed")} == {"0", "1"})[-1],
             "debug lines of both workers", 20)


def test_verbose_of_a_new_worker(start):
    """One that is started later has the level, too."""
    daemon = start({"echo": echo()}, {"workers": 1})
    daemon.request("verbose")
    victim = daemon.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    daemon.wait_status(lambda status: status["workers"][0]["pid"] not in (None, victim) and
                       status["workers"][0]["state"] == "ready", "another worker")
    daemon.connect().ask(b"a")
    daemon.clients[-1].close()
    daemon.wait_log(r"debug worker 0: .*closed")


@pytest.mark.parametrize("keys", [{"level": "loud"}, {"level": 3}, {"level": ""}])
def test_verbose_refuses(start, keys):
    daemon = start({"echo": echo()})
    reply = daemon.request("verbose", **keys)
    assert not reply["ok"] and '"level"' in reply["error"]


def test_a_reload_ends_verbose(start):
    """Even one that finds nothing changed; it has the level of before."""
    daemon = start({"echo": echo()}, {"log_level": "warn"})
    assert daemon.request("verbose")["was"] == "warn"
    assert daemon.request("verbose", level="info")["was"] == "debug"
    assert daemon.request("reload")["ok"]
    assert daemon.request("verbose")["was"] == "warn"


def test_reopen(start, folder):
    """As USR1; what cannot be opened is told."""
    own = folder / "own"
    own.mkdir()
    log = own / "own.log"
    daemon = start({"echo": echo()}, {"log": log})
    log.rename(own / "old.log")
    assert daemon.request("reopen") == {"ok": True}
    wait_for(lambda: log.exists() and "reopened" in log.read_text(), "a new file")
    log.unlink()
    log.mkdir()
    reply = daemon.request("reopen")
    assert not reply["ok"] and str(log) in reply["error"]
    log.rmdir()
