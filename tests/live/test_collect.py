"""handler = collect: what is acknowledged is in the file, whole, whoever is killed or rotated."""

import os
import random
import re
import signal
import subprocess

import pytest

import harness
from harness import frame, wait_for
from reporters import Reporters, parts, records


def collect(path, **keys):
    return {"listen": "127.0.0.1:0", "protocol": "line", "handler": "collect", "file": path,
            **keys}


@pytest.fixture
def path(folder):
    """A folder of its own, as a spool is."""
    spool = folder / "spool"
    spool.mkdir()
    return spool / "records"


# ---- formats and answers ----


@pytest.mark.parametrize("ack", ["none", "written", "synced"])
def test_lines(start, path, ack):
    daemon = start({"c": collect(path, ack=ack)})
    client = daemon.connect()
    client.send(b"one\ntwo\r\n\nthree").finish_sending()
    assert client.rest() == (b"" if ack == "none" else b"OK\nOK\r\nOK\nOK\n")
    wait_for(lambda: daemon.counters()["collected"] == 4, "four records")
    assert path.read_bytes() == b"one\ntwo\n\nthree\n"
    assert path.stat().st_mode & 0o777 == 0o640
    counters = daemon.counters()
    assert counters["silent" if ack == "none" else "replies"] == 4
    assert counters["collected_bytes"] == 15
    assert (counters["syncs"] > 0) == (ack == "synced")


def test_frames(start, path):
    daemon = start({"c": collect(path, protocol="frame", ack="written")})
    client = daemon.connect()
    assert client.send(frame(b"a\nb") + frame(b"")).frame() == b"OK"
    assert client.frame() == b"OK"
    assert records(path, "frame") == [b"a\nb", b""]


def test_frames_with_ids(start, path):
    daemon = start({"c": collect(path, protocol="frame", ids="yes", ack="synced")})
    client = daemon.connect()
    assert client.send(frame(b"\0\0\0\7payload")).frame() == b"\0\0\0\7\0OK"
    assert records(path, "frame") == [b"payload"]


def test_stream(start, path):
    daemon = start({"c": collect(path, protocol="stream")})
    client = daemon.connect()
    assert client.send(b"no " * 100000).finish_sending().rest() == b""
    wait_for(lambda: daemon.counters()["collected_bytes"] == 300000, "all bytes")
    assert path.read_bytes() == b"no " * 100000


def test_none_is_never_answered_and_never_lost_in_a_stop(start, path):
    """Clients are gone before it is written; a graceful stop writes it all the same."""
    daemon = start({"c": collect(path, max_message="1M")})
    clients = [daemon.connect() for _ in range(8)]
    for number, client in enumerate(clients):
        client.send((b"%d" % number * 200000 + b"\n") * 5).finish_sending()
    for client in clients:
        assert client.rest() == b""
    daemon.stop()
    found = records(path)
    assert sorted(found) == sorted(b"%d" % n * 200000 for n in range(8) for _ in range(5))


def test_run_without_a_file(launch, folder):
    daemon = launch("run", "--listen", "127.0.0.1:0", "--protocol", "line", "--handler", "collect",
                    "--file", "records", "--ack", "written", "--hostler.control", "{control}")
    daemon.wait_running()
    assert daemon.connect().ask(b"hello") == b"OK"
    assert records(daemon.folder / "records") == [b"hello"]


def test_what_cannot_be_opened_is_told(start, launch, folder, path):
    config = folder / "bad.conf"
    harness.write_config(config, {"c": collect(folder / "no" / "file")}, {})
    done = harness.hostlerd("-t", "-f", config)
    assert done.returncode == 1 and "its folder" in done.stderr and "/no" in done.stderr
    # One file by two names, which only shows when it is there.
    daemon = start({"c": collect(path, ack="written")})
    os.link(path, path.with_name("other"))
    daemon.configure({"d": collect(path.with_name("other"))})
    reply = daemon.reload()
    assert not reply["ok"] and "is taken by [service c]" in reply["error"]
    assert daemon.connect().ask(b"goes on") == b"OK"


@pytest.mark.parametrize("user", ["nobody"])
def test_workers_without_rights(start, root, folder, user):
    """A folder that nobody but root can enter: the master opens, rotates and reopens."""
    spool = folder / "spool"
    spool.mkdir(mode=0o700)
    path = spool / "records"
    daemon = start({"c": collect(path, ack="synced", rotate_size="1K")}, {"user": user})
    client = daemon.connect()
    assert client.ask(b"x" * 2000) == b"OK"
    wait_for(lambda: len(parts(path)) == 2, "rotated")
    assert client.ask(b"y") == b"OK"
    path.rename(spool / "moved")
    assert daemon.request("reopen")["ok"]
    wait_for(path.exists, "a new file")
    # The worker hears of it a moment later.
    wait_for(lambda: client.ask(b"z") == b"OK" and path.stat().st_size > 0, "records in it")


# ---- many writers ----


@pytest.mark.parametrize("protocol", ["line", "frame"])
def test_several_workers_at_once(start, path, protocol):
    daemon = start({"c": collect(path, protocol=protocol, ack="written")}, {"workers": 4})
    group = Reporters(daemon.address(), clients=60, depth=4, protocol=protocol)
    group.wait(3000)
    serving = [row for row in daemon.status()["workers"] if row["connections"] > 0]
    group.stop()
    assert group.check(path) == group.count()
    assert not group.errors() and group.broken() == 0
    assert len(serving) > 1, "one worker alone did it all"


def test_killed_workers_lose_and_tear_nothing(start, path):
    daemon = start({"c": collect(path, ack="synced")}, {"workers": 3})
    group = Reporters(daemon.address(), clients=12, depth=8)
    for _ in range(6):
        group.wait(100)
        os.kill(random.choice(daemon.worker_pids()), signal.SIGKILL)
    group.wait(100)
    group.stop()
    group.check(path)
    assert group.broken() > 0 and not group.errors()


@pytest.mark.parametrize("protocol", ["line", "frame"])
def test_killed_master_leaves_whole_records(start, path, protocol):
    """The next daemon goes on in the same file, behind a torn record too."""
    services = {"c": collect(path, protocol=protocol, ack="written")}
    daemon = start(services)
    group = Reporters(daemon.address(), protocol=protocol)
    group.wait(500)
    daemon.exit_expected = -signal.SIGKILL
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait_exit()
    daemon.check_nothing_left()
    group.over.set()
    with open(path, "ab") as file:  # as if a writer had died in the middle
        file.write(b"\0\0\1\0" + b"torn"[:2])
    again = start(services)
    client = again.connect()
    client.send(b"7777 1 last\n" if protocol == "line" else frame(b"7777 1 last"))
    assert (client.line() if protocol == "line" else client.frame()) == b"OK"
    again.wait_log("6 bytes of a message that was not written whole are cut")
    *rest, last = records(path, protocol)
    assert last == b"7777 1 last"
    path.write_bytes(b"".join(group.pack(record) for record in rest))
    group.stop()
    group.check(path)


# ---- other files ----


def test_rotation_under_load(start, path):
    daemon = start({"c": collect(path, ack="synced", rotate_size="64K")}, {"workers": 3})
    group = Reporters(daemon.address(), clients=12, depth=8)
    wait_for(lambda: len(parts(path)) >= 5, "four rotations", 20)
    group.stop()
    assert group.check(*parts(path)) == group.count()
    assert not group.errors() and group.broken() == 0
    old = parts(path)[:-1]
    assert all(re.fullmatch(r"records\.\d{8}T\d{6}\.\d{6}Z", part.name) for part in old)
    # Once for each: nobody's late wish made a short one.
    assert all(part.stat().st_size >= 65536 for part in old)


def test_reopened_files(start, path):
    """As logrotate does it: moved away, then told."""
    daemon = start({"c": collect(path, ack="written")})
    group = Reporters(daemon.address())
    moved = []
    for number in range(4):
        group.wait(200)
        moved.append(path.with_name(f"moved{number}"))
        path.rename(moved[-1])
        if number % 2:
            assert daemon.request("reopen")["ok"]
        else:
            daemon.send_signal(signal.SIGUSR1)
        wait_for(lambda: path.exists() and path.stat().st_size > 0, "the new file in use")
    group.stop()
    assert group.check(*moved, path) == group.count()
    assert not group.errors() and group.broken() == 0


def test_reload(start, path):
    """Another file, another ack, another size: no record is lost on the way."""
    daemon = start({"c": collect(path, ack="synced")})
    group = Reporters(daemon.address())
    other = path.with_name("other")
    group.wait(200)
    reply = daemon.reloaded({"c": {"ack": "written", "rotate_size": "1M"}})
    assert [s["change"] for s in reply["services"]] == ["limits"]
    group.wait(200)
    daemon.reloaded({"c": {"file": other, "ack": "synced"}})
    group.wait(200)
    daemon.configure({"c": {"file": path.parent / "no" / "file"}})
    assert not daemon.reload()["ok"]
    group.wait(100)
    group.stop()
    # A client that sends to a connection that was just closed may lose answers that it has not read.
    assert group.check(*parts(path), other) >= group.count()
    assert not group.errors()
    assert other.stat().st_size > 0


def test_dumped_and_loaded_again(start, path, folder):
    daemon = start({"c": collect(path, ack="synced", rotate_size="64K", queue=7)})
    done = harness.hostlerd("-T", "-f", daemon.config)
    assert "ack = synced" in done.stdout and "rotate_size = 64K" in done.stdout
    assert "queue = 7" in done.stdout and "\ninstances =" not in done.stdout
    assert subprocess.run([harness.BUILD / "hostlerctl", "--socket", daemon.control_path, "stats"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
