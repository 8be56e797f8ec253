"""The servers of `make bench`: how each is started, and where it listens.

Each is started anew for each run, on a port of the loopback that the kernel chooses where the
server can tell which, and ended after it. A server that cannot be measured here says why.
"""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import proctree

BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", ".")).resolve()
PEERS = pathlib.Path(__file__).resolve().parent / "peers"
PATIENCE = 20  # seconds until a server that should be there, or gone, is a failure


class Failed(Exception):
    """A server that did not come up; its text is what it said."""


def python(name, *arguments):
    return [sys.executable, str(PEERS / name), *arguments]


def said(*command):
    """What a program prints, wherever it prints it."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)  # fmt: skip
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server. `command(folder)` says what to run; it prints the address that it listens on."""

    needs = None  # a program that has to be installed
    asker = [str(BUILD / "hostler-load"), "run", "--json"]  # the options of the case come behind it

    def __init__(self, name, command=None):
        self.name = name
        self.words = command
        self.process = self.folder = None

    def missing(self):
        """Why it cannot be measured, or None."""
        return f"{self.needs} is not installed" if self.needs and not shutil.which(self.needs) else None

    def command(self, folder):
        return self.words

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def start(self, folder):
        """Starts it; returns its address."""
        self.folder = folder
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                self.command(folder), cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while (address := self.address()) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name} did not come up: {self.log().strip()[-2000:]}")
            time.sleep(0.005)
        return address

    def address(self):
        """Where it listens, or None as long as it does not."""
        found = re.search(r"listening on (?:\w+://)?(127\.0\.0\.1:\d+)", self.log())
        return found and found.group(1)

    def stop(self):
        if not self.process:
            return
        self.process.stdin.close()
        proctree.end(self.process, PATIENCE)


class Limit(Server):
    """One of our own small programs, of `make bench-programs`."""

    def __init__(self, name, program, *arguments):
        super().__init__(name, [str(BUILD / "tests/bench" / program), *arguments])

    def missing(self):
        return None if os.access(self.words[0], os.X_OK) else f"no {self.words[0]}"


class Hostlerd(Server):
    """hostlerd with one service, by the options of `run`."""

    def __init__(self, name, options, program=None):
        super().__init__(name, [str(BUILD / "hostlerd"), "run", "--listen", "127.0.0.1:0",
                                *options.split(), *(["--", *program] if program else [])])  # fmt: skip

    def missing(self):
        """Asks hostlerd itself, which may be too old for an option."""
        keys = [word[2:] for word in self.words if word.startswith("--") and word != "--"]
        lines = "".join(f"{key} = {self.words[self.words.index('--' + key) + 1]}\n" for key in keys
                        if not key.startswith("hostler."))  # fmt: skip
        command = "command = cat\n" if "--" in self.words else ""
        try:
            done = subprocess.run([self.words[0], "-t", "-f", "/dev/stdin"], text=True,
                                  input=f"[service bench]\n{lines}{command}",
                                  capture_output=True)  # fmt: skip
        except OSError as error:
            return str(error)
        return done.stderr.strip() if done.returncode else None

    def command(self, folder):
        at = self.words.index("run") + 1
        control = ["--hostler.control", str(folder / "control")]
        return self.words[:at] + control + self.words[at:]

    def address(self):
        found = super().address()
        return found if found and " ready: " in self.log() else None


class Named(Server):
    """A server that is told its port and does not say when it listens."""

    def start(self, folder):
        self.port = free_port()
        return super().start(folder)

    def address(self):
        # To connect would start a program for it, which would be counted.
        listening = f"0100007F:{self.port:04X} 00000000:0000 0A"
        return f"127.0.0.1:{self.port}" if listening in pathlib.Path("/proc/net/tcp").read_text() else None


class Uvloop(Server):
    def __init__(self, name, *more):
        super().__init__(name, python("echo.py", "--uvloop", *more))

    def missing(self):
        done = subprocess.run([sys.executable, "-c", "import uvloop"], capture_output=True)
        return f"{sys.executable} has no uvloop" if done.returncode else None


class Node(Server):
    needs = "node"

    def __init__(self):
        super().__init__("Node", ["node", str(PEERS / "echo.js")])


class Tcpserver(Named):
    needs = "tcpserver"

    def command(self, folder):
        return ["tcpserver", "-HRl0", "-c", "1000", "-b", "1000", "127.0.0.1", str(self.port),
                *self.words]  # fmt: skip


class Xinetd(Named):
    needs = "xinetd"

    def command(self, folder):
        import getpass

        (folder / "xinetd.conf").write_text(
            f"defaults\n{{\n\tlog_type = FILE {folder}/xinetd.log\n}}\nservice bench\n{{\n"
            "\ttype = UNLISTED\n\tsocket_type = stream\n\tprotocol = tcp\n\twait = no\n"
            f"\tuser = {getpass.getuser()}\n\tbind = 127.0.0.1\n\tport = {self.port}\n"
            "\tinstances = UNLIMITED\n\tper_source = UNLIMITED\n\tcps = 100000 1\n"
            f"\tserver = {self.words[0]}\n\tserver_args = {' '.join(self.words[1:])}\n}}\n"
        )
        return ["xinetd", "-dontfork", "-f", "xinetd.conf", "-pidfile", "xinetd.pid"]


class Socat(Named):
    needs = "socat"

    def command(self, folder):
        program = " ".join(self.words)
        # It leaves its programs to process 1, where nobody would count them.
        return [*python("adopt.py"), "socat", f"TCP-LISTEN:{self.port},bind=127.0.0.1,backlog=1000,reuseaddr,fork",
                f"EXEC:{program}"]  # fmt: skip


class Websocketd(Named):
    needs = "websocketd"
    asker = [sys.executable, str(PEERS.parent / "websocket_load.py")]

    def command(self, folder):
        return ["websocketd", f"--port={self.port}", "--address=127.0.0.1", "--loglevel=error",
                *self.words]  # fmt: skip


class WebsocketdEcho(Websocketd):
    """What does the least for each session: a program in C that writes what it reads."""

    asker = Named.asker

    def __init__(self, name):
        super().__init__(name, ["cat"])


class NodeWs(Node):
    def __init__(self, name):
        Server.__init__(self, name, ["node", str(PEERS / "echo_ws.js")])

    def missing(self):
        if super().missing():
            return super().missing()
        found = subprocess.run(["node", "-e", "try { require('ws') } catch { require('/usr/share/nodejs/ws') }"],
                               capture_output=True)  # fmt: skip
        return "node has no module ws" if found.returncode else None


class Pipes:
    """Two children over bare pipes: it asks itself, so that it is server and generator in one."""

    def __init__(self, name, program):
        self.name = name
        self.words = [str(BUILD / "tests/bench/limit_pipes"), "--children", "2"]
        self.program = program

    def missing(self):
        return None if os.access(self.words[0], os.X_OK) else f"no {self.words[0]}"

    def ask(self, seconds):
        return said(*self.words, "--milliseconds", str(int(seconds * 1000)), "--", *self.program)


def versions():
    """What is measured here, as far as it is installed."""
    asked = [
        ("hostlerd", [BUILD / "hostlerd", "-V"], r"hostlerd (\S+)"),
        ("Python", [sys.executable, "-V"], r"(\d+\.\d+\.\d+)"),
        ("uvloop", [sys.executable, "-c", "import uvloop; print(uvloop.__version__)"], r"^(\d\S*)"),
        ("Node", ["node", "-v"], r"v(\d\S+)"),
        ("ws", ["dpkg-query", "-W", "-f", "${Version}", "node-ws"], r"^(?:\d+:)?(\d[\d.]*)"),
        ("ucspi-tcp", ["dpkg-query", "-W", "-f", "${Version}", "ucspi-tcp"], r"^(?:\d+:)?(\d[\d.]*)"),
        ("xinetd", ["xinetd", "-version"], r"(\d[\d.]*\d)"),
        ("socat", ["socat", "-V"], r"socat version (\S+)"),
        ("nginx", ["nginx", "-v"], r"nginx/(\S+)"),
        ("haproxy", ["haproxy", "-v"], r"version (\d+\.\d+\.\d+)"),
        ("lighttpd", ["lighttpd", "-v"], r"lighttpd/(\d\S+)"),
        ("uwsgi", ["uwsgi", "--version"], r"^(\d[\d.]*)"),
        ("gunicorn", ["gunicorn", "--version"], r"(\d[\d.]*\d)"),
        ("PHP", ["php-fpm8.2", "-v"], r"^PHP (\d\S+)"),
        ("websocketd", ["dpkg-query", "-W", "-f", "${Version}", "websocketd"], r"^(?:\d+:)?(\d[\d.]*)"),
    ]
    found = {}
    for name, command, pattern in asked:
        if shutil.which(command[0]):
            match = re.search(pattern, said(*command))
            if match:
                found[name] = match.group(1)
    return found
