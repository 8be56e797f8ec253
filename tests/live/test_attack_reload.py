"""Regressions of defects that attacks on reloads brought to light, and attacks that must fail."""

import contextlib
import json
import os
import pathlib
import random
import signal
import time

import pytest

import harness
from harness import echo, pool, program, wait_for
from swarm import Swarm

UPPER = program("upper.py")


def one_generation(daemon, timeout=10):
    return daemon.wait_status(
        lambda s: len(s["generations"]) == 1 and s["reload"]["state"] == "idle",
        "one generation", timeout)


def order(daemon):
    """A reload whose reply is not waited for."""
    control = harness.Control(daemon.control_path, timeout=30)
    control.client.send(b'{"command":"reload"}\n')
    return control


def reply_of(control):
    return json.loads(control.client.line())


# ---- the proof of a new program ----


def test_a_program_that_dies_at_once_behind_many(start):
    """Starting the others takes longer than it would have to live; it has not lived so long."""
    daemon = start({"e": echo()})
    daemon.configure({"many": pool("cat", instances=150, start_rate=1000), "none": pool("false")})
    reply = daemon.reload()
    assert not reply["ok"] and "[service none] command: its program" in reply["error"], reply
    log = daemon.log()
    # What was given up is not started again while its workers are buried.
    failed = log.index("reload failed: nothing was changed")
    one_generation(daemon)
    assert " started" not in daemon.log()[failed:]
    assert daemon.connect("e").ask(b"x") == b"x"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["building", "waiting"])
def test_a_stop_answers_who_waits_for_a_reload(start, number, phase):
    daemon = start({"e": echo(), "slow": pool(program("nap.py"))}, {"shutdown_timeout": "1s"})
    client = daemon.connect("slow").send(b"30000 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance", "slow")
    if phase == "building":
        daemon.configure({"n": pool(program("life.py", "wait", "20"), ready="line")})
    else:
        daemon.configure({"slow": {"environment": "A=1"}})
    first = order(daemon)
    daemon.wait_status(lambda s: s["reload"]["state"] == phase, phase)
    daemon.check_violations()
    second = order(daemon)
    daemon.wait_log("it begins when the one before is done")
    daemon.send_signal(number)
    if phase == "waiting":
        assert reply_of(first)["ok"]
    else:
        assert reply_of(first)["error"] == "hostlerd is stopping"
    assert reply_of(second)["error"] == "hostlerd is stopping"
    assert client.is_ended()
    assert daemon.wait_exit() == 0


# ---- scaling ----


def test_scaling_up_costs_no_connection(start):
    """Connections leave the descriptors that further instances need in each worker."""
    daemon = start({"u": pool("cat", start_rate=1000)}, {"workers": 1},
                   prefix=["prlimit", "--nofile=500:500"])
    address = daemon.address()
    clients = [harness.Client(address) for _ in range(450)]
    daemon.clients += clients
    daemon.wait_log("this worker's descriptors are nearly used up")
    open_now, worker = daemon.service()["connections"], daemon.worker_pids()
    assert daemon.request("scale", service="u", instances=64)["ok"]
    wait_for(lambda: len(daemon.instances()) == 64 and daemon.is_full(), "64 instances", 10)
    assert daemon.worker_pids() == worker and not daemon.log_lines("pipes were lost")
    assert daemon.service()["connections"] >= open_now > 100
    assert clients[0].ask(b"x") == b"x"


# ---- what nothing may come of ----


def sizes(daemon):
    """Descriptors, mappings and resident bytes of the master."""
    maps = len(pathlib.Path(f"/proc/{daemon.pid}/maps").read_text().splitlines())
    return len(harness.descriptors(daemon.pid)), maps, harness.resident_bytes(daemon.pid)


@pytest.mark.slow
@pytest.mark.bound(90)
def test_many_reloads_leave_nothing_behind(start, folder):
    """Limits, kinds, services and unix sockets that come and go: 200 times, and all is as before."""
    daemon = start({"upper": pool(UPPER), "e": echo()})
    before = None
    for number in range(200):
        if number == 50:
            one_generation(daemon)
            before = sizes(daemon)
        step = number % 5
        if step == 0:
            daemon.configure({"e": {"pipeline": 2 + number}})
        elif step == 1:
            daemon.configure({"upper": {"queue": 2 + number}})
        elif step == 2:
            daemon.configure({"e": {"handler": "discard" if number % 2 else "echo"}})
        elif step == 3:
            daemon.configure({"new": echo(listen=f"unix:{folder}/{number % 2}.sock")})
        else:
            daemon.configure({"new": None})
        assert daemon.reload()["ok"]
    one_generation(daemon)
    assert daemon.status()["generation"] > 190
    now = sizes(daemon)
    if not harness.SANITIZED:
        assert now[1] <= before[1] + 4 and now[2] < before[2] + (512 << 10), (before, now)
    wait_for(lambda: sizes(daemon)[0] <= before[0], "as few descriptors as before")
    assert not list(folder.glob("[01].sock"))
    assert daemon.connect("upper").ask(b"x") == b"X"


def test_no_file_harms(start):
    """Whatever lies in the place of the file is told in a sentence and nothing more."""
    daemon = start({"e": echo()})
    client, config = daemon.connect(), daemon.config

    def refused(sentence):
        reply = daemon.reload()
        assert not reply["ok"] and sentence in reply["error"], reply
        assert client.ask(b"x") == b"x"

    config.unlink()
    refused("cannot be opened: No such file")
    config.mkdir()
    refused("cannot be opened: it is no regular file")
    config.rmdir()
    os.mkfifo(config)
    refused("cannot be opened: it is no regular file")
    for target, sentence in (("/dev/zero", "it is no regular file"), (config, "symbolic links"),
                             ("/proc/self/mem", "cannot be read")):
        config.unlink()
        config.symlink_to(target)
        refused(sentence)
    config.unlink()
    config.write_bytes(b"\n" * (17 << 20))
    refused("it is longer than 16 MiB")
    config.write_bytes(bytes(range(256)) * 1000)
    refused("a NUL byte: this is no text file")


@pytest.mark.parametrize("phase", ["building", "waiting"])
def test_kill_of_the_master_amid_a_reload(start, folder, phase):
    """Nothing is left, and a new start finds the unix sockets stale."""
    listen = f"unix:{folder}/e.sock"
    daemon = start({"e": echo(listen=listen), "slow": pool(program("nap.py"), instances=2)})
    client = daemon.connect("slow").send(b"30000 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance", "slow")
    daemon.check_violations()
    daemon.configure({"slow": {"environment": "A=1", "instances": 8}})
    order(daemon)
    daemon.wait_status(lambda s: s["reload"]["state"] == phase, phase)
    daemon.exit_expected = -signal.SIGKILL
    daemon.send_signal(signal.SIGKILL)
    daemon.wait_exit()
    daemon.check_nothing_left()
    assert client.is_ended()
    again = start({"e": echo(listen=listen)})
    assert again.connect("e").ask(b"x") == b"x"


def test_workers_killed_amid_a_reload(start):
    """All workers of both generations: the reload fails or goes on, and it is answered."""
    daemon = start({"slow": pool(program("nap.py"), instances=2), "e": echo()})
    for number in range(4):
        phase = ("building", "waiting")[number % 2]
        daemon.configure({"slow": {"environment": f"A={number}"}})
        clients = [daemon.connect("slow").send(b"300 x\n") for _ in range(4)]
        daemon.wait_service(lambda s: s["waiting"] == 2, "two wait", "slow")
        control = order(daemon)
        status = daemon.wait_status(lambda s: s["reload"]["state"] == phase, phase)
        for worker in status["workers"]:
            if worker["pid"]:
                with contextlib.suppress(ProcessLookupError):  # it may have drained just now
                    os.kill(worker["pid"], signal.SIGKILL)
        reply = reply_of(control)
        assert reply["ok"] or "its worker" in reply["error"], reply
        for client in clients:
            assert client.is_ended()
        one_generation(daemon)
        daemon.wait_full()
        assert daemon.connect("slow").ask(b"0 x") == b"0 X"


# ---- everything at once ----


class Chaos:
    """Deeds that nobody in his right mind would do at once, each ordered by a cast of the dice."""

    def __init__(self, daemon, dice):
        self.daemon, self.dice, self.count, self.asked = daemon, dice, 0, []

    def limit(self):
        self.daemon.configure({"e": {"pipeline": self.dice.randrange(1, 1000)}})
        self.reload()

    def queue(self):
        self.daemon.configure({"upper": {"queue": self.dice.choice([100, 1024, 20000])}})
        self.reload()

    def replace(self):
        self.daemon.configure({"upper": {"environment": f"COUNT={self.count}"}})
        self.reload()

    def resize(self):
        self.daemon.configure({"upper": {"instances": self.dice.choice([1, 4, 20, "1..6", 100])}})
        self.reload()

    def recycle(self):
        self.daemon.configure({"upper": {"max_requests": self.dice.choice([0, 1, 100]),
                                         "max_age": self.dice.choice(["0", "50ms"])}})
        self.reload()

    def kind(self):
        self.daemon.configure({"e": {"handler": self.dice.choice(["echo", "discard"])}})
        self.reload()

    def come_and_go(self):
        here = "other" in self.daemon.services
        self.daemon.configure({"other": None if here else pool("cat", start_rate=1000)})
        self.reload()

    def swap(self):
        one, two = (self.daemon.services[name]["listen"] for name in ("upper", "second"))
        self.daemon.configure({"upper": {"listen": two}, "second": {"listen": one}})
        self.reload()

    def wrong(self):
        self.daemon.configure({"upper": {"pipeline": "none"}})
        self.daemon.send_signal(signal.SIGHUP)
        self.daemon.configure({"upper": {"pipeline": 32}})

    def reload(self):
        if self.dice.random() < 0.5 or len(self.asked) == 16:
            self.daemon.send_signal(signal.SIGHUP)
        else:
            self.asked.append(order(self.daemon))

    def scale(self):
        workers = self.dice.choice([1, 2, 16])
        self.daemon.request("scale", workers=workers)
        self.daemon.request("scale", service="upper", instances=self.dice.choice([1, 20]))

    def more(self):
        self.daemon.send_signal(signal.SIGTTIN)

    def fewer(self):
        self.daemon.send_signal(signal.SIGTTOU)

    def reopen(self):
        self.daemon.send_signal(signal.SIGUSR1)

    def kill_worker(self, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.dice.choice(self.daemon.worker_pids() or [1 << 30]), number)

    def stop_worker(self):
        self.kill_worker(signal.SIGSTOP)

    def kill_instance(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.dice.choice(self.daemon.instance_pids("upper") or [1 << 30]),
                    signal.SIGKILL)

    def go_on(self, seconds):
        deeds = [self.limit, self.queue, self.replace, self.resize, self.recycle, self.kind,
                 self.come_and_go, self.swap, self.wrong, self.scale, self.more, self.fewer,
                 self.reopen, self.kill_worker, self.kill_instance]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.count += 1
            # One that stands still holds a reload up for drain_timeout: not too often.
            deed = self.stop_worker if self.count % 30 == 29 else self.dice.choice(deeds)
            deed()
            time.sleep(self.dice.random() * 0.1)  # the pace of the deeds; nothing waits for it
            assert self.daemon.is_running()


@pytest.mark.slow
@pytest.mark.bound(120)
def test_chaos_of_reloads(start):
    """Reloads, kills, scaling and standing workers under load: all that must hold holds after it."""
    seed = int(os.environ.get("HOSTLER_SEED") or random.randrange(1 << 32))
    print(f"HOSTLER_SEED={seed}")
    daemon = start({"upper": pool(UPPER, instances=3, start_rate=1000),
                    "second": pool(UPPER, instances=2, start_rate=1000), "e": echo()},
                   {"drain_timeout": "1s", "worker_timeout": "3s"})
    daemon.workers_stand_still = True
    addresses = [daemon.address(name) for name in ("upper", "second")]
    daemon.reloaded({name: {"listen": f"127.0.0.1:{address[1]}"}
                     for name, address in zip(("upper", "second"), addresses)})
    swarms = [Swarm(address, 24) for address in addresses]
    for swarm in swarms:
        swarm.start()
    chaos = Chaos(daemon, random.Random(seed))
    chaos.go_on(6)
    # Each reload was answered, and now that it is calm the next one is good.
    for control in chaos.asked:
        assert reply_of(control)["ok"] in (True, False)
    one_generation(daemon, 20)
    daemon.configure({"e": {"pipeline": 77}, "upper": {"instances": 3, "max_requests": 0,
                                                       "max_age": "0"}}, workers=2)
    assert daemon.reload()["ok"]
    one_generation(daemon, 20)
    daemon.wait_full("busy", 20)
    for swarm in swarms:
        swarm.wait_round()
        swarm.finish().check_honest()
        assert set(swarm.errors) <= {"ERR busy", "ERR failed"}, swarm.counts()
        assert swarm.right > 100
    daemon.wait_status(lambda s: all(x["connections"] == 0 for x in s["services"]), "no connection")
    for name in ("upper", "second"):
        counters = daemon.counters(name)
        ends = ("replies", "silent", "busy", "timeout", "failed", "bad", "too_large", "withdrawn",
                "lost")
        assert counters["requests"] == sum(counters[end] for end in ends), counters
