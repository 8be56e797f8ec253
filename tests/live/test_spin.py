"""spin: a worker that ran out of work looks for more before it sleeps, and then does sleep."""

import harness
from harness import echo, pool, program, wait_for


def slept(daemon):
    """How often the workers went to sleep of their own accord."""
    return sum(int(harness.status_field(pid, "voluntary_ctxt_switches")[0])
               for pid in daemon.worker_pids())


def sleeps_of(daemon, asks=400):
    client, before = daemon.connect(), slept(daemon)
    for number in range(asks):
        assert client.ask(b"%d" % number) == b"%d" % number
    return slept(daemon) - before


def cpu(daemon):
    """Nanoseconds that the workers have run, or wanted to on a busy machine."""
    total = 0
    for pid in daemon.worker_pids():
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            total += sum(map(int, file.read().split()[:2]))
    return total


def test_it_sleeps_less_often(start):
    still = start({"echo": echo()}, {"workers": 1})
    spinning = start({"echo": echo()}, {"workers": 1, "spin": "1ms"})
    wait_for(lambda: sleeps_of(spinning) < sleeps_of(still) / 2, "less sleep than without", 20)


def cost_of(daemon, asks):
    """CPU time for requests that come long after each other."""
    client, before = daemon.connect(), cpu(daemon)
    for number in range(asks):
        assert client.ask(b"%d" % number) == b"%d" % number
        assert client.is_silent(0.003)
    return cpu(daemon) - before


def test_it_looks_before_it_sleeps(start):
    """After each request for a millisecond; the request itself takes a few hundredths of that."""
    daemon = start({"echo": echo()}, {"workers": 1, "spin": "1ms"})
    wait_for(lambda: cost_of(daemon, 50) > 50 * 0.5e6, "time spent on looking", 20)


def test_it_does_sleep(start):
    """An idle worker costs nothing: it looks for a millisecond, five times a second at most."""
    daemon = start({"echo": echo()}, {"workers": 2, "spin": "1ms"})
    client = daemon.connect()
    assert client.ask(b"hello") == b"hello"

    def is_idle():
        before = cpu(daemon)
        assert client.is_silent(0.5)
        return cpu(daemon) - before < 100e6

    wait_for(is_idle, "idle workers", 10)


def test_a_pool_behind_it(start):
    daemon = start({"up": pool(program("upper.py"), instances=2)}, {"workers": 2, "spin": "0.2ms"})
    clients = [daemon.connect(timeout=15) for _ in range(8)]
    for client in clients:
        client.send(b"".join(b"m%d\n" % n for n in range(100)))
    for client in clients:
        assert client.lines(100) == [b"M%d" % n for n in range(100)]
    assert daemon.service()["violations"] == 0
