#!/usr/bin/python3
"""What many connections cost, by the way a server waits for them; see docs/readiness.md.

Every model is a line echo: the small programs of this folder, and hostlerd with one worker. Each is
measured, with a fresh server, at each number of connections N:

  first      N clients connect and ask one line each: how long until the last has its reply
  memory     what the server takes for those N: its own, kernel stacks, page tables; not sockets
  idle       the server's CPU while all N are silent
  held       10 more clients ask as fast as they can, beside the N silent ones
  active     all N ask, each as soon as it has the reply to its line before
  new        10 clients connect, ask one line and leave, again and again (once for each model)

CPU per request is the server's, user and system, of its whole tree of processes. For `active` it is
taken from all N asking at the same time, again and again, on connections that are open already.

A model that cannot serve all N is not asked to: the table says how many it served. Rounds are
interleaved: every model at every N, then all again. Figures are medians; ± is half the distance
between the least and the most, of five rounds and more without the lowest and the highest.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import resource
import sys
import time

import proctree
import readiness_cpu
import readiness_show
from readiness_server import BUILD, PATIENCE, WAIT, Hold, Server, load

ACTIVE = 10  # clients that ask beside those that are held
MANY = 5000  # connections from which on their memory can be told from what a machine does anyway

SMALL = ["blocking", "busy", "threads", "processes", "select", "select+", "poll", "epoll"]
MODELS = [*SMALL, "hostlerd"]


ECHO = """\
[hostler]
workers = 1
control = CONTROL
[service echo]
listen = 127.0.0.1:0
protocol = line
handler = echo
"""


def serve(model):
    """A server of the model, to be used in a with statement."""
    if model == "hostlerd":
        return Server(model, ECHO)
    words = [BUILD / f"tests/bench/echo_{model.rstrip('+')}"]
    return Server(model, words + (["--bigger", "1"] if model == "select+" else []))


def switches():
    """Context switches of the whole machine so far."""
    text = pathlib.Path("/proc/stat").read_text()
    return int(re.search(r"^ctxt (\d+)", text, re.MULTILINE).group(1))


def memory(server):
    """
    Bytes that the server's connections take: its own memory, and what the kernel keeps for tasks and
    page tables. Shared pages are counted once. What sockets take in the kernel is the same for all.
    """
    pids = proctree.tree(server.process.pid)
    # Ten thousand children are alike: some of them say it.
    some = [pids[0], *pids[1 :: len(pids) // 100 + 1]]
    own = [field(f"/proc/{pid}/smaps_rollup", "Pss") for pid in some]
    children = sum(own[1:]) / max(len(own) - 1, 1) * (len(pids) - 1)
    tables = sum(field("/proc/meminfo", key) for key in ("KernelStack", "PageTables"))
    return own[0] + children + tables


def field(path, name):
    """A line "name: N kB" of a file of /proc, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB", pathlib.Path(path).read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024


def figures(found, cpu=None, switched=None):
    """What is kept of a run with a load; None: nobody could connect."""
    if found is None:
        return {"rate": 0, "right": 0}
    kept = {key: found["requests"][key] for key in ("right", "overdue")}
    kept.update({key: found["latency"][key] for key in ("p50", "p99", "max")}, rate=found["rate"])
    if cpu is not None and kept["right"]:
        kept.update(cpu=cpu / kept["right"], switches=switched / kept["right"])
    return kept


def measure_held(model, count, seconds):
    """first, memory, idle, held, and what of active can be seen best from here."""
    with serve(model) as server:
        before, empty = server.cpu_at_rest(), memory(server)
        with Hold(server.address, count, WAIT if model == "blocking" else PATIENCE) as hold:
            answered, last = hold.ask()
            one = {"opened": hold.opened, "answered": answered, "first": hold.opening + last}
            one["cpu_first"] = (server.cpu_at_rest() - before) / max(answered, 1)
            # Of fewer connections it would be lost in what the machine does by itself.
            if answered == count >= MANY:
                one["memory"] = (memory(server) - empty) / count
            one["complaint"] = server.complaint()
            begin, before = time.monotonic(), server.cpu()
            time.sleep(seconds / 3)  # how long it is watched doing nothing
            one["idle"] = (server.cpu() - before) / (time.monotonic() - begin)
            if answered < count and model != "blocking":
                return one
            one["held"] = ask_beside(server, seconds)
            if answered == count:
                one["all"] = ask_all(server, hold, seconds / max(last, 1e-4))
    return one


def ask_beside(server, seconds):
    """A few more clients ask, while the others are silent."""
    before, switched = server.cpu(), switches()
    found = load(server.address, "--connections", str(ACTIVE), "--duration", pace(seconds))
    switched = switches() - switched
    cpu = server.cpu_at_rest() - before
    # The busy loop works whether it is asked or not.
    return figures(found, found["seconds"] if server.name == "busy" else cpu, switched)


def ask_all(server, hold, times):
    """All ask at once, again and again: nobody connects or leaves meanwhile, so the sum is pure."""
    before, switched = server.cpu_at_rest(), switches()
    answered, last = hold.ask(max(1, int(times)))
    switched = switches() - switched
    cpu = last if server.name == "busy" else server.cpu_at_rest() - before
    return {"cpu": cpu / answered, "switches": switched / answered}


def measure_active(model, count, seconds):
    """How fast all are served that ask as soon as they have a reply."""
    with serve(model) as server:
        found = load(server.address, "--connections", str(count), "--hold",
                     "--duration", pace(seconds))  # fmt: skip
    return figures(found)


def measure_new(model, requests):
    """new: connect, one line, leave."""
    with serve(model) as server:
        before, switched = server.cpu_at_rest(), switches()
        found = load(
            server.address, "--connections", str(ACTIVE), "--new-connection", "--count", str(requests)
        )
        switched = switches() - switched
        cpu = found["seconds"] if model == "busy" else server.cpu_at_rest() - before
        return figures(found, cpu, switched)


def pace(seconds):
    return f"{int(seconds * 1000)}ms"


def measure(model, count, seconds):
    one = {"model": model, "connections": count, **measure_held(model, count, seconds)}
    if one["answered"] == count or (model == "blocking" and count <= 1000):
        one["active"] = measure_active(model, count, seconds)
    return one


def raise_limit(need):
    """Descriptors for the largest number of connections: they are inherited."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(need, soft), max(need, hard)))
        return True
    return hard >= need


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.*)", text, re.MULTILINE)
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": name.group(1) if name else platform.machine(),
        "linux": platform.release(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
    }


def numbers(text):
    return [int(word) for word in text.split(",")]


def rounds(options):
    """Measures; yields one finding after another."""
    for number in range(options.rounds):
        for count in options.connections if "echo" in options.part else []:
            for model in options.models:
                say(f"round {number + 1}: {model}, {count} connections")
                yield {"part": "echo", **measure(model, count, options.seconds)}
        for model in options.models if "new" in options.part else []:
            say(f"round {number + 1}: {model}, new connections")
            yield {"part": "new", "model": model, **measure_new(model, options.requests)}
        if "cpu" in options.part:
            for one in readiness_cpu.measure(options.seconds * 3, say):
                yield {"part": "cpu", **one}


def say(words):
    print(words, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=numbers, default=[10, 1000, 10000], metavar="N,N")
    parser.add_argument("--models", default=",".join(MODELS), metavar="NAME,NAME")
    parser.add_argument("--part", default="echo,new,cpu", help="echo, new and cpu; default: all")
    parser.add_argument("--seconds", type=float, default=1, help="of each load (default 1)")
    parser.add_argument("--requests", type=int, default=6000, help="of `new`")
    parser.add_argument("--quick", action="store_true", help="one short round, 10 and 1000")
    parser.add_argument("--json", metavar="FILE", help="keep every finding, add to what is there")
    parser.add_argument("--show", action="store_true", help="measure nothing, show what --json has")
    parser.add_argument("--plots", metavar="FOLDER", help="write the SVG files there")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.requests = 1, 0.3, 500
        options.connections = [n for n in options.connections if n <= 1000] or [10]
    options.models = options.models.split(",")
    options.part = options.part.split(",")
    for word in options.models:
        if word not in MODELS:
            parser.error(f"no model {word}: {', '.join(MODELS)}")
    return options


def main():
    options = arguments()
    if not raise_limit(max(options.connections) + 1000):
        say(f"more than {max(options.connections)} descriptors are needed: see ulimit -Hn")
        return 2
    kept = pathlib.Path(options.json) if options.json else None
    before = json.loads(kept.read_text()) if kept and kept.exists() else {}
    found, where = before.get("found", []), before.get("machine", machine())
    for one in [] if options.show else rounds(options):
        found.append(one)
        if kept:
            kept.write_text(json.dumps({"machine": where, "found": found}, indent=1))
    print("\n".join(readiness_show.text(found, where, MODELS)))
    if options.plots:
        for name, svg in readiness_show.plots(found, MODELS):
            (pathlib.Path(options.plots) / name).write_text(svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
