"""handler = collect on a disk that misbehaves: full, broken, slow. shim_files.c stands in for it."""

import contextlib
import errno
import mmap
import os
import pathlib
import random
import shlex
import signal
import struct
import subprocess
import time

import pytest

import harness
from harness import wait_for
from reporters import Reporters, parts, records
from test_collect import collect

FIELDS = ("write_error", "write_short", "sync_error", "sync_errors", "sync_stalls_ms", "cut_error",
          "writes", "syncs", "cuts")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The library, built once."""
    if harness.SANITIZED:
        pytest.skip("a sanitizer's runtime must be the first library")
    library = tmp_path_factory.mktemp("shim") / "shim_files.so"
    compiler = shlex.split(os.environ.get("HOSTLER_CC", "cc"))
    source = pathlib.Path(__file__).with_name("shim_files.c")
    done = subprocess.run([*compiler, "-std=gnu11", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1",
                           "-Wall", "-Wextra", "-o", library, source], capture_output=True,
                          text=True)
    if done.returncode != 0:
        pytest.skip(f"the shim cannot be built: {done.stderr[:200]}")
    return library


class Disk:
    """What the shim is told, and what it counts."""

    def __init__(self, file, library):
        file.write_bytes(bytes(4096))
        self.memory = mmap.mmap(os.open(file, os.O_RDWR), 4096)
        self.environment = {"LD_PRELOAD": str(library), "SHIM_CONTROL": str(file)}

    def __getitem__(self, name):
        return struct.unpack_from("I", self.memory, 4 * FIELDS.index(name))[0]

    def __setitem__(self, name, value):
        struct.pack_into("I", self.memory, 4 * FIELDS.index(name), value)


@pytest.fixture
def disk(folder, shim):
    return Disk(folder / "control", shim)


@pytest.fixture
def path(folder):
    spool = folder / "spool"
    spool.mkdir()
    return spool / "records"


def test_failed_write_is_told(start, path, disk):
    daemon = start({"c": collect(path, ack="written")}, env=disk.environment)
    client = daemon.connect()
    assert client.ask(b"one") == b"OK"
    disk["write_error"] = errno.ENOSPC
    assert client.ask(b"two") == b"ERR failed"
    assert client.ask(b"three") == b"ERR failed"
    disk["write_error"] = 0
    assert client.ask(b"four") == b"OK"
    assert records(path) == [b"one", b"four"]
    counters = daemon.counters()
    assert counters["uncollected"] == counters["failed"] == 2
    assert daemon.log_lines("could not be collected in .*records: write: No space left")


def test_none_says_nothing_of_a_failure(start, path, disk):
    daemon = start({"c": collect(path)}, env=disk.environment)
    client = daemon.connect()
    disk["write_error"] = errno.EIO
    client.send(b"one\n")
    wait_for(lambda: daemon.counters()["uncollected"] == 1, "it was counted")
    daemon.wait_log("1 message could not be collected")
    disk["write_error"] = 0
    client.send(b"two\n").finish_sending()
    assert client.rest() == b""
    wait_for(lambda: records(path) == [b"two"], "the second")


@pytest.mark.parametrize("short", [1, 4, 5, 30])
def test_short_write_is_cut_to_whole_records(start, path, disk, short):
    """Full in the middle of a batch: what is whole counts, the rest has failed and is gone."""
    daemon = start({"c": collect(path, ack="written")}, {"workers": 1}, env=disk.environment)
    client = daemon.connect()
    assert client.ask(b"one") == b"OK"
    disk["write_error"], disk["write_short"] = errno.ENOSPC, short
    replies = client.send(b"two\n" * 10).lines(10)
    whole = short // 4
    assert sorted(replies) == sorted([b"OK"] * whole + [b"ERR failed"] * (10 - whole))
    assert records(path) == [b"one"] + [b"two"] * whole
    disk["write_error"] = 0
    assert client.ask(b"three") == b"OK"
    assert records(path)[-1] == b"three"


def start_torn(start, path, disk):
    """A daemon, and a client whose second record is torn: half written, and not to be cut off."""
    daemon = start({"c": collect(path, ack="written")}, env=disk.environment)
    client = daemon.connect()
    assert client.ask(b"one") == b"OK"
    disk["write_error"], disk["write_short"], disk["cut_error"] = errno.EIO, 2, errno.EIO
    assert client.ask(b"two") == b"ERR failed"
    assert path.read_bytes() == b"one\ntw"
    return daemon, client


def test_what_cannot_be_cut_now_is_cut_later(start, path, disk):
    _, client = start_torn(start, path, disk)
    disk["write_error"] = 0
    assert client.ask(b"three") == b"ERR failed", "written behind a torn record"
    disk["cut_error"] = 0
    assert client.ask(b"four") == b"OK"
    assert records(path) == [b"one", b"four"]


def test_torn_end_of_a_replaced_file_is_cut(start, path, disk):
    """No next writer comes there any more: the master does it when the last worker has left."""
    daemon, client = start_torn(start, path, disk)
    disk["write_error"] = disk["cut_error"] = 0
    moved = path.with_name("records.moved")
    path.rename(moved)
    assert daemon.request("reopen")["ok"]
    wait_for(lambda: moved.read_bytes() == b"one\n", "cut by the master")
    assert client.ask(b"three") == b"OK"
    assert records(path) == [b"three"]


def test_torn_end_that_could_not_be_cut_is_cut_at_the_stop(start, path, disk):
    """The master tries it once a second; a stop does not wait for that, nor does it leave it so."""
    daemon = start({"c": collect(path, ack="written")}, env=disk.environment)
    client = daemon.connect()
    assert client.ask(b"one") == b"OK"
    disk["write_error"], disk["write_short"], disk["cut_error"] = errno.EIO, 2, errno.EIO
    assert client.ask(b"two") == b"ERR failed"
    disk["write_error"] = 0
    moved, tried = path.with_name("records.moved"), disk["cuts"]
    path.rename(moved)
    assert daemon.request("reopen")["ok"]
    wait_for(lambda: disk["cuts"] > tried, "the master to have tried")
    assert moved.read_bytes() == b"one\ntw"
    disk["cut_error"] = 0
    daemon.stop()
    assert moved.read_bytes() == b"one\n"


def test_failed_sync_is_never_believed(start, path, disk):
    """The file is put aside: another sync of it would go well, and mean nothing."""
    daemon = start({"c": collect(path, ack="synced")}, env=disk.environment)
    client = daemon.connect()
    assert client.ask(b"one") == b"OK"
    disk["sync_errors"], disk["sync_error"] = 1, errno.EIO
    assert client.ask(b"two") == b"ERR failed"
    wait_for(lambda: len(parts(path)) == 2, "the file was put aside")
    wait_for(lambda: client.ask(b"three") == b"OK", "the new file in use")
    old, new = parts(path)
    assert records(old) == [b"one", b"two"]
    assert set(records(new)) == {b"three"}
    daemon.wait_log("was given up after an error")


def test_disk_that_fails_now_and_then_under_load(start, path, disk):
    daemon = start({"c": collect(path, ack="synced")}, {"workers": 3}, env=disk.environment)
    group = Reporters(daemon.address(), clients=12, depth=8)
    for number in range(2):
        group.wait(50)
        if number:
            disk["write_short"] = 100
        disk["sync_errors"], disk["sync_error"] = 1, errno.EIO
        wait_for(lambda: len(parts(path)) > number + 1, "put aside")
    group.wait(50)
    group.stop()
    group.check(*parts(path))
    assert set(group.errors()) == {b"ERR failed"}


def test_slow_disk_holds_up_nobody_else(start, path, disk):
    """request_timeout is the answer's time; the loop goes on meanwhile, and so does the record."""
    daemon = start({"c": collect(path, ack="synced", request_timeout="100ms", queue=5,
                                 pipeline=100),
                    "e": harness.echo()}, {"workers": 1}, env=disk.environment)
    client, echo = daemon.connect("c"), daemon.connect("e")
    disk["sync_stalls_ms"] = 100000
    began = time.monotonic()
    client.send(b"one\n")
    wait_for(lambda: disk["syncs"] > 0, "the sync")
    assert echo.ask(b"hello") == b"hello"
    assert client.line() == b"ERR timeout"
    assert time.monotonic() - began < 5 * harness.SCALE
    # What waits is bounded.
    replies = client.send(b"more\n" * 8).lines(8)
    assert replies == [b"ERR timeout"] * 5 + [b"ERR busy"] * 3
    disk["sync_stalls_ms"] = 0
    wait_for(lambda: client.ask(b"two") == b"OK", "it goes on")
    assert records(path) == [b"one"] + [b"more"] * 5 + [b"two"]


def test_syncs_are_shared(start, path, disk):
    """Group commit: everything that gathers while one sync runs is the next one's."""
    daemon = start({"c": collect(path, ack="synced", pipeline=1000)}, {"workers": 1},
                   env=disk.environment)
    client = daemon.connect()
    disk["sync_stalls_ms"] = 100000
    client.send(b"one\n")
    wait_for(lambda: disk["syncs"] > 0, "the first sync")
    client.send(b"more\n" * 500)
    wait_for(lambda: daemon.counters()["requests"] == 501, "all are taken")
    writes, syncs = disk["writes"], disk["syncs"]
    disk["sync_stalls_ms"] = 0
    assert client.lines(501) == [b"OK"] * 501
    assert disk["writes"] - writes == 1 and disk["syncs"] - syncs == 1


def test_stop_waits_for_a_sync(start, path, disk):
    daemon = start({"c": collect(path, ack="synced")}, env=disk.environment)
    client = daemon.connect()
    disk["sync_stalls_ms"] = 100000
    client.send(b"one\n")
    wait_for(lambda: disk["syncs"] > 0, "the sync")
    daemon.send_signal(15)
    daemon.wait_log("stopping")
    disk["sync_stalls_ms"] = 0
    assert client.line() == b"OK"
    client.close()
    assert daemon.wait_exit() == 0


def test_full_disk(start, root, folder):
    """A real one, though small."""
    spool = folder / "small"
    spool.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "none", spool],
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no file system can be mounted")
    path = spool / "records"
    try:
        daemon = start({"c": collect(path, ack="synced")})
        group = Reporters(daemon.address(), clients=8, depth=8)
        wait_for(lambda: group.errors()[b"ERR failed"] > 100, "the disk is full", 20)
        group.stop()
        group.check(path)
        assert set(group.errors()) == {b"ERR failed"}
        # Room again, and it goes on by itself.
        path.write_bytes(b"")
        assert daemon.connect().ask(b"more") == b"OK"
        assert records(path)[-1] == b"more"
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", spool], check=True)


# ---- all at once ----


class Chaos:
    """What may happen to a daemon that collects, as often as somebody likes."""

    def __init__(self, daemon, disk, path, chance):
        self.daemon, self.disk, self.path, self.chance = daemon, disk, path, chance
        self.moved = 0

    def kill(self):
        pids = self.daemon.worker_pids()
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(pids), signal.SIGKILL)

    def reopen(self):
        self.daemon.send_signal(signal.SIGUSR1)

    def move(self):
        self.moved += 1
        with contextlib.suppress(FileNotFoundError):  # just rotated
            self.path.rename(self.path.with_name(f"records.moved{self.moved}"))
        self.reopen()

    def reload(self):
        self.daemon.configure({"c": {"rotate_size": self.chance.choice(["32K", "64K", "128K"])}})
        self.daemon.send_signal(signal.SIGHUP)

    def sync(self):
        self.disk["sync_errors"], self.disk["sync_error"] = 1, errno.EIO

    def short(self):
        self.disk["write_short"] = self.chance.randrange(1, 3000)

    def fill(self):
        self.disk["cut_error"], self.disk["write_error"] = errno.EIO, errno.ENOSPC
        self.disk["write_short"] = self.chance.randrange(1, 900)
        time.sleep(0.02)  # for a pace of disasters
        self.disk["write_error"] = 0
        time.sleep(0.02)  # likewise
        self.disk["cut_error"] = 0

    def stall(self):
        self.disk["sync_stalls_ms"] = 30

    def go_on(self, seconds):
        deeds = [self.kill, self.kill, self.reopen, self.move, self.reload, self.sync, self.short,
                 self.fill, self.stall]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.chance.choice(deeds)()
            time.sleep(self.chance.random() * 0.06)
        for name in ("write_error", "write_short", "cut_error", "sync_error"):
            self.disk[name] = 0


@pytest.mark.bound(600)
@pytest.mark.parametrize("protocol, ack", [("line", "synced"), ("frame", "written")])
def test_everything_at_once(start, path, disk, protocol, ack):
    seed = int(os.environ.get("HOSTLER_SEED", time.time_ns() % 100000))
    print(f"HOSTLER_SEED={seed}")
    daemon = start({"c": collect(path, ack=ack, protocol=protocol, rotate_size="64K")},
                   {"workers": 3}, env=disk.environment)
    group = Reporters(daemon.address(), clients=16, depth=16, protocol=protocol)
    chaos = Chaos(daemon, disk, path, random.Random(seed))
    chaos.go_on(float(os.environ.get("HOSTLER_DISASTERS", "1.5")))
    group.wait(50, 20)
    group.stop()
    daemon.stop()  # what was replaced is brought to its end
    group.check_unordered(path.parent.iterdir())
