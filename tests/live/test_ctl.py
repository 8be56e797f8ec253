"""hostlerctl: against a daemon of our own making that says anything, then against the real one."""

import contextlib
import copy
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from control_page import REPLIES
from ctl_help import (fake, place)  # noqa: F401 fixtures
from ctl_help import (BUILD, HOSTLERCTL, OK, REFUSED, SOURCE, UNREACHABLE, USAGE, Ctl, FakeDaemon,
                      ask, environment, line, saying)

SYSTEM_SOCKET = pathlib.Path("/run/hostler/control.sock")

STATUS, TRACE = REPLIES["status"], REPLIES["trace"]

STATUS_TABLE = """\
hostlerd 0.1.0, pid 4711, running for 2m 3s, generation 3,
control socket /run/hostler/control.sock, file /etc/hostler/hostler.conf

SERVICE  PROTOCOL  HANDLER  LISTEN           CONNS  WAITING  STATE
upper    line      program  127.0.0.1:10001      3        0  ready
                            [::1]:10001

WORKER  GENERATION   PID  STATE    AGE  CONNS  STARTS
     0           3  4713  ready  2m 3s      2       1
     1           3  4780  ready    10s      1       2
  worker 1 ended: killed by signal 9 (Killed)

SERVICE  SLOT   PID  STATE      AGE  SERVED  STARTS
upper       0  4715  idle     2m 2s     800       1
upper       1     -  waiting   0.4s       0       3
  upper 1 ended: exit status 1: KeyError: 'name'
"""

TRACE_TABLE = """\
SERVICE  ARRIVAL      TIME  SLOT  INCARNATION  WORKER  AGAIN
upper        811  0.000000     0            1       0      0
upper        812  0.000250     1            3       2      0
"""


# ---- what is printed ----


def test_status_table(fake):
    daemon = fake(line(STATUS))
    ctl = ask(daemon)
    assert (ctl.code, ctl.out, ctl.error) == (OK, STATUS_TABLE, "")
    assert daemon.requests == [b'{"command":"status"}\n']


def test_uptime_is_not_how_long_it_stops(fake):
    ctl = ask(fake(line({**STATUS, "state": "stopping"})))
    assert ctl.out.startswith("hostlerd 0.1.0, pid 4711, stopping, up for 2m 3s, generation 3,\n")


def test_trace_table(fake):
    daemon = fake(line(TRACE))
    ctl = ask(daemon, "trace")
    assert (ctl.code, ctl.out, ctl.error) == (OK, TRACE_TABLE, "")
    assert daemon.requests == [b'{"command":"trace"}\n']


@pytest.mark.parametrize("verb, reply", [("status", STATUS), ("trace", TRACE)])
def test_json_is_the_reply(fake, verb, reply):
    """Whole, in the same order, with keys that we do not know, and nothing rounded."""
    reply = {**reply, "later": {"big": 2**63 - 1, "small": 0.1, "text": "größe \x1b[2J\x9b", "no": None}}
    ctl = ask(fake(line(reply)), verb, "--json")
    assert ctl.code == OK
    assert json.dumps(json.loads(ctl.out)) == json.dumps(reply)
    assert ctl.out.startswith('{\n  "ok": true,\n  "')
    assert ctl.out.endswith("}\n")
    assert '"small": 0.1,' in ctl.out
    assert "\x1b" not in ctl.out and "\x9b" not in ctl.out


def many_services(count):
    """A reply in which everything is as awkward as it may be."""
    reply = copy.deepcopy(STATUS)
    service = reply["services"][0]
    service["name"] = "a-service-with-a-name-that-is-longer-than-usual"
    service["listen"] = ["unix:/run/" + "x" * 90, "127.0.0.1:1", "\x1b]0;title\x07"]
    service["state"], service["backoff"] = "backing off", 12.8
    for instance in service["instances"]:
        instance["last_exit"] = "killed by signal 6 (Aborted)\n\x1b[2J"
        instance["last_stderr"] = "\x9b31mTraceback (most recent call last): " + "y" * 5000
        instance["age"] = 1e200
    service["instances"] += [
        {**service["instances"][0], "state": "waiting", "pid": None, "slot": 2}]
    reply["services"] = [service] * count
    return reply


def test_table_fits_80_columns_and_is_clean(fake):
    ctl = ask(fake(line(many_services(3))))
    assert ctl.code == OK
    assert max(map(len, ctl.out.splitlines())) == 80
    assert re.fullmatch(r"[ -~\n]*", ctl.out)
    assert "backing off 12s" in ctl.out
    assert "  -  waiting  " in ctl.out
    assert not re.search(r" $", ctl.out, re.M)


def test_table_with_absurd_numbers_fits(fake):
    reply = copy.deepcopy(STATUS)
    for key in ("connections", "waiting"):
        reply["services"][0][key] = 2**63 - 1
    for key in ("slot", "pid", "requests", "starts"):
        reply["services"][0]["instances"][0][key] = 2**63 - 1
    ctl = ask(fake(line(reply)))
    assert ctl.code == OK
    assert max(map(len, ctl.out.splitlines())) == 80


def test_last_words_are_those_of_the_dead(fake):
    """Beside a running process, the last line may be its own and explains no exit."""
    reply = copy.deepcopy(STATUS)
    alive, dead = reply["services"][0]["instances"]
    alive["last_exit"], alive["last_stderr"] = "exit status 1", "listening"
    dead["last_exit"], dead["last_stderr"] = "exit status 2", "sorry"
    rows = ask(fake(line(reply))).out.splitlines()[-3:]
    assert rows == ["  upper 0 ended: exit status 1", "  upper 0 said: listening",
                    "  upper 1 ended: exit status 2: sorry"]


def test_table_of_a_daemon_without_anything(fake):
    reply = {**STATUS, "services": [], "workers": [], "file": None, "state": "starting",
             "guardian": {"pid": 1}}
    ctl = ask(fake(line(reply)))
    assert ctl.code == OK
    assert ctl.out == (
        "hostlerd 0.1.0, pid 4711, starting for 2m 3s, generation 3,\n"
        "control socket /run/hostler/control.sock\n\n"
        "SERVICE  PROTOCOL  HANDLER  LISTEN  CONNS  WAITING  STATE\n\n"
        "WORKER  GENERATION  PID  STATE  AGE  CONNS  STARTS\n")


def test_table_fits_the_terminal(fake):
    """A wider terminal shows more."""
    reply = many_services(1)
    for instance in reply["services"][0]["instances"]:
        instance["last_stderr"] = "y" * 300  # all fits what a terminal holds unread
    daemon = fake(line(reply))
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
    code = subprocess.run([HOSTLERCTL, "status", "--socket", daemon.path], stdout=terminal,
                          timeout=30).returncode
    os.close(terminal)
    text = b""
    with contextlib.suppress(OSError):  # EIO is the end of it
        while data := os.read(controller, 65536):
            text += data
    os.close(controller)
    assert code == OK
    assert max(map(len, text.decode().splitlines())) == 132


# ---- replies that are no replies ----

NONSENSE = {
    "text": b"hello\n",
    "empty line": b"\n",
    "array": b"[]\n",
    "number": b"1\n",
    "no ok": b"{}\n",
    "ok is a number": b'{"ok":1}\n',
    "ok is null": b'{"ok":null}\n',
    "refused without a reason": b'{"ok":false}\n',
    "reason is no text": b'{"ok":false,"error":["no"]}\n',
    "nothing but ok": b'{"ok":true}\n',
    "half a line": b'{"ok":false,"er',
    "a line without its end": b'{"ok":false,"error":"no"}',
    "two objects": b'{"ok":false,"error":"no"} {}\n',
    "duplicate key": b'{"ok":true,"ok":false,"error":"no"}\n',
    "not UTF-8": b'{"ok":false,"error":"\xff"}\n',
    "NUL": b'{"ok":false,"error":"a\\u0000b"}\n',
    "raw NUL": b'{"ok":false,"error":"no"}\0\n',
    "raw escape": b'{"ok":false,"error":"\x1b[2J"}\n',
    "deep": b'{"ok":' + b"[" * 100000 + b"]" * 100000 + b"}\n",
    "huge number": b'{"ok":false,"error":"no","n":' + b"9" * 400 + b"}\n",
    "infinite": b'{"ok":false,"error":"no","n":1e400}\n',
    "another daemon's": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "keys of another verb": line(TRACE),
}


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("json_option", [[], ["--json"]], ids=["table", "json"])
def test_nonsense(fake, name, json_option):
    ctl = ask(fake(NONSENSE[name]), "status", *json_option)
    assert (ctl.code, ctl.out) == (REFUSED, "")
    assert "the reply is not understood: " in ctl.error
    assert re.fullmatch(r"hostlerctl: [ -~]+\n", ctl.error)


def places(value, path=""):
    """Every key of a reply: (the object it is in, the key, its name in messages)."""
    if isinstance(value, dict):
        for key in value:
            name = f"{path}.{key}" if path else key
            yield value, key, name
            yield from places(value[key], name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, f"{path}[{index}]")


@pytest.mark.parametrize("verb, reply", [("status", STATUS), ("trace", TRACE)])
def test_every_key_is_checked(fake, verb, reply):
    """Without any one key, or with a value of another kind, the reply is refused by its name."""
    reply = copy.deepcopy(reply)
    changed = []
    daemon = fake(lambda connection, request: connection.sendall(line(reply)))
    names = [name for _, _, name in places(reply)]
    for name in names:
        holder, key = next((h, k) for h, k, n in places(reply) if n == name)
        if key == "ok":
            continue
        before = copy.copy(holder)
        # The counters are whatever the daemon counts; none is asked for by name.
        values = [] if ".counters." in name else ["missing"]
        values += [True, -1, {"a": "b"}, [3]]
        for value in values:
            if value == "missing":
                del holder[key]
            else:
                holder[key] = value
            ctl = ask(daemon, verb)
            shown = name.split(".counters.")[0] + ".counters" if ".counters." in name else name
            assert (ctl.code, ctl.out) == (REFUSED, ""), (name, value)
            assert f": {shown}" in ctl.error, (name, value, ctl.error)
            holder.clear()
            holder.update(before)
            changed.append(name)
    assert len(changed) > 20


@pytest.mark.parametrize("reply, reason", [
    ([], "it is no JSON object"),
    ({**STATUS, "ok": 1}, "ok is not true or false"),
    ({**STATUS, "services": [3]}, "services[0] is not an object"),
    ({**STATUS, "services": None}, "services is not a list of objects"),
    ({**STATUS, "pid": "1"}, "pid is not a count"),
    ({**STATUS, "guardian": {}}, "guardian.pid is missing"),
])
def test_nonsense_is_told_exactly(fake, reply, reason):
    daemon = fake(line(reply))
    ctl = ask(daemon)
    assert ctl.code == REFUSED
    assert ctl.error == f"hostlerctl: {daemon.path}: the reply is not understood: {reason}\n"


def test_refused(fake):
    daemon = fake(line({"ok": False, "error": "no,\n\x1b[2Jnever"}))
    for arguments in (["status"], ["status", "--json"], ["trace"]):
        ctl = ask(daemon, *arguments)
        assert ctl.code == REFUSED
        assert ctl.error == "hostlerctl: no,\n\\x1b[2Jnever\n"
        if "--json" in arguments:
            assert json.loads(ctl.out) == {"ok": False, "error": "no,\n\x1b[2Jnever"}
            assert "\x1b" not in ctl.out
        else:
            assert ctl.out == ""


def test_example_of_a_refusal(fake):
    ctl = ask(fake(line(REPLIES["refused"])))
    assert ctl.code == REFUSED
    assert ctl.error == "hostlerctl: unknown command \"statsu\"\n"


# ---- how it is said ----


def test_byte_by_byte(fake):
    def dribble(connection, request):
        for byte in line(STATUS):
            connection.sendall(bytes([byte]))

    assert ask(fake(dribble)).out == STATUS_TABLE


def test_only_the_first_line_counts(fake):
    assert ask(fake(line(STATUS) + b"more\n" * 1000)).out == STATUS_TABLE


def test_refused_before_the_request_is_read(place):
    """A daemon that is full says so and closes; the reply counts, not the broken pipe."""
    path = place / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def refuse():
            connection, _ = listener.accept()
            connection.sendall(line({"ok": False, "error": "too many connections"}))
            connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        ctl = Ctl("status", "--socket", path)
        thread.join()
    assert ctl.code == REFUSED
    assert ctl.error == "hostlerctl: too many connections\n"


def test_closed_without_a_word(fake):
    ctl = ask(fake(b""))
    assert (ctl.code, ctl.out) == (UNREACHABLE, "")
    assert "closed the connection without a reply" in ctl.error


def test_large_reply(fake):
    reply = copy.deepcopy(STATUS)
    reply["services"][0]["instances"] *= 20000
    data = line(reply)
    assert 3 << 20 < len(data) < 16 << 20
    ctl = ask(fake(data), "status", "--json", timeout=60)
    assert ctl.code == OK
    assert json.loads(ctl.out) == reply


def test_reply_at_the_bound_and_beyond(fake, place):
    bound = 16 << 20
    short = line({"ok": False, "error": ""})
    fits = line({"ok": False, "error": "x" * (bound - len(short))})
    beyond = line({"ok": False, "error": "x" * (bound - len(short) + 1)})
    assert len(fits) == bound
    ctl = ask(fake(fits), timeout=60)
    assert (ctl.code, len(ctl.error)) == (REFUSED, len("hostlerctl: \n") + bound - len(short))
    ctl = ask(fake(beyond, place / "2"), timeout=60)
    assert (ctl.code, ctl.out) == (REFUSED, "")
    assert "longer than 16 MiB" in ctl.error

    def endless(connection, request):
        while True:
            connection.sendall(b"x" * 65536)

    ctl = ask(fake(endless, place / "3"), timeout=60)
    assert (ctl.code, ctl.out) == (REFUSED, "")
    assert "longer than 16 MiB" in ctl.error


def test_silence_ends_in_time(fake, place):
    """Five seconds in all, however the daemon spends them."""
    over = threading.Event()

    def silent(connection, request):
        over.wait(20)

    def trickling(connection, request):
        while not over.wait(0.05):
            connection.sendall(b" ")

    def half(connection, request):
        connection.sendall(line(STATUS)[:-1])
        over.wait(20)

    def full(path):
        """Nobody accepts, and the backlog has no room."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(0)
        waiting = [listener]
        with contextlib.suppress(BlockingIOError):
            while True:
                client = socket.socket(socket.AF_UNIX)
                waiting.append(client)
                client.setblocking(False)
                client.connect(str(path))
        return waiting

    paths = [place / name for name in ("silent", "trickling", "half", "full")]
    for speak, path in zip((silent, trickling, half), paths):
        fake(speak, path)
    held = full(paths[3])
    start = time.monotonic()
    running = [subprocess.Popen([HOSTLERCTL, "status", "--socket", path], stderr=subprocess.PIPE,
                                stdout=subprocess.PIPE) for path in paths]
    try:
        for process, path in zip(running, paths):
            out, error = process.communicate(timeout=20)
            assert (path.name, process.returncode, out) == (path.name, UNREACHABLE, b"")
            assert b"no whole reply within 5 seconds" in error, path.name
        assert 4.9 < time.monotonic() - start < 12
    finally:
        over.set()
        for process in running:
            process.kill()
            process.wait()
        for item in held:
            item.close()


# ---- which daemon ----


def own_folder(place, name="hostler"):
    """A runtime folder of the caller: (environment, where the sockets go)."""
    runtime = place / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    folder = runtime / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return environment(place, XDG_RUNTIME_DIR=str(runtime)), folder


def skip_where_a_daemon_answers():
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(SYSTEM_SOCKET))
        pytest.skip(f"{SYSTEM_SOCKET} answers on this machine")


def status_of(pid):
    return line({**STATUS, "pid": pid})


def test_socket_option_then_environment(fake, place):
    first = fake(status_of(1), place / "1")
    second = fake(status_of(2), place / "2")
    env = environment(place, HOSTLER_CONTROL=str(first.path))
    assert "pid 1," in Ctl("status", env=env).out
    assert "pid 2," in Ctl("status", "--socket", second.path, env=env).out
    assert "pid 2," in Ctl("--socket", second.path, "status", env=env).out
    assert "pid 2," in Ctl(f"--socket={second.path}", "status", env=env).out


def test_only_running_daemon(fake, place):
    skip_where_a_daemon_answers()
    env, folder = own_folder(place)
    (folder / "file.sock").touch()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "1.sock"))
    assert Ctl("status", env=env).code == UNREACHABLE
    fake(status_of(77), folder / "77.sock")
    ctl = Ctl("status", env=env)
    assert ctl.code == OK, ctl
    assert "pid 77," in ctl.out
    assert Ctl("status", env={**env, "HOSTLER_CONTROL": ""}).code == OK


def test_only_running_daemon_in_the_temporary_folder(fake, place):
    skip_where_a_daemon_answers()
    folder = place / f"hostler-{os.geteuid()}"
    folder.mkdir(mode=0o700)
    fake(status_of(78), folder / "78.sock")
    assert "pid 78," in Ctl("status", env=environment(place)).out


def test_several_running_daemons(fake, place):
    skip_where_a_daemon_answers()
    env, folder = own_folder(place)
    other = place / f"hostler-{os.geteuid()}"
    other.mkdir(mode=0o700)
    paths = [folder / "1.sock", folder / "2.sock", other / "3.sock"]
    for path in paths:
        fake(line(STATUS), path)
    ctl = Ctl("status", env=env)
    assert (ctl.code, ctl.out) == (USAGE, "")
    assert ctl.error.splitlines() == [
        "hostlerctl: 3 daemons are running; choose one with --socket:",
        *sorted(f"  {path}" for path in paths)]


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_folder_open_to_others_is_not_believed(fake, place, mode):
    skip_where_a_daemon_answers()
    env, folder = own_folder(place)
    fake(line(STATUS), folder / "1.sock")
    folder.chmod(mode)
    ctl = Ctl("status", env=env)
    assert ctl.code == UNREACHABLE
    assert "no running hostlerd was found" in ctl.error
    folder.chmod(0o700)
    assert Ctl("status", env=env).code == OK


def test_folder_of_another_is_not_believed(fake, place):
    skip_where_a_daemon_answers()
    if os.geteuid() != 0:
        pytest.skip("needs root to give a folder away")
    env, folder = own_folder(place)
    fake(line(STATUS), folder / "1.sock")
    os.chown(folder, 65534, 65534)
    assert Ctl("status", env=env).code == UNREACHABLE


def test_unreachable(place):
    stale = place / "stale"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    file = place / "file"
    file.touch()
    for path, reason in ((place / "none", "No such file"), (stale, "Connection refused"),
                         (file, "Connection refused"), (place / ("x" * 120), "too long"),
                         (place / "a\x1b[2Jb\n", "a\\x1b[2Jb")):
        ctl = Ctl("status", "--socket", path)
        assert (ctl.code, ctl.out) == (UNREACHABLE, ""), path
        assert reason in ctl.error
        assert "\x1b" not in ctl.error


def test_forbidden(fake, place):
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    if not all(folder.stat().st_mode & 0o001 for folder in BUILD.resolve().parents):
        pytest.skip(f"nobody but root can enter {BUILD}")
    daemon = fake(line(STATUS))
    place.chmod(0o711)
    daemon.path.chmod(0o660)
    ctl = ask(daemon, user=65534, group=65534, extra_groups=[])
    assert ctl.code == UNREACHABLE
    assert "Permission denied" in ctl.error


# ---- the command line ----


@pytest.mark.parametrize("arguments, reason", [
    ([], "which command?"),
    (["statsu"], "unknown command 'statsu'"),
    (["statsu", "--help"], "unknown command 'statsu'"),
    (["status", "now"], "unexpected argument 'now'"),
    (["status", "--"], None),
    (["--jsn", "status"], "unknown option '--jsn'"),
    (["status", "-xh"], "unknown option '-x'"),
    (["status", "--json=1"], "unknown option '--json=1'"),
    (["status", "--socket"], "--socket needs a value"),
    (["status", "--socket", ""], "--socket needs a path"),
    (["\x1b[2J"], "unknown command '\\x1b[2J'"),
    (["x" * 100000], "unknown command 'xxx"),
])
def test_usage(fake, place, arguments, reason):
    daemon = fake(line(STATUS))
    ctl = Ctl(*arguments, env=environment(place, HOSTLER_CONTROL=str(daemon.path)))
    if reason is None:
        assert (ctl.code, ctl.out) == (OK, STATUS_TABLE)
        return
    assert (ctl.code, ctl.out) == (USAGE, "")
    assert ctl.error.startswith(f"hostlerctl: {reason}")
    topic = "help status" if "now" in arguments else "--help"
    assert ctl.error.endswith(f"\nTry 'hostlerctl {topic}'.\n")
    assert daemon.requests == []


def verbs():
    """The commands that --help lists."""
    return re.findall(r"^  ([a-z]+) ", Ctl("--help").out, re.M)


def test_help():
    ctl = Ctl("--help")
    assert (ctl.code, ctl.error) == (OK, "")
    assert ctl.out == Ctl("-h").out
    assert max(map(len, ctl.out.splitlines())) <= 80
    for verb in verbs():
        ctl = Ctl(verb, "--help")
        assert (ctl.code, ctl.error) == (OK, "")
        assert ctl.out.startswith(f"usage: hostlerctl {verb} ")
        assert re.search(r"^Examples?:", ctl.out, re.M)
        assert re.search(rf"\n  hostlerctl {verb}\b", ctl.out)
        assert max(map(len, ctl.out.splitlines())) <= 80
        assert ctl.out == Ctl("--help", verb).out == Ctl("help", verb).out


def test_version():
    for option in ("--version", "-V"):
        ctl = Ctl(option)
        assert (ctl.code, ctl.error) == (OK, "")
        assert re.fullmatch(r"hostlerctl \d+\.\d+\.\d+\n", ctl.out)


@pytest.mark.parametrize("verb, reply, script", [
    ("status", STATUS, ".services[].instances[].pid"),
    ("trace", TRACE, ".services[].grants[].slot"),
])
def test_example_of_the_help(fake, verb, reply, script):
    """What --help shows works as it stands."""
    if not shutil.which("jq"):
        pytest.skip("needs jq")
    example = re.search(r"^Example:.*\n  (.*)$", Ctl(verb, "--help").out, re.M).group(1)
    assert script in example
    daemon = fake(line(reply))
    done = subprocess.run(["sh", "-c", example], stdout=subprocess.PIPE, timeout=30, env={
        **os.environ, "PATH": f"{HOSTLERCTL.parent}:{os.environ['PATH']}",
        "HOSTLER_CONTROL": str(daemon.path)})
    words = [item.split() for item in done.stdout.decode().splitlines()]
    expected = {"status": [["4715"], ["null"]], "trace": [["1", "0"], ["1", "1"]]}
    assert words == expected[verb]


def test_output_that_cannot_be_written(fake):
    daemon = fake(line(STATUS))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([HOSTLERCTL, "status", "--socket", daemon.path], stdout=full,
                              stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == REFUSED
    assert done.stderr == b"hostlerctl: cannot write: No space left on device\n"


def test_output_that_is_closed(fake):
    """The connection may get the number of standard output; the daemon still gets one line."""
    daemon = fake(lambda connection, request: (
        connection.sendall(line(STATUS)), daemon.requests.append(connection.recv(100))))
    done = subprocess.run(["sh", "-c", 'exec "$0" status --socket "$1" >&-', HOSTLERCTL,
                           daemon.path], stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == REFUSED
    assert b"cannot write" in done.stderr
    daemon.close()
    assert daemon.requests == [b'{"command":"status"}\n', b""]
    daemon.close = lambda: None


def test_manual_page():
    page = SOURCE / "docs/man/hostlerctl.1"
    text = page.read_text()
    for verb in verbs():
        assert re.search(rf"^\.It Cm {verb}( |$)", text, re.M), verb
    for option in ("-socket", "-json", "-help", "-version"):
        assert f".It Fl {option}" in text or f".It Fl h , Fl {option}" in text \
            or f".It Fl V , Fl {option}" in text
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not here to check the rest")
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True,
                          timeout=30)
    assert (done.returncode, done.stdout) == (0, b"")


# ---- the real daemon ----


def test_real_status(start):
    import harness
    daemon = start({"upper": harness.pool("sed -u s/x/y/", instances=2), "mirror": harness.echo()})
    assert daemon.connect("upper").ask(b"x") == b"y"
    ctl = Ctl("status", "--socket", daemon.control_path)
    assert (ctl.code, ctl.error) == (OK, "")
    status = json.loads(Ctl("status", "--socket", daemon.control_path, "--json").out)
    services = {service["name"]: service for service in status["services"]}
    words = [item.split() for item in ctl.out.splitlines()]
    for name, handler in (("upper", "program"), ("mirror", "echo")):
        row = next(row for row in words if row[:3] == [name, "line", handler])
        assert row[3] == services[name]["listen"][0]
        assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d+", row[3])
        assert row[-1] == "ready"
    for worker in status["workers"]:
        assert any(row[:4] == [str(worker["worker"]), "1", str(worker["pid"]), "ready"]
                   for row in words)
    pids = {instance["pid"] for instance in services["upper"]["instances"]}
    assert pids == set(daemon.instance_pids("upper"))
    for instance in services["upper"]["instances"]:
        assert any(row[:3] == ["upper", str(instance["slot"]), str(instance["pid"])]
                   for row in words)
    assert f"pid {daemon.pid}," in ctl.out
    assert max(map(len, ctl.out.split("\n\n", 1)[1].splitlines())) <= 80


def test_real_last_exit(start):
    import harness
    daemon = start({"upper": harness.pool("sed -u s/x/y/", instances=1)})
    before = daemon.instance_pids("upper")[0]
    os.kill(before, signal.SIGKILL)
    harness.wait_for(lambda: daemon.instance_pids("upper") not in ([before], [None], []),
                     "a new instance")
    ctl = Ctl("status", "--socket", daemon.control_path)
    assert re.search(r"^upper +0 +\d+ +idle", ctl.out, re.M)
    assert "\n  upper 0 ended: killed by signal 9 (Killed)\n" in ctl.out


def test_real_trace(start):
    import harness
    daemon = start({"upper": harness.pool("sed -u s/x/y/", instances=1)})
    client = daemon.connect("upper")
    for _ in range(5):
        assert client.ask(b"x") == b"y"
    ctl = Ctl("trace", "--socket", daemon.control_path)
    assert ctl.code == OK
    rows = [item.split() for item in ctl.out.splitlines()]
    assert rows[0] == ["SERVICE", "ARRIVAL", "TIME", "SLOT", "INCARNATION", "WORKER", "AGAIN"]
    assert [row[0] for row in rows[1:]] == ["upper"] * 5
    arrivals = [int(row[1]) for row in rows[1:]]
    assert arrivals == list(range(arrivals[0], arrivals[0] + 5))
    times = [float(row[2]) for row in rows[1:]]
    assert times[0] == 0 and times == sorted(times)


def test_real_daemon_is_found(launch, place):
    """`hostlerd run` without a word of where: hostlerctl finds it, and tells two apart."""
    import harness
    skip_where_a_daemon_answers()
    runtime = place / "runtime"
    runtime.mkdir(mode=0o700)
    env = environment(place, XDG_RUNTIME_DIR=str(runtime))

    def run():
        return subprocess.Popen(
            [BUILD / "hostlerd", "run", "--listen", "127.0.0.1:0"], env=env,
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def ready(process):
        path = runtime / "hostler" / f"{process.pid}.sock"
        ctl = Ctl("status", "--json", "--socket", path)
        return ctl.code == OK and json.loads(ctl.out)["state"] == "running"

    daemons = [run()]
    try:
        harness.wait_for(lambda: ready(daemons[0]), "the first daemon")
        ctl = Ctl("status", env=env)
        assert ctl.code == OK, ctl
        assert f"pid {daemons[0].pid}," in ctl.out
        daemons.append(run())
        harness.wait_for(lambda: ready(daemons[1]), "the second daemon")
        ctl = Ctl("status", env=env)
        assert ctl.code == USAGE
        for daemon in daemons:
            assert f"/{daemon.pid}.sock" in ctl.error
        daemons[1].terminate()
        assert daemons[1].wait(timeout=20) == 0
        ctl = Ctl("status", env=env)
        assert ctl.code == OK, ctl
    finally:
        for daemon in daemons:
            if daemon.poll() is None:
                daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=20)
    assert Ctl("status", env=env).code == UNREACHABLE
