"""CPU-bound Python, about 5 ms a request, served in five ways; and two children over bare pipes."""

import pathlib
import subprocess
import sys
import threading
import time

from cpu_work import work
from readiness_server import Server, load

HERE = pathlib.Path(__file__).resolve().parent
CLIENTS = 16
SECONDS = 0.005  # of work for each request
MESSAGE = b"m" * 63 + b"\n"

POOL = """\
[hostler]
control = CONTROL
[service work]
listen = 127.0.0.1:0
protocol = line
handler = program
instances = 2
command = """

WAYS = [
    "asyncio, inline", "a thread per connection", "asyncio, 2 threads", "asyncio, 2 processes",
    "hostlerd, 2 instances", "2 children, bare pipes",
]  # fmt: skip


def calibrate():
    """How many turns of the loop take SECONDS on this machine."""
    turns, best = 20000, float("inf")
    for _ in range(9):
        begin = time.perf_counter()
        work(b"", turns)
        best = min(best, time.perf_counter() - begin)
    return int(turns * SECONDS / best)


def server(way, turns):
    python = [sys.executable]
    if way == "hostlerd, 2 instances":
        return Server(way, f"{POOL}{sys.executable} {HERE}/cpu_program.py {turns}\n")
    if way == "a thread per connection":
        return Server(way, [*python, HERE / "cpu_threads.py", str(turns)])
    place = {"inline": "inline", "2 threads": "threads", "2 processes": "processes"}[way[9:]]
    return Server(way, [*python, HERE / "cpu_asyncio.py", place, str(turns)])


def ask_child(turns, until, latencies):
    """One child over its two pipes, one line after the other: nothing can be had for less."""
    with subprocess.Popen(
        [sys.executable, HERE / "cpu_program.py", str(turns)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    ) as child:  # fmt: skip
        child.stdin.write(MESSAGE)
        child.stdout.readline()
        until += time.monotonic()
        while (begin := time.monotonic()) < until:
            child.stdin.write(MESSAGE)
            if child.stdout.read(len(MESSAGE)) != MESSAGE.upper():
                raise RuntimeError("a wrong reply of cpu_program.py")
            latencies.append(time.monotonic() - begin)
        child.stdin.close()


def measure_children(turns, seconds):
    found = [[], []]
    threads = [threading.Thread(target=ask_child, args=(turns, seconds, one)) for one in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = sorted(found[0] + found[1])
    return {
        "rate": len(latencies) / seconds,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
    }


def measure_way(way, turns, seconds):
    with server(way, turns) as one:
        before = one.cpu_at_rest()
        found = load(one.address, "--connections", str(CLIENTS), "--hold", "--expect", "upper",
                     "--duration", f"{int(seconds * 1000)}ms")  # fmt: skip
        cpu = one.cpu_at_rest() - before
    return {
        "rate": found["rate"],
        "p50": found["latency"]["p50"],
        "p99": found["latency"]["p99"],
        "cpu": cpu / max(found["requests"]["right"], 1),
    }


def measure(seconds, say):
    """One round: a finding for each way."""
    turns = calibrate()
    for way in WAYS:
        say(f"CPU-bound: {way}")
        if way == "2 children, bare pipes":
            yield {"way": way, **measure_children(turns, seconds)}
        else:
            yield {"way": way, **measure_way(way, turns, seconds)}
