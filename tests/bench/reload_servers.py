"""The servers of `make bench-reload`: how each is configured, started, told to reload, and asked
how often it did."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import proctree

BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", ".")).resolve()
CPUS = len(os.sched_getaffinity(0))
PATIENCE = 20  # seconds until a server that should be there, or gone, is a failure

UPPER = """\
import sys
for message in sys.stdin.buffer:
    sys.stdout.buffer.write(message.upper())
    sys.stdout.buffer.flush()
"""


def replace(path, text):
    """Never half a file where a server may read it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"never: {what}")
        time.sleep(0.01)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server in its folder. A subclass says how it is configured, started and told to reload."""

    name = program = None
    asking = []  # options of hostler-load
    beside = []  # the same for each more of them that asks at the same time

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.process = None

    @classmethod
    def missing(cls):
        """Why it cannot be measured, or None."""
        return None if shutil.which(cls.program) else f"{cls.program} is not installed"

    @classmethod
    def version(cls):
        done = subprocess.run(
            [shutil.which(cls.program), *cls.asks_version], capture_output=True, text=True
        )
        return re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr).group()

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def start(self):
        self.configure()
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for(self.answers, f"{self.name} listens: {self.log()}")

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {self.log()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        if self.process:
            proctree.end(self.process, PATIENCE)


class Hostlerd(Server):
    """Beside the service that is measured stands another one, which may change instead."""

    program = "hostlerd"
    asks_version = ["-V"]
    loads = ["keep", "new"]  # of those in reload.py
    protocol = "line"
    service = ""
    more = ""  # services beside it; PORT is the address of both

    def __init__(self, folder):
        super().__init__(folder)
        self.other_port = free_port()

    @classmethod
    def missing(cls):
        if not (BUILD / "hostlerd").exists():
            return f"no {BUILD}/hostlerd"
        text = f"[service bench]\nlisten = 127.0.0.1:0\nprotocol = {cls.protocol}\n{cls.service}{cls.more}"
        done = subprocess.run([BUILD / "hostlerd", "-t", "-f", "/dev/stdin"], capture_output=True,
                              input=text.replace("PORT", "0"), text=True)  # fmt: skip
        return done.stderr.strip() if done.returncode else None

    @classmethod
    def version(cls):
        done = subprocess.run([BUILD / "hostlerd", "-V"], capture_output=True, text=True)
        return re.search(r"\d+\.\d+\.\d+", done.stdout).group()

    def configure(self, own=0, other=0):
        """`own` changes a limit of the service, `other` what the pool of the other one runs."""
        replace(
            self.folder / "hostler.conf",
            f"[hostler]\nworkers = {CPUS}\ncontrol = {self.folder}/control\n"
            f"[service bench]\nlisten = 127.0.0.1:{self.port}\nprotocol = {self.protocol}\n"
            f"idle_timeout = {300 + own % 2}s\n{self.service}"
            f"{self.more.replace('PORT', str(self.port))}"
            f"[service other]\nlisten = 127.0.0.1:{self.other_port}\nprotocol = line\n"
            f"handler = program\ncommand = cat\ninstances = 1\nenvironment = NUMBER={other}\n",
        )

    def command(self):
        (self.folder / "upper.py").write_text(UPPER)
        return [BUILD / "hostlerd", "-f", "hostler.conf"]

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def ask(self, *words):
        """Begins a command of hostlerctl."""
        return subprocess.Popen(
            [BUILD / "hostlerctl", *words, "--socket", self.folder / "control"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def reloads(self):
        return json.loads(self.ask("status", "--json").communicate(timeout=PATIENCE)[0])["generation"] - 1


class HostlerdEcho(Hostlerd):
    name = "hostlerd echo"
    service = "handler = echo\n"
    asking = ["--expect", "echo"]


class HostlerdPool(Hostlerd):
    name = "hostlerd pool"
    service = "handler = program\ncommand = python3 upper.py\ninstances = 2\n"
    asking = ["--expect", "upper"]


class HostlerdHttp(Hostlerd):
    name = "hostlerd http"
    protocol = "http"
    service = "handler = echo\n"
    asking = ["--protocol", "http", "--get", "--expect", "echo"]


class HostlerdWeb(HostlerdHttp):
    """HTTP and WebSocket at one address, and clients of both at once."""

    name = "hostlerd web"
    loads = ["keep"]
    more = "[service chat]\nlisten = 127.0.0.1:PORT\nprotocol = websocket\nhandler = echo\n"
    beside = [["--protocol", "websocket", "--connections", "500", "--expect", "echo"]]


class Nginx(Server):
    name = program = "nginx"
    asks_version = ["-v"]
    asking = ["--protocol", "http", "--get", "--expect", "echo"]

    def configure(self, own=0):
        # By default a connection is closed after 1000 requests, which is no matter of reloads.
        replace(
            self.folder / "nginx.conf",
            f"daemon off;\npid nginx.pid;\nerror_log stderr notice;\nworker_processes {CPUS};\n"
            "events { worker_connections 1024; }\n"
            "http {\n  access_log off;\n  keepalive_requests 1000000000;\n"
            f"  keepalive_timeout {300 + own % 2}s;\n"
            f"  server {{ listen 127.0.0.1:{self.port} backlog=4096;\n"
            "    location / { default_type text/plain; return 200 $args; } }\n}\n",
        )

    def command(self, *more):
        return ["nginx", "-p", self.folder, "-c", "nginx.conf", "-e", "stderr", *more]

    def reload(self):
        subprocess.run(self.command("-s", "reload"), check=True, capture_output=True)

    def reloads(self):
        return len(re.findall(r"\d: reconfiguring$", self.log(), re.MULTILINE))


class Haproxy(Server):
    name = program = "haproxy"
    asks_version = ["-v"]
    asking = ["--protocol", "http", "--get", "--expect", "echo"]

    def configure(self, own=0):
        replace(
            self.folder / "haproxy.cfg",
            f"global\n  nbthread {CPUS}\n"
            f"  stats socket {self.folder}/stats mode 600 level admin expose-fd listeners\n"
            "defaults\n  mode http\n  timeout connect 5s\n  timeout server 30s\n"
            f"  timeout client {300 + own % 2}s\n"
            f"frontend bench\n  bind 127.0.0.1:{self.port} backlog 4096\n  maxconn 1000\n"
            "  http-request return status 200 content-type text/plain lf-string %[query]\n",
        )

    def command(self):
        return ["haproxy", "-W", "-S", self.folder / "master", "-f", "haproxy.cfg"]

    def reload(self):
        self.process.send_signal(signal.SIGUSR2)

    def reloads(self):
        return len(re.findall(r"New worker .* forked", self.log())) - 1


ALL = [HostlerdEcho, HostlerdPool, HostlerdHttp, HostlerdWeb, Nginx, Haproxy]
