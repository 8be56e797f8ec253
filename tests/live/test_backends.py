"""event_backend: which is taken, that none of them spins, and what select can carry."""

import os
import pathlib
import resource
import subprocess
import time

import pytest

import harness
from harness import echo, pool, program, wait_for

BACKENDS = ("epoll", "poll", "select")
FD_SETSIZE = 1024
WORKER_SPARE = 64  # descriptors that connections never get, beside those for instances


def without(*backends):
    """The environment in which libevent does not have these."""
    return {f"EVENT_NO{backend.upper()}": "1" for backend in backends}


# ---- which is taken ----


@pytest.mark.parametrize("missing, taken", [((), "epoll"), (("epoll",), "poll"),
                                            (("epoll", "poll"), "select")])
def test_auto_takes_the_best_that_works(start, missing, taken):
    daemon = start({"a": echo(), "b": pool("/bin/cat", instances=2)}, {"event_backend": "auto"},
                   env=without(*missing))
    assert daemon.status()["event_backend"] == taken
    assert daemon.log_lines(f"event_backend auto: workers wait by {taken}")
    assert daemon.connect("a").ask(b"x") == daemon.connect("b").ask(b"x") == b"x"
    assert "libevent" not in daemon.log()


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_that_does_not_work_is_told(folder, backend):
    config = folder / "hostler.conf"
    harness.write_config(config, {"a": echo()}, {"control": folder / "control.sock",
                                                 "event_backend": backend})
    done = harness.hostlerd("-f", config, env={**os.environ, **without(backend)})
    assert done.returncode == 1
    assert f"{config}:3: [hostler] event_backend: {backend} does not work here" in done.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reload_does_not_change_it(start, backend):
    daemon = start({"a": echo()}, {"event_backend": backend})
    daemon.reloaded({"a": {"backlog": 7}})
    assert daemon.status()["event_backend"] == backend
    daemon.configure(event_backend="poll" if backend != "poll" else "epoll")
    assert "event_backend: cannot change while hostlerd runs" in daemon.reload()["error"]


# ---- none spins ----


def awake_seconds(pid):
    """How long a process has run, or waited for a processor: not what it slept."""
    run, waited = pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[:2]
    return (int(run) + int(waited)) / 1e9


def is_quiet(daemon, seconds=0.2):
    """Whether every process sleeps most of the time; one that spins never does."""
    pids = [daemon.pid, *daemon.worker_pids()]
    before = [awake_seconds(pid) for pid in pids]
    time.sleep(seconds)  # what is measured
    return all(awake_seconds(pid) - then < seconds / 2 for pid, then in zip(pids, before))


def check_quiet(daemon, what):
    wait_for(lambda: is_quiet(daemon), f"a daemon that rests: {what}", timeout=1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rest(start, backend):
    """No connection that stands still costs anything, and each goes on when it can."""
    daemon = start({"echo": echo(high_water="16K"),
                    "slow": pool(program("wild.py"), pipeline=2, max_message="100B")},
                   {"event_backend": backend})
    check_quiet(daemon, "nothing is there")
    idle = [daemon.connect("echo") for _ in range(50)]
    check_quiet(daemon, "idle connections")

    deaf = daemon.connect("echo")
    deaf.socket.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while sent < 64 << 20:
            sent += deaf.socket.send(b"x" * 9999 + b"\n")
    check_quiet(daemon, "a client that does not read")

    holder = daemon.connect("slow").send(b"sleep 1.3 held\n").finish_sending()
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance", "slow")
    full = daemon.connect("slow").send(b"turn 1\n" * 9)
    refused = daemon.connect("slow").send(b"x" * 200 + b"\n" + b"more")
    assert refused.line() == b"ERR too-large"
    more = daemon.connect("slow").send(b"turn 2\n").finish_sending()
    check_quiet(daemon, "a full pipeline, half-closed and lingering connections")

    assert holder.rest() == b"held\n"
    assert full.lines(9) == [b"TURN 1"] * 9
    assert more.rest() == b"TURN 2\n"
    deaf.socket.settimeout(deaf.timeout)
    while len(deaf.pending) < sent // 10000 * 10000:
        assert deaf.more()
    assert all(client.ask(b"still here") == b"still here" for client in idle)
    check_quiet(daemon, "idle again")


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_leaves_while_idle_is_noticed(start, backend):
    """Where something is read from a connection its end is seen at once on every back end."""
    daemon = start({"a": echo()}, {"event_backend": backend})
    for leave in ("close", "reset"):
        clients = [daemon.connect() for _ in range(20)]
        assert all(client.ask(b"x") == b"x" for client in clients)
        for client in clients:
            getattr(client, leave)()
        daemon.wait_service(lambda s: s["connections"] == 0, f"all gone after a {leave}")


# ---- what select can carry ----


def highest(pid):
    return max(harness.descriptors(pid))


def idle_places(daemon, limit, kept):
    """Descriptors of the worker that nobody has, beside what it keeps free for instances."""
    return limit - len(harness.descriptors(daemon.worker_pids()[0])) - WORKER_SPARE - kept


@pytest.mark.parametrize("instances, kept", [(1, 2 * 64), (114, 2 * 114)])
def test_as_many_connections_as_select_leaves(start, instances, kept):
    """What max_connections was lowered to is what there is room for, and hardly less.

    Kept are two descriptors for each instance that there ever can be, if that leaves half of all.
    """
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1500:
        pytest.skip("needs 1500 descriptors")
    daemon = start({"a": echo(), "b": pool("/bin/cat", instances=instances, start_rate=1000)},
                   {"event_backend": "select", "workers": 1})
    bound = daemon.status()["max_connections"]
    clients = [daemon.connect("a").send(b"%d\n" % number) for number in range(bound)]
    assert [client.line() for client in clients] == [b"%d" % number for number in range(bound)]
    assert daemon.counters("a")["fd_pauses"] == 0
    assert 0 <= idle_places(daemon, FD_SETSIZE, kept) < 64


@pytest.mark.bound(120)
def test_more_connections_than_select_carries(start):
    """Those beyond wait in the backlog, and are served as soon as others have gone."""
    count = 2000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 500:
        pytest.skip(f"needs {count + 500} descriptors")
    daemon = start({"a": echo()}, {"event_backend": "select"})
    bound = daemon.status()["max_connections"]
    assert 1000 < bound < count
    assert daemon.log_lines(f"select carries {FD_SETSIZE} descriptors in a worker: "
                            f"max_connections is {bound} instead of 20000")
    clients = [daemon.connect().send(b"%d\n" % number) for number in range(count)]
    daemon.wait_service(lambda s: s["connections"] > bound - 200, "a full house", timeout=10)
    wait_for(lambda: daemon.counters()["full_pauses"] + daemon.counters()["fd_pauses"] > 0,
             "accepting pauses")
    assert daemon.service()["connections"] <= bound
    assert all(highest(pid) < FD_SETSIZE for pid in daemon.worker_pids())
    for number, client in enumerate(clients):
        assert client.line() == b"%d" % number
        client.close()
    assert daemon.counters()["accepted"] == daemon.counters()["replies"] == count
    assert all(worker["starts"] == 1 for worker in daemon.status()["workers"])


def test_more_instances_than_select_carries(start, folder):
    many = {f"s{i}": pool("/bin/cat", instances=1) for i in range(4)}
    daemon = start(many, {"event_backend": "select"})
    why = f"event_backend select can carry {FD_SETSIZE} descriptors; with "
    daemon.configure({"s0": {"instances": 300}})
    assert why + "304 instances" in daemon.reload()["error"]
    assert daemon.request("scale", service="s0", instances=64)["ok"]
    assert daemon.request("scale", service="s1", instances=64)["ok"]
    assert daemon.request("scale", service="s2", instances=64)["ok"]
    refused = daemon.request("scale", service="s3", instances=64)
    assert why + "256 instances" in refused["error"]
    daemon.wait_full()
    assert [daemon.connect(name).ask(b"x") for name in many] == [b"x"] * 4

    config = folder / "many.conf"
    harness.write_config(config, {"a": pool("/bin/cat", instances=300)},
                         {"control": folder / "many.sock", "event_backend": "select"})
    done = harness.hostlerd("-f", config)
    assert done.returncode == 1 and why + "300 instances" in done.stderr


def test_descriptors_with_high_numbers(launch):
    """Whoever started us left a thousand descriptors open: what workers watch is moved below."""
    kept = [os.dup(0) for _ in range(FD_SETSIZE + 100)]
    try:
        for fd in kept:
            os.set_inheritable(fd, True)
        daemon = launch("run", "--listen", "127.0.0.1:0", "--handler", "echo", "--protocol", "line",
                        "--hostler.control", "{control}", "--hostler.event_backend", "select",
                        close_fds=False)
        daemon.wait_full()
    finally:
        for fd in kept:
            os.close(fd)
    assert highest(daemon.pid) > FD_SETSIZE
    assert daemon.connect().ask(b"x") == b"x"


def test_a_master_on_select_keeps_within_it(start):
    """Where nothing else works; instances get their limit back all the same."""
    daemon = start({"a": pool("sh -c 'read l; ulimit -n; cat'")}, {"event_backend": "auto"},
                   env=without("epoll", "poll"))
    def limit(pid):
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    assert limit(daemon.pid) == min(FD_SETSIZE, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert daemon.connect().ask(b"") == b"%d" % resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_the_descriptors_that_a_refusal_names_suffice(launch, folder):
    """The worker keeps two free for each instance beside the two that it has."""
    config, control = folder / "hostler.conf", folder / "control.sock"
    harness.write_config(config, {"a": pool("/bin/cat", instances=60, start_rate=1000)},
                         {"control": control, "workers": 1})
    command = [str(harness.HOSTLERD), "-f", str(config)]
    done = subprocess.run(["prlimit", "--nofile=100:100", *command], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, timeout=10 * harness.SCALE)
    limit = int(done.stderr.split(" are needed")[0].split()[-1]) + 50
    daemon = launch("-f", config, control=control, prefix=("prlimit", f"--nofile={limit}:{limit}"))
    daemon.wait_full()
    clients = [daemon.connect().send(b"x\n") for _ in range(50)]  # "one more for each connection"
    assert [client.line() for client in clients] == [b"x"] * 50
    assert daemon.counters()["fd_pauses"] == 0
    assert 0 <= idle_places(daemon, limit, 2 * 60) < 64
