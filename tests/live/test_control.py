"""The control socket: what it says, and that nothing said to it does harm."""

import array
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

import harness
from harness import echo, pool, program, wait_for
from swarm import Swarm

SERVICE_KEYS = {
    "name", "protocol", "handler", "listen", "path", "host", "command", "state", "backoff", "connections",
    "max_connections", "waiting", "queue", "grants", "refused", "violations", "rebuilds",
    "counters", "instances"}
INSTANCE_KEYS = {"slot", "incarnation", "pid", "state", "age", "served", "starts", "last_exit",
                 "last_stderr"}
WORKER_KEYS = {"worker", "id", "pid", "state", "age", "connections", "starts", "last_exit"}


def counter_names():
    """Every row of COUNTERS: a new one shows up in the status by itself."""
    header = harness.HERE.parent.parent / "common" / "stats.h"
    counters = header.read_text().split("enum counter {")[0]
    return set(re.findall(r"^\tX\((\w+), \"", counters, re.MULTILINE))


def test_status(start):
    daemon = start({"up": pool(program("upper.py"), instances=3, queue=77),
                    "echo": echo(protocol="frame")})
    clients = [daemon.connect("up") for _ in range(4)]
    for client in clients:
        assert client.ask(b"hello") == b"HELLO"
    status = daemon.status()
    assert set(status) >= {"ok", "version", "pid", "uptime", "state", "file", "control",
                           "services", "workers", "guardian"}
    assert status["state"] == "running" and status["pid"] == daemon.pid
    assert status["control"] == str(daemon.control_path) and status["file"].endswith(".conf")
    assert 0 < status["uptime"] < 60
    up, other = status["services"]
    assert set(up) >= SERVICE_KEYS and set(other) >= SERVICE_KEYS
    assert (up["name"], up["protocol"], up["handler"]) == ("up", "line", "program")
    assert (other["name"], other["protocol"], other["handler"]) == ("echo", "frame", "echo")
    assert "upper.py" in up["command"] and other["command"] is None
    assert (up["state"], up["queue"], up["connections"], up["grants"]) == ("ready", 77, 4, 4)
    assert set(up["counters"]) == set(other["counters"]) == counter_names()
    assert up["counters"]["replies"] == 4 and up["counters"]["accepted"] == 4
    assert other["instances"] == [] and len(up["instances"]) == 3
    for slot, instance in enumerate(up["instances"]):
        assert set(instance) >= INSTANCE_KEYS
        assert (instance["slot"], instance["incarnation"], instance["starts"]) == (slot, 1, 1)
        assert instance["state"] == "idle" and harness.exists(instance["pid"])
        assert instance["last_exit"] is None and instance["last_stderr"] is None
    assert sum(instance["served"] for instance in up["instances"]) == 4
    for place, worker in enumerate(status["workers"]):
        assert set(worker) >= WORKER_KEYS
        assert (worker["worker"], worker["state"], worker["starts"]) == (place, "ready", 1)
        assert harness.Process(worker["pid"]).parent == daemon.pid
    assert sum(worker["connections"] for worker in status["workers"]) == 4
    assert harness.Process(status["guardian"]["pid"]).parent == daemon.pid


def test_several_requests_of_one_connection(start):
    daemon = start({"a": echo()})
    control = harness.Control(daemon.control_path)
    control.client.send(b'{"command":"status"}\n{"command":"nonsense"}\n{"command":"status"}\n')
    replies = [json.loads(control.client.line()) for _ in range(3)]
    assert [reply["ok"] for reply in replies] == [True, False, True]
    assert "nonsense" in replies[1]["error"]
    control.close()


def test_a_trace(start):
    daemon = start({"up": pool(program("upper.py"))})
    client = daemon.connect()
    for _ in range(3):
        client.ask(b"hello")
    grants = daemon.trace("up")
    assert [set(grant) for grant in grants] == [
        {"arrival", "time", "slot", "incarnation", "worker", "again"}] * 3
    assert [grant["slot"] for grant in grants] == [0, 0, 0]


def test_its_mode(start):
    daemon = start({"a": echo()})
    assert stat.S_IMODE(os.stat(daemon.control_path).st_mode) == 0o660


@pytest.fixture
def besieged(start):
    """A daemon whose programs are asked all the while; afterwards it must be as before."""
    daemon = start({"up": pool(program("upper.py"), instances=2)})
    swarm = Swarm(daemon.address(), clients=8)
    swarm.start()
    swarm.wait_round()
    before = len(harness.descriptors(daemon.pid))
    pids = daemon.pid, *daemon.worker_pids(), *daemon.instance_pids()
    yield daemon
    swarm.wait_round()
    swarm.finish().check_clean()
    assert swarm.percentile(0.99) < 0.25 * harness.SCALE and max(swarm.waits) < 1.0 * harness.SCALE
    assert pids == (daemon.pid, *daemon.worker_pids(), *daemon.instance_pids()), "none was replaced"
    wait_for(lambda: len(harness.descriptors(daemon.pid)) <= before, "the descriptors given back")


class Besieger(threading.Thread):
    """Opens silent connections as fast as it can, and keeps the newest thousand."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.over, self.kept, self.count = str(path), threading.Event(), [], 0

    def run(self):
        while not self.over.is_set():
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(1.0)
            try:
                client.connect(self.path)
                self.count += 1
            except (BlockingIOError, socket.timeout, ConnectionError):
                pass  # a full backlog is an honest bound
            self.kept.append(client)
            if len(self.kept) > 1000:
                self.kept.pop(0).close()
        for client in self.kept:
            client.close()


def test_silent_connections(besieged):
    """Thousands that say nothing, and somebody with a question gets an answer each time."""
    siege = Besieger(besieged.control_path)
    siege.start()
    wait_for(lambda: siege.count > 1000, "a thousand silent connections", 20)
    answered = 0
    while answered < 30 or siege.count < 3000:
        begun = time.monotonic()
        done = subprocess.run(
            [harness.BUILD / "hostlerctl", "services", "--socket", besieged.control_path],
            capture_output=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, b"")
        assert time.monotonic() - begun < 2.0 * harness.SCALE
        answered += 1
    assert len([fd for fd in harness.descriptors(besieged.pid).values()
                if fd.startswith("socket:")]) < 100
    siege.over.set()
    siege.join(20)


def test_waiting_is_not_displaced(start):
    """A question that is being answered keeps its place among many silent newcomers."""
    daemon = start({"a": echo()})
    stopped = daemon.worker_pids()[0]
    daemon.stop_worker(stopped)
    siege = Besieger(daemon.control_path)
    siege.start()
    wait_for(lambda: siege.count > 200, "a siege", 20)
    try:
        reply = daemon.request("connections")
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert reply["ok"] and [worker["pid"] for worker in reply["missing"]] == [stopped]
    siege.over.set()
    siege.join(20)


def test_input_without_a_newline(besieged):
    client = harness.Client(str(besieged.control_path))
    sent = 0
    try:
        while sent < 10 << 20:
            sent += client.socket.send(b"x" * 65536)
    except (ConnectionError, socket.timeout):
        pass
    assert sent < 10 << 20, "it was cut before"
    if not harness.SANITIZED:
        assert harness.resident_bytes(besieged.pid) < 64 << 20
    client.close()
    assert besieged.status()["ok"]


@pytest.mark.parametrize("text", [
    b'{"command":', b"{", b'{"command":"status"}', b"\0", b"", b'"status"\n', b"[]\n", b"null\n",
    b"\n\n\n", b"{}\n", b'{"command":5}\n', b'{"command":null}\n', b'{"command":"status"\n',
    b'{"command":"\xff\xfe"}\n', b'{"command":"a\\u0000b"}\n', b"GET / HTTP/1.1\r\n\r\n",
    b'{"command":"status","command":"trace"}\n', b"{" * 1000 + b"\n", b"[" * 30000 + b"\n",
    b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n", b'{"command":"' + b"x" * 60000 + b'"}\n',
    b'{"command":"status","x":1e999999}\n', b'{"command":"status"}garbage\n',
], ids=lambda text: re.sub(r"\W+", "-", text[:24].decode("latin-1")).strip("-") or "blank")
def test_odd_words(start, text):
    """Every whole line gets exactly one answer, and the daemon stays what it was."""
    daemon = start({"a": echo()})
    client = harness.Client(str(daemon.control_path))
    reply = b""
    try:
        client.send(text).finish_sending()
        reply = client.rest()
    except ConnectionError:
        pass
    answers = [json.loads(line) for line in reply.splitlines()]
    assert all(answer["ok"] is True or isinstance(answer["error"], str) for answer in answers)
    if text.startswith((b'{"command":5', b"[]", b"{}", b"null", b'{"command":null', b"GET")):
        assert answers and not answers[0]["ok"], "an error, in words"
    client.close()
    assert daemon.status()["ok"]
    assert daemon.connect().ask(b"hello") == b"hello"
    assert "\\x00" not in daemon.log() or "error" not in daemon.log()


def test_half_a_command_and_gone(besieged):
    for number in range(200):
        client = harness.Client(str(besieged.control_path))
        client.send(b'{"command":"status"}\n' * 3 + b'{"comm')
        client.close()  # without reading the replies
    assert besieged.status()["ok"]


def test_one_who_never_reads(besieged):
    """Replies pile up only to a bound."""
    client = harness.Client(str(besieged.control_path))
    client.socket.settimeout(0.5)
    sent = 0
    try:
        while sent < 4 << 20:
            sent += client.socket.send(b'{"command":"status"}\n' * 500)
    except (ConnectionError, socket.timeout):
        pass
    if not harness.SANITIZED:
        assert harness.resident_bytes(besieged.pid) < 64 << 20
    assert besieged.status()["ok"]
    client.close()


def test_descriptors_in_messages(besieged):
    """What nobody asked for does not stay open."""
    before = len(harness.descriptors(besieged.pid))
    client = harness.Client(str(besieged.control_path))
    with open("/dev/null") as null:
        fds = array.array("i", [null.fileno()] * 100).tobytes()
        for _ in range(20):
            client.socket.sendmsg([b'{"command":"status"}\n'],
                                  [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            assert json.loads(client.line())["ok"]
    assert len(harness.descriptors(besieged.pid)) <= before + 1
    client.close()


ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
try:
    s.connect(sys.argv[1])
    s.sendall(b'{"command":"status"}\\n')
    print(s.recv(65536).decode(), end='')
except OSError as error:
    print('refused', error)
"""


def test_another_user_is_refused(besieged, root):
    """By the mode of the file, and by the peer's credentials where the mode was changed."""
    ask = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", sys.executable, "-IS",
           "-c", ASK, str(besieged.control_path)]
    first = subprocess.run(ask, stdout=subprocess.PIPE, text=True, check=True)
    assert first.stdout.startswith("refused"), first
    os.chmod(besieged.control_path, 0o777)
    second = subprocess.run(ask, stdout=subprocess.PIPE, text=True, check=True)
    assert '"services"' not in second.stdout, second
    assert '"ok":true' not in second.stdout.replace(" ", ""), second
    assert besieged.status()["ok"], "root may still ask"


# ---- orders ----


def test_stop_answers_and_drains(start):
    """The reply says what was begun; what is under way is finished."""
    daemon = start({"up": pool(program("upper.py"), instances=1)})
    client = daemon.connect()
    assert client.ask(b"a") == b"A"
    daemon.check_violations()
    reply = daemon.request("stop")
    assert reply == {"ok": True, "quick": False, "connections": 1, "timeout": 5.0}
    assert daemon.wait_exit() == 0
    assert daemon.log_lines("stopping: hostlerctl stop; draining")
    assert client.rest() == b""


def test_stop_quick(start):
    daemon = start({"up": pool("sleep 1000", instances=2, stop_timeout="60s")})
    reply = daemon.request("stop", quick=True)
    assert (reply["ok"], reply["quick"], reply["timeout"]) == (True, True, 0.0)
    assert daemon.wait_exit(2) == 0


def test_second_stop_is_quick(start):
    """As with TERM."""
    daemon = start({"up": pool("sleep 1000", instances=1, stop_timeout="60s")})
    client = daemon.connect()
    client.send(b"a\n")
    daemon.wait_full("busy")
    daemon.wait_service(lambda service: service["instances"][0]["state"] == "busy", "busy")
    assert daemon.request("stop")["quick"] is False
    assert daemon.status()["state"] == "stopping"
    assert daemon.request("stop")["quick"] is True
    assert daemon.wait_exit(2) == 0


@pytest.mark.parametrize("keys, error", [
    ({"quick": 1}, '"quick" must be true or false'), ({"quick": None}, '"quick" must be'),
    ({"fast": True}, 'unknown key "fast"')])
def test_wrong_arguments(start, keys, error):
    daemon = start({"a": echo()})
    reply = daemon.request("stop", **keys)
    assert reply["ok"] is False and error in reply["error"]
    assert daemon.status()["state"] == "running"
