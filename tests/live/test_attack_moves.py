"""Attacks on moves: a taker that stands still or has no descriptors, and a time that runs out."""

import os
import signal
import time

import owners
from harness import Client, echo, wait_for


def reload_past(daemon, old):
    """Another configuration runs; the old worker stands still and can give nothing yet."""
    daemon.workers_stand_still = True
    assert owners.stop(old)
    daemon.configure({"e": {"pipeline": 7}})
    assert daemon.reload()["ok"]
    new, = (pid for pid in owners.worker_pids(daemon) if pid != old)
    return new


def one_generation(daemon):
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)


def fill(daemon, pid):
    """As many clients as this worker has descriptors for."""
    clients, address = [], daemon.address()
    accepted = daemon.service()["connections"]
    while not daemon.log_lines("descriptors are nearly used up"):
        clients.append(Client(address))
        daemon.clients.append(clients[-1])
        wait_for(lambda: daemon.service()["connections"] == accepted + len(clients) or
                 daemon.log_lines("descriptors are nearly used up"), "it is accepted")
        assert len(clients) < 200
    clients.pop().close()  # nobody may have accepted the last one
    assert all(client.ask(b"x") == b"x" for client in clients)
    return clients


def without_room(daemon):
    """A hundred and ten clients of a worker that is to give them to one whose descriptors are used up."""
    old, = owners.worker_pids(daemon)
    clients = [daemon.connect() for _ in range(110)]
    assert all(client.ask(b"x") == b"x" for client in clients)
    new = reload_past(daemon, old)
    fresh = fill(daemon, new)
    os.kill(old, signal.SIGCONT)
    return old, new, clients, fresh


def test_a_taker_without_descriptors(start):
    """The move waits and the old worker serves; when there is room, it goes on."""
    daemon = start({"e": echo()}, {"workers": 1, "drain_timeout": "60s", "worker_timeout": "30s"},
                   prefix=["prlimit", "--nofile=260:260"])
    old, new, clients, fresh = without_room(daemon)
    for _ in range(20):
        assert all(client.ask(b"y") == b"y" for client in clients)
    inodes = {owners.inode_of(client.socket) for client in clients}
    left = len(inodes & owners.held_by(old))
    assert left > 10, "all have moved: nothing waited"
    assert len(daemon.status()["generations"]) == 2
    for client in fresh:
        client.close()
    one_generation(daemon)
    owners.wait_one_owner(daemon, lambda: inodes)
    assert all(client.ask(b"z") == b"z" for client in clients)
    assert inodes <= owners.held_by(new)
    print(f"{left} of {len(clients)} waited for room")


def test_a_taker_that_stays_without_descriptors(start):
    """drain_timeout ends what could not move, and nothing else."""
    daemon = start({"e": echo()}, {"workers": 1, "drain_timeout": "2s", "worker_timeout": "30s"},
                   prefix=["prlimit", "--nofile=260:260"])
    old, new, clients, fresh = without_room(daemon)
    assert all(client.ask(b"y") == b"y" for client in clients)
    one_generation(daemon)
    inodes = [owners.inode_of(client.socket) for client in clients]
    held = owners.held_by(new)
    stayed = [client for client, inode in zip(clients, inodes) if inode in held]
    assert all(client.ask(b"z") == b"z" for client in stayed + fresh)
    gone = [client for client in clients if client not in stayed]
    assert gone and all(client.is_ended() for client in gone)
    assert daemon.log_lines("worker .* is killed: drain_timeout is over")


def test_a_taker_that_stands_still(start):
    """It has promised to take, then stops: what was sent to it is taken back when it is replaced."""
    daemon = start({"e": echo()}, {"workers": 1, "worker_timeout": "1s", "drain_timeout": "60s"})
    old, = owners.worker_pids(daemon)
    clients = [daemon.connect(timeout=20) for _ in range(100)]
    assert all(client.ask(b"x") == b"x" for client in clients)
    new = reload_past(daemon, old)
    daemon.connect().ask(b"x")  # so it has read that it is to take, which came before
    assert owners.stop(new)
    began = time.monotonic()
    os.kill(old, signal.SIGCONT)
    for client in clients:
        client.send(b"y\n")
    for client in clients:
        assert client.line() == b"y"
    waited = time.monotonic() - began
    one_generation(daemon)
    assert daemon.log_lines(rf"worker 0 \(pid {new}\) is replaced: did not answer for 1s")
    inodes = {owners.inode_of(client.socket) for client in clients}
    owners.wait_one_owner(daemon, lambda: inodes)
    assert all(client.ask(b"z") == b"z" and not client.pending for client in clients)
    print(f"the last of {len(clients)} waited {waited:.3f} s, worker_timeout is 1 s")
