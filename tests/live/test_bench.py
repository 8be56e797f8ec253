"""The benchmarks still run, and what they demand of hostlerd holds in a short round too."""

import json
import pathlib
import subprocess
import sys

import harness
import pytest

BENCH = pathlib.Path(__file__).parent.parent / "bench"


@pytest.mark.parametrize("server", ["hostlerd echo", "hostlerd pool"])
def test_reload(server):
    done = subprocess.run(
        [sys.executable, BENCH / "reload.py", "--rounds", "1", "--reloads", "4", "--seconds", "2",
         "--only", server, "--json"],
        capture_output=True, text=True, timeout=100 * harness.SCALE,
        env={"HOSTLER_BUILD": str(harness.BUILD), "PATH": "/usr/sbin:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {f"{server}, new", f"{server}, keep"}
    for (one,) in found.values():
        assert one["reloads"] == 4
        assert one["right"] > 100
    assert found[f"{server}, keep"][0]["told"] == 0, "a kept connection was closed"


def test_a_server_that_is_not_there_is_left_out():
    done = subprocess.run(
        [sys.executable, BENCH / "reload.py", "--only", "nginx", "--only", "haproxy"],
        capture_output=True, text=True, timeout=100 * harness.SCALE,
        env={"HOSTLER_BUILD": str(harness.BUILD), "PATH": "/nowhere"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "skipped nginx: nginx is not installed" in done.stderr
    assert "skipped haproxy: haproxy is not installed" in done.stderr
