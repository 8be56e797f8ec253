#!/usr/bin/python3
"""Lines collected in a file: hostlerd beside the plain way and beside rsyslog, in one run.

  synced    64 clients, one line of 64 bytes under way each, acknowledged when it is on the disk:
            hostlerd (ack = synced), and a loop that syncs after each line (collect_single)
  written   the same, acknowledged when it is written: hostlerd, and that loop without syncs
  none      300,000 lines from 64 clients that wait for nothing, timed until the file has them all:
            hostlerd (ack = none), rsyslog's imtcp into omfile, and the same with its sync = on

All of it on the disk of --folder, not in memory. The rounds are interleaved; figures are medians,
the least and the most behind them. CPU is that of the server's processes, for each line. Two of
the servers are hostlerd again, to show how far two runs of the same thing lie apart.

Exit status 1 when a line was not acknowledged or is not in the file.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", ".")).resolve()
LOAD = BUILD / "tests/bench/collect_load"
PATIENCE = 30  # seconds until something that should have happened is a failure
LINE = 64


def wait_for(condition, what):
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"waited in vain: {what}")
        time.sleep(0.002)


def tree(pid):
    """The process and all below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parents[int(entry)] = int(stat[stat.rindex(")") + 2:].split()[1])
    found = {pid}
    while True:
        more = {p for p, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def cpu(pid):
    """Seconds of CPU that all threads of the process tree have used, to the nanosecond."""
    spent = 0
    for one in tree(pid):
        for task in pathlib.Path(f"/proc/{one}/task").iterdir():
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


class Server:
    """One server in a folder of its own, which writes to the file `out` there."""

    def __init__(self, place):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hostler-bench-", dir=place))
        self.out = self.folder / "out"
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(
            self.command(), cwd=self.folder, stdin=subprocess.PIPE, stdout=self.log,
            stderr=self.log)
        wait_for(self.port, f"{self.name} listens: {self.said()}")

    def said(self):
        return (self.folder / "log").read_text(errors="replace")

    def port(self):
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.said())
        return found and int(found.group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.process.stdin.close()
        self.log.close()
        shutil.rmtree(self.folder)


class Hostlerd(Server):
    ack = "none"
    missing = None

    @property
    def name(self):
        return f"hostlerd, ack = {self.ack}"

    def command(self):
        (self.folder / "conf").write_text(
            "[hostler]\ncontrol = control\n[service c]\nlisten = 127.0.0.1:0\nprotocol = line\n"
            f"handler = collect\nfile = out\nack = {self.ack}\n")
        return [BUILD / "hostlerd", "-f", "conf"]


class HostlerdWritten(Hostlerd):
    ack = "written"


class HostlerdSynced(Hostlerd):
    ack = "synced"


class Single(Server):
    name = "a sync for each line"
    sync = 1
    missing = None

    def command(self):
        return [BUILD / "tests/bench/collect_single", "--sync", str(self.sync), "out"]


class SingleWritten(Single):
    name = "a write for each line"
    sync = 0


class Rsyslog(Server):
    name = "rsyslog"
    sync = "off"
    missing = None if shutil.which("rsyslogd") else "rsyslogd is not installed"
    at = 21500

    def command(self):
        Rsyslog.at += 1
        self.number = Rsyslog.at
        (self.folder / "conf").write_text(
            f'global(workDirectory="{self.folder}")\n'
            # With its own size of queue it makes senders pause.
            'main_queue(queue.size="1000000")\n'
            'module(load="imtcp")\n'
            'template(name="raw" type="string" string="%rawmsg%\\n")\n'
            'ruleset(name="r") { action(type="omfile" file="' + str(self.out) + '" '
            f'template="raw" sync="{self.sync}") }}\n'
            f'input(type="imtcp" address="127.0.0.1" port="{self.number}" ruleset="r")\n')
        return ["rsyslogd", "-n", "-f", self.folder / "conf", "-i", self.folder / "pid"]

    def port(self):
        """It does not say; the kernel does."""
        table = pathlib.Path("/proc/net/tcp").read_text()
        return self.number if f"0100007F:{self.number:04X} 00000000:0000 0A" in table else None


class RsyslogSynced(Rsyslog):
    name = "rsyslog, sync = on"
    sync = "on"


GROUPS = {
    "synced": [HostlerdSynced, Single, HostlerdSynced],
    "written": [HostlerdWritten, SingleWritten, HostlerdWritten],
    "none": [Hostlerd, Rsyslog, RsyslogSynced, Hostlerd],
}


def load(server, *arguments):
    done = subprocess.run([LOAD, "--port", str(server.port()), *arguments], capture_output=True,
                          text=True, timeout=PATIENCE + 60, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"{server.name}: {done.stderr}{server.said()}")
    return json.loads(done.stdout)


def size(server):
    return server.out.stat().st_size if server.out.exists() else 0


def measure(kind, group, options):
    """One round of one server: lines a second, CPU microseconds a line, p50 and p99."""
    server = kind(options.folder)
    try:
        before, began = cpu(server.process.pid), time.monotonic()
        if group == "none":
            found = load(server, "--wait", "0", "--count", str(options.count))
            wait_for(lambda: size(server) >= found["sent"] * LINE, f"{server.name}: all lines")
            took, lines = time.monotonic() - began, found["sent"]
        else:
            found = load(server, "--ms", str(options.ms))
            took, lines = found["seconds"], found["answered"]
        used = cpu(server.process.pid) - before
        good = size(server) == found["sent"] * LINE and found["errors"] == 0
        return {"rate": lines / took, "cpu": used / lines * 1e6, "p50": found["p50"],
                "p99": found["p99"], "good": good}
    finally:
        server.stop()


def show(group, index, kind, rounds):
    def middle(key):
        return statistics.median(one[key] for one in rounds)
    rates = [one["rate"] for one in rounds]
    again = " (again)" if index > 0 and GROUPS[group].index(kind) < index else ""
    name = (kind.name if isinstance(kind.name, str) else f"hostlerd, ack = {kind.ack}") + again
    print(f"{group:8} {name:30} {middle('rate'):10.0f}/s ({min(rates):.0f}-{max(rates):.0f})"
          f"  CPU {middle('cpu'):7.2f} us  p50 {middle('p50'):.0f}  p99 {middle('p99'):.0f} us")
    return middle("rate")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ms", type=int, default=1000, help="of each round of synced and written")
    parser.add_argument("--count", type=int, default=300000, help="lines of each round of none")
    parser.add_argument("--folder", default="/var/tmp", help="on the disk to measure")
    parser.add_argument("--only", action="append", choices=sorted(GROUPS))
    options = parser.parse_args()
    found, good = {}, True
    groups = options.only or list(GROUPS)
    kind = subprocess.run(["stat", "-f", "-c", "%T", options.folder], capture_output=True,
                          text=True).stdout.strip()
    print(f"{options.folder}: {kind}; {options.rounds} rounds", file=sys.stderr)
    for _ in range(options.rounds):
        for group in groups:
            for index, kind in enumerate(GROUPS[group]):
                if kind.missing:
                    continue
                one = measure(kind, group, options)
                good = good and one["good"]
                found.setdefault((group, index), []).append(one)
    for group in groups:
        rates = []
        for index, kind in enumerate(GROUPS[group]):
            if kind.missing:
                print(f"{group:8} skipped {kind.name}: {kind.missing}")
                continue
            rates.append(show(group, index, kind, found[group, index]))
            if index > 0:
                print(f"{'':8} the first is {rates[0] / rates[-1]:.2f} times that")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
