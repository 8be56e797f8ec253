"""hostler-load run where connections cannot be opened."""

import json
import socket
import subprocess
import time

import pytest

from harness import SCALE
from load_peer import (
    LOAD, PATIENCE, Peer, assert_balanced, connections_in_state, echo, refusing_port, run)


def test_refused():
    with refusing_port() as port:
        result = run("--connections", 5, f"127.0.0.1:{port}", status=3)
    assert result.connections["refused"] == 5
    assert result.requests["requests"] == 0
    assert "Connection refused" in result.stderr
    assert result.seconds < 5 * SCALE


def test_refused_while_reconnecting_ends():
    with refusing_port() as port:
        result = run("--reconnect", "--count", 5, "--timeout", "300ms", "--connect-timeout",
                     "300ms", f"127.0.0.1:{port}", status=3)
    assert result.connections["refused"] > 1
    assert result.seconds < 5 * SCALE


def test_refused_per_request_is_unsent():
    async def behave(client):
        message = await client.receive()
        if client.number == 9:
            client.peer.stop_listening()
        if message is not None:
            await client.send(message)

    with Peer(behave) as peer:
        result = run("--per-request", "--count", 12, peer.address)
    assert result.requests["right"] == 10
    assert result.counts().keys() <= {"right", "unsent", "broken", "broken_new"}
    assert result.connections["refused"] >= 1
    assert result.requests["unsent"] == result.connections["refused"]
    assert_balanced(result)


def test_connect_timeout_and_pace():
    """Nobody accepts: at most 256 attempts are under way at once."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [LOAD, "run", "--json", "--hold", "--connections", "400", "--connect-timeout", "1s",
             "--count", "1", "--timeout", "200ms", str(port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        most = 0
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            most = max(most, connections_in_state("syn-sent", port))
            time.sleep(0.02)
        result = json.loads(process.communicate(timeout=PATIENCE)[0])
    connections = result["connections"]
    assert most == 256
    assert connections["timed_out"] > 300
    assert connections["timed_out"] + connections["opened"] == 400


def test_a_socket_that_meets_itself_is_no_server():
    """With a single local port left, a connect to it would be answered by itself."""
    script = (
        "ip link set lo up && echo 40001 40001 >/proc/sys/net/ipv4/ip_local_port_range && "
        f"exec {LOAD} run --json --count 5 40001"
    )
    command = ["unshare", "--net", "sh", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if process.returncode not in (0, 1, 3) or not process.stdout:
        pytest.skip("needs root, unshare and ip: " + process.stderr.strip())
    assert process.returncode == 3
    assert json.loads(process.stdout)["connections"]["refused"] == 1


def limits(soft, hard):
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_soft_descriptor_limit_is_raised():
    with Peer(echo) as peer:
        result = run(
            "--connections", 100, "--hold", "--count", 200, peer.address,
            preexec_fn=limits(40, 400),
        )  # fmt: skip
    assert result.counts() == {"right": 200}
    assert result.connections["opened"] == 100


def test_more_connections_than_descriptors():
    process = subprocess.run(
        [LOAD, "run", "--connections", "100", "1"],
        capture_output=True, text=True, timeout=PATIENCE, preexec_fn=limits(64, 64),
    )  # fmt: skip
    assert process.returncode == 2
    assert "100 connections need 132 descriptors, but the limit is 64" in process.stderr
