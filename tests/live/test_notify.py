"""What systemd is told, by a datagram socket in its place; test_systemd.py has the real one."""

import os
import re
import signal
import socket
import time

import pytest

import harness
from harness import echo, pool, program


class Ear:
    """Where systemd would listen."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(5 * harness.SCALE)

    def hear(self):
        """The next datagram, as a dictionary."""
        text = self.socket.recv(8192).decode()
        return dict(line.split("=", 1) for line in text.split("\n"))

    def hear_until(self, name):
        """Everything up to a datagram with that name, which is the last."""
        heard = [self.hear()]
        while name not in heard[-1]:
            heard.append(self.hear())
        return heard

    def heard_already(self):
        self.socket.setblocking(False)
        heard = []
        try:
            while True:
                heard.append(self.hear())
        except BlockingIOError:
            return heard
        finally:
            self.socket.settimeout(5 * harness.SCALE)

    def is_silent(self, seconds):
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(8192)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5 * harness.SCALE)


@pytest.fixture
def ear(folder):
    ear = Ear(str(folder / "notify"))
    yield ear
    ear.socket.close()


def test_ready_means_that_all_workers_are(start, folder, ear):
    daemon = start({"up": pool(program("upper.py")), "e": echo()}, wait=None,
                   env={"NOTIFY_SOCKET": str(folder / "notify")})
    heard = ear.hear_until("READY")
    status = daemon.status()  # now, without waiting
    assert status["state"] == "running"
    assert [w["state"] for w in status["workers"]] == ["ready", "ready"]
    assert heard[0] == {"STATUS": "starting"}
    assert heard[-1] == {"READY": "1", "MAINPID": str(daemon.pid),
                         "STATUS": "2 workers, 2 services, 0 connections"}


@pytest.mark.slow  # they are looked at every five seconds
def test_figures_follow_when_they_change(start, folder, ear):
    daemon = start({"e": echo(), "bad": pool("/bin/false"), "up": pool(program("upper.py"))},
                   wait="running", env={"NOTIFY_SOCKET": str(folder / "notify")})
    ready = ear.hear_until("READY")[-1]["STATUS"]
    assert ready.startswith("2 workers, 3 services, 0 connections")
    daemon.connect("e").ask(b"x")
    daemon.wait_log("bad: its instances die one after another")
    ear.socket.settimeout(10 * harness.SCALE)
    assert ear.hear() == {"STATUS": "2 workers, 3 services, 1 connection; crash loop: bad"}
    assert not ear.heard_already()


def test_the_end_says_how_long_it_may_take(start, folder, ear):
    daemon = start({"up": pool(program("slow.py", "0.5"))}, {"shutdown_timeout": "7s"},
                   env={"NOTIFY_SOCKET": str(folder / "notify")})
    ear.hear_until("READY")
    client = daemon.connect()
    client.send(b"x\n")  # under way
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a request under way")
    daemon.stop()
    heard = ear.heard_already()
    stopping = next(h for h in heard if "STOPPING" in h)
    assert 7e6 < int(stopping["EXTEND_TIMEOUT_USEC"]) < 15e6
    texts = [h["STATUS"] for h in heard[heard.index(stopping):]]
    assert texts == ["stopping: draining", "stopping: programs end"]
    assert heard[-1] == {"STATUS": "stopping: programs end"}, "something came after the end"
    assert client.line() == b"x"


def test_the_watchdog_is_fed_by_a_master_that_turns(start, folder, ear):
    """Clients keep workers and master busy; a master that stands still says nothing."""
    daemon = start({"e": echo()}, {"worker_timeout": "60s"},
                   env={"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "400000"})
    ear.hear_until("READY")
    beats = []
    client = daemon.connect()
    while len(beats) < 10:
        client.ask(b"x")
        if "WATCHDOG" in ear.hear_until("WATCHDOG")[-1]:
            beats.append(time.monotonic())
    gaps = [b - a for a, b in zip(beats, beats[1:])]
    assert max(gaps) < 0.4 * harness.SCALE, gaps
    assert sum(gaps) / len(gaps) > 0.15, f"far more often than needed: {gaps}"
    os.kill(daemon.pid, signal.SIGSTOP)
    ear.heard_already()
    assert ear.is_silent(0.6)
    os.kill(daemon.pid, signal.SIGCONT)
    assert ear.hear() == {"WATCHDOG": "1"}


def test_another_process_has_the_watchdog(start, folder, ear):
    start({"e": echo()}, env={"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "100000",
                              "WATCHDOG_PID": "1"})
    assert not any("WATCHDOG" in h for h in ear.hear_until("READY"))
    assert ear.is_silent(0.5)


def test_children_know_nothing_of_it(start, folder, ear):
    daemon = start({"env": pool("sh -c 'while read l; do env | sort | tr \"\\n\" \" \"; echo; done'")},
                   env={"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "60000000"})
    assert not re.search(rb"NOTIFY|WATCHDOG", daemon.connect().ask(b"x"))
    for pid in daemon.worker_pids():
        assert not any("NOTIFY" in path for path in harness.descriptors(pid).values())


@pytest.mark.parametrize("address", ["/nowhere/at/all", "@hostler-nobody", "nonsense", "/"])
def test_nobody_listens(start, address):
    daemon = start({"e": echo()}, env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000"})
    assert daemon.connect().ask(b"x") == b"x"
    assert len(daemon.log_lines("NOTIFY_SOCKET")) == 1
