"""kill -9 of random workers and instances under load: nobody is told a lie."""

import os
import random
import signal
import threading
import time

import pytest

import harness
from harness import pool, program
from swarm import Swarm

KILLS = int(os.environ.get("HOSTLER_KILLS", "100"))
CLIENTS, WORKERS, INSTANCES = 50, 2, 4


def counts_of_descriptors(daemon):
    return {pid: len(harness.descriptors(pid)) for pid in [daemon.pid, *daemon.worker_pids()]}


def wait_descriptors(pid, most):
    """The last status may still be on its way out, so a moment is given."""
    try:
        harness.wait_for(lambda: len(harness.descriptors(pid)) <= most, f"{most} descriptors in {pid}")
    except AssertionError as error:
        raise AssertionError(f"{error}: {harness.descriptors(pid)}") from None


def kill_instance(daemon, dice):
    """At most the exchanges that it held are answered ERR failed."""
    victim = dice.choice(daemon.instance_pids())
    os.kill(victim, signal.SIGKILL)
    return {victim}, {"broken": 0, "ERR failed": daemon.concurrency}


def kill_worker(daemon, dice):
    """At most its own connections break. Every other time it is held for a look at their number."""
    worker = dice.choice(daemon.status()["workers"])
    bound = CLIENTS
    if dice.random() < 0.5:
        os.kill(worker["pid"], signal.SIGSTOP)
        held = daemon.status()["workers"][worker["worker"]]
        bound = held["connections"] + 1  # stopped between accepting and counting
    os.kill(worker["pid"], signal.SIGKILL)
    return {worker["pid"]}, {"broken": bound, "ERR failed": 0}


def kill_both(daemon, dice):
    (one, some), (two, more) = kill_instance(daemon, dice), kill_worker(daemon, dice)
    return one | two, {key: some[key] + more[key] for key in some}


def wait_replaced(daemon, victims):
    """The victims are known to be dead, and the full pool is there again."""
    daemon.wait_status(lambda s: not victims & {
        *(w["pid"] for w in s["workers"]), *(i["pid"] for i in s["services"][0]["instances"])},
        f"the end of {victims}")
    daemon.wait_full("busy")


@pytest.mark.bound(180)
@pytest.mark.parametrize("command, concurrency, most", [("python", "1", 1), ("sed", "auto", 32)],
                         ids=["python", "sed"])  # fmt: skip
def test_random_kills(start, command, concurrency, most):
    seed = int(os.environ.get("HOSTLER_SEED", random.randrange(1 << 32)))
    print(f"HOSTLER_SEED={seed}")
    dice = random.Random(seed)
    program_line = program("upper.py") if command == "python" else "sed -u 's/.*/\\U&/'"
    daemon = start({"up": pool(program_line, instances=INSTANCES, start_rate=1000,
                               concurrency=concurrency)}, {"workers": WORKERS})  # fmt: skip
    daemon.concurrency = most
    fds, below = counts_of_descriptors(daemon), len(harness.descendants(daemon.pid))
    swarm = Swarm(daemon.address(), CLIENTS)
    swarm.start()
    swarm.wait_round()
    workers = instances = 0
    kills = KILLS // 2
    while workers + instances < kills:
        before = swarm.counts()
        deed = dice.choice([kill_instance, kill_worker, kill_both])
        victims, bounds = deed(daemon, dice)
        instances += deed is not kill_worker
        workers += deed is not kill_instance
        wait_replaced(daemon, victims)
        swarm.wait_round()  # what was under way is over
        after = swarm.counts()
        for kind, bound in bounds.items():
            more = after.get(kind, 0) - before.get(kind, 0)
            assert more <= bound, (deed.__name__, kind, before, after, swarm.samples)
        swarm.check_honest()
    swarm.finish().check_honest()
    assert set(swarm.errors) <= {"ERR failed"}, swarm.counts()
    assert swarm.right > kills

    # Processes and descriptors as at the start.
    daemon.wait_service(lambda s: s["connections"] == 0, "every connection gone")
    daemon.wait_full()
    status = daemon.status()
    assert sum(w["starts"] for w in status["workers"]) == WORKERS + workers
    assert len(harness.descendants(daemon.pid)) == below
    assert not [p for p in harness.descendants(daemon.pid) if p.state == "Z"]
    for now, then in zip(daemon.worker_pids(), list(fds)[1:]):
        wait_descriptors(now, fds[then])
    wait_descriptors(daemon.pid, fds[daemon.pid])
    assert len(daemon.log_lines(r"worker \d+ \(pid \d+\) ended: killed by signal 9")) == workers
    print(f"{workers} workers and {instances} instances killed: {swarm.counts()}")


@pytest.mark.bound(90)
def test_every_worker_at_once(start):
    """With no worker alive the first replacement sweeps, and the line goes on."""
    daemon = start({"up": pool(program("upper.py"), instances=2, start_rate=1000)},
                   {"workers": WORKERS})
    swarm = Swarm(daemon.address(), 20)
    swarm.start()
    for _ in range(5):
        swarm.wait_round()
        workers = daemon.worker_pids()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        wait_replaced(daemon, set(workers))
    swarm.wait_round()
    swarm.finish().check_honest()
    assert not swarm.errors, swarm.counts()


@pytest.mark.bound(90)
def test_every_instance_at_once(start):
    """Who was being served is told; who waited is served by the next ones."""
    # One message in each: with `auto` several would be told.
    daemon = start({"up": pool(program("upper.py"), instances=3, start_rate=1000, concurrency=1)})
    swarm = Swarm(daemon.address(), 20)
    swarm.start()
    for _ in range(10):
        swarm.wait_round()
        pids = daemon.instance_pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_replaced(daemon, set(pids))
    swarm.wait_round()
    swarm.finish().check_honest()
    assert swarm.broken == 0
    assert set(swarm.errors) <= {"ERR failed"} and swarm.errors["ERR failed"] <= 30


def test_workers_and_instances_stopped_and_continued(start):
    """SIGSTOP for a moment is no death: nothing breaks, nothing fails."""
    dice = random.Random(5)
    daemon = start({"up": pool(program("upper.py"), instances=3)})
    swarm = Swarm(daemon.address(), 20)
    swarm.start()
    for _ in range(20):
        swarm.wait_round()
        pid = dice.choice(daemon.worker_pids() + daemon.instance_pids())
        daemon.stop_worker(pid)
        harness.wait_for(lambda: harness.Process(pid).state == "T", "the stop")
        daemon.status()
        os.kill(pid, signal.SIGCONT)
    swarm.wait_round()
    swarm.finish().check_clean()


class Guest(threading.Thread):
    """A client of changing manners: asks, pipelines, leaves half-way, asks for the impossible."""

    def __init__(self, address, seed, until):
        super().__init__(daemon=True)
        self.address, self.dice, self.until = address, random.Random(seed), until
        self.number, self.right, self.failed, self.failure = seed, 0, 0, None
        self.client = None

    def run(self):
        manners = [self.ask, self.pipeline, self.pipeline, self.half_close, self.leave, self.die,
                   self.fall_silent]
        try:
            while time.monotonic() < self.until:
                self.client = self.client or harness.Client(self.address, timeout=20)
                self.dice.choices(manners, [200, 100, 100, 50, 50, 20, 1])[0]()
        except Exception as error:
            self.failure = error

    def texts(self, count):
        return [b"guest %d %d" % (self.number, self.dice.getrandbits(60)) for _ in range(count)]

    def check(self, text, reply):
        if reply == b"ERR failed":
            self.failed += 1  # an instance died that had it, by another guest's wish
        else:
            assert reply == text.upper(), (text, reply)
            self.right += 1

    def ask(self):
        text, = self.texts(1)
        self.check(text, self.client.ask(text))

    def pipeline(self):
        texts = self.texts(self.dice.randrange(2, 40))
        self.client.send(b"".join(text + b"\n" for text in texts))
        for text in texts:
            self.check(text, self.client.line())

    def half_close(self):
        texts = self.texts(5)
        self.client.send(b"\n".join(texts)).finish_sending()
        for text, reply in zip(texts, self.client.rest().splitlines(), strict=True):
            self.check(text, reply)
        self.client = None

    def leave(self):
        self.client.send(b"".join(text + b"\n" for text in self.texts(5)))
        if self.dice.random() < 0.5:
            self.client.line()
        self.client.reset()
        self.client = None

    def die(self):
        assert self.client.ask(b"die") == b"ERR failed"

    def fall_silent(self):
        assert self.client.ask(b"mute") in (b"ERR timeout", b"ERR failed")


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("on_cancel", ["finish", "kill"])
def test_all_manners_at_once(start, concurrency, on_cancel):
    """Every right reply is the asker's, every request has one outcome, and the pool is whole."""
    seed = int(os.environ.get("HOSTLER_SEED", random.randrange(1 << 32)))
    print(f"HOSTLER_SEED={seed}")
    daemon = start({"wild": pool(program("wild.py"), instances=4, concurrency=concurrency,
                                 on_cancel=on_cancel, start_rate=1000,
                                 # Long enough for an interpreter to start on a busy machine.
                                 request_timeout=f"{1500 * harness.SCALE:.0f}ms",
                                 queue_timeout="20s")})
    until = time.monotonic() + 3
    guests = [Guest(daemon.address(), seed + n, until) for n in range(16)]
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.join(30 * harness.SCALE)
        assert not guest.is_alive()
        if guest.failure:
            raise guest.failure
        if guest.client:
            guest.client.close()
    daemon.wait_service(lambda s: s["connections"] == 0 and s["waiting"] == 0, "quiet")
    daemon.wait_full()
    assert sum(guest.right for guest in guests) > 200
    counters = daemon.counters()
    outcomes = ("replies", "busy", "timeout", "failed", "bad", "too_large", "withdrawn")
    assert counters["requests"] == sum(counters[name] for name in outcomes), counters
