"""The daemon as a whole: options, start, supervision, privileges, stop."""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

import harness
from harness import echo, pool, program, wait_for
from swarm import Swarm

NOBODY = 65534


# ---- options ----


def test_version():
    result = harness.hostlerd("-V")
    assert result.returncode == 0
    assert re.search(r"\b\d+\.\d+\.\d+\b", result.stdout)
    assert re.search(r"^protocols: stream line frame\b", result.stdout, re.MULTILINE)
    assert re.search(r"^handlers: echo discard collect program\b", result.stdout, re.MULTILINE)


def test_check_accepts_a_good_file(folder):
    config = folder / "good.conf"
    harness.write_config(config, {"echo": echo()}, {"control": folder / "control.sock"})
    result = harness.hostlerd("-t", "-f", config)
    assert result.returncode == 0, result


def test_check_tells_all_errors_at_once(folder):
    config = folder / "bad.conf"
    config.write_text("[hostler]\nworkers = many\n\n[service a]\nlisten = 127.0.0.1:0\n"
                      "protocol = line\nhandler = echo\nidle_timeot = 5s\nwrite_timeout = 5\n")
    result = harness.hostlerd("-t", "-f", config)
    assert result.returncode == 1
    text = result.stdout + result.stderr
    for number, word in ((2, "workers"), (8, "idle_timeout"), (9, "write_timeout")):
        assert re.search(rf"bad\.conf:{number}: .*{word}", text), (number, word, text)


def test_check_refuses_an_illegal_pair(folder):
    config = folder / "pair.conf"
    harness.write_config(config, {"a": pool(program("upper.py"), protocol="stream")}, {})
    result = harness.hostlerd("-t", "-f", config)
    assert result.returncode == 1
    assert re.search(r"stream.*program|program.*stream", result.stdout + result.stderr)


def test_dump_can_be_read_back(folder):
    first, second = folder / "first.conf", folder / "second.conf"
    services = {"echo": echo(idle_timeout="7s"), "up": pool(program("upper.py"), queue=17)}
    harness.write_config(first, services, {"control": folder / "control.sock"})
    dump = harness.hostlerd("-T", "-f", first)
    assert dump.returncode == 0, dump
    assert re.search(r"idle_timeout *= *7s", dump.stdout)
    assert "first.conf:" in dump.stdout, "the origin of each value"
    second.write_text(dump.stdout)
    again = harness.hostlerd("-T", "-f", second)
    assert again.returncode == 0, again

    def values(text):
        return [line.split("#")[0].rstrip() for line in text.splitlines()
                if "=" in line and not line.startswith(("#", ";"))]
    assert values(again.stdout) == values(dump.stdout)


def test_a_missing_file_is_told(folder):
    result = harness.hostlerd("-f", folder / "none.conf")
    assert result.returncode == 1
    assert "none.conf" in result.stderr and "No such file" in result.stderr


def test_an_unknown_option_is_a_usage_error():
    result = harness.hostlerd("--no-such-option")
    assert result.returncode != 0
    assert "no-such-option" in result.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["rn"], "no command 'rn'"),
        (["-f", "x.conf", "run"], "-f and run exclude each other"),
        (["run", "--handler", "collect"], "handler collect needs a file: --file PATH"),
    ],
)
def test_wrong_usage_is_told(arguments, words):
    result = harness.hostlerd(*arguments)
    assert result.returncode == 2 and words in result.stderr


# ---- addresses ----


def test_several_addresses(start, folder):
    path = folder / "service.sock"
    daemon = start({"a": echo(listen=f"127.0.0.1:0, 127.0.0.1:0, unix:{path}")})
    listen = daemon.service()["listen"]
    assert len(set(listen)) == 3 and listen[2] == f"unix:{path}"
    assert not any(text.endswith(":0") for text in listen), "the real ports are shown"
    for number, text in enumerate(listen):
        assert daemon.connect(number=number).ask(b"hello") == b"hello"
        assert daemon.log_lines(rf"service a: listening on {re.escape(text)}$")


def test_ipv6(start):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    daemon = start({"a": echo(listen="[::1]:0")})
    assert daemon.address()[0] == "::1"
    assert daemon.connect().ask(b"hello") == b"hello"


def test_a_port_in_use_names_its_owner(launch, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = launch("run", "--listen", f"127.0.0.1:{port}", "--handler", "echo",
                        "--hostler.control", "{control}")
        daemon.exit_expected = 1
        assert daemon.wait_exit() == 1
        assert f"127.0.0.1:{port}" in daemon.log()
        # Of processes of one name the topmost is named; in pytest-xdist that is our parent.
        owner = re.search(r"in use by \S+ \(pid (\d+)\)", daemon.log())
        assert owner and int(owner.group(1)) in (os.getpid(), os.getppid())


def test_a_stale_unix_socket_is_replaced(start, folder):
    path = folder / "service.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    daemon = start({"a": echo(listen=f"unix:{path}")})
    assert daemon.connect().ask(b"hello") == b"hello"
    daemon.stop()
    assert not path.exists()


def test_a_live_unix_socket_is_refused(launch, folder):
    path = folder / "service.sock"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        daemon = launch("run", "--listen", f"unix:{path}", "--handler", "echo",
                        "--hostler.control", "{control}")
        daemon.exit_expected = 1
        assert daemon.wait_exit() == 1
        assert str(path) in daemon.log()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_in_the_place_of_a_socket_stays(launch, folder):
    path = folder / "precious"
    path.write_text("data")
    daemon = launch("run", "--listen", f"unix:{path}", "--handler", "echo",
                    "--hostler.control", "{control}")
    daemon.exit_expected = 1
    assert daemon.wait_exit() == 1
    assert path.read_text() == "data"


def test_two_daemons_with_one_control_socket(start):
    daemon = start({"a": echo()})
    second = start({"a": echo()}, control=daemon.control_path, wait=None)
    second.exit_expected = 1
    assert second.wait_exit() == 1
    assert str(daemon.control_path) in second.log()
    assert daemon.connect().ask(b"hello") == b"hello"
    assert daemon.status()["pid"] == daemon.pid


# ---- run ----


def test_run_with_a_command(launch):
    daemon = launch("run", "--listen", "127.0.0.1:0", "--protocol", "line", "--instances", "2",
                    "--hostler.workers", "2", "--hostler.control", "{control}", "--",
                    sys.executable, "-IS", harness.PROGRAMS / "upper.py")
    daemon.wait_full()
    assert daemon.connect().ask(b"hello") == b"HELLO"
    status = daemon.status()
    assert status["file"] is None and status["services"][0]["name"] == "run"
    assert len(status["workers"]) == 2 and len(daemon.instances()) == 2


def test_run_takes_hyphens_for_underscores(launch):
    daemon = launch("run", "--listen", "127.0.0.1:0", "--handler", "echo", "--protocol", "line",
                    "--max-message", "10B", "--idle_timeout", "300ms", "--hostler.control",
                    "{control}")
    daemon.wait_full()
    assert daemon.connect().ask(b"12345678901") == b"ERR too-large"


def test_run_refuses_an_unknown_key(launch):
    daemon = launch("run", "--lisen", "127.0.0.1:0", "--", "cat")
    daemon.exit_expected = 2
    assert daemon.wait_exit() == 2
    assert "lisen" in daemon.log() and "listen" in daemon.log()


def test_nc_as_a_client(start):
    if not shutil.which("nc"):
        pytest.skip("nc is not installed")
    daemon = start({"up": pool(program("upper.py"))})
    host, port = daemon.address()
    result = subprocess.run(["nc", "-N", host, str(port)], input=b"ping\npong\n",
                            stdout=subprocess.PIPE, timeout=10 * harness.SCALE)
    assert result.stdout == b"PING\nPONG\n"


# ---- stop ----


def is_refused(address):
    try:
        harness.Client(address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_term_drains(start):
    daemon = start({"slow": pool(program("slow.py", 1))})
    idle, busy = daemon.connect(), daemon.connect()
    busy.send(b"finish me\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    daemon.check_violations()
    daemon.send_signal(signal.SIGTERM)
    assert idle.rest() == b"", "an idle connection is closed"
    assert daemon.is_running()
    wait_for(lambda: is_refused(busy.socket.getpeername()), "the port to be closed")
    assert busy.rest() == b"finish me\n"
    assert daemon.wait_exit() == 0
    assert daemon.log_lines(r"stopping: TERM; draining for up to 5s")
    assert daemon.log_lines(r"master: stopped$")


def test_term_is_bounded(start):
    daemon = start({"wild": pool(program("wild.py"))}, {"shutdown_timeout": "500ms"})
    client = daemon.connect().send(b"mute\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    daemon.stop(timeout=5)
    assert client.is_ended()


def test_a_second_term_is_quick(start):
    daemon = start({"wild": pool(program("wild.py"))}, {"shutdown_timeout": "60s"})
    client = daemon.connect().send(b"mute\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    daemon.check_violations()
    daemon.send_signal(signal.SIGTERM)
    daemon.wait_log("stopping: TERM")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait_exit() == 0
    assert client.is_ended()


@pytest.mark.parametrize("name", ["INT", "QUIT"])
def test_int_and_quit_are_quick(start, name):
    daemon = start({"wild": pool(program("wild.py")), "echo": echo()},
                   {"shutdown_timeout": "60s"})
    client, idle = daemon.connect("wild").send(b"mute\n"), daemon.connect("echo")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance", "wild")
    daemon.stop(getattr(signal, f"SIG{name}"), timeout=4)
    assert client.is_ended() and idle.is_ended()
    assert daemon.log_lines(rf"stopping: {name}")


def test_term_during_the_start(start):
    daemon = start({"never": pool("/bin/false", instances=4)}, wait="running")
    daemon.stop()


def test_the_control_socket_is_removed(start):
    daemon = start({"a": echo()})
    daemon.stop()
    assert not daemon.control_path.exists()


def test_a_pid_file(start, folder):
    path = folder / "pid"
    daemon = start({"a": echo()}, {"pid_file": path})
    assert int(path.read_text()) == daemon.pid
    daemon.stop()
    assert not path.exists()


def test_programs_see_the_end_of_input_first(start):
    """Closing its stdin is the polite word; a program that ends by it needs no signal."""
    daemon = start({"a": pool("/bin/sh -c 'while read -r l; do echo \"$l\"; done; echo bye >&2'")})
    assert daemon.connect().ask(b"hello") == b"hello"
    daemon.stop()
    assert daemon.log_lines(r"a/\d+: bye")


# ---- supervision ----


def test_birth_and_death_are_a_line_each(start):
    daemon = start({"up": pool(program("upper.py"))})
    worker, instance = daemon.worker_pids()[0], daemon.instance_pids()[0]
    assert daemon.log_lines(rf"master: worker 0 \(pid {worker}\) started")
    assert daemon.log_lines(rf"master: worker 0 \(pid {worker}\) is ready")
    assert daemon.log_lines(rf"master: service up: instance 0 \(pid {instance}\) started")
    os.kill(worker, signal.SIGKILL)
    os.kill(instance, signal.SIGTERM)
    ended = daemon.wait_log(rf"worker 0 \(pid {worker}\) ended: killed by signal 9 \(Killed\)")
    assert len(ended) == 1
    ended = daemon.wait_log(
        rf"service up: instance 0 \(pid {instance}\) ended: killed by signal 15 \(Terminated\)")
    assert len(ended) == 1
    daemon.wait_full()


def test_a_killed_worker_is_replaced(start):
    daemon = start({"up": pool(program("upper.py"), instances=2)})
    clients = [daemon.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        assert client.ask(b"one %d" % number) == b"ONE %d" % number
    status = daemon.status()
    victim = max(status["workers"], key=lambda w: w["connections"])
    survivors = sum(w["connections"] for w in status["workers"]) - victim["connections"]
    os.kill(victim["pid"], signal.SIGKILL)
    daemon.wait_status(lambda s: all(w["state"] == "ready" and w["pid"] != victim["pid"]
                                     for w in s["workers"]), "the worker replaced")
    alive = 0
    for client in clients:
        try:
            alive += client.ask(b"two") == b"TWO"
        except (AssertionError, ConnectionError):
            pass
    assert alive == survivors, "the connections of the other worker are unharmed"
    assert daemon.connect().ask(b"three") == b"THREE"
    worker = daemon.status()["workers"][victim["worker"]]
    assert worker["starts"] == 2 and "signal 9" in worker["last_exit"]


def test_a_stopped_worker(start):
    """The others keep the service going, its instances are replaced in time, and it is too."""
    daemon = start({"slow": pool(program("slow.py", 0.05), instances=2, request_timeout="1s")},
                   {"worker_timeout": "2s"})
    swarm = Swarm(daemon.address(), 16, expect=bytes)
    swarm.start()
    swarm.wait_round()
    before = daemon.instance_pids()
    # A worker that holds a lease: that is what makes it interesting.
    victim = wait_for(lambda: stop_a_holder(daemon), "a worker that holds an instance")
    daemon.wait_status(lambda s: s["workers"][victim["worker"]]["pid"] != victim["pid"],
                       "the stopped worker replaced", 8)
    assert daemon.log_lines(rf"worker \d+ \(pid {victim['pid']}\) .*did not answer for 2s")
    daemon.wait_full("busy")
    swarm.wait_round()
    swarm.finish()
    assert set(daemon.instance_pids()) != set(before), "the instance that it held was replaced"
    swarm.check_honest()


def test_an_instance_of_a_stopped_worker(start):
    """The master kills it a second after its deadline, long before it gives the worker up."""
    daemon = start({"wild": pool(program("wild.py"), request_timeout="500ms")},
                   {"worker_timeout": "60s"})
    pid = daemon.instance_pids()[0]
    held = daemon.connect().send(b"mute\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    status = daemon.status()
    holder = next(w for w in status["workers"] if w["id"] == daemon.trace()[-1]["worker"])
    daemon.stop_worker(holder["pid"])
    try:
        daemon.wait_service(lambda s: s["instances"][0]["pid"] not in (None, pid),
                            "another instance", timeout=4)
        assert daemon.connect().ask(b"hello") == b"HELLO"
    finally:
        os.kill(holder["pid"], signal.SIGCONT)
    assert held.line() in (b"ERR timeout", b"ERR failed")
    assert held.ask(b"again") == b"AGAIN"
    assert daemon.status()["workers"][holder["worker"]]["pid"] == holder["pid"]


def test_a_stopped_worker_with_a_full_channel(start):
    """New instances wait 2 s for a worker whose channel is full; then it is not waited for."""
    daemon = start({"up": pool("sed -u 's/.*/\\U&/'", instances=4, start_rate=1000)},
                   {"worker_timeout": "60s"})
    worker = daemon.worker_pids()[0]
    daemon.stop_worker(worker)
    deadline = time.monotonic() + 30 * harness.SCALE
    while worker in daemon.worker_pids():
        assert time.monotonic() < deadline
        # Good replies between the deaths, so that this is no crash loop.
        assert daemon.connect().ask(b"hello") in (b"HELLO", b"ERR failed")
        for pid in daemon.instance_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    daemon.wait_full()
    assert daemon.connect().ask(b"hello") == b"HELLO"


def stop_a_holder(daemon):
    """SIGSTOPs a worker; lets it go on and returns None when it turns out to hold no lease."""
    worker = max(daemon.status()["workers"], key=lambda w: w["connections"])
    daemon.stop_worker(worker["pid"])
    recent = daemon.trace()[-2:]
    busy = {i["slot"] for i in daemon.instances() if i["state"] == "busy"}
    # With both instances busy and a waiting line the newest grants are the current leases.
    if any(g["worker"] == worker["id"] and g["slot"] in busy for g in recent):
        return worker
    os.kill(worker["pid"], signal.SIGCONT)
    return None


def test_the_others_go_on_beside_a_stopped_worker(start):
    daemon = start({"up": pool(program("upper.py"), instances=2)}, {"worker_timeout": "60s"})
    worker = daemon.worker_pids()[0]
    daemon.stop_worker(worker)
    try:
        for number in range(50):
            assert daemon.connect().ask(b"go %d" % number) == b"GO %d" % number
    finally:
        os.kill(worker, signal.SIGCONT)


def test_the_guardian_is_replaced(start):
    daemon = start({"up": pool(program("upper.py"))})
    guardian = daemon.status()["guardian"]["pid"]
    os.kill(guardian, signal.SIGKILL)
    daemon.wait_status(lambda s: s["guardian"]["pid"] not in (None, guardian), "a new guardian")
    assert daemon.log_lines(rf"guardian \(pid {guardian}\) ended: killed by signal 9")
    assert daemon.connect().ask(b"hello") == b"HELLO"
    # The new one was told all the groups: it still cleans up behind a killed master.
    daemon.check_violations()
    daemon.exit_expected = -signal.SIGKILL
    daemon.send_signal(signal.SIGKILL)
    daemon.wait_exit()
    daemon.check_nothing_left()


@pytest.mark.parametrize("user", [None, "daemon"])
def test_a_killed_master_leaves_nothing(start, folder, user):
    if user and os.geteuid() != 0:
        pytest.skip("instances of another uid need root")
    services = {"family": pool(program("wild.py"), instances=2)}
    if user:
        shutil.copy(harness.PROGRAMS / "wild.py", folder)
        services["other"] = pool(f"{sys.executable} -IS {folder}/wild.py", user=user)
    daemon = start(services)
    address = daemon.address("family")
    for name in services:
        assert daemon.connect(name).ask(b"family ok") == b"ok"
    if user:
        pid = daemon.instance_pids("other")[0]
        assert harness.status_field(pid, "Uid") == [str(pwd.getpwnam(user).pw_uid)] * 4
    everybody = harness.descendants(daemon.pid)
    # The guardian, two workers, the instances, and a grandchild of each service.
    assert len(everybody) == (8 if user else 6), everybody
    daemon.check_violations()
    daemon.exit_expected = -signal.SIGKILL
    daemon.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(harness.exists(p.pid) for p in everybody),
             f"the end of {everybody}", 1)
    daemon.wait_exit()
    # A new start at once, on the same port and with the same control socket.
    services["family"]["listen"] = "%s:%d" % address
    again = start(services, control=daemon.control_path)
    assert again.connect("family").ask(b"hello") == b"HELLO"


def test_a_killed_master_without_its_guardian(start):
    """Then the workers see the end of their channel, and programs get the parent-death signal."""
    daemon = start({"deaf": pool(program("deaf.sh"), instances=2)})
    everybody = harness.descendants(daemon.pid)
    guardian = daemon.status()["guardian"]["pid"]
    daemon.check_violations()
    daemon.exit_expected = -signal.SIGKILL
    daemon.send_signal(signal.SIGSTOP)  # so that it cannot start another one
    os.kill(guardian, signal.SIGKILL)
    daemon.send_signal(signal.SIGKILL)
    daemon.wait_exit()
    wait_for(lambda: not any(harness.exists(p.pid) for p in everybody),
             f"the end of {everybody}", 1)


def pid_namespace():
    """The words that run a command as PID 1, or a skip."""
    words = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed")
    probe = subprocess.run([*words, "true"], stderr=subprocess.PIPE, text=True)
    if probe.returncode:
        pytest.skip(f"no pid namespace for us: {probe.stderr.strip()}")
    return words


def test_as_pid_one(start):
    daemon = start({"wild": pool(program("wild.py"), instances=2)}, prefix=pid_namespace(),
                   pid_of_child=True)
    assert daemon.status()["pid"] == 1
    client = daemon.connect()
    for number in range(10):
        assert client.ask(b"adopt %d" % number) == b"%d" % number

    def adopted():
        return [p for p in harness.processes() if p.parent == daemon.pid and p.state == "Z"]
    below = len(daemon.worker_pids()) + len(daemon.instance_pids()) + 1
    wait_for(lambda: not adopted() and len(harness.descendants(daemon.pid)) == below,
             "every adopted orphan reaped", 3)
    daemon.check_violations()
    for worker in daemon.worker_pids():
        assert worker != 1
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait_exit() == 0


def test_as_pid_one_a_killed_worker_is_replaced(start):
    """getppid() is 1 for everybody there, which must not look like a dead master."""
    daemon = start({"up": pool(program("upper.py"))}, prefix=pid_namespace(), pid_of_child=True)
    victim = next(p for p in harness.descendants(daemon.pid)
                  if harness.status_field(p.pid, "NSpid")[-1] ==
                  str(daemon.worker_pids()[0]))
    os.kill(victim.pid, signal.SIGKILL)
    daemon.wait_log(r"worker 0 .* ended: killed by signal 9")
    daemon.wait_full()
    assert daemon.connect().ask(b"hello") == b"HELLO"


# ---- what an instance gets ----


def facts(daemon, name=None):
    return json.loads(daemon.connect(name).ask(b"facts"))


def test_no_descriptor_leaks_into_an_instance(start):
    daemon = start({"wild": pool(program("wild.py"), instances=2), "echo": echo()})
    found = facts(daemon, "wild")["fds"]
    assert set(found) == {"0", "1", "2"}, found
    assert all(target.startswith("pipe:") for target in found.values()), found


def test_an_inherited_descriptor_leaks_neither(launch):
    """What the caller had open is not our programs' business."""
    daemon = launch("run", "--listen", "127.0.0.1:0", "--hostler.control", "{control}", "--",
                    sys.executable, "-IS", harness.PROGRAMS / "wild.py",
                    prefix=["sh", "-c", 'exec 7</dev/null; exec "$0" "$@"'])
    daemon.wait_full()
    assert set(facts(daemon)["fds"]) == {"0", "1", "2"}


@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-"])
def test_held_descriptors(launch, closed):
    """A daemon that was started with its standard descriptors closed uses them for nothing else."""
    daemon = launch("run", "--listen", "127.0.0.1:0", "--hostler.control", "{control}", "--",
                    sys.executable, "-IS", harness.PROGRAMS / "wild.py",
                    prefix=["sh", "-c", f'exec "$0" "$@" {closed}'])
    daemon.wait_full()
    assert set(facts(daemon)["fds"]) == {"0", "1", "2"}
    for pid in (daemon.pid, *daemon.worker_pids()):
        targets = harness.descriptors(pid)
        assert not any(re.match("socket:|anon_inode:", targets[fd]) for fd in (0, 1, 2)), targets


def test_a_log_that_nobody_reads(start, folder):
    """A full pipe behind the log blocks nobody: neither a client, nor a stop."""
    os.mkfifo(folder / "fifo")
    reader = os.open(folder / "fifo", os.O_RDWR)  # opened, never read
    daemon = start({"noise": pool("/bin/sh -c 'yes noise >&2 & exec cat'"),
                    "up": pool(program("upper.py"))},
                   prefix=["sh", "-c", f'exec "$0" "$@" 2>{folder}/fifo'])
    client = daemon.connect("up")
    for number in range(100):
        assert client.ask(b"hello %d" % number) == b"HELLO %d" % number
    worker = daemon.worker_pids()[0]
    os.kill(worker, signal.SIGKILL)
    daemon.wait_status(lambda s: s["workers"][0]["pid"] not in (None, worker), "a new worker")
    daemon.stop()
    os.close(reader)


def test_a_clean_environment(start):
    secrets = {"SECRET_TOKEN": "hunter2", "LD_LIBRARY_PATH": "/nowhere", "NOTIFY_SOCKET": "/x",
               "TZ": "UTC"}
    daemon = start({"wild": pool(program("wild.py"), environment="COLOUR=red SIZE='very large'")},
                   env=secrets)
    env = facts(daemon)["env"]
    assert not {"SECRET_TOKEN", "LD_LIBRARY_PATH", "NOTIFY_SOCKET", "ASAN_OPTIONS"} & set(env), env
    assert env["PYTHONUNBUFFERED"] == "1" and env["PATH"]
    assert (env["COLOUR"], env["SIZE"]) == ("red", "very large")


def test_signals_are_reset(start):
    daemon = start({"wild": pool(program("wild.py"))})
    found = facts(daemon)
    assert found["blocked"] == []
    # Python itself ignores SIGPIPE and SIGXFSZ; another program shows what it was given.
    daemon2 = start({"sh": pool("/bin/sh -c 'while read -r l; do grep SigIgn /proc/$$/status;"
                                " done'")})
    # 32 and 33 are the C library's own: a posix_spawn above us (make's) leaves them ignored.
    assert int(daemon2.connect().ask(b"?").split()[1], 16) & ~0x180000000 == 0
    assert found["group"] == found["pid"], "a process group of its own"
    assert found["parent"] == daemon.pid, "a child of the master"


def test_limits(start):
    daemon = start({"wild": pool(program("wild.py"), limit_nofile=77, limit_core=0)})
    found = facts(daemon)
    assert found["nofile"] == [77, 77] and found["core"] == [0, 0]


def test_the_original_descriptor_limit(start):
    """The daemon raises its own soft limit; instances get the one it was started with."""
    daemon = start({"wild": pool(program("wild.py"))}, prefix=["prlimit", "--nofile=1024:4096"])
    assert facts(daemon)["nofile"] == [1024, 4096]
    with open(f"/proc/{daemon.worker_pids()[0]}/limits") as limits:
        words = next(line for line in limits if line.startswith("Max open files")).split()
    assert words[3:5] == ["4096", "4096"]


def test_the_directory(start, folder):
    (folder / "sub").mkdir()
    daemon = start({"given": pool(program("wild.py"), directory=folder / "sub"),
                    "default": pool(program("wild.py"))})
    assert facts(daemon, "given")["cwd"] == str(folder / "sub")
    assert facts(daemon, "default")["cwd"] == str(folder), "the folder of the file"


def test_a_relative_command_belongs_to_the_directory(start, folder):
    (folder / "sub").mkdir()
    script = folder / "sub" / "hello.sh"
    script.write_text("#!/bin/sh\nwhile read -r l; do echo \"hello $l\"; done\n")
    script.chmod(0o755)
    daemon = start({"a": pool("./hello.sh", directory=folder / "sub")})
    assert daemon.connect().ask(b"you") == b"hello you"


def test_a_command_that_is_missing_is_told_by_the_check(folder):
    config = folder / "missing.conf"
    harness.write_config(config, {"a": pool("no-such-program-anywhere")}, {})
    result = harness.hostlerd("-t", "-f", config)
    assert result.returncode == 1
    assert "no-such-program-anywhere" in result.stdout + result.stderr


def test_quoting_without_a_shell(start):
    daemon = start({"wild": pool(program("wild.py") + """ 'two words' "a 'quote'" $HOME *""")})
    assert facts(daemon)["argv"] == ["two words", "a 'quote'", "$HOME", "*"]


# ---- privileges ----


SOME_GROUPS = ["setpriv", "--groups=4,24"]  # as if root had logged in with some


def test_workers_of_root_become_nobody(start, root):
    daemon = start({"wild": pool(program("wild.py"))}, prefix=SOME_GROUPS)
    assert daemon.connect().ask(b"hello") == b"HELLO"
    for pid in daemon.worker_pids():
        for field in ("Uid", "Gid"):
            assert harness.status_field(pid, field) == [str(NOBODY)] * 4
        assert set(harness.status_field(pid, "Groups")) <= {str(NOBODY)}
        for field in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(harness.status_field(pid, field)[0], 16) == 0
    assert facts(daemon)["uids"] == [0, 0, 0]
    warnings = daemon.log_lines(r" warn .*user")
    assert len(warnings) == 1, "one warning that instances run as root"


def test_the_user_of_a_service(start, folder, root):
    shutil.copy(harness.PROGRAMS / "wild.py", folder)
    command = f"{sys.executable} -IS {folder}/wild.py"
    daemon = start({"own": pool(command, user="daemon"), "common": pool(command)},
                   {"user": "nobody"}, prefix=SOME_GROUPS)
    own, common = facts(daemon, "own"), facts(daemon, "common")
    assert own["uids"] == own["gids"] == [1, 1, 1]
    assert set(own["groups"]) <= {1}
    assert common["uids"] == common["gids"] == [NOBODY] * 3
    assert set(common["groups"]) <= {NOBODY}
    for name in ("own", "common"):
        pid = daemon.instance_pids(name)[0]
        assert int(harness.status_field(pid, "CapPrm")[0], 16) == 0


def test_an_unknown_user_is_told_by_the_check(folder):
    config = folder / "user.conf"
    harness.write_config(config, {"a": pool("/bin/cat", user="nobody-of-that-name")}, {})
    result = harness.hostlerd("-t", "-f", config)
    assert result.returncode == 1
    assert "nobody-of-that-name" in result.stdout + result.stderr


def test_as_an_ordinary_user(start, folder, root):
    """Without root nothing is dropped, and everything works."""
    shutil.copy(harness.PROGRAMS / "upper.py", folder)
    home = folder / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    daemon = start({"up": pool(f"{sys.executable} -IS {folder}/upper.py")},
                   control=home / "control.sock",
                   prefix=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"])
    assert daemon.connect().ask(b"hello") == b"HELLO"
    assert not daemon.log_lines(" warn ")
