"""Upgrade: another binary takes the master's place, or nothing at all has happened."""

import collections
import json
import os
import re
import signal
import subprocess
import time

import pytest

import harness
from harness import HOSTLERD, echo, exists, pool, program, wait_for
from swarm import Swarm
from test_notify import ear  # noqa: F401, a fixture

UPPER = program("upper.py")


def script(folder, text, name="binary", mode=0o755):
    """A program to upgrade to."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def upgrade(daemon, binary=None, timeout=30):
    """Orders an upgrade; its reply, which comes when it is over."""
    control = harness.Control(daemon.control_path, timeout=timeout)
    try:
        return control.request("upgrade", **({"binary": str(binary)} if binary else {}))
    finally:
        control.close()


def order(daemon, binary=None):
    """Orders one and does not wait: the reply will come on the connection that is returned."""
    control = harness.Control(daemon.control_path, timeout=30)
    keys = {"binary": str(binary)} if binary else {}
    control.client.send(json.dumps({"command": "upgrade", **keys}).encode() + b"\n")
    return control


def lives(daemon):
    """What an upgrade may not change."""
    status = daemon.status()
    return (status["pid"], status["guardian"]["pid"],
            [i["pid"] for s in status["services"] for i in s["instances"]])


def refused(daemon, client, binary, pattern, workers=None):
    """The order is refused for that reason, and nothing was changed."""
    before, workers = lives(daemon), daemon.worker_pids()
    reply = upgrade(daemon, binary)
    assert not reply["ok"] and pattern in reply["error"], reply
    assert (before, workers) == (lives(daemon), daemon.worker_pids())
    assert client.ask(b"x") == b"X"
    assert daemon.status()["upgrade"]["last_error"] == reply["error"]
    assert daemon.log_lines("upgrade failed: ")
    return reply["error"]


# ---- what is refused ----


@pytest.mark.parametrize("text, pattern", [
    ("exit 3", "it ended (exit status 3) without being ready to take over"),
    ("exit 0", "it ended (exit status 0) without being ready to take over"),
    ("echo boom >&2; exit 5", "without being ready to take over; last said: boom"),
    ("echo fine; kill -9 $$", "(killed by signal 9 (Killed)) without being ready"),
    ("sleep 1000 & exit 1", "it ended (exit status 1)"),
    ("printf 'ready 9' >/proc/self/fd/${2#*,}", "without being ready"),  # no whole line
    ("echo 'ready 9' >/proc/self/fd/${2#*,}; exit 2", "it ended (exit status 2) after it was ready"),
    ("echo 'failed for fun' >/proc/self/fd/${2#*,}", "binary: for fun"),
    ("head -c 1000000 /dev/zero; exit 4", "it ended (exit status 4)"),
])
def test_a_binary_that_is_no_hostlerd(start, folder, text, pattern):
    daemon = start({"upper": pool(UPPER)})
    client = daemon.connect()
    binary = script(folder, text)
    error = refused(daemon, client, binary, pattern)
    assert error.startswith(str(binary))
    refused(daemon, client, binary, pattern)
    status = daemon.status()["upgrade"]
    assert (status["state"], status["count"], status["failed"]) == ("idle", 2, 2)


def test_what_cannot_be_executed(start, folder):
    daemon = start({"upper": pool(UPPER)})
    client = daemon.connect()
    refused(daemon, client, folder / "nothing", "No such file or directory")
    refused(daemon, client, folder, "is no file that could be executed")
    refused(daemon, client, "bin/true", "expects an absolute path")
    plain = script(folder, "exit 0", "plain", 0o644)
    refused(daemon, client, plain, "cannot be executed: Permission denied")
    torn = script(folder, "", "torn")
    torn.write_text("#!/nothing/at/all\n")
    refused(daemon, client, torn, "what it needs to be run is missing")
    torn.write_text("\x7fELF")
    refused(daemon, client, torn, "cannot be executed: Exec format error")
    if os.geteuid() == 0:
        torn.chmod(0o777)
        refused(daemon, client, torn, "others than root may write to it")


def test_words_that_are_no_utf8(start, folder):
    """What a binary says may be any bytes: they harm neither status nor the next upgrade."""
    daemon = start({"upper": pool(UPPER)})
    client = daemon.connect()
    babble = script(folder, r"printf 'g\377ne\n' >&2; exit 1")
    refused(daemon, client, babble, r"last said: g\xffne")
    reply = upgrade(daemon, HOSTLERD)
    assert reply["ok"], reply
    assert client.ask(b"x") == b"X"
    assert daemon.status()["upgrade"]["count"] == 2


def test_another_version_that_knows_no_upgrade(start, folder):
    daemon = start({"upper": pool(UPPER)})
    old = script(folder, f'exec {HOSTLERD} --reheat "$@"')
    refused(daemon, daemon.connect(), old, "it ended (exit status 2) without being ready")


def test_one_at_a_time(start, folder):
    daemon = start({"upper": pool(UPPER)})
    binary = script(folder, "sleep 0.4; exit 1")
    first = order(daemon, binary)
    daemon.wait_status(lambda s: s["upgrade"]["state"] == "rehearsing", "a rehearsal")
    assert upgrade(daemon)["error"] == "an upgrade is under way"
    assert daemon.reload()["error"] == "an upgrade is under way"
    daemon.send_signal(signal.SIGHUP)
    assert b'"ok":false' in first.client.line().replace(b" ", b"")
    first.close()
    daemon.wait_status(lambda s: s["reload"]["count"] == 1, "the reload that waited")


def test_a_stop_ends_a_rehearsal(start, folder):
    daemon = start({"upper": pool(UPPER)})
    binary = script(folder, f"echo $$ >>{folder}/pid; sleep 1000")
    asker = order(daemon, binary)
    daemon.wait_status(lambda s: s["upgrade"]["state"] == "rehearsing", "a rehearsal")
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text().endswith("\n"),
             "its pid")
    daemon.send_signal(signal.SIGTERM)
    assert b"hostlerd is stopping" in asker.client.line()
    asker.close()
    assert daemon.wait_exit() == 0
    assert not exists(int((folder / "pid").read_text()))


def test_kill_of_the_master_ends_a_rehearsal(start, folder):
    daemon = start({"upper": pool(UPPER)})
    binary = script(folder, f"sleep 1000 & echo $! >>{folder}/pid; exec sleep 1000")
    daemon.exit_expected = -signal.SIGKILL
    asker = order(daemon, binary)
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text().endswith("\n"),
             "its pid")
    daemon.send_signal(signal.SIGKILL)
    daemon.wait_exit()
    asker.close()
    wait_for(lambda: not exists(int((folder / "pid").read_text())), "what it left is gone", 1)


@pytest.mark.parametrize("option", ["--resume", "--rehearse", "--return"])
def test_by_hand(folder, option):
    for value in ["0,1", "x", "3,4", "1", "-1,2", "0,1,2"]:
        done = harness.hostlerd(option, value, "run")
        assert done.returncode == 2 and "use hostlerctl upgrade" in done.stderr


# ---- what succeeds ----


def wrapped(folder, name="wrapped"):
    return script(folder, f'exec {HOSTLERD} "$@"', name)


def sockets(pid):
    """The inodes of its listening sockets, and of everything else that is a socket."""
    return {where for where in harness.descriptors(pid).values() if where.startswith("socket:")}


def settled(daemon):
    """The upgrade is over, and so is the generation before."""
    return daemon.wait_status(
        lambda s: len(s["generations"]) == 1 and s["upgrade"]["state"] == "idle" and
        s["reload"]["state"] == "idle", "one generation", 15)


def upgraded(daemon, binary=None):
    """A good one: what may not change has not, and the workers are others."""
    before, workers = lives(daemon), daemon.worker_pids()
    listening = sockets(daemon.pid)
    reply = upgrade(daemon, binary)
    assert reply["ok"], reply
    status = settled(daemon)
    assert lives(daemon) == before
    assert not set(workers) & set(daemon.worker_pids())
    assert len(workers) == len(daemon.worker_pids())
    assert listening & sockets(daemon.pid)
    assert status["generation"] == reply["generation"]
    assert status["upgrade"]["last_error"] is None
    return reply


def test_all_goes_on(start, folder):
    pid_file = folder / "pid"
    daemon = start({"upper": pool(UPPER, instances=2), "e": echo()}, {"pid_file": pid_file})
    client = daemon.connect("upper")
    for _ in range(5):
        assert client.ask(b"x") == b"X"
    operator = harness.Control(daemon.control_path)
    assert operator.request("version")["ok"]
    counters, address = daemon.counters("upper"), daemon.address("upper")
    grants, inode = daemon.trace("upper"), pid_file.stat().st_ino
    first = upgraded(daemon)
    assert (first["binary"], first["generation"]) == (str(HOSTLERD), 2)
    second = upgraded(daemon, wrapped(folder))
    assert (second["binary"], second["generation"]) == (str(folder / "wrapped"), 3)
    third = upgraded(daemon)
    assert (third["binary"], third["generation"]) == (str(folder / "wrapped"), 4)
    assert daemon.address("upper") == address
    assert client.ask(b"y") == b"Y", "on the same connection"
    now = daemon.counters("upper")
    assert now["requests"] == counters["requests"] + 1 and now["replies"] == counters["replies"] + 1
    assert daemon.trace("upper")[:len(grants)] == grants
    assert pid_file.stat().st_ino == inode and pid_file.read_text() == f"{daemon.pid}\n"
    assert operator.request("version")["pid"] == daemon.pid, "on the same connection"
    operator.close()
    status = daemon.status()["upgrade"]
    assert (status["count"], status["failed"]) == (3, 0)
    assert len(daemon.log_lines("upgrade: hostlerd .* runs after ")) == 3
    daemon.reloaded({"e": {"max_connections": 7}})
    daemon.stop()
    assert not pid_file.exists()


def test_usr2(start):
    daemon = start({"upper": pool(UPPER)})
    workers = daemon.worker_pids()
    daemon.send_signal(signal.SIGUSR2)
    daemon.wait_log("upgrade: hostlerd .* runs after ")
    settled(daemon)
    assert not set(workers) & set(daemon.worker_pids())
    assert daemon.connect().ask(b"x") == b"X"


def test_hostlerctl(start, folder):
    daemon = start({"upper": pool(UPPER)})
    wrapped(folder)
    ctl = [harness.BUILD / "hostlerctl", "--socket", daemon.control_path, "upgrade"]
    done = subprocess.run([*ctl, "--binary", "wrapped"], cwd=folder, capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"hostlerd (\S+) runs, before it was \1 \({folder}/wrapped\)\n"
                        r"upgraded in 0\.\d+ s: generation 2\n", done.stdout)
    settled(daemon)
    done = subprocess.run([*ctl, "--binary", "nothing"], cwd=folder, capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 1
    assert done.stderr == f"hostlerctl: {folder}/nothing: No such file or directory\n"


def test_run_without_a_file(launch):
    daemon = launch("run", "--listen", "127.0.0.1:0", "--hostler.control", "{control}", "--",
                    *UPPER.split())
    daemon.wait_full()
    upgraded(daemon)
    upgraded(daemon)
    assert daemon.connect().ask(b"x") == b"X"


def test_what_was_set_by_hand_stays(start):
    daemon = start({"upper": pool(UPPER, instances="1..4")}, {"log_level": "info"})
    assert daemon.request("scale", workers=3)["ok"]
    assert daemon.request("scale", service="upper", instances=6)["ok"]
    assert daemon.request("verbose", level="debug")["ok"]
    daemon.wait_service(lambda s: len(s["instances"]) == 6, "six instances")
    daemon.wait_full()
    upgraded(daemon)
    assert len(daemon.worker_pids()) == 3
    assert daemon.service()["wanted"] == 6 and len(daemon.instance_pids()) == 6
    assert daemon.request("verbose", level="debug")["was"] == "debug"
    daemon.reload()
    daemon.wait_status(lambda s: len([w for w in s["workers"] if w["pid"]]) == 2, "two workers")
    assert daemon.request("verbose", level="info")["was"] == "info"


def test_a_crash_loop_is_not_waited_for(start, folder):
    count = folder / "count"
    count.touch()
    bad = script(folder, f"[ $(wc -l <{count}) -ge 2 ] && exec sleep 1000; echo >>{count}; exit 1")
    daemon = start({"upper": pool(UPPER), "bad": pool(bad, ready="line", start_timeout="1m")},
                   wait="running")
    daemon.wait_service(lambda s: s["instances"][0]["starts"] == 3, "a third try", "bad")
    before = daemon.instances("bad")
    assert before[0]["state"] == "starting"
    reply = upgrade(daemon)
    assert reply["ok"] and reply["took"] < 4, reply
    settled(daemon)
    assert daemon.instances("bad")[0]["pid"] == before[0]["pid"]
    os.kill(before[0]["pid"], signal.SIGKILL)
    daemon.wait_service(lambda s: s["state"] == "backing off", "the crash loop goes on", "bad")


def test_it_waits_for_a_reload(start):
    daemon = start({"nap": pool(program("nap.py"))})
    client = daemon.connect()
    client.send(b"700 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    daemon.configure({"nap": {"queue": 7}})
    assert daemon.reload()["ok"]
    assert len(daemon.status()["generations"]) == 2
    reply = upgrade(daemon)
    assert reply["ok"] and reply["generation"] == 3
    assert client.line()
    assert daemon.request("services")["services"][0]["queue"] == 7


def test_a_stopping_daemon_refuses(start):
    daemon = start({"nap": pool(program("nap.py"))})
    client = daemon.connect()
    client.send(b"700 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    daemon.send_signal(signal.SIGTERM)
    assert upgrade(daemon)["error"] == "hostlerd is stopping"
    assert client.line()
    client.close()
    daemon.wait_exit()


def test_who_may_name_a_binary(start, folder, root):
    """Who may order an upgrade may not for that have any program executed by root."""
    daemon = start({"upper": pool(UPPER)}, {"user": "nobody"})
    ctl = [harness.BUILD / "hostlerctl", "--socket", daemon.control_path, "upgrade"]
    done = subprocess.run([*ctl, "--binary", wrapped(folder)], capture_output=True, text=True,
                          user="nobody", timeout=30)
    assert done.returncode == 1 and "only root, and the user that hostlerd runs as" in done.stderr
    done = subprocess.run(ctl, capture_output=True, text=True, user="nobody", timeout=30)
    assert done.returncode == 0, done.stderr
    settled(daemon)


def test_systemd_hears_of_it(start, folder, ear):
    daemon = start({"upper": pool(UPPER)}, env={"NOTIFY_SOCKET": str(folder / "notify")})
    ear.hear_until("READY")
    upgraded(daemon)
    heard = ear.hear_until("READY")
    assert "RELOADING" in heard[0] and heard[-1]["MAINPID"] == str(daemon.pid)
    assert not upgrade(daemon, "/nothing")["ok"]
    heard = ear.hear_until("READY")
    assert "RELOADING" in heard[0]
    assert "upgrade failed: /nothing: No such file or directory" in heard[-1]["STATUS"]


# ---- the way back ----


def came_back(daemon, binary, pattern):
    """It was refused by the new binary, or for it, and the old one goes on."""
    before, workers = lives(daemon), daemon.worker_pids()
    reply = upgrade(daemon, binary)
    assert not reply["ok"] and pattern in reply["error"], reply
    status = settled(daemon)
    assert lives(daemon) == before and daemon.worker_pids() == workers
    assert status["upgrade"]["last_error"] == reply["error"]
    assert status["upgrade"]["binary"] == str(HOSTLERD)
    return reply["error"]


@pytest.mark.parametrize("name, pattern", [
    ("rejects", "rejects: the state is odd"),
    ("trial-dies", "its worker 0 did not start: exit status 8"),
    ("rejects-late", "rejects-late: the state is odd; hostlerd "),
    ("workers-die", "did not start: exit status 7; hostlerd "),
])
def test_an_odd_hostlerd(start, folder, name, pattern):
    daemon = start({"upper": pool(UPPER, instances=2), "e": echo()})
    client = daemon.connect("upper")
    assert client.ask(b"x") == b"X"
    odd = harness.odd_hostlerd(folder, name)
    for _ in range(2):
        came_back(daemon, odd, pattern)
        assert client.ask(b"y") == b"Y", "on the same connection"
    assert not daemon.log_lines("upgrade: hostlerd .* runs after ")
    upgraded(daemon)
    assert client.ask(b"z") == b"Z"
    daemon.stop()


@pytest.mark.slow
def test_what_hangs(start, folder):
    """A rehearsal, and workers after the exec: each has ten seconds, here at the same time."""
    orders = {script(folder, "echo $$ >&2; sleep 1000 & wait"): "was not ready in time; last said: ",
              harness.odd_hostlerd(folder, "workers-hang"): "was not ready within 10s; hostlerd "}
    asked = []
    for binary, pattern in orders.items():
        daemon = start({"upper": pool(UPPER)})
        client = daemon.connect()
        assert client.ask(b"x") == b"X"
        asked.append((daemon, client, lives(daemon), pattern, order(daemon, binary)))
    begun = time.monotonic()
    for daemon, client, before, pattern, asker in asked:
        error = json.loads(asker.client.line())["error"]
        asker.close()
        assert pattern in error and time.monotonic() - begun < 12 * harness.SCALE
        settled(daemon)
        assert lives(daemon) == before and client.ask(b"y") == b"Y"
        if pattern.endswith("said: "):
            assert not exists(int(error.split()[-1]))


def test_pools_of_another_layout(start, folder):
    daemon = start({"upper": pool(UPPER, instances=2), "e": echo()})
    pids = daemon.instance_pids("upper")
    client = daemon.connect("upper")
    assert client.ask(b"x") == b"X"
    asked = daemon.counters("upper")["requests"]
    reply = upgrade(daemon, harness.odd_hostlerd(folder, "other-pools"))
    assert reply["ok"], reply
    settled(daemon)
    daemon.wait_full()
    assert not set(pids) & set(daemon.instance_pids("upper"))
    assert client.ask(b"x") == b"X"
    assert daemon.counters("upper")["requests"] == asked + 1
    wait_for(lambda: not any(exists(p) for p in pids), "the old instances are gone")


def test_nothing_breaks_under_load(start, folder):
    """Good ones and bad ones: no client notices anything, whether it keeps its connection or not."""
    daemon = start({"upper": pool(UPPER, instances=2)})
    swarm = Swarm(daemon.address(), 16)
    swarm.start()
    swarm.wait_round()
    host, port = daemon.address()
    load = subprocess.Popen(
        [harness.BUILD / "hostler-load", "run", "--json", "--connections", "8", "--new-connection",
         "--duration", "3s", "--expect", "upper", f"{host}:{port}"], stdout=subprocess.PIPE)
    for name in ("workers-die", None, "rejects-late", None, "trial-dies"):
        reply = upgrade(daemon, name and harness.odd_hostlerd(folder, name))
        assert reply["ok"] == (name is None), reply
        swarm.wait_round()
        settled(daemon)
    swarm.finish().check_clean()
    assert swarm.reconnected == 0
    report = json.loads(load.communicate(timeout=30)[0])
    assert load.returncode == 0 and report["requests"]["right"] > 100, report


def kinds(pid):
    return collections.Counter(re.sub(r":?\[.*", "", where)
                               for where in harness.descriptors(pid).values())


def test_descriptors_do_not_pile_up(start, folder):
    daemon = start({"upper": pool(UPPER, instances=2), "e": echo()})
    operator = harness.Control(daemon.control_path)
    upgraded(daemon)
    for _ in range(2):  # who was closed before these answers is gone
        assert operator.request("version")["ok"]
    before = kinds(daemon.pid)
    upgraded(daemon)
    came_back(daemon, harness.odd_hostlerd(folder, "workers-die"), "exit status 7")
    came_back(daemon, harness.odd_hostlerd(folder, "rejects-late"), "odd")
    upgraded(daemon)
    wait_for(lambda: operator.request("version")["ok"] and kinds(daemon.pid) == before,
             f"as many descriptors: {kinds(daemon.pid)}, before {before}")
    operator.close()


def test_a_reload_ordered_meanwhile_follows(start):
    daemon = start({"upper": pool(UPPER), "e": echo()})
    daemon.configure({"e": {"max_connections": 7}})
    asker = order(daemon)
    daemon.wait_log("rehearsal|upgrade: ")
    daemon.send_signal(signal.SIGHUP)
    assert b'"version"' in asker.client.line()
    asker.close()
    daemon.wait_log("reload: generation . runs")
    assert daemon.service("e")["max_connections"] == 7


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("delay", [0, 0.005, 0.01, 0.02, 0.03, 0.05])
def test_an_end_at_any_time(start, delay, number):
    daemon = start({"upper": pool(UPPER, instances=2)})
    daemon.exit_expected = -number if number == signal.SIGKILL else 0
    daemon.send_signal(signal.SIGUSR2)
    time.sleep(delay)  # whatever it is doing then
    daemon.send_signal(number)
    daemon.wait_exit()
    daemon.check_nothing_left()
    again = start({"upper": pool(UPPER)}, control=daemon.control_path)
    assert again.connect().ask(b"x") == b"X"
