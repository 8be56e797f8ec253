"""What a server costs: the CPU time (user and system) of a whole tree of processes.

Times come from each process's own clock in nanoseconds. Children that have ended and were reaped are
in /proc/PID/stat alone, in clock ticks of 10 ms: a server that ends many needs a run long enough for
that. Two readings are taken while the server rests, and subtracted. And how a server is ended.
"""

import contextlib
import os
import pathlib
import subprocess
import time

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def parents():
    """The parent of each process there is."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            # It may have ended since the folder was listed.
            with contextlib.suppress(OSError, IndexError, ValueError):
                found[int(entry)] = int(fields(entry)[1])
    return found


def fields(pid):
    """/proc/PID/stat behind the name: field 0 is the state (proc(5) counts it as 3)."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return text[text.rindex(")") + 1:].split()


def tree(root):
    """The process and all below it."""
    table, found, front = parents(), [root], {root}
    while front:
        front = {pid for pid, parent in table.items() if parent in front}
        found += front
    return found


def own_nanoseconds(pid):
    """CPU time of one process with all its threads, and of the children that it has reaped."""
    stat = fields(pid)
    # The clock of another process (clock_getcpuclockid(3)): what its ended threads used is in it.
    return time.clock_gettime_ns((~pid << 3) | 2) + (int(stat[13]) + int(stat[14])) * TICK


def nanoseconds(root):
    """CPU time of the process, of all that live below it and of all that they have reaped."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += own_nanoseconds(pid)
    return total


def at_rest(root, patience=2.0, rest=200_000):
    """The same, as soon as 10 ms pass in which less than `rest` nanoseconds are used."""
    deadline = time.monotonic() + patience
    before = nanoseconds(root)
    while True:
        time.sleep(0.01)
        now = nanoseconds(root)
        if now - before < rest or time.monotonic() > deadline:
            return now
        before = now


def end(process, patience):
    """Tells it to end, if it has not, and kills it where it is not gone within so many seconds."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
