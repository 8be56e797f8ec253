"""kill -9 of workers while connections move between them: each has one owner, whoever dies."""

import collections
import contextlib
import os
import random
import select
import signal
import socket
import statistics
import time

import pytest

import harness
import owners
from harness import echo, pool, program
from swarm import Swarm

KILLS = int(os.environ.get("HOSTLER_KILLS", "8"))
PACE = 0.5  # seconds between two kills; a reload comes with every other one
KEEPERS = 24


class Watched(Swarm):
    """Clients that know the inode of their connection, and note each that was lost."""

    def __init__(self, *arguments, **keys):
        super().__init__(*arguments, **keys)
        self.lost, self.acknowledged = [], set()

    def connect(self, member):
        member.inode = None
        super().connect(member)

    def on_reply(self, member, line):
        if member.expected == line == b"OK":
            self.acknowledged.add(member.text)
        if member.inode is None:
            member.inode = owners.inode_of(member.socket)
        super().on_reply(member, line)

    def reconnect(self, member):
        self.lost.append((time.monotonic(), member.inode))
        super().reconnect(member)

    def inodes(self):
        return {member.inode for member in self.members if member.inode}


class Reporting(Watched):
    """Each message is a record; it is in the file when it was acknowledged."""

    def send_next(self, member):
        super().send_next(member)
        member.text = member.unsent_text

    def flush(self, member):
        member.unsent_text = member.unsent.rstrip(b"\n") or member.unsent_text
        super().flush(member)


class Keeper:
    """A connection in the middle of a message, most of the time."""

    def __init__(self, address, number):
        self.address, self.number, self.turn, self.lost = address, number, 0, []
        self.connect()

    def connect(self):
        self.client = harness.Client(self.address, timeout=10)
        assert self.client.ask(b"hello") == b"hello"
        self.inode = owners.inode_of(self.client.socket)
        self.begin()

    def is_open(self):
        """Whether its end has not come yet: it is owed nothing, so nothing else can come."""
        if not select.select([self.client.socket], [], [], 0)[0]:
            return True
        try:
            assert self.client.socket.recv(1, socket.MSG_PEEK) == b"", "a reply that nobody is owed"
        except ConnectionError:
            pass
        return False

    def begin(self):
        self.turn += 1
        self.text = b"keeper %d turn %d " % (self.number, self.turn) + b"x" * (self.number * 4000)
        self.client.send(self.text)

    def look(self):
        """Comes again when its connection is gone."""
        if not self.is_open():
            self.lost.append((time.monotonic(), self.inode))
            self.client.close()
            self.connect()

    def go_on(self):
        """The rest of the message, and its answer: whole, once, and nothing else."""
        assert self.client.ask(b" end") == self.text + b" end" and not self.client.pending
        self.begin()


class Killer:
    """Kills workers; what each of them held when it died is known where it was stopped before."""

    def __init__(self, daemon, dice):
        self.daemon, self.dice, self.deaths, self.kinds = daemon, dice, [], collections.Counter()

    def choose(self, giver):
        """Who dies: as a rule anybody, as often as not the one who gives."""
        if giver and self.dice.random() < 0.5:
            return giver
        return self.dice.choice(owners.worker_pids(self.daemon))

    def kill(self, pid, kind):
        """It may be at anything; False when it has ended."""
        held = None
        if self.dice.random() < 0.7:
            if not owners.stop(pid):
                return False
            held = owners.held_by(pid)
        when = time.monotonic()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.deaths.append((when, pid, held))
        self.kinds[kind] += 1
        harness.wait_for(lambda: not harness.exists(pid), f"the end of {pid}")
        return True

    def check(self, lost):
        """Whatever was lost was held by the one who died last before."""
        for when, inode in lost:
            before = [death for death in self.deaths if death[0] <= when]
            assert before, f"{inode} was lost before anybody died"
            began, pid, held = before[-1]
            # Without an inode it had never been answered: it broke before anybody could look.
            assert held is None or inode is None or inode in held, (
                f"{inode} was lost {when - began:.3f} s after the end of {pid}, which did not hold it")


def wait_for_reload(daemon, reloads):
    """Without a pause between two looks: moves begin at once, and last a few milliseconds."""
    end = time.monotonic() + 10 * harness.SCALE
    while daemon.log().count("reload: generation") < reloads:
        assert time.monotonic() < end, "a reload that does not end"


def pause(seconds):
    """Exactly so long: where a move is when somebody dies is left to chance, not to the machine."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def records_of(path):
    return set(path.read_bytes().split(b"\n"))


def amid_a_reload(daemon, killer, before, number):
    """Orders one, and returns who is to die when moves have begun."""
    held = killer.dice.choice(before) if killer.dice.random() < 0.7 else None
    daemon.configure({"e": {"pipeline": 2 + number}})
    if held:
        owners.stop(held)  # it cannot give before the test lets it
    daemon.send_signal(signal.SIGHUP)
    wait_for_reload(daemon, number // 2 + 1)
    victim = killer.choose(held)
    if held:
        os.kill(held, signal.SIGCONT)
        pause(killer.dice.random() * 0.0015)  # from before the first packet until behind the last
    return victim


def amid_an_upgrade(daemon, killer, before, number):
    """Anywhere from the order until all is done; it may fail by that, and go back."""
    daemon.send_signal(signal.SIGUSR2)
    pause(killer.dice.random() * 0.04)
    return killer.choose(None)


@pytest.mark.slow
@pytest.mark.bound(150)
@pytest.mark.parametrize("deed, kills", [(amid_a_reload, KILLS), (amid_an_upgrade, KILLS // 2)],
                         ids=["reload", "upgrade"])  # fmt: skip
def test_kills_amid(start, folder, deed, kills):
    seed = int(os.environ.get("HOSTLER_SEED", random.randrange(1 << 32)))
    print(f"HOSTLER_SEED={seed}")
    dice = random.Random(seed)
    spool = folder / "spool"
    spool.mkdir()
    daemon = start(
        {"up": pool(program("upper.py"), instances=3, start_rate=1000), "e": echo(max_message="1M"),
         "c": {"listen": "127.0.0.1:0", "protocol": "line", "handler": "collect",
               "file": spool / "records", "ack": "written"}}, {"workers": 3})
    swarm = Watched(daemon.address("up"), 24)
    reporters = Reporting(daemon.address("c"), 8, expect=lambda text: b"OK")
    for crowd in (swarm, reporters):
        crowd.start()
    keepers = [Keeper(daemon.address("e"), number) for number in range(KEEPERS)]
    killer = Killer(daemon, dice)

    def inodes():
        return swarm.inodes() | reporters.inodes() | {
            keeper.inode for keeper in keepers if keeper.is_open()}

    for number in range(kills):
        began = time.monotonic()
        for keeper in dice.sample(keepers, 4):
            keeper.go_on()
        before = owners.worker_pids(daemon) if number % 2 == 0 else []
        victim = deed(daemon, killer, before, number) if before else killer.choose(None)
        kind = "settled" if not before else "old" if victim in before else "new"
        if not killer.kill(victim, kind):
            killer.kill(killer.choose(None), "after")
        if number % 5 == 4:
            owners.wait_one_owner(daemon, inodes)
        harness.wait_for(lambda: time.monotonic() >= began + PACE, "its turn")
        for keeper in keepers:
            keeper.look()
    daemon.wait_status(lambda s: len(s["generations"]) == 1 and s["reload"]["state"] == "idle",
                       "one generation", 20)
    daemon.wait_full("busy", 20)
    for crowd in (swarm, reporters):
        crowd.wait_round()
    for keeper in keepers:
        keeper.go_on()
    owners.wait_one_owner(daemon, inodes)
    for crowd in (swarm, reporters):
        crowd.finish().check_honest()
        assert set(crowd.errors) <= {"ERR failed"}, crowd.counts()
        killer.check(crowd.lost)
    for keeper in keepers:
        killer.check(keeper.lost)
        keeper.client.close()
    assert swarm.right > 20 * kills and len(reporters.acknowledged) > 20 * kills
    missing = reporters.acknowledged - records_of(spool / "records")
    assert not missing, f"{len(missing)} acknowledged records of {len(reporters.acknowledged)}"
    # Nothing stays behind in those who live.
    daemon.wait_status(lambda s: all(x["connections"] == 0 for x in s["services"]), "no connection")
    lost = [entry for who in (swarm, reporters, *keepers) for entry in who.lost]
    print(f"{len(killer.deaths)} workers killed ({dict(killer.kinds)}), {daemon.status()['generation']} "
          f"generations, {len(lost)} connections lost; {swarm.counts()}; {reporters.counts()}")


@pytest.mark.slow
def test_the_next_worker_serves_at_once(start):
    """Killed in a move, too: how long a new connection waits for its answer with one worker."""
    daemon = start({"e": echo()}, {"workers": 1})
    address, waits = daemon.address(), []
    keep = [daemon.connect() for _ in range(200)]
    for number in range(max(KILLS // 2, 5)):
        if number % 2:
            daemon.configure({"e": {"pipeline": 2 + number}})
            daemon.send_signal(signal.SIGHUP)
        pids, began = owners.worker_pids(daemon), time.monotonic()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it has given all and ended
                os.kill(pid, signal.SIGKILL)
        # The kernel completes the connection; who is there next accepts it and answers.
        while True:
            client = harness.Client(address)
            try:
                assert client.ask(b"x") == b"x"
                break
            except (ConnectionError, AssertionError):
                client.close()  # it had been accepted by one who died with the others
        waits.append(time.monotonic() - began)
        client.close()
        daemon.wait_full()
        daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)
    assert all(client.is_ended() for client in keep)
    print(f"until the next worker answered: median {statistics.median(waits) * 1000:.1f} ms, "
          f"longest {max(waits) * 1000:.1f} ms of {len(waits)}")
    assert statistics.median(waits) < 0.1 * harness.SCALE, waits
