"""kill -9 of the master amid what it is at: nothing is left, and a new start at once works."""

import os
import random
import signal
import socket
import time

import pytest

import harness
import owners
from harness import echo, pool, program

ROUNDS = int(os.environ.get("HOSTLER_MASTER_KILLS", "2"))
CLIENTS = 300
UNREAD = b"x" * 1000000 + b"\n"


def reload_it(daemon):
    daemon.configure({"up": {"environment": f"ROUND={time.monotonic()}"}})
    daemon.send_signal(signal.SIGHUP)


def move(daemon):
    """Connections with much that was not read, so that they take long to move."""
    for _ in range(20):
        client = daemon.connect("e")
        client.socket.setblocking(False)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unsent = UNREAD * 3

        def is_sent():
            nonlocal unsent
            try:
                unsent = unsent[client.socket.send(unsent):]
            except BlockingIOError:
                return True  # it was taken until there was too much to answer
            return not unsent
        harness.wait_for(is_sent, "a client that does not read")
    daemon.configure({"e": {"pipeline": random.randrange(2, 1000)}})
    daemon.send_signal(signal.SIGHUP)
    daemon.wait_log("reload: generation 2 runs", timeout=20)


def upgrade(daemon):
    """To itself: rehearsal, exec, new workers, and then the connections move."""
    daemon.send_signal(signal.SIGUSR2)
    began = time.monotonic()
    while not daemon.log().count("upgrade") and time.monotonic() < began + 10:
        pass


@pytest.mark.slow
@pytest.mark.bound(200)
@pytest.mark.parametrize("deed, longest", [(reload_it, 0.15), (move, 0.03), (upgrade, 0.015)],
                         ids=["reload", "move", "upgrade"])
def test_kill_of_the_master(start, folder, deed, longest):
    seed = int(os.environ.get("HOSTLER_SEED", random.randrange(1 << 32)))
    print(f"HOSTLER_SEED={seed}")
    dice = random.Random(seed)
    tcp, took, amid = "127.0.0.1:0", [], 0
    services = {"e": echo(max_message="2M", high_water="4M"),
                "up": pool(program("upper.py"), instances=2, listen=f"unix:{folder}/up.sock")}
    for _ in range(ROUNDS):
        services["e"]["listen"] = tcp
        began = time.monotonic()
        daemon = start({name: dict(keys) for name, keys in services.items()},
                       control=folder / "control.sock")
        took.append(time.monotonic() - began)
        assert daemon.connect("up").ask(b"x") == b"X" and daemon.connect("e").ask(b"x") == b"x"
        tcp = "%s:%d" % daemon.address("e")  # the next one wants the very same
        clients = [daemon.connect(name) for name in ("e", "up") * (CLIENTS // 2)]
        daemon.check_violations()
        resting = len(harness.descendants(daemon.pid))
        deed(daemon)
        time.sleep(dice.random() * longest)  # any moment of it
        amid += len(harness.descendants(daemon.pid)) != resting
        daemon.exit_expected = -signal.SIGKILL
        daemon.send_signal(signal.SIGKILL)
        daemon.wait_exit()
        daemon.check_nothing_left(1.0)
        assert all(client.is_ended() for client in clients)
    print(f"killed {amid} of {ROUNDS} times amid it; at most {max(took):.2f} s until all was ready")
