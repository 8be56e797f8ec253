"""Connections are evened out between workers, by order or by themselves, and nobody notices."""

import signal

import pytest

from ctl_help import OK, Ctl
from harness import SANITIZED, echo, pool, program, wait_for
from swarm import Swarm

UPPER = program("upper.py")
MANY = 60 if SANITIZED else 200


def held(daemon):
    """How many connections each worker of the current generation has that serves."""
    status = daemon.status()
    return [w["connections"] for w in status["workers"]
            if w["generation"] == status["generation"] and w["state"] == "ready"]


def is_even(daemon, workers, slack):
    """Whether there are so many, and all are that near to the same share."""
    counts = held(daemon)
    share = sum(counts) / workers
    return len(counts) == workers and all(abs(c - share) <= slack * share + 1 for c in counts)


def crowd(daemon, name, count=None, asks=True):
    """A swarm of clients who each ask again and again, or nothing at all, all connected."""
    count = count or MANY
    before = daemon.service(name)["connections"]
    swarm = Swarm(daemon.address(name), count, per_client=None if asks else 1)
    swarm.start()
    daemon.wait_service(lambda s: s["connections"] == before + count, "all are connected", name)
    return swarm


def end(daemon, *swarms):
    for swarm in swarms:
        swarm.finish().check_clean()
        assert swarm.reconnected == 0, swarm.samples
    daemon.wait_status(lambda s: all(i["connections"] == 0 for i in s["services"]), "all gone")
    assert sum(w["connections"] for w in daemon.status()["workers"]) == 0


def skewed(start, workers=4, **hostler):
    """All connections on one worker of several."""
    daemon = start({"up": pool(UPPER, instances=2, queue=MANY)}, {"workers": 1, **hostler})
    swarm = crowd(daemon, "up")
    assert held(daemon) == [MANY]
    daemon.request("scale", workers=workers)
    wait_for(lambda: len(held(daemon)) == workers, "more workers")
    return daemon, swarm


def test_a_skewed_start_is_even_after_an_order(start):
    daemon, swarm = skewed(start)
    assert sorted(held(daemon)) == [0, 0, 0, MANY], "nothing moves by itself"
    run = Ctl("rebalance", "--socket", daemon.control_path)
    moving = MANY - MANY // 4
    assert (run.code, run.out) == (
        OK, f"moving {moving} of {MANY} connections between 4 workers\n")
    wait_for(lambda: is_even(daemon, 4, 0.1), "an even spread")
    swarm.wait_round()
    assert is_even(daemon, 4, 0.1)
    assert sum(held(daemon)) == daemon.service("up")["connections"] == MANY
    assert daemon.counters("up")["accepted"] == MANY, "nobody came again"
    end(daemon, swarm)


def test_even_workers_are_left_alone(start):
    daemon, swarm = skewed(start)
    assert daemon.request("rebalance")["moving"] > 0
    wait_for(lambda: is_even(daemon, 4, 0.1), "an even spread")
    assert wait_for(lambda: daemon.request("rebalance")["moving"] < MANY // 10, "even")
    end(daemon, swarm)
    assert daemon.request("rebalance") == {"ok": True, "moving": 0, "connections": 0, "workers": 4}
    assert Ctl("rebalance", "--socket", daemon.control_path).out == (
        "the workers are even already\n")


def test_nothing_moves_by_itself_when_it_shall_not(start):
    daemon, swarm = skewed(start, workers=2)
    swarm.wait_round()
    assert sorted(held(daemon)) == [0, MANY]
    end(daemon, swarm)


def test_it_happens_by_itself(start):
    """After a second, and no faster than it may."""
    rate = MANY // 2
    daemon, swarm = skewed(start, workers=2, rebalance="yes", rebalance_rate=rate)
    assert daemon.request("config")["ok"]
    daemon.wait_log("the share is .* it gives some away")
    wait_for(lambda: is_even(daemon, 2, 0.1), "an even spread", 15)
    end(daemon, swarm)


@pytest.mark.parametrize("order", ["verb", "signal"])
def test_fewer_workers_close_nothing(start, order):
    """Idle clients, and such that ask: all go on at those that stay."""
    daemon = start({"up": pool(UPPER, instances=2, queue=MANY), "e": echo()}, {"workers": 3})
    swarm = crowd(daemon, "up")
    idle = [daemon.connect("e") for _ in range(30)]
    assert all(client.ask(b"x") == b"x" for client in idle)
    half = [client.send(b"ha") for client in idle[:10]]
    for left in (2, 1):
        if order == "verb":
            assert daemon.request("scale", workers=left)["ok"]
        else:
            daemon.send_signal(signal.SIGTTOU)
        wait_for(lambda: held(daemon) and len(daemon.worker_pids()) == left, f"{left} workers")
        swarm.wait_round()
    assert all(client.send(b"lf\n").line() == b"half" for client in half)
    assert all(client.ask(b"y") == b"y" for client in idle)
    assert held(daemon) == [MANY + 30]
    for client in idle:
        client.close()
    end(daemon, swarm)
    assert daemon.counters("e")["accepted"] == 30


def test_not_while_the_daemon_stops(start):
    daemon = start({"slow": pool(program("nap.py"))})
    daemon.connect("slow").send(b"40000 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    assert daemon.request("stop")["ok"]
    assert daemon.request("rebalance") == {"ok": False, "error": "hostlerd is stopping"}
    daemon.request("stop", quick=True)
    assert daemon.wait_exit() == 0
