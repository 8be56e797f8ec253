"""The log and the access logs: what a line holds, whoever writes it, and how files are moved away."""

import collections
import json
import os
import re
import signal
import stat
import threading
import time

import pytest

import harness
from harness import echo, frame, pool, program, wait_for

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
TEXT_LINE = re.compile(
    rf"({TIME}) (\S+) (\S+) (\S+) in=(\d+) out=(\d+) queue=(\d+\.\d{{6}}) run=(\d+\.\d{{6}}) "
    r"instance=(?:(\d+)/(\d+)|-)")

Access = collections.namedtuple(
    "Access", "time service client outcome bytes_in bytes_out queue run instance pid")


def parse_text(line):
    found = TEXT_LINE.fullmatch(line)
    assert found, f"not an access line: {line!r}"
    time_, service, client, outcome, *rest = found.groups()
    numbers = [None if n is None else float(n) if "." in n else int(n) for n in rest]
    return Access(time_, service, client, outcome, *numbers)


def parse_json(line):
    row = json.loads(line)
    return Access(row.pop("time"), row.pop("service"), row.pop("client"), row.pop("outcome"),
                  row.pop("in"), row.pop("out"), row.pop("queue"), row.pop("run"),
                  row.pop("instance"), row.pop("pid"), *row)


def access_lines(path, parse=parse_text):
    """The lines of an access log; each must be whole."""
    text = path.read_text() if path.exists() else ""
    assert not text or text.endswith("\n"), f"a torn line: {text[-200:]!r}"
    return [parse(line) for line in text.splitlines()]


def wait_access(path, count, parse=parse_text):
    wait_for(lambda: len(access_lines(path, parse)) >= count, f"{count} lines in {path}")
    lines = access_lines(path, parse)
    assert len(lines) == count, lines
    return lines


def peer_of(client):
    return "%s:%d" % client.socket.getsockname()[:2]


# ---- the daemon's own log ----


def test_json_log_is_valid_whatever_clients_and_programs_say(start):
    """Every byte a client can send, echoed by a program to its standard error."""
    daemon = start({"tee": pool("tee /dev/stderr")}, {"log_format": "json"})
    client = daemon.connect()
    hostile = [bytes(b for b in range(256) if b != 10), b'"}{\\u0000', b"\xff\xfe\xed\xa0\x80",
               b"\xc2\x9b31m\x1b[2J", "grüße 🐴".encode(), b"\\", b'\\"', b"\x00" * 100,
               b"\x01" * 16000]
    for text in hostile:
        assert client.ask(text) == text
    pid = daemon.instance_pids()[0]
    wait_for(lambda: daemon.log().count('"service":"tee"') >= len(hostile), "all lines")
    daemon.stop()
    rows = [json.loads(line) for line in daemon.log_path.read_bytes().decode().splitlines()]
    for row in rows:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["time"]), row
        assert row["level"] in ("error", "warn", "info"), row
        assert isinstance(row["pid"], int) and ("process" in row) != ("service" in row), row
    said = [row["message"] for row in rows if row.get("service") == "tee" and row["pid"] == pid]
    assert len(said) == len(hostile)
    assert said[1:3] == [hostile[1].decode(), r"\xff\xfe\xed\xa0\x80"]
    assert said[4:7] == [text.decode() for text in hostile[4:7]]
    assert said[3] == "\x9b31m\x1b[2J" and said[8] == "\x01" * 16000
    assert "ready: 2 workers" in [r for r in rows if r.get("process") == "master" and
                                  r["message"].startswith("ready")][0]["message"]


def test_log_goes_to_a_file_that_is_made_for_it(start, folder):
    """A relative path belongs to the configuration's folder; workers write to it as well."""
    os.umask(0o022)
    daemon = start({"e": echo()}, {"log": "own.log", "log_level": "debug"})
    log = folder / "own.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o640
    client = daemon.connect()
    assert client.ask(b"hello") == b"hello"
    client.close()
    wait_for(lambda: re.search(r" debug worker \d: service e: connection \d+ closed",
                               log.read_text()), "a worker's line")
    assert daemon.log().count("\n") == 1 and "the log goes on in " + str(log) in daemon.log()
    daemon.stop()
    assert log.read_text().splitlines()[-1].endswith(" master: stopped")


def test_log_that_cannot_be_opened_ends_the_start(folder):
    for keys, sentence in (({"log": "no/such/folder"}, "the log {}/no/such/folder cannot be opened"),
                           ({"log": "."}, "the log {} cannot be opened: Is a directory")):
        config = folder / "bad.conf"
        harness.write_config(config, {"e": echo()}, keys)
        done = harness.hostlerd("-f", config)
        assert done.returncode == 1 and sentence.format(folder) in done.stderr, done.stderr
    harness.write_config(config, {"e": echo(access_log="no/folder")}, {})
    done = harness.hostlerd("-f", config)
    assert done.returncode == 1
    assert f"[service e] access_log: {folder}/no/folder cannot be opened: No such" in done.stderr


def test_errors_of_the_start_are_seen_though_the_log_is_a_file(start, folder):
    taken = start({"e": echo()})
    config = folder / "taken.conf"
    harness.write_config(config, {"e": echo(listen="127.0.0.1:%d" % taken.address()[1])},
                         {"log": "own.log", "control": folder / "taken.sock"})
    done = harness.hostlerd("-f", config)
    assert done.returncode == 1
    for text in (done.stderr, (folder / "own.log").read_text()):
        assert " is in use by hostlerd " in text and "nothing was started" in text


def test_usr1_reopens_in_every_process(start, folder):
    """Each of four workers writes to the new file, one that is born later too, and no old file is
    held open. Lines of the level debug come from workers."""
    daemon = start({"e": echo()}, {"log": "own.log", "log_level": "debug", "workers": 4})
    log, moved = folder / "own.log", folder / "own.log.1"
    log.rename(moved)
    daemon.send_signal(signal.SIGUSR1)
    wait_for(lambda: log.exists() and "logs are reopened" in log.read_text(), "a new file")

    def holders(path):
        return [pid for pid in [daemon.pid, *daemon.worker_pids()]
                if str(path) in harness.descriptors(pid).values()]

    wait_for(lambda: len(holders(log)) == 5, "five that hold the new file")
    assert not holders(moved)
    victim = daemon.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    daemon.wait_status(lambda s: victim not in [w["pid"] for w in s["workers"]], "another worker")
    daemon.wait_full()
    assert len(holders(log)) == 5

    def said():
        # Together, so that they are shared out; one after the other may be all one worker's.
        clients = [daemon.connect() for _ in range(12)]
        for client in clients:
            assert client.ask(b"hello") == b"hello"
        for client in clients:
            client.close()
        return len(set(re.findall(r" debug worker (\d): ", log.read_text()))) == 4

    wait_for(said, "a line of each worker in the new file")


def test_log_that_cannot_be_reopened_stays_where_it_is(start, folder):
    daemon = start({"e": echo(access_log="e.log")}, {"log": "own.log"})
    for name in ("own.log", "e.log"):
        (folder / name).rename(folder / (name + ".1"))
        (folder / name).mkdir()
    daemon.send_signal(signal.SIGUSR1)
    old = folder / "own.log.1"
    wait_for(lambda: old.read_text().count("stays where it is") == 2, "two warnings")
    assert f"cannot reopen the log {folder}/own.log" in old.read_text()
    assert daemon.connect().ask(b"hello") == b"hello"
    wait_access(folder / "e.log.1", 1)
    for name in ("own.log", "e.log"):
        (folder / name).rmdir()
    daemon.send_signal(signal.SIGUSR1)
    wait_for((folder / "own.log").exists, "the log")
    assert daemon.connect().ask(b"again") == b"again"
    wait_access(folder / "e.log", 1)


def test_signals_without_end_are_told_with_a_count(start):
    """Whoever sends signals as fast as he can does not fill the log."""
    daemon = start({"e": echo()}, {"workers": 1})
    sent = 0
    begun = time.monotonic()
    while not daemon.log_lines(r"\(\d+ more like this in \d\.\d s\)$"):
        assert time.monotonic() - begun < 20 * harness.SCALE
        daemon.send_signal(signal.SIGTTOU)
        sent += 1
    seconds = time.monotonic() - begun
    told = daemon.log_lines("there are 1 workers")
    assert len(told) <= 60 * (seconds + 1) < sent, f"{len(told)} lines of {sent} signals"


# ---- what programs say ----


def test_stderr_that_repeats_is_counted(start):
    daemon = start({"noise": pool("/bin/sh -c 'yes noise >&2 & exec cat'")})
    daemon.wait_log(r"noise/\d+: \[last line repeated \d{4,} times\]", count=2)
    assert daemon.connect().ask(b"hello") == b"hello"
    lines = daemon.log_lines(r"noise/\d+: ")
    assert len(lines) < 60, "some a second at most"


@pytest.mark.bound(60)
def test_stderr_without_end_is_bounded(start):
    """Lines that all differ, as fast as they can be written: 4 MiB of them a second, and a count."""
    daemon = start({"noise": pool("/bin/sh -c 'seq 1 1000000000 >&2 & exec cat'"),
                    "calm": pool("/bin/sh -c 'echo calm >&2; exec cat'")})
    daemon.wait_log(r"calm/\d+: calm")
    begun, size = time.monotonic(), daemon.log_path.stat().st_size
    daemon.wait_log(r"noise/\d+: \[\d+ lines, \d+ bytes left out\]", count=3, timeout=15)
    grown, seconds = daemon.log_path.stat().st_size - size, time.monotonic() - begun
    assert grown < (seconds + 1) * (6 << 20), f"{grown} bytes in {seconds} seconds"
    assert daemon.connect("noise").ask(b"hello") == b"hello"
    # What was told and what was left out is all that was said.
    lines = daemon.log_lines(r"noise/\d+: ")
    numbers, lost = 0, 0
    for line in lines[:-1]:
        text = line.split(": ", 1)[1]
        left_out = re.match(r"\[(\d+) lines, ", text)
        if left_out:
            lost += int(left_out.group(1))
            continue
        numbers += 1
        assert int(text) == numbers + lost, "a gap that was not told"


# ---- access logs ----


@pytest.mark.parametrize("form", ["text", "json"])
def test_access_line_of_echo(start, folder, form):
    parse = parse_json if form == "json" else parse_text
    path = folder / "u.sock"
    daemon = start({"e": echo(listen=f"127.0.0.1:0 unix:{path}", access_log="e.log")},
                   {"log_format": form})
    client = daemon.connect()
    peer = peer_of(client)
    assert client.send(b"hello\n\nlonger line\r\n").lines(3) == [b"hello", b"", b"longer line\r"]
    lines = wait_access(folder / "e.log", 3, parse)
    for line, size in zip(lines, (5, 0, 11)):
        assert line[1:] == ("e", peer, "reply", size, size, 0.0, line.run, None, None)
        assert line.run < harness.SCALE
    unix = harness.Client(str(path))
    assert unix.ask(b"x") == b"x"
    unix.close()
    assert wait_access(folder / "e.log", 4, parse)[3][1:4] == ("e", "unix", "reply")
    assert stat.S_IMODE((folder / "e.log").stat().st_mode) & 0o137 == 0


@pytest.mark.parametrize("form", ["text", "json"])
def test_access_line_of_a_program(start, folder, form):
    """Two requests, one instance, 0.2 s each: the second waits for the first."""
    parse = parse_json if form == "json" else parse_text
    daemon = start({"slow": pool(program("slow.py", "0.2"), access_log="slow.log")},
                   {"log_format": form})
    pid = daemon.instance_pids()[0]
    client = daemon.connect()
    client.send(b"first\nsecond one\n").lines(2)
    first, second = wait_access(folder / "slow.log", 2, parse)
    assert first[1:6] == ("slow", peer_of(client), "reply", 5, 5)
    assert second[1:6] == ("slow", peer_of(client), "reply", 10, 10)
    assert first[8:] == second[8:] == (0, pid)
    slack = 0.15 * harness.SCALE
    assert first.queue < slack and 0.2 <= second.queue < 0.2 + slack + first.queue + slack
    assert 0.19 <= first.run < 0.2 + slack and 0.19 <= second.run < 0.2 + slack


def test_access_line_of_ipv6(start, folder):
    try:
        daemon = start({"e": echo(listen="[::1]:0", access_log="e.log")})
    except AssertionError:
        pytest.skip("no IPv6 here")
    client = daemon.connect()
    assert client.ask(b"x") == b"x"
    assert wait_access(folder / "e.log", 1)[0].client == "[::1]:%d" % client.socket.getsockname()[1]


def test_every_outcome_has_its_word(start, folder):
    log = {"access_log": "all.log"}
    daemon = start({
        "wild": pool(program("wild.py"), queue=1, request_timeout="800ms", max_message="1K", **log),
        "frame": pool("cat", protocol="frame", **log),
        "quiet": {"listen": "127.0.0.1:0", "protocol": "line", "handler": "discard", **log}})
    client = daemon.connect("wild")
    assert client.ask(b"hello") == b"HELLO"
    assert client.ask(b"mute") == b"ERR timeout"
    daemon.wait_full()
    assert client.ask(b"die") == b"ERR failed"
    daemon.wait_full()
    holder, waiter = daemon.connect("wild"), daemon.connect("wild")
    holder.send(b"sleep 0.2 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy one", "wild")
    gone = peer_of(waiter)
    waiter.send(b"never\n")
    daemon.wait_service(lambda s: s["waiting"] == 1, "one that waits", "wild")
    assert client.ask(b"one more") == b"ERR busy"
    waiter.reset()
    assert holder.line() == b"x"
    assert client.ask(b"x" * 1025) == b"ERR too-large"
    bad = daemon.connect("frame")
    assert bad.send(frame(b"two\nlines")).frame() == b"ERR bad"
    daemon.connect("quiet").send(b"to nobody\n")
    lines = wait_access(folder / "all.log", 9)
    assert sorted((line.service, line.outcome, line.bytes_in, line.bytes_out) for line in lines) == \
        sorted([("wild", "reply", 5, 5), ("wild", "timeout", 4, 11), ("wild", "failed", 3, 10),
                ("wild", "busy", 8, 8), ("wild", "withdrawn", 5, 0), ("wild", "reply", 11, 1),
                ("wild", "too-large", 0, 13), ("frame", "bad", 9, 7), ("quiet", "silent", 9, 0)])
    named = {line.outcome: line for line in lines}
    assert named["withdrawn"].client == gone and named["withdrawn"].instance is None
    assert named["busy"].instance is None and named["busy"].run == 0
    assert named["timeout"].run >= 0.79 and named["timeout"].pid
    assert named["failed"].pid and named["bad"].instance is None


def count_lines(folder, name):
    return sum(len(access_lines(path)) for path in folder.glob(name + "*"))


@pytest.mark.bound(60)
def test_moving_access_logs_away_loses_no_line(start, folder):
    """Four clients ask as fast as they can while the logs are moved away ten times."""
    daemon = start({"e": echo(access_log="a.log"),
                    "p": pool("cat", instances=2, access_log="a.log")}, {"log": "own.log"})
    stopping, asked = threading.Event(), []

    def ask(name):
        client = daemon.connect(name)
        count = 0
        while not stopping.is_set():
            assert client.send(b"hello\n" * 8).lines(8) == [b"hello"] * 8
            count += 8
        asked.append(count)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("e", "p", "e", "p")]
    for thread in threads:
        thread.start()
    try:
        for number in range(10):
            before = folder / f"a.log.{number}"
            (folder / "a.log").rename(before)
            daemon.send_signal(signal.SIGUSR1)
            wait_for(lambda: (folder / "a.log").exists() and (folder / "a.log").stat().st_size,
                     "lines in the new file")
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert len(asked) == 4
    wait_for(lambda: count_lines(folder, "a.log") >= sum(asked), f"{sum(asked)} lines")
    assert count_lines(folder, "a.log") == sum(asked)
    assert (folder / "own.log").read_text().count("logs are reopened") == 10


def test_a_fifo_that_nobody_reads_holds_up_nothing(start, folder):
    """More lines than the FIFO and the buffers hold: replies come, lost lines are counted, and a
    reader who comes later finds whole lines."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    daemon = start({"e": echo(access_log=fifo)}, {"workers": 1})
    client = daemon.connect()
    asked = 0
    while not daemon.log_lines("of its access log"):
        assert client.send(b"x\n" * 32).lines(32) == [b"x"] * 32
        asked += 32
        assert asked < 100000
    warning = daemon.log_lines("of its access log")[0]
    assert re.search(r" warn  worker 0: service e: \d+ lines? of its access log (is|are) lost: Resource temp", warning)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    text = b""

    def drained():
        nonlocal text
        try:
            text += os.read(reader, 1 << 20)
        except BlockingIOError:
            pass
        return len(text) > 80000

    wait_for(drained, "what waited")
    client.ask(b"last words")
    wait_for(lambda: drained() and b" in=10 out=10 " in text, "a new line")
    os.close(reader)
    lines = [parse_text(line) for line in text.decode().splitlines()]
    assert 300 < len(lines) < asked


def test_a_full_disk_holds_up_nothing(start):
    daemon = start({"e": echo(access_log="/dev/full")})
    client = daemon.connect()
    assert client.send(b"x\n" * 20).lines(20) == [b"x"] * 20
    begun = time.monotonic()
    while not daemon.log_lines("of its access log are lost: No space left on device"):
        assert client.send(b"x\n" * 32).lines(32) == [b"x"] * 32
        assert time.monotonic() - begun < 20 * harness.SCALE


def test_lines_that_never_left_are_told_at_the_end(start):
    daemon = start({"e": echo(access_log="/dev/full")}, {"workers": 1})
    assert daemon.connect().send(b"x\n" * 7).lines(7) == [b"x"] * 7
    daemon.stop()
    assert daemon.log_lines("service e: 7 lines of its access log are lost: No space left")


# ---- reload ----


def change(folder, services, hostler):
    harness.write_config(folder / "hostler0.conf", services, {
        "workers": 2, "control": folder / "hostler0.sock", "shutdown_timeout": "5s", **hostler})


def test_reload_moves_the_log(start, folder):
    """Another file, format and level: for the master and for every worker, old and new."""
    services = {"e": echo()}
    daemon = start(services, {"log": "a.log"})
    before = daemon.connect()
    assert before.ask(b"hello") == b"hello"
    first, second = folder / "a.log", folder / "b.log"
    change(folder, services, {"log": "b.log", "log_format": "json", "log_level": "debug"})
    assert daemon.request("reload")["ok"]

    def said():
        client = daemon.connect()
        assert client.ask(b"hello") == b"hello"
        client.close()
        return '"process":"worker ' in second.read_text()

    wait_for(said, "a line of a worker")
    before.close()
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation")
    rows = [json.loads(line) for line in second.read_text().splitlines()]
    assert any(row["process"].startswith("worker ") for row in rows)
    assert first.read_text().splitlines()[-1].endswith(f"the log goes on in {second}")
    for pid in [daemon.pid, *daemon.worker_pids()]:
        assert str(first) not in harness.descriptors(pid).values()
    change(folder, services, {})
    assert daemon.request("reload")["ok"]
    daemon.wait_log(r"\d\.\d{3} info  master: reload: generation 3 runs after")


def test_reload_with_a_log_that_cannot_be_opened_changes_nothing(start, folder):
    daemon = start({"e": echo(access_log="e.log")}, {"log": "a.log"})
    change(folder, {"e": echo(access_log="none/e.log")}, {"log": "none/b.log", "log_format": "json"})
    reply = daemon.request("reload")
    assert not reply["ok"]
    where = f"{folder}/hostler0.conf:"
    assert [re.sub(r":\d+:", ":", error, count=1) for error in reply["errors"]] == [
        f"{where} [hostler] log: {folder}/none/b.log cannot be opened: No such file or directory",
        f"{where} [service e] access_log: {folder}/none/e.log cannot be opened: No such file or "
        "directory"]
    assert daemon.connect().ask(b"x") == b"x"
    wait_access(folder / "e.log", 1)
    daemon.send_signal(signal.SIGUSR1)
    wait_for(lambda: " info  master: logs are reopened" in (folder / "a.log").read_text(), "text")


def test_reload_switches_access_logs_in_place(start, folder):
    """On, elsewhere and off: the instances stay, and who was connected before is still noted."""
    daemon = start({"p": pool("cat", access_log="a.log")})
    pids = daemon.instance_pids()
    old = daemon.connect()
    assert old.ask(b"one") == b"one"
    wait_access(folder / "a.log", 1)
    change(folder, {"p": pool("cat", access_log="b.log")}, {})
    old.send(b"begun ")
    daemon.wait_service(lambda s: s["counters"]["requests"] == 1, "one request")
    reply = daemon.request("reload")
    assert reply["ok"] and reply["services"][0]["change"] == "limits", reply
    # Until the old one's workers have heard of it they may still accept.
    while not access_lines(folder / "b.log"):
        before = len(access_lines(folder / "a.log"))
        new = daemon.connect()
        assert new.ask(b"three") == b"three"
        wait_for(lambda: len(access_lines(folder / "a.log")) > before or
                 access_lines(folder / "b.log"), "its line")
    line, = wait_access(folder / "b.log", 1)
    assert (line.client, line.bytes_in, line.pid) == (peer_of(new), 5, pids[0])
    assert old.send(b"before\n").line() == b"begun before", "it has moved, in mid-message"
    assert wait_access(folder / "b.log", 2)[1].client == peer_of(old)
    assert access_lines(folder / "a.log")[0].client == peer_of(old)
    change(folder, {"p": pool("cat")}, {})
    old.close()
    new.close()
    wait_for(lambda: daemon.request("status")["reload"]["state"] == "idle", "the end of it")
    assert daemon.request("reload")["ok"]
    # Until the old one's workers have heard of it they may still accept.
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation")
    assert daemon.connect().ask(b"four") == b"four"
    for pid in [daemon.pid, *daemon.worker_pids()]:
        assert not [n for n in harness.descriptors(pid).values() if n.endswith((".log", ".log.1"))]
    assert daemon.instance_pids() == pids
    assert [len(access_lines(folder / name)) for name in ("a.log", "b.log")] == [before, 2]


# ---- and without ----


def test_without_an_access_log_nothing_is_opened(start):
    daemon = start({"e": echo()})
    assert daemon.connect().ask(b"x") == b"x"
    for pid in daemon.worker_pids():
        files = [name for name in harness.descriptors(pid).values() if name.startswith("/")]
        assert set(files) <= {"/dev/null", str(daemon.log_path), str(daemon.output_path)}, files
