"""The life of instances: pools that grow and shrink, instances that are recycled, first lines."""

import os
import resource
import signal
import sys
import time

import pytest

import harness
from harness import pool, program, wait_for
from swarm import Swarm

SLOW = harness.SCALE


def life(*words, **keys):
    return pool(program("life.py", *words), **keys)


def seconds(value):
    return f"{value * SLOW * 1000:.0f}ms"


def pids(daemon, states=("idle", "busy")):
    return [i["pid"] for i in daemon.instances() if i["state"] in states]


def wait_ready(daemon, count, timeout=10.0):
    wait_for(lambda: len(pids(daemon)) == count, f"{count} instances", timeout)


def busy_clients(daemon, count, length=2.0):
    clients = [daemon.connect() for _ in range(count)]
    for client in clients:
        client.send(b"sleep %.1f\n" % (length * SLOW))
    return clients


def lines_of(clients):
    return {client.line().split()[0] for client in clients}


# ---- growing and shrinking ----


def test_a_pool_grows_and_shrinks(start):
    daemon = start({"life": life(instances="1..4", instance_idle=seconds(0.3))})
    service = daemon.service()
    assert (service["wanted"], service["least"], service["most"]) == (1, 1, 4)
    assert len(daemon.instances()) == 1
    clients = busy_clients(daemon, 6, 0.8)
    wait_ready(daemon, 4)  # two more have to wait, and nobody is started for them
    assert lines_of(clients) == {b"SLEEP"}
    assert len(daemon.log_lines("instance .* started")) == 4
    daemon.wait_log("is retired: it was not needed for instance_idle", 3)
    wait_for(lambda: len(daemon.instances()) == 1, "one alone")
    assert daemon.service()["wanted"] == 1
    # Who went saw the end of its input, and was not killed.
    assert len(daemon.log_lines(r"instance \d \(pid \d+\) ended: exit status 0")) == 3
    assert not daemon.log_lines("TERM|killed|die one after another")
    assert [i["last_exit"] for i in daemon.instances()] == [None]  # nothing went wrong
    # And once more: the places are used again.
    clients = busy_clients(daemon, 2, 0.5)
    wait_ready(daemon, 2)
    assert lines_of(clients) == {b"SLEEP"}
    assert {i["slot"] for i in daemon.instances()} <= {0, 1, 2, 3}


def test_more_instances_leave_fewer_descriptors_to_clients(start):
    """Two descriptors are kept for each instance that there is, however it came about."""
    daemon = start({"cat": pool("cat")}, {"workers": 1}, prefix=["prlimit", "--nofile=400:400"])
    assert daemon.request("scale", service="cat", instances=60)["ok"]
    wait_ready(daemon, 60)
    clients = [daemon.connect().send(b"ping\n") for _ in range(100)]
    daemon.wait_service(lambda s: s["counters"]["fd_pauses"] > 0, "accepting paused")
    free = 400 - len(harness.descriptors(daemon.worker_pids()[0]))
    assert free >= 2 * 60 + 64 - 2, "what was accepted last is the first that was too much"
    assert daemon.request("scale", service="cat", instances=1)["ok"]
    assert [client.line() for client in clients] == [b"ping"] * 100


def test_a_pool_does_not_grow_while_nobody_waits(start):
    daemon = start({"life": life(instances="2..8")})
    client = daemon.connect()
    for number in range(200):
        assert client.ask(b"number %d" % number) == b"NUMBER %d" % number
    assert len(daemon.log_lines("instance .* started")) == 2


def test_a_busy_pool_does_not_shrink(start):
    """What is needed again and again within instance_idle stays."""
    daemon = start({"life": life("slow", "0.05", instances="1..3", instance_idle=seconds(0.6))})
    swarm = Swarm(daemon.address(), 12)
    swarm.start()
    wait_ready(daemon, 3)
    pids_before = sorted(pids(daemon))
    end = time.monotonic() + 1.5 * SLOW
    while time.monotonic() < end:
        assert sorted(pids(daemon)) == pids_before
        swarm.wait_round()
    swarm.finish().check_clean()
    wait_ready(daemon, 1)


def test_growth_keeps_to_the_start_rate(start):
    daemon = start({"life": life(instances="1..30", start_rate=3, request_timeout="30s")})
    clients = busy_clients(daemon, 20, 1.5)
    wait_for(lambda: len(pids(daemon)) >= 5, "five instances")
    times = [float(i["age"]) for i in daemon.instances()]
    # In any second at most three: the fifth is at least a second younger than the first.
    assert max(times) - min(times) >= 0.9
    assert lines_of(clients) == {b"SLEEP"}


def test_slow_starters_are_not_heaped_up(start):
    """While an instance is on its way that a waiting request can have, no other one is started."""
    daemon = start({"life": life("wait", str(0.7 * SLOW), "say", "up", ready="line",
                                 instances="1..8")})
    clients = busy_clients(daemon, 2, 1.5)
    wait_for(lambda: len(pids(daemon, ("starting",))) == 1, "one that is starting")
    for _ in range(20):
        assert len(daemon.instances()) == 2
    assert lines_of(clients) == {b"SLEEP"}
    assert len(daemon.log_lines("instance .* started")) == 2


def test_a_crash_loop_does_not_grow(start, folder):
    """Whoever is started beside the first one dies: the first one serves, and that is all."""
    daemon = start({"life": life("once", folder / "there", "slow", str(0.5 * SLOW),
                                 instances="1..8")})
    clients = [daemon.connect().send(b"text\n") for _ in range(4)]
    daemon.wait_log("die one after another: exit status 3")
    assert daemon.service()["wanted"] <= 4
    # One that was given a request before it died has failed it; nobody else notices.
    assert b"TEXT" in lines_of(clients) <= {b"TEXT", b"ERR"}
    assert daemon.service()["wanted"] <= 4


def test_nobody_is_let_go_for_one_that_cannot_start(start, folder):
    """There were to be two, and the second cannot be started: the first is not one too many."""
    daemon = start({"life": life("once", folder / "there", instances="1..2",
                                 instance_idle=seconds(0.3))})
    wait_for((folder / "there").exists, "the first one has begun")
    pid = daemon.instance_pids()
    clients = busy_clients(daemon, 2, 0.3)
    daemon.wait_log("die one after another: exit status 3")
    lines_of(clients)
    daemon.wait_service(lambda s: s["wanted"] == 1, "one is enough again")
    assert daemon.instance_pids() == pid
    assert not daemon.log_lines("is retired")
    assert daemon.connect().ask(b"text") == b"TEXT"


def test_starts_that_failed_are_over_when_none_is_needed(start):
    """Descriptors for so many there are not any more; fewer are ordered, and all is well."""
    daemon = start({"cat": pool("cat", instances=2, start_rate=1)}, {"workers": 1})
    assert daemon.request("scale", service="cat", instances=64)["ok"]
    few = len(harness.descriptors(daemon.pid)) + 5  # a start takes six for a moment
    most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (few, most))
    daemon.wait_log("instance .* cannot be started: cannot make a pipe", 2)
    daemon.wait_service(lambda s: s["state"] == "backing off", "it backs off")
    assert daemon.request("scale", service="cat", instances=2)["ok"]
    daemon.wait_service(lambda s: s["state"] == "ready", "it is well")
    wait_ready(daemon, 2)
    os.kill(daemon.instance_pids()[0], signal.SIGKILL)
    wait_for(lambda: len(daemon.log_lines("instance . .* ended")) > 0, "it died")
    wait_ready(daemon, 2)
    assert daemon.connect().ask(b"text") == b"text"


# ---- recycling ----


def sample(daemon, least, end):
    """Looks at the service until end(); the fewest ready instances that were ever seen."""
    seen = set()
    while not end():
        ready = pids(daemon)
        assert len(ready) >= least, ready
        seen.update(ready)
    return seen


def test_max_requests(start):
    """Fifty clients notice nothing; there are never fewer instances than there shall be."""
    daemon = start({"life": life("wait", "0.1", "say", "up", ready="line", instances=3,
                                 max_requests=60)})
    before = set(daemon.instance_pids())
    swarm = Swarm(daemon.address(), 50)
    swarm.start()
    seen = sample(daemon, 3, lambda: daemon.service()["recycled"] >= 6)
    swarm.finish().check_clean()
    assert swarm.right > 300
    assert len(seen) >= 8
    daemon.wait_service(lambda s: not before & {i["pid"] for i in s["instances"]}, "new pids")
    counters = daemon.counters()
    assert counters["failed"] == counters["busy"] == counters["timeout"] == 0
    assert counters["retried"] == 0
    lines = daemon.log_lines(r"instance \d+ \(pid \d+\) is recycled: max_requests$")
    assert len(lines) == daemon.service()["recycled"]
    assert not daemon.log_lines("die one after another|is killed|gets TERM")
    # One at a time, and their processes do not pile up.
    assert len(daemon.instances()) <= 5


def test_max_requests_has_a_jitter(start):
    """It goes between nine tenths of the limit and the limit."""
    daemon = start({"life": life(instances=1, max_requests=100)})
    client = daemon.connect()
    for _ in range(89):
        client.ask(b"text")
    assert daemon.service()["recycled"] == 0
    for _ in range(11):
        client.ask(b"text")
    daemon.wait_log("is recycled: max_requests")


def test_max_age(start):
    daemon = start({"life": life("wait", "0.3", "say", "up", ready="line", instances=2,
                                 max_age=seconds(0.8))})
    before = set(daemon.instance_pids())
    client = daemon.connect()

    def replaced():
        assert client.ask(b"text") == b"TEXT"
        return not before & set(daemon.instance_pids())

    sample(daemon, 2, replaced)
    assert daemon.log_lines("is recycled: max_age$")


def test_max_memory(start):
    daemon = start({"life": life(instances=1, max_memory="60M")})
    client = daemon.connect()
    pid = client.ask(b"pid")
    assert client.ask(b"fat 100") == b"FAT 100"
    daemon.wait_log(rf"\(pid {pid.decode()}\) is recycled: max_memory$")
    wait_for(lambda: client.ask(b"pid") != pid, "another process")
    daemon.wait_service(lambda s: len(s["instances"]) == 1, "one alone")
    assert daemon.instances()[0]["rss"] < 60 << 20


def test_a_worn_instance_finishes_its_request(start):
    daemon = start({"life": life(instances=1, max_age=seconds(0.3))})
    client = daemon.connect().send(b"sleep %.1f\n" % (1.2 * SLOW))
    daemon.wait_log("is recycled: max_age")
    other = daemon.connect()
    assert other.ask(b"meanwhile") == b"MEANWHILE"
    assert client.line().startswith(b"SLEEP")
    assert not daemon.log_lines("is killed")


def test_a_replacement_that_cannot_start(start, folder):
    """The worn one serves on."""
    daemon = start({"life": life("once", folder / "there", instances=1, max_requests=5)})
    client = daemon.connect()
    pid = daemon.instance_pids()[0]
    for _ in range(20):
        assert client.ask(b"x") == b"X"
    daemon.wait_log("die one after another")
    assert client.ask(b"y") == b"Y"
    assert pid in daemon.instance_pids()
    assert daemon.service()["recycled"] == 0


def test_a_worn_instance_that_does_not_end(start):
    """It is asked, told and killed, and meanwhile the next serves."""
    daemon = start({"life": life("lazy", instances=1, max_age="400ms", stop_timeout="200ms")})
    pid = daemon.instance_pids()[0]
    daemon.wait_log(rf"\(pid {pid}\) is recycled")
    assert daemon.connect().ask(b"pid") != str(pid).encode()
    daemon.wait_log(rf"\(pid {pid}\) gets TERM: did not end within stop_timeout")
    daemon.wait_log(rf"\(pid {pid}\) ended: killed by signal 15")
    assert not daemon.log_lines("die one after another")


# ---- scale and reload ----


def test_scale(start):
    """Up and down under load, until the next reload; nobody who waits for a reply is disturbed."""
    daemon = start({"life": life("slow", "0.01", instances="2..3"), "echo": harness.echo()})
    swarm = Swarm(daemon.address("life"), 8)
    swarm.start()
    wait_ready(daemon, 3)
    for count in (6, 1, 4):
        before = daemon.service("life")["wanted"]
        reply = daemon.request("scale", service="life", instances=count)
        assert reply == {"ok": True, "service": "life", "from": before, "instances": count}
        wait_for(lambda: len(daemon.instances("life")) == count and
                 len(pids(daemon)) == count, f"{count} instances")
        swarm.wait_round()
    swarm.finish().check_clean()
    service = daemon.service("life")
    assert (service["wanted"], service["least"], service["most"]) == (4, 4, 4)
    assert daemon.reload()["ok"]
    service = daemon.service("life")
    assert (service["least"], service["most"]) == (2, 3)
    wait_for(lambda: len(daemon.instances("life")) == 3, "as the file says")


@pytest.mark.parametrize("keys, why", [
    ({"service": "life", "instances": 0}, "service life can have from 1 to 64 instances; "
     "more need a larger instances = and a reload"),
    ({"service": "life", "instances": 65}, "service life can have from 1 to 64 instances; "
     "more need a larger instances = and a reload"),
    ({"service": "echo", "instances": 1},
     "service echo has no instances: its handler is echo"),
    ({"service": "lief", "instances": 1}, 'there is no service "lief"'),
    ({"service": "life"}, "scale: expects workers, or service and instances"),
    ({"instances": 3}, "scale: expects workers, or service and instances"),
    ({"workers": 2, "service": "life", "instances": 3},
     "scale: expects workers, or service and instances"),
])
def test_scale_refused(start, keys, why):
    daemon = start({"life": life(instances=1), "echo": harness.echo()})
    reply = daemon.request("scale", **keys)
    assert reply == {"ok": False, "error": why}
    assert len(daemon.instances("life")) == 1


def test_a_reload_changes_the_number_in_place(start):
    """The instances that stay are the same ones; those that go finish what they have."""
    daemon = start({"life": life(instances=2)})
    first = daemon.instance_pids()
    reply = daemon.reloaded({"life": {"instances": 5}})
    assert reply["services"][0]["change"] == "limits"
    wait_ready(daemon, 5)
    assert set(first) < set(daemon.instance_pids())
    clients = busy_clients(daemon, 5, 0.6)
    daemon.wait_service(lambda s: sum(i["state"] == "busy" for i in s["instances"]) == 5, "five")
    daemon.reloaded({"life": {"instances": "1..2", "instance_idle": "1h"}})
    assert daemon.service()["wanted"] == 2
    assert lines_of(clients) == {b"SLEEP"}
    wait_ready(daemon, 2)
    assert daemon.counters()["failed"] == 0
    assert not daemon.log_lines("instance .* is killed|gets TERM")


def test_a_reload_recycles_what_became_worn(start):
    daemon = start({"life": life(instances=1)})
    pid = daemon.instance_pids()[0]
    daemon.reloaded({"life": {"max_age": "100ms"}})
    daemon.wait_log(rf"\(pid {pid}\) is recycled: max_age")
    daemon.reloaded({"life": {"max_age": 0}})
    daemon.wait_full()
    assert daemon.connect().ask(b"text") == b"TEXT"


def test_a_reload_that_needs_a_larger_pool(start):
    daemon = start({"life": pool("cat", instances=1)})
    reply = daemon.reloaded({"life": {"instances": 64}})
    assert reply["services"][0]["change"] == "replaced"
    wait_ready(daemon, 64)
    reply = daemon.reloaded({"life": {"instances": 3}})
    assert reply["services"][0]["change"] == "limits"
    wait_ready(daemon, 3)


# ---- the first lines ----


def test_ready_line(start):
    """Nobody is given a request before it says that it is ready, and nobody sees that line."""
    daemon = start({"life": life("wait", str(0.5 * SLOW), "say", "ready!", ready="line",
                                 instances=2)}, wait="running")
    client = daemon.connect().send(b"first\n")
    assert {i["state"] for i in daemon.instances()} == {"starting"}
    assert daemon.service()["state"] == "starting"
    assert client.line() == b"FIRST"
    daemon.wait_full()
    assert daemon.connect().ask(b"second") == b"SECOND"


@pytest.mark.parametrize("words, keys", [
    pytest.param(["say", "Welcome", "say", "to us"], {"skip_lines": 2}, id="banner"),
    pytest.param(["say", "Welcome", "wait", "0.2", "say", "> ready"],
                 {"skip_lines": 1, "ready": "line"}, id="banner-and-ready"),
    pytest.param(["piece", "Wel", "wait", "0.1", "piece", "come", "wait", "0.1", "say", ""],
                 {"skip_lines": 1}, id="in-pieces"),
    pytest.param(["much", "60000", "say", ""], {"ready": "line"}, id="long"),
])
def test_first_lines(start, words, keys):
    daemon = start({"life": life(*words, instances=2, **keys)})
    client = daemon.connect()
    assert [client.ask(b"text %d" % i) for i in range(5)] == [b"TEXT %d" % i for i in range(5)]
    assert len(daemon.log_lines("instance .* started")) == 2


def test_first_lines_before_frames(start):
    command = program("upper.py", "--frame")
    daemon = start({"frames": {**pool(f"sh -c 'echo banner; exec {command}'", skip_lines=1,
                                      framing="frame"), "protocol": "frame"}})
    client = daemon.connect()
    assert client.send(harness.frame(b"text")).frame() == b"TEXT"


@pytest.mark.parametrize("words, keys, why", [
    pytest.param([], {"ready": "line"},
                 r"did not print its first line within start_timeout \(ready = line\)", id="mute"),
    pytest.param(["say", "one"], {"skip_lines": 2},
                 r"did not print its first 2 lines within start_timeout "
                 r"\(skip_lines = 2, ready = start\)", id="one-of-two"),
    pytest.param(["say", "one", "say", "two"], {"ready": "line", "skip_lines": 2},
                 r"did not print its first 3 lines within start_timeout "
                 r"\(skip_lines = 2, ready = line\)", id="two-of-three"),
    pytest.param(["piece", "one|two|three|"], {"skip_lines": 2},
                 "wrote output that nobody asked for", id="three-of-two"),
    pytest.param(["much", "70000"], {"ready": "line"},
                 "wrote a first line longer than 64 KiB", id="endless"),
    pytest.param(["close"], {"ready": "line"}, "closed its output before it was ready",
                 id="closed"),
])
def test_a_start_that_fails(start, words, keys, why):
    """It is told, it counts for the back-off, and the daemon goes on trying."""
    if "start_timeout" in why:  # the others must not run into it, however slowly they start
        keys = {**keys, "start_timeout": seconds(0.4)}
    daemon = start({"life": life(*words, **keys)}, wait="running")
    daemon.wait_log(rf"instance 0 \(pid \d+\) is killed: {why}")
    daemon.wait_log(rf"die one after another: killed by us: {why}", timeout=15)
    assert daemon.service()["state"] == "backing off"
    assert not any(i["state"] in ("idle", "busy") for i in daemon.instances())


def test_a_start_that_fails_and_is_mended(start, folder):
    """The back-off ends by itself when the program says its line again."""
    script = folder / "mended.sh"
    script.write_text('#!/bin/sh\n[ -e "$1" ] || exit 3\necho up\nexec sed -u s/^/good/\n')
    script.chmod(0o755)
    daemon = start({"life": pool(f"{script} {folder / 'mended'}", ready="line")}, wait="running")
    client = daemon.connect().send(b"text\n")
    daemon.wait_log("die one after another: exit status 3")
    (folder / "mended").touch()
    assert client.line() == b"goodtext"
    daemon.wait_log("works again")


def test_a_banner_that_comes_late(start):
    """More than was agreed is found when the next request is given to it, as ever."""
    daemon = start({"life": life("say", "banner", "wait", "0.3", "say", "and more",
                                 skip_lines=1)})
    wait_for(lambda: daemon.connect().ask(b"text") in (b"TEXT", b"and more", b"AND MORE"),
             "some answer")


# ---- what is told ----


def test_figures(start):
    daemon = start({"life": life("say", "up", ready="line", instances=2)})
    client = daemon.connect()
    for _ in range(7):
        client.ask(b"text")
    instances = daemon.instances()
    assert sum(i["requests"] for i in instances) == 7
    for instance in instances:
        pid = instance["pid"]
        assert abs(instance["rss"] - harness.resident_bytes(pid)) < 1 << 20
        assert 0 < instance["pss"] <= instance["rss"]
        assert 0 <= instance["cpu"] < 10
        assert instance["descriptors"] == len(harness.descriptors(pid))
        assert instance["recycled"] == 0


def test_requests_count_for_the_present_process(start):
    daemon = start({"life": life(instances=1)})
    client = daemon.connect()
    for _ in range(3):
        client.ask(b"text")
    instance = daemon.instances()[0]
    assert (instance["requests"], instance["served"]) == (3, 3)
    os.kill(instance["pid"], signal.SIGKILL)
    daemon.wait_service(lambda s: s["instances"][0]["pid"] not in (None, instance["pid"]) and
                        s["instances"][0]["state"] == "idle", "a new one")
    assert client.ask(b"text") == b"TEXT"
    instance = daemon.instances()[0]
    assert (instance["requests"], instance["served"]) == (1, 4)


# ---- a program that has been broken since ----


def test_a_broken_script_is_noticed_beside_healthy_siblings(start, folder):
    """Older instances go on; who is started from the broken file backs off, and costs nobody."""
    script = folder / "up.py"
    good = (harness.PROGRAMS / "upper.py").read_text()
    script.write_text(good)
    daemon = start({"up": pool(f"{sys.executable} -IS {script}", instances=4,
                                concurrency=1)})
    swarm = Swarm(daemon.address(), 16)
    swarm.start()
    swarm.wait_round()
    script.write_text("raise SystemExit('no such module')\n")
    os.kill(daemon.instance_pids()[0], signal.SIGKILL)
    daemon.wait_log("its instances die one after another: exit status 1; last said: no such module")
    assert daemon.service()["state"] == "backing off"
    swarm.wait_round()
    script.write_text(good)
    daemon.wait_log("service up: works again", timeout=15)
    daemon.wait_full("any")
    swarm.finish().check_honest()
    # The one that was killed, and at most the first that was started in its place.
    assert sum(swarm.errors.values()) <= 2, swarm.counts()
