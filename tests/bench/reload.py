#!/usr/bin/python3
"""What a reload costs clients: hostlerd beside nginx and haproxy, in one run, with one client.

Each server is started on a free port of the loopback with a configuration in a temporary folder,
asked by hostler-load, and told to reload 20 times in 10 seconds, each time with a configuration
that differs a little, so that new workers take over from old ones. Two loads:

  new     16 clients that open a connection for each request
  keep    64 clients that keep their connections, ask again as soon as they have the reply, and
          connect again when the server ends a connection that owes them nothing

A server that is not installed is left out, with the reason. The rounds are interleaved: every
server under every load, then all again. Figures are medians; where the rounds differ in what went
wrong, (least-most) stands behind.

Exit status 1 when hostlerd gave a wrong reply, refused a connection, left a request on a new
connection unanswered, or did not reload as often as it was told to, in any round.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import proctree

BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", ".")).resolve()
CPUS = len(os.sched_getaffinity(0))
PATIENCE = 20  # seconds until a server that should be there, or gone, is a failure

LOADS = {
    "new": ["--connections", "16", "--new-connection"],
    "keep": ["--connections", "64", "--reconnect"],
}

UPPER = """\
import sys
for message in sys.stdin.buffer:
    sys.stdout.buffer.write(message.upper())
    sys.stdout.buffer.flush()
"""


class Server:
    """One server in its folder. A subclass says how it is configured, started and told to reload."""

    name = program = None
    asking = []  # options of hostler-load

    def __init__(self, folder, port):
        self.folder = folder
        self.port = port
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
        self.configure(0)
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
    program = "hostlerd"
    asks_version = ["-V"]
    service = ""

    @classmethod
    def missing(cls):
        return None if (BUILD / "hostlerd").exists() else f"no {BUILD}/hostlerd"

    @classmethod
    def version(cls):
        done = subprocess.run([BUILD / "hostlerd", "-V"], capture_output=True, text=True)
        return re.search(r"\d+\.\d+\.\d+", done.stdout).group()

    def configure(self, number):
        # An unchanged file would leave everything as it is: that costs nothing and shows nothing.
        replace(
            self.folder / "hostler.conf",
            f"[hostler]\nworkers = {CPUS}\ncontrol = {self.folder}/control\n"
            f"[service bench]\nlisten = 127.0.0.1:{self.port}\nprotocol = line\n"
            f"idle_timeout = {300 + number % 2}s\n{self.service}",
        )

    def command(self):
        (self.folder / "upper.py").write_text(UPPER)
        return [BUILD / "hostlerd", "-f", "hostler.conf"]

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def reloads(self):
        done = subprocess.run(
            [BUILD / "hostlerctl", "status", "--json", "--socket", self.folder / "control"],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        return json.loads(done.stdout)["generation"] - 1


class HostlerdEcho(Hostlerd):
    name = "hostlerd echo"
    service = "handler = echo\n"
    asking = ["--expect", "echo"]


class HostlerdPool(Hostlerd):
    name = "hostlerd pool"
    service = f"handler = program\ncommand = python3 upper.py\ninstances = {CPUS}\n"
    asking = ["--expect", "upper"]


class Nginx(Server):
    name = program = "nginx"
    asks_version = ["-v"]
    asking = ["--protocol", "http", "--expect", "echo"]

    def configure(self, number):
        # By default a connection is closed after 1000 requests, which is no matter of reloads.
        replace(
            self.folder / "nginx.conf",
            f"daemon off;\npid nginx.pid;\nerror_log stderr notice;\nworker_processes {CPUS};\n"
            "events { worker_connections 1024; }\n"
            "http {\n  access_log off;\n  keepalive_requests 1000000000;\n"
            f"  keepalive_timeout {300 + number % 2}s;\n"
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
    asking = ["--protocol", "http", "--expect", "echo"]

    def configure(self, number):
        replace(
            self.folder / "haproxy.cfg",
            f"global\n  nbthread {CPUS}\n"
            f"  stats socket {self.folder}/stats mode 600 level admin expose-fd listeners\n"
            "defaults\n  mode http\n  timeout connect 5s\n  timeout server 30s\n"
            f"  timeout client {300 + number % 2}s\n"
            f"frontend bench\n  bind 127.0.0.1:{self.port} backlog 4096\n  maxconn 1000\n"
            "  http-request return status 200 content-type text/plain lf-string %[query]\n",
        )

    def command(self):
        return ["haproxy", "-W", "-S", self.folder / "master", "-f", "haproxy.cfg"]

    def reload(self):
        self.process.send_signal(signal.SIGUSR2)

    def reloads(self):
        return len(re.findall(r"New worker .* forked", self.log())) - 1


SERVERS = [HostlerdEcho, HostlerdPool, Nginx, Haproxy]


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


def measure(kind, load, reloads, seconds):
    """One server under one load; returns what is counted."""
    pause = seconds / reloads
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reload-")))
        server = kind(folder, free_port())
        stack.callback(server.stop)
        server.start()
        client = subprocess.Popen(
            [BUILD / "hostler-load", "run", "--json", *LOADS[load], *kind.asking,
             "--duration", f"{int((seconds + 1) * 1000)}ms", str(server.port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(client.kill)
        begin = time.monotonic() + 0.5
        for number in range(reloads):
            # The pace of reloads is what is measured, so the clock decides, not the server.
            time.sleep(max(0, begin + number * pause - time.monotonic()))
            server.configure(number + 1)
            server.reload()
        result = json.loads(client.communicate(timeout=seconds + 60)[0])
        done = server.reloads()
    requests, connections = result["requests"], result["connections"]
    if requests["outcomes"] != requests["requests"]:
        raise RuntimeError(f"the account does not add up: {requests}")
    return {
        "reloads": done,
        "right": requests["right"],
        "error": requests["error"],
        "wrong": requests["wrong"] + requests["duplicate"] + requests["overdue"],
        "refused": connections["refused"] + connections["failed"] + connections["timed_out"],
        "unsent": requests["unsent"],
        "broken": requests["broken"] - requests["broken_new"],
        "new": requests["broken_new"],
        "told": connections["closed_idle"],
        "gap": result["gap_right"],
        "p99": result["latency"]["p99"],
    }


COLUMNS = [
    ("reloads", "reloads"),
    ("right", "right replies"),
    ("error", "errors"),
    ("wrong", "wrong"),
    ("refused", "refused"),
    ("unsent", "unsent"),
    ("new", "unanswered, new connection"),
    ("broken", "broken, kept connection"),
    ("told", "told to reconnect"),
    ("gap", "longest gap"),
    ("p99", "99 % faster than"),
]


def figure(key, values):
    middle = statistics.median(values)
    if key in ("gap", "p99"):
        return f"{middle * 1000:.1f} ms"
    text = f"{middle:.0f}"
    if key not in ("right", "told") and min(values) != max(values):
        text += f" ({min(values)}-{max(values)})"
    return text


def table(rounds):
    """The lines of a Markdown table."""
    heads = ["load", "server", *(head for _, head in COLUMNS)]
    rows = [heads, ["---"] * len(heads)]
    for load in LOADS:
        for kind in SERVERS:
            found = rounds.get((kind.name, load))
            if found:
                cells = [figure(key, [one[key] for one in found]) for key, _ in COLUMNS]
                rows.append([load, kind.name, *cells])
    return ["| " + " | ".join(row) + " |" for row in rows]


def faults(rounds, reloads):
    for (name, load), found in rounds.items():
        for one in found:
            if not name.startswith("hostlerd"):
                continue
            if one["reloads"] != reloads:
                yield f"{name}, {load}: {one['reloads']} reloads instead of {reloads}"
            for key in ("wrong", "refused", "new", "unsent"):
                if one[key] > 0:
                    yield f"{name}, {load}: {key} {one[key]}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10, help="for all the reloads of a run")
    parser.add_argument("--only", action="append", metavar="WORD", help="servers named so")
    parser.add_argument("--json", action="store_true", help="every round, instead of the table")
    options = parser.parse_args()
    kinds = []
    for kind in SERVERS:
        if options.only and not any(word in kind.name for word in options.only):
            continue
        reason = kind.missing()
        if reason:
            print(f"skipped {kind.name}: {reason}", file=sys.stderr)
        else:
            kinds.append(kind)
    rounds = {}
    for number in range(options.rounds):
        for load in LOADS:
            for kind in kinds:
                print(f"round {number + 1}: {kind.name}, {load}", file=sys.stderr)
                one = measure(kind, load, options.reloads, options.seconds)
                rounds.setdefault((kind.name, load), []).append(one)
    if options.json:
        print(json.dumps({f"{name}, {load}": found for (name, load), found in rounds.items()}))
    else:
        versions = {kind.program: kind.version() for kind in kinds}
        print(
            f"{', '.join(f'{name} {version}' for name, version in versions.items())};"
            f" {CPUS} CPUs, Linux {platform.release()};"
            f" {options.reloads} reloads in {options.seconds:g} s, {options.rounds} rounds\n"
        )
        print("\n".join(table(rounds)))
    wrong = list(faults(rounds, options.reloads))
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
