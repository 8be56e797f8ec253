#!/usr/bin/python3
"""What connections cost that are merely there.

  memory   user-space bytes of an idle connection: how much the daemon's own memory grows from 1,000
           to 10,000 connections on one worker, each of which has asked once (bound: 300, and 450
           where HTTP or WebSocket is spoken; nginx beside it); and after all have asked once more
           in the same moment: what such a burst needs stays with the heap
  idle     CPU of the whole daemon, two workers, while all of 18,000 connections are silent (bound:
           1 % of one CPU); none of them may be refused or lost, and each answers before and after
  active   CPU per request of 64 clients that ask as fast as they can, beside 18,000 held over beside
           1,000 held, one worker (bound: what the same beside 1,000 against itself differs by, and 5 %)

A fresh daemon for each round. Medians of the rounds; [ ] are the quartiles. Ends with status 1 when
a bound is missed, 2 when it cannot be measured here.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import http_servers
import proctree
import readiness
from readiness_server import BUILD, PATIENCE, Hold, Server, load

BYTES = {"line": 300, "http": 450, "websocket": 450}
IDLE = 0.01
FLAT = 0.05
PROTOCOLS = list(BYTES)
CLIENTS = 64
PORTION = 500

ECHO = """\
[hostler]
workers = %d
control = CONTROL
[service echo]
listen = 127.0.0.1:0
protocol = %s
handler = echo
idle_timeout = 10m
"""


class Nginx:
    """What answers HTTP and holds connections besides."""

    def __enter__(self):
        self.nginx = http_servers.Nginx("nginx")
        self.folder = tempfile.TemporaryDirectory(prefix="idle-")
        self.address = self.nginx.start(pathlib.Path(self.folder.name))
        self.process = self.nginx.process
        return self

    def __exit__(self, *_):
        self.nginx.stop()
        self.folder.cleanup()

    def cpu_at_rest(self):
        return proctree.at_rest(self.process.pid, patience=5) / 1e9


def say(words):
    print(words, file=sys.stderr, flush=True)


def serve(workers, protocol="line"):
    return Server("hostlerd", ECHO % (workers, protocol))


def own_memory(server):
    """What is in memory because of these processes alone."""
    keys = ("Private_Clean", "Private_Dirty")
    return sum(
        readiness.field(f"/proc/{pid}/smaps_rollup", key)
        for pid in proctree.tree(server.process.pid)
        for key in keys
    )


def hold(server, count, protocol="line"):
    return Hold(server.address, count, PATIENCE, protocol)


def demand(have, wanted, what):
    if have != wanted:
        raise RuntimeError(f"{what}: {have} of {wanted}")


def asked(held):
    """Everybody is there and answers."""
    demand(held.opened, held.count, "connections opened")
    demand(held.ask()[0], held.count, "connections that answer")


def hold_in_portions(server, count, protocol, stack):
    """So many connections more; not too many of them ever ask in the same moment."""
    portions = []
    while count > 0:
        portions.append(stack.enter_context(hold(server, min(count, PORTION), protocol)))
        asked(portions[-1])
        count -= portions[-1].count
    server.cpu_at_rest()
    return portions


def measure_memory(few, many, server, protocol):
    """Bytes of a connection, and the same after a burst."""
    with server, contextlib.ExitStack() as stack:
        portions = hold_in_portions(server, few, protocol, stack)
        before = own_memory(server)
        portions += hold_in_portions(server, many - few, protocol, stack)
        quiet = own_memory(server) - before
        for portion in portions:
            portion.tell()
        for portion in portions:
            demand(portion.heard()[0], portion.count, "connections that answer")
        server.cpu_at_rest()
        return [quiet / (many - few), (own_memory(server) - before) / (many - few)]


def measure_idle(many, seconds):
    with serve(2) as server, hold(server, many) as held:
        asked(held)
        server.cpu_at_rest()
        begin, before = time.monotonic(), server.cpu()
        time.sleep(seconds)
        used = (server.cpu() - before) / (time.monotonic() - begin)
        asked(held)
        return used


def cost(server, seconds):
    """CPU of a request, seconds, of the clients that ask beside those that are held."""
    before = server.cpu_at_rest()
    found = load(
        server.address, "--connections", str(CLIENTS), "--duration", f"{int(seconds * 1000)}ms"
    )
    return (server.cpu_at_rest() - before) / found["requests"]["right"]


def measure_active(few, many, seconds):
    """
    Beside few, beside few once more, beside many. One worker has them all: of two the kernel makes
    now this arrangement with the clients and now that, which changes more than is looked for.
    """
    with serve(1) as server, hold(server, few) as first:
        asked(first)
        cost(server, seconds / 4)  # warm
        costs = [cost(server, seconds), cost(server, seconds)]
        with hold(server, many - few) as rest:
            asked(rest)
            return [*costs, cost(server, seconds)]


def refuses(protocol):
    """What this hostlerd has against a protocol, or None."""
    done = subprocess.run([BUILD / "hostlerd", "-t", "-f", "/dev/stdin"], text=True, capture_output=True,
                          input=ECHO % (1, protocol))  # fmt: skip
    return done.stderr.strip() if done.returncode else None


def who_holds():
    """Whose memory is measured: {name: (what makes the server, what it speaks)}."""
    found = {f"hostlerd, {name}": (lambda name=name: serve(1, name), name) for name in PROTOCOLS}
    found["nginx, http"] = (Nginx, "http")
    reasons = {f"hostlerd, {name}": refuses(name) for name in PROTOCOLS}
    reasons["nginx, http"] = http_servers.Nginx("nginx").missing()
    for name, reason in reasons.items():
        if reason:
            say(f"not measured: {name}: {reason}")
            del found[name]
    return found


def measure(options):
    few, many, crowd = options.connections
    holders = who_holds()
    found = {"memory": {name: [] for name in holders}, "idle": [], "active": []}
    for number in range(options.rounds):
        say(f"round {number + 1} of {options.rounds}")
        # Memory and idle CPU are steady: a few rounds tell.
        if number < max(3, options.rounds // 4):
            for name, (make, protocol) in holders.items():
                found["memory"][name].append(measure_memory(few, many, make(), protocol))
            found["idle"].append(measure_idle(crowd, options.seconds * 3))
        found["active"].append(measure_active(few, crowd, options.seconds))
    return found


def spread(values, unit=1.0, form=".0f"):
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return " ".join(
        f"{value * unit:{form}}" for value in (statistics.median(values), low, high)
    ).replace(" ", " [", 1) + "]"


def memory_rows(name, runs, few, many):
    quiet, burst = zip(*runs)
    bound = BYTES[name.split(", ")[1]] if name.startswith("hostlerd") else None
    yield (f"bytes of an idle connection, {few} to {many}: {name}", spread(quiet),
           f"{bound}" if bound else "", bound is None or statistics.median(quiet) <= bound)  # fmt: skip
    yield "the same after all have asked at once", spread(burst), "", True


def show(found, options):
    """Prints the table; returns whether all bounds are kept."""
    few, many, crowd = options.connections
    same = [again / first for first, again, _ in found["active"]]
    more = [beside / first for first, _, beside in found["active"]]
    # Either way, as far as it comes by chance.
    chance = max(abs(q - 1) for q in (statistics.quantiles(same, n=4) if len(same) > 1 else same))
    bound = 1 + max(FLAT, chance)
    rows = [
        *(row for name, runs in found["memory"].items() for row in memory_rows(name, runs, few, many)),
        (f"CPU of {crowd} idle connections, % of one", spread(found["idle"], 100, ".2f"),
         f"{IDLE * 100:g}", statistics.median(found["idle"]) < IDLE),
        (f"CPU of a request beside {few}, µs", spread([a for a, _, _ in found["active"]], 1e6, ".2f"),
         "", True),
        (f"the same beside {crowd}, µs", spread([b for _, _, b in found["active"]], 1e6, ".2f"), "",
         True),
        (f"beside {crowd} over beside {few}", spread(more, 1, ".3f"), f"{bound:.3f}",
         statistics.median(more) <= bound),
        (f"beside {few} over itself", spread(same, 1, ".3f"), "", True),
    ]  # fmt: skip
    print("| | median [quartiles] | at most | |")
    print("| --- | ---: | ---: | --- |")
    for name, figure, most, kept in rows:
        print(f"| {name} | {figure} | {most} | {'' if not most else 'kept' if kept else 'MISSED'} |")
    return all(kept for *_, kept in rows)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1, help="of each load (default 1)")
    parser.add_argument("--connections", type=readiness.numbers, default=[1000, 10000, 18000],
                        metavar="FEW,MANY,CROWD", help="default 1000,10000,18000")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="every single figure")
    return parser.parse_args()


def main():
    options = arguments()
    if not readiness.raise_limit(options.connections[2] + 200):
        say(f"needs {options.connections[2] + 200} descriptors: see ulimit -Hn")
        return 2
    found = measure(options)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    return 0 if show(found, options) else 1


if __name__ == "__main__":
    sys.exit(main())
