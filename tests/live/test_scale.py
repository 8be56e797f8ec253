"""Ten thousand connections held at once on two workers, all of them answered; what one takes."""

import contextlib
import json
import os
import pathlib
import re
import resource
import socket
import subprocess

import pytest

import harness
from harness import echo, pool

CONNECTIONS = int(os.environ.get("HOSTLER_CONNECTIONS", "10000"))
LOAD = harness.BUILD / "hostler-load"
# Each worker may get most of the connections, and so may the load generator.
NEEDED = CONNECTIONS + 2000


@pytest.fixture
def many_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < NEEDED:
        pytest.skip(f"needs {NEEDED} descriptors, the hard limit is {hard}")
    if not LOAD.exists():
        pytest.skip("hostler-load is not built")


def hold(address, expect):
    """Opens all connections, then asks on every one of them and checks each reply."""
    result = subprocess.run(
        [str(LOAD), "run", "%s:%d" % address, "--connections", str(CONNECTIONS), "--hold",
         "--count", str(CONNECTIONS), "--protocol", "line", "--expect", expect, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60 * harness.SCALE)
    assert result.returncode == 0, result
    return json.loads(result.stdout)


@pytest.mark.bound(90)
@pytest.mark.parametrize("handler", ["echo", "program"])
def test_ten_thousand(start, many_descriptors, handler):
    service = echo() if handler == "echo" else pool(
        "sed -u 's/.*/\\U&/'", instances=2, queue=CONNECTIONS, queue_timeout="60s")
    daemon = start({"a": service})
    result = hold(daemon.address(), "echo" if handler == "echo" else "upper")
    assert result["requests"]["right"] == result["connections"]["opened"] == CONNECTIONS, result
    counters = daemon.counters()
    assert counters["accepted"] == counters["replies"] == CONNECTIONS
    assert counters["busy"] == counters["timeout"] == 0
    daemon.wait_service(lambda s: s["connections"] == 0, "all gone")
    assert daemon.connect().ask(b"HELLO") == b"HELLO"


def own_memory(pid):
    """Bytes that are in memory because of this process alone."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(kb) for kb in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))


def ask_with(connections):
    """Every connection asks once, a few of them at a time."""
    for first in range(0, len(connections), 100):
        for one in connections[first:first + 100]:
            one.sendall(b"hello\n")
        for one in connections[first:first + 100]:
            assert one.recv(64) == b"hello\n"


@pytest.mark.skipif(harness.SANITIZED, reason="a sanitizer needs memory of its own")
@pytest.mark.skipif(harness.BACKEND == "select", reason="select cannot carry so many")
@pytest.mark.parametrize("few, many", [(1000, 8000)])
def test_memory_of_an_idle_connection(start, many_descriptors, few, many):
    """The slope: what the worker needs for itself does not count. `make bench-idle` says 280."""
    daemon = start({"a": echo()}, {"workers": 1})
    (worker,), address = daemon.worker_pids(), daemon.address()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, NEEDED + many), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        taken = []
        for count in (few, many - few):
            more = [stack.enter_context(socket.create_connection(address, 10))
                    for _ in range(count)]
            ask_with(more)
            taken.append(own_memory(worker))
        assert daemon.service()["connections"] == many
        assert (taken[1] - taken[0]) / (many - few) <= 310
    daemon.wait_service(lambda s: s["connections"] == 0, "all gone")
