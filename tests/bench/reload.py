#!/usr/bin/python3
"""What a reload costs clients: hostlerd beside nginx and haproxy, in one run, with one client.

Each server is started on a free port of the loopback with a configuration in a temporary folder and
asked by hostler-load for so many seconds, while something happens to it so many times:

  nothing     nothing, twice in each round: what two runs differ by that do not differ
  reload      it reloads, and its configuration differs a little each time, so that new workers
              take over from old ones
  other       the same, and only another service has changed: it gets a new pool
  upgrade     hostlerctl upgrade
  rebalance   hostlerctl rebalance

What a server, or this hostlerd, cannot do is left out, with the reason. Three loads:

  keep    64 clients that keep their connections, ask again at once, and never connect again
  new     16 clients that open a connection for each request
  again   as keep, but look whether the server has closed before they ask, and connect again then;
          for those who end connections

The rounds are interleaved: everything once, then all again from another beginning. Figures are
medians; where rounds differ in what went wrong, (least-most) stands behind. `gap` is the longest time
in which no client got a reply; `more` is by how much it was longer than in the run of the same round
in which nothing happened. `at it` is the longest gap that began within 0.4 s of one reload, the median
of all of them: what one of them costs, whatever else went on; where nothing happens it is taken at
moments as far from each other.

Exit status 1 when in any round hostlerd gave a wrong reply, refused a connection, broke a request,
closed a connection, or did not do what it was told as often as it was told.
"""

import argparse
import contextlib
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import figures
import reload_servers
from reload_servers import BUILD, CPUS, PATIENCE, Hostlerd

LOADS = {
    "keep": ["--connections", "64"],
    "new": ["--connections", "16", "--new-connection"],
    "again": ["--connections", "64", "--reconnect"],
}


# ---- what happens: a function of the server and of how often it was called before ----


def nothing(server, number):
    pass


def reload(server, number):
    server.configure(own=number + 1)
    server.reload()


def other(server, number):
    server.configure(other=number + 1)
    server.reload()


def upgrade(server, number):
    return server.ask("upgrade")


def rebalance(server, number):
    return server.ask("rebalance")


class Row:
    """Something that happens `times` times; under which loads to hostlerd, and under which to others."""

    def __init__(self, happens, times, peers=(), name=None):
        self.happens, self.times, self.peers = happens, times, peers
        self.name = name or happens.__name__

    def fits(self, kind, load):
        return load in (kind.loads if issubclass(kind, Hostlerd) else self.peers)

    def done(self, server, succeeded):
        """How often it happened."""
        if self.happens == nothing:
            return 0
        return succeeded if self.happens in (upgrade, rebalance) else server.reloads()

    def missing(self):
        """Why this hostlerd cannot do it, or None."""
        if self.happens not in (upgrade, rebalance):
            return None
        done = subprocess.run([BUILD / "hostlerctl", "help", self.name], capture_output=True)
        return f"hostlerctl has no {self.name}" if done.returncode else None


SLICE = 0.01  # seconds, of which the longest gaps are told
NEAR = 0.4  # seconds in which what happens has its effect: a new pool is proven in a quarter

FIRST = "nothing"
ROWS = [
    Row(nothing, 20, ["new", "again"]),
    Row(nothing, 20, ["new", "again"], name="nothing again"),
    Row(reload, 20, LOADS),
    Row(other, 20),
    Row(upgrade, 5),
    Row(rebalance, 20),
]


# ---- one run ----


def let_happen(server, row, times, seconds, client):
    """Returns when it happened, by the clock on the wall, and how often a command succeeded."""
    moments, asked = [], []
    begin = time.monotonic() + 0.5
    for number in range(times):
        # The pace is what is measured, so the clock decides, not the server.
        time.sleep(max(0, begin + number * seconds / times - time.monotonic()))
        if client.poll() is not None:  # nobody is connected any more
            break
        moments.append(time.time())
        asked.append(row.happens(server, number))
    said = [one.communicate(timeout=PATIENCE)[0] for one in asked if one]
    for one, words in zip(filter(None, asked), said):
        if one.returncode:
            print(f"{row.name}: {words.strip()}", file=sys.stderr)
    return moments, sum(one.returncode == 0 for one in asked if one)


def since_last(moments, moment):
    """Seconds from the last of them before it; None where none is."""
    before = [one for one in moments if one <= moment]
    return moment - before[-1] if before else None


def longest_near(moments, gaps):
    """For each moment (seconds since the first slice) the longest gap that began soon after it, or so
    little before it that it may have lasted until then."""
    slices = [(int(moment / SLICE), int((moment + NEAR) / SLICE)) for moment in moments]
    return [max(gaps[max(0, first - 1):last + 1], default=0) for first, last in slices if first < len(gaps)]


def account(result):
    """What is told of a run of hostler-load."""
    requests, connections = result["requests"], result["connections"]
    if requests["outcomes"] != requests["requests"]:
        raise RuntimeError(f"the account does not add up: {requests}")
    ended = connections["closed_idle"] + connections["closed_by_peer"]
    return {
        "rate": result["rate"],
        "wrong": sum(requests[key] for key in ("wrong", "duplicate", "overdue", "error")),
        "refused": connections["refused"] + connections["failed"] + connections["timed_out"]
        + requests["unsent"],
        "broken": requests["broken"],
        # One request at most is under way on a connection, and breaks with it.
        "closed": max(0, ended - requests["broken"]),
        "gap": result["gap"],
        "worst": result["latency"]["max"],
        "seconds": result["seconds"],
    }  # fmt: skip


def sums(accounts):
    """One account of several clients: what went wrong for any, the longest that any of them waited."""
    return {key: max(each) if key in ("gap", "worst", "seconds") else sum(each)
            for key in accounts[0] for each in [[one[key] for one in accounts]]}  # fmt: skip


@contextlib.contextmanager
def client(words, seconds, port):
    """hostler-load, which asks for a second more than it takes for everything to happen."""
    process = subprocess.Popen(
        [BUILD / "hostler-load", "run", "--json", "--gaps", f"{SLICE * 1000:g}ms", *words,
         "--duration", f"{int((seconds + 1) * 1000)}ms", str(port)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def measure(kind, load, row, times, seconds):
    """One server under one load while one thing happens; returns what is counted."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reload-")))
        server = kind(folder)
        stack.callback(server.stop)
        server.start()
        clients = [
            stack.enter_context(client(words, seconds, server.port))
            for words in [[*LOADS[load], *kind.asking], *kind.beside]
        ]
        moments, succeeded = let_happen(server, row, times, seconds, clients[0])
        results = [json.loads(one.communicate(timeout=seconds + 60)[0]) for one in clients]
        done = row.done(server, succeeded)
    result = results[0]
    return {
        **sums([account(one) for one in results]),
        "told": len(moments),
        "done": done,
        "near": longest_near([one - result["measured_at"] for one in moments], result["gaps"]),
        # For whoever looks for the cause of a gap.
        "gap_after": since_last(moments, result["measured_at"] + result["gap_at"]),
        "worst_after": since_last(moments, result["measured_at"] + result["slowest_at"]),
    }


# ---- all of them ----


def plan(kinds, rows, loads):
    return [
        (kind, load, row) for kind in kinds for load in loads for row in rows if row.fits(kind, load)
    ]


def run(options, kinds, rows):
    """{"server, load, row": [a dictionary for each round]}"""
    found = {}
    todo = plan(kinds, rows, options.load)
    for number in range(options.rounds):
        for place in range(len(todo)):
            kind, load, row = todo[(place + number * 7) % len(todo)]
            key = f"{kind.name}, {load}, {row.name}"
            print(f"round {number + 1}, {place + 1} of {len(todo)}: {key}", file=sys.stderr)
            times = min(row.times, options.times)
            found.setdefault(key, []).append(measure(kind, load, row, times, options.seconds))
    return found


def by_how_much(found, key):
    """Round by round, how much longer the gap was than without; empty where that was not measured."""
    name, load, row = key.split(", ")
    plain = found.get(f"{name}, {load}, {FIRST}", [])
    return [] if row == FIRST else [one["gap"] - base["gap"] for one, base in zip(found[key], plain)]


def counted(found, key):
    values = [one[key] for one in found]
    text = f"{statistics.median(values):.0f}"
    return text if min(values) == max(values) else f"{text} ({min(values)}-{max(values)})"


def milliseconds(values, sign=""):
    return f"{statistics.median(values) * 1000:{sign}.1f} ms" if values else "-"


HEADS = ["load", "server", "what happens", "times", "requests/s", "wrong", "refused", "broken",
         "closed", "gap", "more", "at it", "worst latency"]  # fmt: skip


def table(found):
    """The lines of a Markdown table."""
    rows = []
    for load in LOADS:
        for key, runs in found.items():
            name, under, row = key.split(", ")
            if under != load:
                continue
            rows.append([
                load, name, row, counted(runs, "done"),
                f"{statistics.median(one['rate'] for one in runs):.0f}",
                *(counted(runs, count) for count in ("wrong", "refused", "broken", "closed")),
                milliseconds([one["gap"] for one in runs]),
                milliseconds(by_how_much(found, key), "+"),
                milliseconds([gap for one in runs for gap in one["near"]]),
                milliseconds([one["worst"] for one in runs]),
            ])  # fmt: skip
    return figures.markdown(HEADS, rows)


def faults(found):
    for key, runs in found.items():
        for one in runs:
            if not key.startswith("hostlerd"):
                continue
            if one["done"] != (0 if FIRST in key else one["told"]):
                yield f"{key}: {one['done']} instead of {one['told']}"
            for count in ("wrong", "refused", "broken", "closed"):
                if one[count] > 0:
                    yield f"{key}: {count} {one[count]}"


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=20, help="at most, in a run (default 20)")
    parser.add_argument("--seconds", type=float, default=10, help="in which it all happens (default 10)")
    parser.add_argument("--only", action="append", metavar="WORD", help="servers named so")
    parser.add_argument("--load", action="append", choices=LOADS, help="only this one")
    parser.add_argument("--happens", action="append", metavar="WORD", help="only rows named so")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="every run goes there too")
    parser.add_argument("--show", metavar="FILE", type=pathlib.Path, action="append", default=[],
                        help="measure nothing, show the runs of such files together")  # fmt: skip
    options = parser.parse_args()
    options.load = options.load or list(LOADS)
    return options


def choose(all_of_them, words):
    """Those named so that can be measured; says why others cannot."""
    chosen = []
    for one in all_of_them:
        if words and not any(one.name.startswith(word) for word in words):
            continue
        reason = one.missing()
        if reason:
            print(f"skipped {one.name}: {reason}", file=sys.stderr)
        else:
            chosen.append(one)
    return chosen


def recall(paths):
    found = {}
    for path in paths:
        for key, runs in json.loads(path.read_text()).items():
            found.setdefault(key, []).extend(runs)
    return found


def main():
    options = parse()
    kinds = choose(reload_servers.ALL, options.only)
    if options.show:
        found = recall(options.show)
    else:
        found = run(options, kinds, choose(ROWS, options.happens))
        versions = {kind.program: kind.version() for kind in kinds}
        print(
            f"{', '.join(f'{name} {version}' for name, version in versions.items())};"
            f" {CPUS} CPUs, Linux {platform.release()};"
            f" {options.seconds:g} s, {options.rounds} rounds\n"
        )
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    wrong = list(faults(found))
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
