"""Ten thousand connections held at once on two workers, all of them answered."""

import json
import os
import resource
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
