#!/usr/bin/python3
"""What hostlerd costs, beside small programs of our own that do the least, and beside its peers.

The figure is the server's CPU time per request, user and system, of its whole tree of processes;
requests a second and the 99th percentile of the latency stand beside it. hostler-load asks all of
them alike. It shares the CPUs with the server, so rates depend on it too.

A case is measured in rounds. In a round each server is started, asked for a moment to warm up,
asked for --seconds, and ended; the next round goes the other way round. Ratios are taken round by
round, and their median is quoted with the quartiles. hostlerd is measured twice in each round: the
ratio of the two (A/A) tells how much of a difference is chance. A bar counts as missed where the
median is beyond it by more than the furthest of the A/A pair's median and quartiles, and is
undecided in between.

Exit status 1 when a server gave a wrong reply or a bar was missed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

import cases
import figures
import placement
import proctree
import servers
from cases import AGAIN

WARM_UP = 0.2  # seconds that a server is asked before it counts; a fifth of a run where that is less


class Bench:
    def __init__(self, options):
        self.options = options
        self.cpus = sorted(os.sched_getaffinity(0))

    # -- one run --

    def is_arranged(self, case):
        return case.arranged and not self.options.loose and len(self.cpus) > 1

    def ask(self, server, case, address, seconds):
        """Asks a server; returns what the generator counted."""
        last = self.cpus[-1:] if self.is_arranged(case) else self.cpus
        done = subprocess.run(
            [*server.asker, *case.load.split(), "--duration", f"{int(seconds * 1000)}ms", address],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=seconds + 60,
            preexec_fn=lambda: os.sched_setaffinity(0, last),
        )  # fmt: skip
        if not done.stdout:
            raise servers.Failed(f"{server.name}: nothing could be asked: {server.log()[-2000:]}")
        return json.loads(done.stdout)

    def run(self, server, case):
        """One server, started, asked and ended."""
        seconds = self.options.seconds * case.longer
        if isinstance(server, servers.Pipes):
            counted = json.loads(server.ask(seconds))
            return {key: counted[key] for key in ("cpu", "rate", "p99", "requests")} | {"bad": 0}
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            stack.callback(server.stop)
            address = server.start(pathlib.Path(folder))
            self.ask(server, case, address, min(WARM_UP, seconds / 5))
            if self.is_arranged(case):
                placement.arrange(server.process.pid, case.program, self.cpus)
            before = proctree.at_rest(server.process.pid)
            counted = self.ask(server, case, address, seconds)
            used = proctree.at_rest(server.process.pid) - before
        requests = counted["requests"]
        return {
            "cpu": used / 1e9 / requests["outcomes"],
            "rate": counted["rate"],
            "p99": counted["latency"]["p99"],
            "requests": requests["outcomes"],
            "bad": requests["outcomes"] - requests["right"],
        }

    # -- one case --

    def measure(self, case):
        """All rounds of a case: the runs of each server by its name. The A/A pair is among them."""
        present = []
        for server in case.servers:
            reason = server.missing()
            if reason:
                say(f"skipped {case.name}, {server.name}: {reason}")
            else:
                present.append((server.name, server))
                if server.name == "hostlerd":
                    present.append((server.name + AGAIN, server))
        if "hostlerd" not in dict(present):
            return {}
        found = {name: [] for name, _ in present}
        for number in range(self.options.rounds):
            say(f"{case.name}: round {number + 1} of {self.options.rounds}")
            for name, server in present if number % 2 == 0 else reversed(present):
                found[name].append(self.run(server, case))
        return found


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- what is printed ----


def middle(runs, figure):
    return figures.Spread.of([run[figure] for run in runs]).middle


def per_second(rate):
    return f"{rate:.0f}" if rate < 10000 else f"{rate / 1000:.1f} k"


def microseconds(seconds):
    micros = seconds * 1e6
    return f"{micros:.2f}" if micros < 10 else f"{micros:.1f}" if micros < 100 else f"{micros:.0f}"


def server_rows(case, found):
    """A row for each server of a case."""
    first = case.names()[0]
    for name, runs in found.items():
        if name.endswith(AGAIN):
            continue
        over = "1" if name == first else ""
        if name != first and first in found:
            over = str(figures.Spread.of(figures.ratios(runs, found[first], "cpu")))
        bad = sum(run["bad"] for run in runs)
        yield [
            name + (f", {bad} bad replies" if bad else ""),
            microseconds(middle(runs, "cpu")),
            over,
            per_second(middle(runs, "rate")),
            microseconds(middle(runs, "p99")),
        ]


def judge(case, found):
    """What became of each bar: (bar, ratio, A/A, verdict)."""
    for bar in case.bars:
        if bar.over not in found or bar.server not in found:
            continue
        ratio = figures.ratios(found[bar.server], found[bar.over], bar.figure)
        same = figures.ratios(found[bar.server + AGAIN], found[bar.server], bar.figure)
        ratio, same = figures.Spread.of(ratio), figures.Spread.of(same)
        yield bar, ratio, same, figures.verdict(ratio, same, bar.most, bar.least)


FIGURES = {"cpu": "CPU", "rate": "rate", "p99": "p99"}


def bar_rows(case, found):
    for bar, ratio, same, verdict in judge(case, found):
        wanted = ""
        if verdict:
            wanted = f"≤ {bar.most:.2f}" if bar.most is not None else f"≥ {bar.least:.2f}"
        yield [
            f"{case.name}: {FIGURES[bar.figure]} over {bar.over}",
            str(ratio),
            str(same),
            wanted,
            verdict,
        ]


SERVER_HEADS = ["server", "CPU µs/request", "over the first", "requests/s", "p99 µs"]
BAR_HEADS = ["figure of hostlerd", "ratio", "A/A", "bar", ""]


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    kernel = ".".join(platform.release().split(".")[:2])
    virtual = "a virtual machine with " if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) else ""
    cpus = len(os.sched_getaffinity(0))
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return (f"{virtual}{cpus} CPUs ({model.group(1) if model else platform.machine()}), {system}, "
            f"Linux {kernel}")  # fmt: skip


def conditions(options):
    named = ", ".join(f"{name} {version}" for name, version in servers.versions().items())
    loose = "; the kernel chose where each process runs" if options.loose else ""
    return (f"{machine()}, {time.strftime('%B %Y')}; {named}. {options.rounds} interleaved rounds of "
            f"{options.seconds} s, medians, in parentheses the quartiles{loose}.")  # fmt: skip


def report(measured, options):
    """The lines of the whole report, as markdown."""
    lines = [conditions(options), ""]
    lines += figures.markdown(
        BAR_HEADS, [row for case, found in measured for row in bar_rows(case, found)]
    )
    for case, found in measured:
        lines += ["", f"**{case.name}**: {case.title}", ""]
        lines += figures.markdown(SERVER_HEADS, list(server_rows(case, found)))
    return lines


SETTINGS = ("rounds", "seconds", "loose")


def remember(measured, options):
    settings = {name: getattr(options, name) for name in SETTINGS}
    runs = {case.name: found for case, found in measured}
    options.json.write_text(json.dumps({"settings": settings, "runs": runs}, indent=1))


def recall(options):
    """What earlier runs measured, by case; a later file's cases take the place of an earlier's."""
    runs, seconds = {}, set()
    for path in options.show:
        kept = json.loads(path.read_text())
        runs.update(kept["runs"])
        seconds.add(kept["settings"]["seconds"])
        for name in SETTINGS:
            setattr(options, name, kept["settings"][name])
    options.seconds = " or ".join(f"{one:g}" for one in sorted(seconds))
    return [(case, runs.get(case.name)) for case in options.chosen]


def is_fine(measured):
    return all(
        verdict != "missed" for case, found in measured for *_, verdict in judge(case, found)
    ) and not any(run["bad"] for _, found in measured for runs in found.values() for run in runs)


def choose(words):
    """The cases that are named so, or begin so where none is."""
    names = [case.name for case in cases.ALL]
    wanted = set()
    for word in words.split(",") if words else [""]:
        wanted |= {word} if word in names else {name for name in names if name.startswith(word)}
    return [case for case in cases.ALL if case.name in wanted]


def parse(words):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1, help="of one run (default 1)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s: about two minutes")
    parser.add_argument("--cases", metavar="A,B", help="those named, or all that begin so")
    parser.add_argument("--servers", metavar="A,B", help="beside hostlerd and the first, only these")
    parser.add_argument("--loose", action="store_true", help="do not say on which CPU a pool's processes run")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="every run goes there too")
    parser.add_argument("--show", metavar="FILE", type=pathlib.Path, action="append",
                        help="measure nothing, show the runs of such a file; of several as one")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    options = parser.parse_args(words)
    if options.quick:
        options.rounds, options.seconds = 3, 0.3
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("at least one round, and some time")
    options.chosen = choose(options.cases)
    if not options.chosen:
        parser.error(f"no case is named so; there are {', '.join(c.name for c in cases.ALL)}")
    if options.servers:
        for case in options.chosen:
            wanted = {*options.servers.split(","), "hostlerd", case.names()[0]}
            case.servers = [server for server in case.servers if server.name in wanted]
    return options


def main():
    options = parse(None)
    if options.list:
        print("\n".join(f"{case.name:24}{case.title}" for case in options.chosen))
        return 0
    if options.show:
        measured = recall(options)
    else:
        bench = Bench(options)
        measured = [(case, bench.measure(case)) for case in options.chosen]
    measured = [(case, found) for case, found in measured if found]
    print("\n".join(report(measured, options)))
    if options.json:
        remember(measured, options)
    return 0 if is_fine(measured) else 1


if __name__ == "__main__":
    sys.exit(main())
