"""Starts the real hostlerd, asks it what it is doing, and makes sure that nothing is left of it.

A test never sleeps a guessed time: it waits for a condition with a deadline. Addresses come from
the status reply, so every service listens on port 0 and tests can run side by side.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", HERE.parent.parent / "build")).resolve()
HOSTLERD = BUILD / "hostlerd"

SANITIZER_WORDS = re.compile(
    r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:")


def is_sanitized():
    """Whether hostlerd was built with a sanitizer: such a build is slower and larger."""
    try:
        return b"__asan_init" in HOSTLERD.read_bytes()
    except OSError:
        return False


SANITIZED = is_sanitized()
# The event_backend of every daemon that does not name one itself.
BACKEND = os.environ.get("HOSTLER_BACKEND", "auto")
SCALE = float(os.environ.get("HOSTLER_TIMEOUT_SCALE", "3" if SANITIZED else "1"))


def left_out():
    """The protocols and handlers that this build is without (configure --disable-http)."""
    try:
        told = subprocess.run([HOSTLERD, "-V"], capture_output=True, text=True, timeout=10 * SCALE)
    except OSError:
        return []
    built = dict(line.split(": ", 1) for line in told.stdout.splitlines() if ": " in line)
    return [f"{key} = {name}" for key, names in (("protocol", ["http", "websocket"]),
                                                 ("handler", ["static", "status"]))
            for name in names if name not in built[f"{key}s"].split()]


LEFT_OUT = left_out()


def need(*texts):
    """Skips the test if one of the texts, of a configuration or a command line, asks for what this
    build is without."""
    for text in texts:
        for left in LEFT_OUT:
            key, name = left.split(" = ")
            if re.search(rf"^{key}\s*=\s*{name}\b|^--({name}|{key}[= ]{name})\b", text, re.MULTILINE):
                pytest.skip(f"this hostlerd was built without {left}")


def need_of(arguments):
    """need() for the arguments of hostlerd: what they say, and the file that they name."""
    words = [str(argument) for argument in arguments]
    own = words[:words.index("--")] if "--" in words else words
    need(*own, " ".join(own).replace(" --", "\n--"))
    for option, path in zip(own, own[1:]):
        if LEFT_OUT and option == "-f" and os.path.isfile(path):
            need(pathlib.Path(path).read_text(errors="replace"))


def make(target):
    """Builds something that only tests need, once however many ask."""
    if not (BUILD / "Makefile").exists():
        pytest.skip(f"no Makefile in {BUILD}")
    # What a `make check` around this hands down is not meant for another make.
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("MAKE", "MFLAGS"))}
    with open(BUILD / "tests/bench.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-C", BUILD, target], env=env,
                              capture_output=True, text=True, timeout=60 * SCALE)
    assert done.returncode == 0, done.stdout + done.stderr


def bench_programs():
    """The folder with the small programs of tests/bench, which are built if need be."""
    make("bench-programs")
    return BUILD / "tests/bench"


def odd_hostlerd(folder, name):
    """A hostlerd that has what the name says odd about it: see odd_hostlerd.c."""
    make("tests/live/odd_hostlerd")
    path = folder / name
    shutil.copy(BUILD / "tests/live/odd_hostlerd", path)
    path.chmod(0o755)
    return path


def wait_for(condition, what, timeout=5.0):
    """Asks again and again until condition() is true; returns what it returned."""
    deadline = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout * SCALE:g} s in vain for: {what}"
        time.sleep(0.01)


# ---- processes ----


class Process:
    """One row of the process table."""

    def __init__(self, pid):
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
        name, rest = text[text.index("(") + 1:].rsplit(")", 1)
        fields = rest.split()
        self.pid, self.name, self.state = pid, name, fields[0]
        self.parent, self.group, self.session = (int(field) for field in fields[1:4])

    def __repr__(self):
        return f"{self.name}[{self.pid}, parent {self.parent}, group {self.group}, {self.state}]"


def processes():
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            # It may have ended since the folder was listed.
            with contextlib.suppress(OSError, ValueError):
                found.append(Process(int(entry)))
    return found


def descendants(pid):
    """All processes below `pid`, zombies too."""
    table, found, front = processes(), [], {pid}
    while front:
        front = {p.pid for p in table if p.parent in front}
        found += [p for p in table if p.pid in front]
    return found


def exists(pid):
    """Whether the process lives; a zombie does not."""
    try:
        return Process(pid).state not in "ZX"
    except OSError:
        return False


def descriptors(pid):
    """What the open descriptors of a process point to, by number."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
    return found


def status_field(pid, field):
    """A line of /proc/PID/status, split into words."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, value = line.split(":", 1)
        if name == field:
            return value.split()
    raise KeyError(field)


def resident_bytes(pid):
    return int(status_field(pid, "VmRSS")[0]) * 1024


# ---- configuration ----


def program(name, *arguments):
    """The command line of one of our own programs."""
    words = [PROGRAMS / name, *arguments]
    if name.endswith(".py"):
        words = [sys.executable, "-IS", *words]  # without site packages it starts twice as fast
    return " ".join(shlex.quote(str(word)) for word in words)


def write_config(path, services, hostler):
    lines = ["[hostler]"]
    lines += [f"{key} = {value}" for key, value in hostler.items()]
    for name, keys in services.items():
        lines += ["", f"[service {name}]"]
        lines += [f"{key} = {value}" for key, value in keys.items()]
    need(*lines)
    path.write_text("\n".join(lines) + "\n")


def echo(**keys):
    return {"listen": "127.0.0.1:0", "protocol": "line", "handler": "echo", **keys}


def pool(command, **keys):
    """A service of handler program, quick to start and to stop."""
    return {"listen": "127.0.0.1:0", "protocol": "line", "handler": "program", "command": command,
            "instances": 1, "start_rate": 100, "stop_timeout": "1s", **keys}


# ---- clients ----


def frame(payload):
    return struct.pack(">I", len(payload)) + payload


class Client:
    """A plain socket on which every wait has a deadline."""

    def __init__(self, address, timeout=5.0):
        self.timeout = timeout * SCALE
        self.pending = b""
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(self.timeout)
        # A full backlog: TCP waits by itself, a unix socket says so at once.
        wait_for(lambda: self.connected(address), f"room to connect to {address}", timeout)

    def connected(self, address):
        try:
            self.socket.connect(address)
        except BlockingIOError:
            return False
        return True

    def send(self, data):
        self.socket.sendall(data)
        return self

    def more(self):
        """Receives what is there; False at the end of the stream. A reset raises."""
        data = self.socket.recv(1 << 18)
        self.pending += data
        return bool(data)

    def take(self, length):
        while len(self.pending) < length:
            assert self.more(), f"closed after {self.pending[:200]!r}, wanted {length} bytes"
        data, self.pending = self.pending[:length], self.pending[length:]
        return data

    def line(self):
        """One reply line without its LF."""
        while b"\n" not in self.pending:
            assert self.more(), f"closed after {self.pending[:200]!r}, wanted a line"
        line, self.pending = self.pending.split(b"\n", 1)
        return line

    def lines(self, count):
        return [self.line() for _ in range(count)]

    def frame(self):
        return self.take(struct.unpack(">I", self.take(4))[0])

    def ask(self, text):
        """Sends a line and returns the reply line."""
        return self.send(text + b"\n").line()

    def rest(self):
        """Everything until the orderly end of the stream."""
        while self.more():
            pass
        data, self.pending = self.pending, b""
        return data

    def is_silent(self, seconds):
        """Whether nothing at all arrives for this long."""
        self.socket.settimeout(seconds)
        try:
            return not self.pending and not self.more()
        except socket.timeout:
            return True
        finally:
            self.socket.settimeout(self.timeout)

    def is_ended(self):
        """Waits for the end of the stream, orderly or by a reset, and drops what comes before."""
        try:
            self.rest()
        except ConnectionError:
            pass
        return True

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Leaves at once: the other side sees a reset, not an end of the stream."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()


def parse_address(text):
    """The address of a status reply as socket.connect() wants it."""
    if text.startswith("unix:"):
        return text[len("unix:"):]
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Control:
    """A connection to the control socket: a JSON object a line each way."""

    def __init__(self, path, timeout=5.0):
        self.client = Client(str(path), timeout)

    def request(self, command, **keys):
        self.client.send(json.dumps({"command": command, **keys}).encode() + b"\n")
        return json.loads(self.client.line())

    def close(self):
        self.client.close()


# ---- the daemon ----


class Daemon:
    """One running hostlerd with its own folder, log and control socket."""

    def __init__(self, folder, arguments, control, prefix=(), env=None, pid_of_child=False,
                 close_fds=True):
        need_of(arguments)
        self.folder, self.control_path = folder, control
        self.log_path, self.output_path = folder / "log", folder / "output"
        self.sanitizer_folder = folder / "sanitizer"
        self.sanitizer_folder.mkdir(exist_ok=True)
        self.sanitizer_folder.chmod(0o777)  # workers are nobody when the tests run as root
        self.command = [*prefix, str(HOSTLERD), *(str(a) for a in arguments)]
        self.prefixed = pid_of_child
        self.clients = []
        self.exit_expected = 0
        self.kept_log = None  # once the folder is gone
        self.workers_stand_still = False  # the test stops some by SIGSTOP
        with open(self.log_path, "ab") as log, open(self.output_path, "ab") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=log, cwd=folder,
                env=self.environment(env), start_new_session=True, close_fds=close_fds)

    def environment(self, extra):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            given = os.environ.get(name, "")
            own = f"log_path={self.sanitizer_folder}/report"
            if name == "UBSAN_OPTIONS":
                own += ":print_stacktrace=1:halt_on_error=1"
            env[name] = f"{given}:{own}" if given else own
        return {**env, **(extra or {})}

    @property
    def pid(self):
        """The master. Behind `unshare --fork` it is the child of what we started."""
        if not self.prefixed:
            return self.process.pid
        children = [p.pid for p in processes() if p.parent == self.process.pid]
        return children[0] if children else self.process.pid

    def is_running(self):
        return self.process.poll() is None

    # -- asking --

    def request(self, command, **keys):
        control = Control(self.control_path)
        try:
            return control.request(command, **keys)
        finally:
            control.close()

    def status(self):
        reply = self.request("status")
        assert reply["ok"], reply
        return reply

    def try_status(self):
        """The status, or None while the control socket does not exist yet."""
        assert self.is_running(), f"hostlerd ended with {self.process.returncode}:\n{self.log()}"
        try:
            return self.status()
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def service(self, name=None, status=None):
        services = (status or self.status())["services"]
        return next(s for s in services if name in (None, s["name"]))

    def instances(self, name=None):
        return self.service(name)["instances"]

    def instance_pids(self, name=None):
        return [i["pid"] for i in self.instances(name) if i["pid"]]

    def worker_pids(self):
        return [w["pid"] for w in self.status()["workers"] if w["pid"]]

    def counters(self, name=None):
        return self.service(name)["counters"]

    def trace(self, name=None):
        services = self.request("trace")["services"]
        return next(s["grants"] for s in services if name in (None, s["name"]))

    def address(self, name=None, number=0):
        return parse_address(self.service(name)["listen"][number])

    def connect(self, name=None, number=0, timeout=5.0):
        client = Client(self.address(name, number), timeout)
        self.clients.append(client)
        return client

    # -- waiting --

    def is_full(self, instances="idle"):
        """Whether every worker is ready and every instance exists (and is idle)."""
        status = self.try_status()
        if not status or status["state"] != "running":
            return False
        states = ("idle",) if instances == "idle" else ("idle", "busy")
        return (all(w["state"] == "ready" for w in status["workers"]) and
                all(i["state"] in states and i["pid"] for s in status["services"]
                    for i in s["instances"]))

    def wait_full(self, instances="idle", timeout=10.0):
        wait_for(lambda: self.is_full(instances), f"all workers ready, instances {instances}",
                 timeout)
        return self

    def wait_running(self):
        wait_for(lambda: (self.try_status() or {}).get("state") == "running", "state running", 10)
        return self

    def wait_status(self, test, what, timeout=5.0):
        """Waits until test(status) holds; returns that status."""
        def ask():
            status = self.status()
            return status if test(status) else None
        return wait_for(ask, what, timeout)

    def wait_service(self, test, what, name=None, timeout=5.0):
        self.wait_status(lambda status: test(self.service(name, status)), what, timeout)

    def wait_exit(self, timeout=5.0):
        try:
            return self.process.wait(timeout * SCALE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout * SCALE:g} s") from None

    # -- another configuration --

    def configure(self, services=None, **hostler):
        """Writes the file anew: other keys of services by name (None takes one away)."""
        for name, keys in (services or {}).items():
            self.services = {**self.services, name: {**self.services.get(name, {}), **(keys or {})}}
            if keys is None:
                del self.services[name]
        self.hostler = {**self.hostler, **hostler}
        # In one step: a reload may come at any moment.
        draft = self.config.with_suffix(".new")
        write_config(draft, self.services, self.hostler)
        draft.rename(self.config)

    def reload(self, **keys):
        """Orders a reload; its reply, which comes when the new generation serves or has failed."""
        control = Control(self.control_path, timeout=60)
        try:
            return control.request("reload", **keys)
        finally:
            control.close()

    def reloaded(self, services=None, **hostler):
        """Another configuration, reloaded, and the old generation gone."""
        self.configure(services, **hostler)
        reply = self.reload()
        assert reply["ok"], reply
        self.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)
        return reply

    # -- the log --

    def log(self):
        if self.kept_log is not None:
            return self.kept_log
        return self.log_path.read_text(errors="replace")

    def log_lines(self, pattern):
        """Whole lines only: a long one may be seen while it is being written."""
        whole = self.log().split("\n")[:-1]
        return [line for line in whole if re.search(pattern, line)]

    def wait_log(self, pattern, count=1, timeout=5.0):
        wait_for(lambda: len(self.log_lines(pattern)) >= count,
                 f"{count} x {pattern!r} in the log", timeout)
        return self.log_lines(pattern)

    # -- ending --

    def check_violations(self):
        """The pools' own account of broken rules, which is kept under their lock."""
        for service in self.status()["services"]:
            assert service["violations"] == 0, f"pool_violations: {service}"

    def send_signal(self, number):
        os.kill(self.pid, number)

    def stop_worker(self, pid):
        """SIGSTOP: it stands still, with whatever it holds."""
        self.workers_stand_still = True
        os.kill(pid, signal.SIGSTOP)

    def stop(self, number=signal.SIGTERM, timeout=8.0):
        """Stops it by a signal; it must end with status 0 within the time."""
        self.check_violations()
        self.send_signal(number)
        status = self.wait_exit(timeout)
        assert status == 0, f"exit status {status} after signal {number}"

    def known_pids(self):
        """Every process that the log told the start of: instances lead groups of these numbers."""
        started = re.findall(r"\(pid (\d+)\) started", self.log())
        return {int(pid) for pid in started} | {self.process.pid}

    def left(self):
        """Processes of this daemon or of an instance's group that still live."""
        known = self.known_pids()
        if self.prefixed:  # the log's pids are those of another pid namespace
            known = {self.process.pid}
        return [p for p in processes() if p.state not in "ZX" and
                (p.session in known or p.group in known or p.pid in known)]

    def check_nothing_left(self, timeout=1.0):
        wait_for(lambda: not self.left(), f"nothing left, but: {self.left()}", timeout)

    def sanitizer_reports(self):
        reports = [path.read_text(errors="replace")
                   for path in self.sanitizer_folder.iterdir() if path.stat().st_size]
        # A worker that is killed while it looks for leaks at its end has nothing to report.
        killed = re.compile(r"(==\d+==Unable to get registers from thread \d+\.\s*)+")
        return [r for r in reports if not killed.fullmatch(r)] + self.log_lines(SANITIZER_WORDS)

    def finish(self):
        """What must hold after every test."""
        try:
            if self.is_running():
                self.check_violations()
                for client in self.clients:
                    client.close()
                self.send_signal(signal.SIGTERM)
                self.wait_exit(10)
            if self.exit_expected is not None:
                assert self.process.returncode == self.exit_expected
            self.check_nothing_left()
            # A worker that is alive acts on its deadlines before the master has to.
            assert self.workers_stand_still or not self.log_lines("its worker did not act")
            assert not self.sanitizer_reports(), "\n".join(self.sanitizer_reports())
        finally:
            self.kill()

    def kill(self):
        """Cleans up behind a failed test, so that the next one starts afresh."""
        for client in self.clients:
            client.close()
        for victim in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.kept_log = self.log()


def hostlerd(*arguments, cwd=None, timeout=10.0, env=None):
    """Runs hostlerd to its end, for the options that only print something."""
    need_of(arguments)
    return subprocess.run(
        [str(HOSTLERD), *(str(a) for a in arguments)], stdin=subprocess.DEVNULL, cwd=cwd, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout * SCALE)
