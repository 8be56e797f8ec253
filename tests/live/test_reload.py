"""Reload: what is built is proven first, what stays is not touched, what fails leaves no trace."""

import json
import os
import selectors
import signal
import socket
import subprocess
import time

import pytest

from harness import (BUILD, SANITIZED, SCALE, Client, descriptors, echo, exists, pool, program,
                     resident_bytes, wait_for)
from swarm import Swarm

UPPER, NAP = program("upper.py"), program("nap.py")
RELOADS = int(os.environ.get("HOSTLER_RELOADS", "10"))
STORM = int(os.environ.get("HOSTLER_STORM", "60"))


def changes(reply):
    return {s["name"]: s["change"] for s in reply["services"]}


def keys(reply, name):
    service = next(s for s in reply["services"] if s["name"] == name)
    return {k["key"]: (k["from"], k["to"]) for k in service["keys"]}


def fixed(address):
    """An address that a later configuration can name again."""
    host, port = address
    return f"{host}:{port}"


# ---- what changes ----


def test_nothing_changes_nothing(start):
    daemon = start({"upper": pool(UPPER)})
    workers, instances = daemon.worker_pids(), daemon.instance_pids()
    reply = daemon.reload()
    assert reply["ok"] and changes(reply) == {"upper": "unchanged"} and reply["hostler"] == []
    assert reply["generation"] == 1 and reply["took"] < SCALE
    assert (daemon.worker_pids(), daemon.instance_pids()) == (workers, instances)


def test_limits_change_in_place(start):
    daemon = start({"slow": pool(NAP, queue=2, queue_timeout="20s"), "e": echo()})
    pids = daemon.instance_pids("slow")
    reply = daemon.reloaded({"slow": {"queue": 1, "max_message": "1K"}})
    assert changes(reply) == {"slow": "limits", "e": "unchanged"}
    assert keys(reply, "slow") == {"queue": ("2", "1"), "max_message": ("64K", "1K")}
    assert daemon.instance_pids("slow") == pids
    first, second, third = (daemon.connect("slow") for _ in range(3))
    first.send(b"500 one\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance", "slow")
    second.send(b"0 two\n")
    daemon.wait_service(lambda s: s["waiting"] == 1, "one waits", "slow")
    assert third.ask(b"0 three") == b"ERR busy"
    assert third.send(b"x" * 1025 + b"\n").line() == b"ERR too-large"
    assert first.line() and second.line()


def test_a_shaping_key_makes_a_new_pool(start):
    daemon = start({"upper": pool("sed -u s/^/a:/"), "other": pool(UPPER)})
    pids, others = daemon.instance_pids("upper"), daemon.instance_pids("other")
    keeper = daemon.connect("upper")
    assert keeper.ask(b"x") == b"a:x"
    asked = daemon.counters("upper")["requests"]
    reply = daemon.reloaded({"upper": {"command": "sed -u s/^/b:/"}})
    assert changes(reply) == {"upper": "replaced", "other": "unchanged"}
    assert daemon.instance_pids("other") == others
    assert not set(pids) & set(daemon.instance_pids("upper"))
    assert keeper.ask(b"x") == b"b:x", "a connection goes on with the new pool"
    assert daemon.connect("upper").ask(b"x") == b"b:x"
    wait_for(lambda: not any(exists(p) for p in pids), "the old instances are gone")
    assert daemon.counters("upper")["requests"] == asked + 2, "counts are kept"


def test_an_edited_script_is_started_anew(start, folder):
    script = folder / "greet.py"
    script.write_text("import sys\nfor l in sys.stdin: print('old', l, end='', flush=True)\n")
    daemon = start({"greet": pool(f"python3 {script}"), "other": pool(UPPER)})
    assert daemon.connect("greet").ask(b"x") == b"old x"
    script.write_text("import sys\nfor l in sys.stdin: print('new', l, end='', flush=True)\n")
    reply = daemon.reload()
    assert changes(reply) == {"greet": "replaced", "other": "unchanged"}
    assert "its files have changed" in keys(reply, "greet")["command"][1]
    assert daemon.connect("greet").ask(b"x") == b"new x"


def test_services_come_and_go(start):
    daemon = start({"upper": pool(UPPER), "e": echo()})
    pids, client = daemon.instance_pids("upper"), daemon.connect("upper")
    assert client.ask(b"x") == b"X"
    address = daemon.address("upper")
    reply = daemon.reloaded({"upper": None, "late": pool("sed -u s/^/late:/")})
    assert changes(reply) == {"late": "added", "upper": "removed", "e": "unchanged"}
    assert daemon.connect("late").ask(b"x") == b"late:x"
    with pytest.raises(ConnectionRefusedError):
        Client(address)
    assert client.rest() == b""
    assert [s["name"] for s in daemon.status()["services"]] == ["e", "late"]
    wait_for(lambda: not any(exists(p) for p in pids), "the removed service's instances are gone")


def test_an_address_moves_to_another_service(start):
    daemon = start({"a": echo(), "b": echo()})
    address = fixed(daemon.address("a"))
    daemon.reloaded({"a": {"listen": address}})
    daemon.reloaded({"a": {"listen": "127.0.0.1:0"},
                     "b": {"listen": address, "handler": "discard"}})
    assert fixed(daemon.address("b")) == address
    assert fixed(daemon.address("a")) != address
    client = daemon.connect("b").send(b"x\n").finish_sending()
    assert client.rest() == b""


def test_workers_and_log_level_follow_the_file(start):
    daemon = start({"e": echo()}, {"workers": 1})
    daemon.reloaded(workers=3, log_level="warn")
    assert len(daemon.worker_pids()) == 3
    lines = len(daemon.log_lines(" info "))
    daemon.reloaded(workers=2)
    assert len(daemon.worker_pids()) == 2
    assert len(daemon.log_lines(" info ")) == lines


def test_dry_run_touches_nothing(start):
    daemon = start({"upper": pool(UPPER), "e": echo()})
    before = (daemon.worker_pids(), daemon.instance_pids("upper"), daemon.address("e"))
    daemon.configure({"upper": {"command": "cat"}, "e": None}, workers=1)
    reply = daemon.reload(dry_run=True)
    assert reply["ok"] and reply["dry_run"]
    assert changes(reply) == {"upper": "replaced", "e": "removed"}
    assert [k["key"] for k in reply["hostler"]] == ["workers"]
    daemon.configure(bogus=1)
    reply = daemon.reload(dry_run=True)
    assert not reply["ok"] and "[hostler] bogus: unknown key" in reply["error"]
    assert before == (daemon.worker_pids(), daemon.instance_pids("upper"), daemon.address("e"))
    assert daemon.status()["reload"] == {
        "state": "idle", "count": 0, "failed": 0, "last_error": None}


# ---- what fails ----


def refused(daemon, pattern, services, **hostler):
    """The reload fails with just that error, and nothing has changed."""
    before = (daemon.worker_pids(), daemon.instance_pids(), daemon.status()["generation"])
    saved = daemon.services, daemon.hostler
    daemon.configure(services, **hostler)
    reply = daemon.reload()
    assert not reply["ok"]
    assert reply["errors"][0] == reply["error"]
    assert pattern in reply["error"], reply
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)
    assert before == (daemon.worker_pids(), daemon.instance_pids(), daemon.status()["generation"])
    assert daemon.log_lines("reload failed: nothing was changed")
    daemon.services, daemon.hostler = saved
    daemon.configure()
    return reply


def test_every_error_names_file_line_and_key(start):
    daemon = start({"upper": pool(UPPER)})
    daemon.configure({"upper": {"queue": "many", "pipeline": 0}})
    lines = daemon.config.read_text().splitlines()
    first = lines.index("queue = many") + 1
    reply = refused(daemon, f"{daemon.config}:{first}: [service upper] queue: 'many': expects a "
                    "number from 1 to 1000000", {})
    assert reply["errors"][1:] == [f"{daemon.config}:{first + 1}: [service upper] pipeline: '0': "
                                   "expects a number from 1 to 65535"]


def test_what_needs_a_restart_is_refused(start, folder):
    daemon = start({"upper": pool(UPPER)})
    reply = refused(daemon, f"{daemon.config}:", {}, pid_file=folder / "x.pid", control=folder / "c")
    assert {e.split("[hostler] ")[1].split(":")[0] for e in reply["errors"]} == {
        "pid_file", "control"}
    assert all("restart" in e for e in reply["errors"])
    assert not (folder / "x.pid").exists() and daemon.control_path.exists()


def test_another_user_is_told_once(start, root):
    """Its group is another one too, but nobody has written a group."""
    daemon = start({"e": echo()}, hostler={"user": "nobody"})
    reply = refused(daemon, "[hostler] user: cannot change", {}, user="daemon")
    assert len(reply["errors"]) == 1
    reply = refused(daemon, "[hostler] group: cannot change", {}, group="daemon")
    assert len(reply["errors"]) == 1


def test_a_taken_port_rolls_back(start):
    daemon = start({"upper": pool(UPPER)})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        reply = refused(daemon, f"[service late] listen: cannot listen on 127.0.0.1:{port}: ",
                        {"late": echo(listen=f"127.0.0.1:0 127.0.0.1:{port}")})
        assert f"in use by" in reply["error"]
    assert daemon.connect().ask(b"x") == b"X"


def test_failures_of_every_kind_are_told_at_once(start, folder):
    daemon = start({"upper": pool(UPPER)})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        reply = refused(daemon, f"access_log: {folder} cannot be opened: Is a directory",
                        {"late": echo(listen=f"127.0.0.1:{port}", access_log=folder)})
    assert len(reply["errors"]) == 2 and f"port {port} is in use" in reply["errors"][1]


def test_a_wildcard_beside_its_own_address_is_refused(start):
    daemon = start({"upper": pool(UPPER)})
    address = daemon.address()
    daemon.reloaded({"upper": {"listen": fixed(address)}})
    refused(daemon, f"cannot listen on 0.0.0.0:{address[1]}: it collides with {fixed(address)}",
            {"upper": {"listen": f"*:{address[1]}"}})
    refused(daemon, "collide: one of them is every address at that port",
            {"upper": {"listen": f"*:{address[1]} {fixed(address)}"}})
    # In two steps, as the message says, it works.
    daemon.reloaded({"upper": {"listen": "127.0.0.1:0"}})
    daemon.reloaded({"upper": {"listen": f"*:{address[1]}"}})
    assert Client(address).ask(b"x") == b"X"


def test_a_program_that_dies_is_not_taken_over(start, folder):
    script = folder / "broken.py"
    script.write_text("import sys\nsys.exit('no such module')\n")
    daemon = start({"upper": pool(UPPER)})
    client = daemon.connect()
    assert client.ask(b"x") == b"X"
    reply = refused(daemon, "[service upper] command: its program cannot be kept running: "
                    "exit status 1; last said: no such module",
                    {"upper": {"command": f"python3 {script}"}})
    assert f"{daemon.config}:" in reply["error"]
    assert client.ask(b"y") == b"Y", "the connection was not touched either"


def test_a_file_that_is_no_file(start):
    daemon = start({"upper": pool(UPPER)})
    daemon.config.unlink()
    assert "cannot be opened: No such file" in daemon.reload()["error"]
    os.mkfifo(daemon.config)
    assert "it is no regular file" in daemon.reload()["error"]
    daemon.config.unlink()
    daemon.configure()
    assert daemon.reload()["ok"]


def test_run_has_nothing_to_read_again(launch):
    daemon = launch("run", "--hostler.control", "{control}", "--listen", "127.0.0.1:0", "--", "cat")
    daemon.wait_full()
    assert "hostlerd was started with run" in daemon.reload()["error"]
    daemon.send_signal(signal.SIGHUP)
    daemon.wait_log("reload failed: nothing was changed", 2)
    assert daemon.connect().ask(b"x") == b"x"


def test_what_is_given_up_is_not_started_again(start, folder):
    """One new service is good, the other is not: the good one's instances only end."""
    script = folder / "broken.py"
    script.write_text("import sys\nsys.exit(1)\n")
    daemon = start({"upper": pool(UPPER)}, {"workers": 1})
    # Ended by hand: it would stay for stop_timeout if it were started again.
    stubborn = pool(program("wild.py"), stop_timeout="60s")
    refused(daemon, "[service bad] command: its program cannot be kept running",
            {"good": stubborn, "bad": pool(f"python3 {script}")})
    assert len(daemon.log_lines(r"service good: instance 0 \(pid \d+\) started")) == 1


def test_descriptors_are_counted_once(start):
    """What both generations have needs no descriptors twice, however few there are."""
    daemon = start({"cat": pool("cat", instances=60)}, prefix=["prlimit", "--nofile=420:420"])
    daemon.reloaded({"cat": {"queue": 7}})
    refused(daemon, "the limit of descriptors (ulimit -n) is 420; with 120 instances at least ",
            {"more": pool("cat", instances=60)})


# ---- what goes on meanwhile ----


def test_requests_under_way_are_answered_by_the_old_generation(start):
    daemon = start({"slow": pool(NAP, instances=2), "e": echo()})
    clients = [daemon.connect("slow") for _ in range(6)]
    for number, client in enumerate(clients):
        client.send(b"400 %d\n" % number)
    daemon.wait_service(lambda s: s["waiting"] == 4, "four wait", "slow")
    half = daemon.connect("slow").send(b"0 ha")
    fresh = daemon.connect("slow")
    daemon.wait_service(lambda s: s["connections"] == 8, "all are accepted", "slow")
    daemon.configure({"slow": {"command": program("nap.py", "x")}})
    reply = daemon.reload()
    assert changes(reply)["slow"] == "replaced"
    assert {g["state"] for g in daemon.status()["generations"]} == {"draining", "running"}
    # What is not under way has moved: it is answered by the new pool, which adds an x.
    assert half.send(b"lf\n").line() == b"0 HALF"
    assert fresh.ask(b"0 new") == b"0 NEW"
    for number, client in enumerate(clients):
        assert client.line() == b"400 %d" % number
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)
    for client in [*clients, half, fresh]:
        assert client.ask(b"0 more") == b"0 MORE"


def test_drain_timeout_cuts_what_does_not_end(start):
    daemon = start({"slow": pool(NAP), "e": echo()}, {"drain_timeout": "300ms"})
    client = daemon.connect("slow").send(b"20000 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance", "slow")
    daemon.configure({"e": {"pipeline": 3}})
    began = time.monotonic()
    assert daemon.reload()["ok"]
    assert client.is_ended()
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)
    assert 0.3 <= time.monotonic() - began < 10 * SCALE
    assert daemon.log_lines("worker .* is killed: drain_timeout is over")
    daemon.wait_full()


def test_a_second_hup_means_once_more(start):
    daemon = start({"upper": pool(UPPER), "slow": pool(NAP)})
    client = daemon.connect("slow").send(b"700 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance", "slow")
    daemon.configure({"upper": {"pipeline": 3}})
    assert daemon.reload()["generation"] == 2
    for number in range(4, 9):
        daemon.configure({"upper": {"pipeline": number}})
        daemon.send_signal(signal.SIGHUP)
    wait_for(lambda: daemon.log_lines("it begins when the one before is done"), "it waits")
    reply = daemon.reload()  # waits for its turn as well
    assert client.line()
    assert reply["ok"] and reply["generation"] == 3
    assert keys(reply, "upper") == {"pipeline": ("3", "8")}
    assert daemon.status()["reload"]["count"] == 2


@pytest.mark.bound(90)
def test_unchanged_services_keep_pids_and_waiting_requests(start):
    """50 reloads that change another service; requests wait in one line all the while."""
    daemon = start({"slow": pool(NAP, instances=2, queue=100,
                                 queue_timeout="60s", request_timeout="60s"), "e": echo()})
    pids = daemon.instance_pids("slow")
    waited = 0
    for number in range(50):
        waiting = [daemon.connect("slow") for _ in range(4)]
        for place, client in enumerate(waiting):
            client.send(b"%d %d-%d\n" % (100 * SCALE, number, place))
        daemon.wait_service(lambda s: s["counters"]["requests"] == 4 * (number + 1),
                            "four requests", "slow")
        waited += daemon.service("slow")["waiting"] > 0
        reply = daemon.reload() if number % 10 == 9 else None
        if reply is None:
            daemon.configure({"e": {"pipeline": 2 + number}})
            reply = daemon.reload()
        assert reply["ok"]
        for place, client in enumerate(waiting):
            assert b"%d-%d" % (number, place) in client.line()
            client.close()
        assert daemon.instance_pids("slow") == pids
    assert waited > 25, "the line was never put to the test"
    assert daemon.service("slow")["counters"]["retried"] == 0
    assert not daemon.log_lines("instance .* ended")


def hostler_load(daemon, service, *arguments):
    host, port = daemon.address(service)
    return subprocess.Popen(
        [str(BUILD / "hostler-load"), "run", "--json", "--duration", f"{RELOADS / 2}s", *arguments,
         f"{host}:{port}"], stdout=subprocess.PIPE, text=True)


def account(process):
    output, _ = process.communicate(timeout=60 * SCALE)
    return json.loads(output)


@pytest.mark.slow
@pytest.mark.bound(120)
def test_reloads_under_load(start):
    """Two reloads a second: a new connection for each request, and 64 that are kept."""
    daemon = start({"upper": pool(UPPER, instances=2), "e": echo()})
    fresh = hostler_load(daemon, "upper", "--connections", "8", "--new-connection", "--reconnect",
                         "--expect", "upper")
    kept = hostler_load(daemon, "e", "--connections", "64", "--reconnect", "--expect", "echo")
    began = time.monotonic()
    for number in range(RELOADS):
        service, key = [("e", "pipeline"), ("upper", "queue")][number % 2]
        daemon.configure({service: {key: 100 + number}})
        assert daemon.reload()["ok"]
        wait_for(lambda: time.monotonic() >= began + 0.5 * (number + 1), "half a second", 20)
    loads = [account(load) for load in (fresh, kept)]
    for load in loads:
        requests, connections = load["requests"], load["connections"]
        assert requests["right"] > 1000
        assert requests["wrong"] == requests["duplicate"] == requests["error"] == 0, load
        assert requests["overdue"] == requests["unsent"] == requests["broken"] == 0, load
        assert connections["refused"] == connections["timed_out"] == connections["failed"] == 0
    assert loads[1]["connections"]["opened"] == 64, "none was closed"
    assert daemon.status()["generation"] == 1 + RELOADS


@pytest.mark.slow
@pytest.mark.bound(120)
def test_a_storm_of_hups_with_every_other_file_bad(start):
    """HUP every 0.1 s: the service is unharmed, nothing grows, each error is exact."""
    daemon = start({"upper": pool(UPPER, instances=2), "e": echo()})
    swarm = Swarm(daemon.address("upper"), 8)
    swarm.start()
    swarm.wait_round()
    resting = (resident_bytes(daemon.pid), len(descriptors(daemon.pid)))
    daemon.configure({"e": {"pipeline": "no-number"}})
    error = daemon.reload()["error"]
    assert f"{daemon.config}:" in error and "[service e] pipeline: " in error
    most, bad, began = 0, 1, time.monotonic()
    for number in range(STORM):
        if number % 2:
            bad += 1
            daemon.configure({"e": {"pipeline": "no-number"}})
        else:
            daemon.configure({"e": {"pipeline": 2 + number % 90}})
        daemon.send_signal(signal.SIGHUP)
        most = max(most, len(daemon.status()["generations"]))
        wait_for(lambda: time.monotonic() >= began + 0.1 * (number + 1), "a tenth of a second")
    daemon.configure({"e": {"pipeline": 7}})
    assert daemon.reload()["ok"]
    daemon.wait_status(lambda s: len(s["generations"]) == 1 and s["reload"]["state"] == "idle",
                       "one generation", 10)
    swarm.wait_round()
    swarm.finish().check_honest()
    assert not swarm.errors, swarm.counts()
    assert most <= 2
    told = {line.split("reload: ", 1)[1] for line in daemon.log_lines(" error .*reload: ")}
    assert told == {error}
    failed = daemon.status()["reload"]["failed"]
    assert failed > bad * 0.5
    if not SANITIZED:  # a sanitizer keeps what is freed
        assert resident_bytes(daemon.pid) < resting[0] + (1 << 20)
    wait_for(lambda: len(descriptors(daemon.pid)) <= resting[1], "as few descriptors as before")


def test_the_end_comes_with_the_last_reply(start):
    """At a stop: who has read the last reply knows already that there will be no other."""
    daemon = start({"slow": pool(NAP), "e": echo()})
    client = daemon.connect("slow").send(b"100 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "it runs", "slow")
    daemon.send_signal(signal.SIGTERM)
    with selectors.DefaultSelector() as selector:
        selector.register(client.socket, selectors.EVENT_READ)
        selector.select()
    assert client.socket.recv(100) == b"100 X\n"
    client.socket.setblocking(False)
    assert client.socket.recv(100) == b"", "the end was there together with the reply"
    daemon.process.wait(10)


# ---- scaling ----


def test_ttin_and_ttou(start):
    daemon = start({"upper": pool(UPPER)}, {"workers": 1})
    client = daemon.connect()
    assert client.ask(b"x") == b"X"
    daemon.send_signal(signal.SIGTTIN)
    wait_for(lambda: len(daemon.worker_pids()) == 2 and daemon.is_full(), "two workers")
    daemon.send_signal(signal.SIGTTOU)
    wait_for(lambda: len(daemon.status()["workers"]) == 1, "one worker")
    assert client.ask(b"y") == b"Y"
    daemon.send_signal(signal.SIGTTOU)
    daemon.wait_log("there are 1 workers, from 1 to")
    assert daemon.connect().ask(b"z") == b"Z"


def test_scale_workers_and_back_by_a_reload(start):
    daemon = start({"upper": pool(UPPER)}, {"workers": 2})
    assert daemon.request("scale", workers=4) == {"ok": True, "from": 2, "workers": 4}
    wait_for(lambda: len(daemon.worker_pids()) == 4 and daemon.is_full(), "four workers")
    swarm = Swarm(daemon.address(), 8)
    swarm.start()
    swarm.wait_round()
    assert daemon.request("scale", workers=1)["ok"]
    wait_for(lambda: len(daemon.status()["workers"]) == 1, "one worker")
    swarm.wait_round()
    swarm.finish().check_honest()
    for number in (0, 100000):
        reply = daemon.request("scale", workers=number)
        assert not reply["ok"] and "workers: expects a number from 1 to " in reply["error"]
    assert daemon.request("scale", service="upper", instances=3)["ok"]
    reply = daemon.reload(dry_run=True)
    assert reply["hostler"] == [{"key": "workers", "from": "1 (scaled)", "to": "2"}]
    assert keys(reply, "upper") == {"instances": ("3 (scaled)", "1")}
    assert daemon.reload() == {**reply, "dry_run": False, "took": pytest.approx(0, abs=5)}
    wait_for(lambda: len(daemon.worker_pids()) == 2 and daemon.is_full(), "as the file says")
    wait_for(lambda: len(daemon.instance_pids()) == 1, "as many instances as the file says")
    assert daemon.reload()["hostler"] == []
