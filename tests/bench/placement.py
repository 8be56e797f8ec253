"""Which process runs on which CPU.

A pool is several processes that wake each other, and a wake-up across CPUs costs several times one on
the same CPU. Left alone, the kernel settles on one of several arrangements for seconds: on two CPUs
the same program then takes 9, 12 or 25 µs a request. So every pool is arranged alike before it is
measured: instances are dealt over the CPUs, so are the processes of the server, those first that
did most, and the generator has the last CPU.
"""

import contextlib
import os
import pathlib

import proctree


def deal(instances, others, cpus):
    """The CPU of each process: {pid: cpu}."""
    placed = {pid: cpus[number % len(cpus)] for number, pid in enumerate(sorted(instances))}
    for number, pid in enumerate(others):
        placed[pid] = cpus[number % len(cpus)]
    return placed


def is_instance(pid, program):
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return False
    return [os.fsencode(word) for word in program] == words


def arrange(root, program, cpus):
    """Arranges a server that has been asked for a while, and its instances of `program`."""
    pids = proctree.tree(root)
    instances = [pid for pid in pids if is_instance(pid, program)]
    others = {}
    for pid in pids:
        if pid not in instances:
            with contextlib.suppress(OSError):
                others[pid] = proctree.own_nanoseconds(pid)
    for pid, cpu in deal(instances, sorted(others, key=others.get, reverse=True), cpus).items():
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), {cpu})
