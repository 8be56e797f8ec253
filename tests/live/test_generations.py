"""Generations: what hostlerctl tells of them, and the end of an old one before its time."""

import time

import pytest

from ctl_help import OK, REFUSED, Ctl
from harness import echo, exists, pool, program, wait_for

NAP = program("nap.py")


def ctl(daemon, *words):
    return Ctl(*words, "--socket", daemon.control_path)


def generations(daemon):
    reply = daemon.request("generations")
    assert reply["ok"], reply
    return {g["generation"]: g for g in reply["generations"]}


def leave(start, services=None, asks=1, **hostler):
    """A daemon whose first generation has so many clients with a request under way."""
    daemon = start({"slow": pool(NAP, instances=asks), "e": echo(), **(services or {})},
                   {"drain_timeout": "50s", **hostler})
    clients = [daemon.connect("slow").send(b"40000 x\n") for _ in range(asks)]
    daemon.wait_service(lambda s: all(i["state"] == "busy" for i in s["instances"]),
                        "busy instances", "slow")
    daemon.configure({"e": {"pipeline": 3}})
    assert daemon.reload()["generation"] == 2
    return daemon, clients


def one_left(daemon):
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)


def test_what_is_told_of_an_old_one(start):
    daemon, clients = leave(start, asks=2, workers=1)
    fresh = daemon.connect("e")
    assert fresh.ask(b"x") == b"x"
    old, new = generations(daemon)[1], generations(daemon)[2]
    assert (old["state"], old["workers"], old["connections"], old["under_way"]) == (
        "draining", 1, 2, 2)
    assert (old["asking"], old["staying"], old["moving"], old["programs"]) == (2, 0, 0, 0)
    assert 40 < old["left"] <= 50 and old["age"] < 10
    assert (new["state"], new["workers"], new["connections"], new["under_way"]) == (
        "running", 1, 1, 0)
    assert new["asking"] is new["staying"] is new["moving"] is new["left"] is None
    assert [g["generation"] for g in daemon.status()["generations"]] == [1, 2]
    told = "generation 1 waits for 2 connections with a request under way"
    assert told in ctl(daemon, "generations").out and told in ctl(daemon, "status").out
    clients[0].reset()
    wait_for(lambda: generations(daemon)[1]["connections"] == 1, "one client less")
    wait_for(lambda: generations(daemon)[1]["asking"] == 1, "the worker counts again")
    assert daemon.request("end_generation", generation=1, now=True)["ok"]


def test_only_one_is_not_worth_a_table(start):
    daemon = start({"e": echo()})
    assert "WORKERS" not in ctl(daemon, "status").out
    assert "running" in ctl(daemon, "generations").out


def test_an_old_one_is_ended(start):
    daemon, clients = leave(start)
    begun = time.monotonic()
    run = ctl(daemon, "generations", "end", "1")
    assert (run.code, run.out) == (
        OK, "generation 1 ends within a second: 1 connection, 1 request under way\n")
    assert generations(daemon)[1]["left"] <= 1
    assert clients[0].is_ended()
    one_left(daemon)
    assert time.monotonic() - begun >= 1
    assert daemon.log_lines("worker .* is killed: its generation was ended")
    assert not daemon.log_lines("drain_timeout is over")
    daemon.wait_full()


def test_what_is_whole_is_answered_first(start):
    """Nobody who has asked in time is cut: the end comes when the replies are out."""
    daemon = start({"slow": pool(NAP, instances=2)}, {"workers": 1, "drain_timeout": "50s"})
    clients = [daemon.connect("slow") for _ in range(2)]
    for client in clients:
        client.send(b"100 a\n100 b\n0 half")
    daemon.wait_service(lambda s: all(i["state"] == "busy" for i in s["instances"]), "busy")
    daemon.configure({"slow": {"queue": 3}})
    assert daemon.reload()["ok"]
    assert daemon.request("end_generation", generation=1)["ok"]
    for client in clients:
        assert client.rest() == b"100 A\n100 B\n"
        client.close()
    one_left(daemon)
    assert not daemon.log_lines("is killed")


def test_at_once_means_at_once(start):
    """Its workers, and programs that nobody else has, whatever those make of the end of input."""
    stubborn = pool("sh -c 'trap : TERM; while :; do sleep 1; done'", stop_timeout="40s")
    daemon, clients = leave(start, {"stubborn": stubborn})
    ctl(daemon, "generations", "end", "1", "--now")
    one_left(daemon)
    pids = daemon.instance_pids("stubborn")
    client = daemon.connect("slow").send(b"40000 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "busy again", "slow",
                        timeout=10)
    daemon.configure({"stubborn": None})
    assert daemon.reload()["generation"] == 3
    run = ctl(daemon, "generations", "end", "2", "--now")
    assert (run.code, run.out) == (
        OK, "generation 2 was ended at once: 1 connection cut, 1 request lost\n")
    assert client.is_ended()
    one_left(daemon)
    assert not any(exists(pid) for pid in pids)
    assert daemon.log_lines("worker .* is killed: its generation was ended")


def test_programs_that_do_not_end_are_killed_too(start):
    stubborn = pool("sh -c 'trap : TERM; while :; do sleep 1; done'", stop_timeout="40s")
    daemon = start({"stubborn": stubborn, "e": echo()})
    daemon.configure({"stubborn": None})
    assert daemon.reload()["ok"]
    wait_for(lambda: generations(daemon)[1]["state"] == "ending", "only programs are left")
    old = generations(daemon)[1]
    assert (old["workers"], old["programs"], old["left"]) == (0, 1, None)
    assert "waits for its own programs to end: 1 left" in ctl(daemon, "generations").out
    run = ctl(daemon, "generations", "end", "1")
    assert (run.code, run.error.count("stop_timeout")) == (REFUSED, 1)
    assert ctl(daemon, "generations", "end", "1", "--now").code == OK
    one_left(daemon)


def test_the_next_reload_need_not_wait(start):
    daemon, clients = leave(start)
    daemon.configure({"e": {"pipeline": 4}})
    daemon.send_signal(1)
    daemon.wait_log("it begins when the one before is done")
    assert daemon.request("end_generation", generation=1, now=True)["ok"]
    daemon.wait_status(lambda s: s["generation"] == 3, "the next one", 10)


@pytest.mark.parametrize("keys, error", [
    ({"generation": 2}, "generation 2 is the current one: only an old one can be ended"),
    ({"generation": 2, "now": True}, "generation 2 is the current one"),
    ({"generation": 0}, "there is no generation 0"),
    ({"generation": 3, "now": True}, "there is no generation 3"),
    ({"generation": 4294967295}, "there is no generation 4294967295"),
    ({"generation": -1}, "generation"),
    ({"now": True}, "end_generation: expects generation"),
])
def test_what_cannot_be_ended(start, keys, error):
    daemon, clients = leave(start)
    reply = daemon.request("end_generation", **keys)
    assert not reply["ok"] and error in reply["error"]
    assert sorted(generations(daemon)) == [1, 2]
    assert clients[0].is_silent(0.05)
    assert daemon.request("end_generation", generation=1, now=True)["ok"]


def test_one_that_is_built_cannot_be_ended(start):
    daemon = start({"e": echo()})
    daemon.configure({"late": pool("sh -c 'sleep 30'", ready="line", start_timeout="40s")})
    daemon.send_signal(1)
    daemon.wait_status(lambda s: len(s["generations"]) == 2, "it is being built")
    assert "generation 2 waits for its workers and programs to be ready" in (
        ctl(daemon, "generations").out)
    reply = daemon.request("end_generation", generation=2, now=True)
    assert reply["error"] == "generation 2 is being built: only an old one can be ended"


def test_not_while_the_daemon_stops(start):
    daemon, clients = leave(start)
    assert daemon.request("stop")["ok"]
    reply = daemon.request("end_generation", generation=1)
    assert reply == {"ok": False, "error": "hostlerd is stopping"}
    daemon.request("stop", quick=True)
    assert daemon.wait_exit() == 0
