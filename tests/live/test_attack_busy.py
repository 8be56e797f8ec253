"""Regressions: what a connection does in its turn, to itself and to others."""

import os
import signal

import harness
from harness import echo, pool, program

LONG_TURN = b"\n" * 100000  # as many requests: whose turn is after this one waits for a while


def test_left_while_its_messages_are_taken(start):
    """A new instance is granted to what waits when the same client's next message is taken up, and
    only then it shows that the client has left: the connection ends while its input is read."""
    daemon = start({"up": pool(program("wild.py"), concurrency=1, pipeline=2),
                    "e": echo()}, {"workers": 1})
    worker, = daemon.worker_pids()
    leaver, other = daemon.connect("up"), daemon.connect("up")
    crowd = [daemon.connect("e") for _ in range(4)]

    def waits(requests, waiting):
        daemon.wait_service(lambda s: s["counters"]["requests"] == requests and
                            s["waiting"] == waiting, f"{waiting} of {requests} wait", "up")

    leaver.send(b"sleep 0.4 first\n")
    waits(1, 0)
    other.send(b"sleep 1 other\n")
    waits(2, 1)
    leaver.send(b"second\nthird\nfourth\nfifth\n")  # the second waits, the rest is held back
    waits(3, 2)
    daemon.stop_worker(worker)
    harness.wait_for(lambda: harness.Process(worker).state == "T", "the stop")
    for client in crowd:
        client.send(LONG_TURN)
    daemon.wait_log("slept for first")
    os.kill(worker, signal.SIGCONT)
    daemon.wait_service(lambda s: s["counters"]["requests"] > 0, "the long turns", "e")
    leaver.reset()
    assert daemon.request("scale", service="up", instances=2)["ok"]
    assert other.line() == b"other"
    for client in crowd:
        assert client.take(len(LONG_TURN)) == LONG_TURN
    daemon.wait_service(lambda s: s["connections"] == 1, "the leaver's end", "up")
    assert daemon.worker_pids() == [worker], "it has ended"


def test_many_small_messages_keep_nobody_waiting(start, folder):
    """However many messages one client has sent at once, the next one is served in between."""
    path = folder / "access"
    daemon = start({"e": echo(access_log=path)}, {"workers": 1})
    worker, = daemon.worker_pids()
    crowd, other = daemon.connect(), daemon.connect()
    assert crowd.ask(b"") == other.ask(b"") == b""
    daemon.stop_worker(worker)
    harness.wait_for(lambda: harness.Process(worker).state == "T", "the stop")
    crowd.send(b"\n" * 20000).finish_sending()
    other.send(b"between\n")
    os.kill(worker, signal.SIGCONT)
    assert other.line() == b"between"
    assert crowd.rest() == b"\n" * 20000
    lines = harness.wait_for(lambda: len(path.read_text().splitlines()) == 20003 and
                             path.read_text().splitlines(), "all that was logged")
    before = next(number for number, line in enumerate(lines) if " in=7 " in line)
    assert before < 2 + 2 * 1024
