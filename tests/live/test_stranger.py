"""A stranger's first five minutes: the demo, a pasted line, and two murders."""

import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import harness

# One after the other: the port of the demo is always the same.
pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture
def demo(launch, folder):
    """`hostlerd run` and nothing else; on another port where somebody has that of the demo."""
    arguments = []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 10001))
        except OSError:
            arguments = ["--listen", "127.0.0.1:0"]
    daemon = launch("run", *arguments, env={"XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)})
    line = daemon.wait_log(r"master: ready: \d+ workers?, 1 service; control socket ")[0]
    daemon.control_path = line.rsplit(" ", 1)[1]
    return daemon.wait_full()


def test_the_first_five_minutes(demo):
    if not shutil.which("nc"):
        pytest.skip("nc is not installed")
    address = demo.address()
    result = subprocess.run(["nc", "-N", address[0], str(address[1])], input=b"ping\n",
                            stdout=subprocess.PIPE, timeout=10 * harness.SCALE)
    assert result.stdout == b"PING\n"
    assert not demo.log_lines(r" error "), "a first start has no error in it"

    client = demo.connect()
    assert client.ask(b"before") == b"BEFORE"
    instance = demo.instance_pids()[0]
    os.kill(instance, signal.SIGKILL)
    assert len(demo.wait_log(rf"instance 0 \(pid {instance}\) ended: killed by signal 9")) == 1
    demo.wait_full()
    assert len(demo.log_lines(r"instance 0 \(pid \d+\) started")) == 2
    assert client.ask(b"after one") == b"AFTER ONE"

    worker = demo.status()["workers"][0]
    os.kill(worker["pid"], signal.SIGKILL)
    lines = demo.wait_log(rf"worker 0 \(pid {worker['pid']}\) ended: killed by signal 9 \(Killed\)")
    assert len(lines) == 1
    demo.wait_full()
    assert len(demo.log_lines(r"worker 0 \(pid \d+\) started")) == 2
    assert demo.connect().ask(b"after two") == b"AFTER TWO"


def test_ctrl_c(demo):
    """A terminal sends INT to the whole foreground group; that is a clean stop as well."""
    demo.check_violations()
    os.killpg(os.getpgid(demo.pid), signal.SIGINT)
    assert demo.wait_exit() == 0
    assert demo.log_lines(r"stopping: INT") and demo.log_lines("master: stopped$")
    assert not demo.log_lines(r" (warn|error) .*(signal 2|ended: killed)")


def test_the_demo_uses_every_cpu(demo):
    assert len(demo.status()["workers"]) == os.cpu_count()
    assert re.search(r"listening on 127\.0\.0\.1:\d+", demo.log())
