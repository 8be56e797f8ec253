"""Every verb of hostlerctl: what it asks, what it prints of any reply, and what it does for real."""

import copy
import json
import re
import shutil
import subprocess
import time

import pytest

from control_page import REPLIES
from ctl_help import (fake, place)  # noqa: F401 fixtures
from ctl_help import HOSTLERCTL, OK, REFUSED, SOURCE, UNREACHABLE, USAGE, Ctl, ask, environment, line

# The words of the command line, the request, and the documented reply.
VERBS = {
    ("status",): ({"command": "status"}, "status"),
    ("services",): ({"command": "services"}, "services"),
    ("workers",): ({"command": "workers"}, "workers"),
    ("instances",): ({"command": "instances"}, "instances"),
    ("generations",): ({"command": "generations"}, "generations"),
    ("generations", "end", "1"): (
        {"command": "end_generation", "generation": 1, "now": False}, "end_generation"),
    ("generations", "end", "1", "--now"): (
        {"command": "end_generation", "generation": 1, "now": True}, "end_generation"),
    ("connections",): ({"command": "connections"}, "connections"),
    ("config",): ({"command": "config"}, "config"),
    ("version",): ({"command": "version"}, "version"),
    ("trace",): ({"command": "trace"}, "trace"),
    ("reload",): ({"command": "reload", "dry_run": False}, "reload"),
    ("reload", "--dry-run"): ({"command": "reload", "dry_run": True}, "reload dry run"),
    ("reopen",): ({"command": "reopen"}, "reopen"),
    ("stop",): ({"command": "stop", "quick": False}, "stop"),
    ("stop", "--quick"): ({"command": "stop", "quick": True}, "stop"),
    ("verbose",): ({"command": "verbose"}, "verbose"),
    ("verbose", "info"): ({"command": "verbose", "level": "info"}, "verbose"),
    ("scale", "workers", "3"): ({"command": "scale", "workers": 3}, "scale"),
    ("scale", "upper", "4"): (
        {"command": "scale", "service": "upper", "instances": 4}, "scale of a service"),
    ("rebalance",): ({"command": "rebalance"}, "rebalance"),
    ("stats",): ({"command": "stats"}, "stats"),
}
each_verb = pytest.mark.parametrize("words", VERBS, ids=" ".join)


def places(value, path=()):
    """The way to every value inside."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        items = ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def get(value, path):
    for key in path:
        value = value[key]
    return value


# ---- what is asked, and what is printed ----


@each_verb
def test_request(fake, words):
    daemon = fake(line(REPLIES[VERBS[words][1]]))
    ctl = ask(daemon, *words)
    assert (ctl.code, ctl.error) == (OK, "")
    assert ctl.out.endswith("\n") and ctl.out.strip()
    assert [json.loads(request) for request in daemon.requests] == [VERBS[words][0]]


@each_verb
def test_json(fake, words):
    """The reply as it is, in its order, with what we do not know."""
    reply = {**REPLIES[VERBS[words][1]], "later": {"big": 2**63 - 1, "text": "größe \x1b[2J"}}
    ctl = ask(fake(line(reply)), *words, "--json")
    assert ctl.code == OK
    assert json.dumps(json.loads(ctl.out)) == json.dumps(reply)
    assert ctl.out.isascii() and "\x1b" not in ctl.out


@each_verb
def test_refusal(fake, words):
    daemon = fake(line({"ok": False, "error": "not now"}))
    ctl = ask(daemon, *words)
    assert (ctl.code, ctl.out, ctl.error) == (REFUSED, "", "hostlerctl: not now\n")


@each_verb
def test_unreachable(place, words):
    ctl = Ctl(*words, "--socket", place / "none")
    assert (ctl.code, ctl.out) == (UNREACHABLE, "")
    assert ctl.error.startswith("hostlerctl: cannot reach ")


@each_verb
def test_nonsense_is_no_reply(fake, words):
    """Any value of another kind is refused by its name, or was not looked at."""
    reply = copy.deepcopy(REPLIES[VERBS[words][1]])
    daemon = fake(lambda connection, request: connection.sendall(line(reply)))
    refused = 0
    for path in list(places(reply)):
        if path == ("ok",) or "counters" in path:
            continue
        holder, before = get(reply, path[:-1]), get(reply, path)
        for value in ([{"a": []}], -1):
            holder[path[-1]] = value
            ctl = ask(daemon, *words)
            assert ctl.code in (OK, REFUSED)
            refused += ctl.code == REFUSED
            if ctl.code == REFUSED:
                assert ctl.out == "" and [key for key in path if type(key) is str][-1] in ctl.error
        holder[path[-1]] = before
    assert refused > 0 or REPLIES[VERBS[words][1]] == {"ok": True}


def extreme(value, key=None):
    """The same reply with the longest of everything."""
    if isinstance(value, dict):
        return {k: v if k in ("ok", "counters", "level", "was", "buckets") else extreme(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [extreme(item, key) for item in value] * 3
    if isinstance(value, bool):
        return value
    if key in ("all", "busy", "idle", "starting"):
        return 1024  # instances: there cannot be more
    if isinstance(value, int) or key in (
            "pid", "rss", "pss", "cpu", "descriptors", "asking", "staying", "moving", "left"):
        return 4294967295
    if isinstance(value, float):
        return 1e200
    if key == "last_exit":
        return "killed by signal 6 (Aborted), core dumped"
    if value is None or key in ("last_stderr", "last_error"):
        return "Traceback " + "y" * 300 + " \x1b[2J and the last word"
    return "a-name-of-forty-characters-which-is-long"


@each_verb
def test_80_columns(fake, words):
    ctl = ask(fake(line(extreme(REPLIES[VERBS[words][1]]))), *words)
    assert (ctl.code, ctl.error) == (OK, "")
    longest = max(map(len, ctl.out.splitlines()))
    # The paths in the head, and what was typed, are never cut; nor is a value in a pipe.
    assert longest <= 80 or words == ("config",), ctl.out
    assert re.fullmatch(r"[ -~\n]*", ctl.out)
    assert not re.search(r" $", ctl.out, re.M)


def test_config_cuts_no_value_in_a_pipe(fake):
    reply = copy.deepcopy(REPLIES["config"])
    reply["config"][0]["value"] = "x" * 300
    assert f" {'x' * 300} " in ask(fake(line(reply)), "config").out


@pytest.mark.parametrize("verb", ["status", "instances"])
def test_last_words_are_readable(fake, verb):
    """However long: wrapped below the table, not cut."""
    reply = copy.deepcopy(REPLIES[verb])
    rows = reply["services"][0]["instances"] if verb == "status" else reply["instances"]
    rows[-1]["pid"], rows[-1]["last_exit"] = None, "exit status 1"
    rows[-1]["last_stderr"] = " ".join(f"word{number}" for number in range(100))
    ctl = ask(fake(line(reply)), verb)
    told = ctl.out[ctl.out.index(" ended: exit status 1"):]
    assert " ".join(told.split()).endswith(rows[-1]["last_stderr"])
    assert max(map(len, ctl.out.splitlines())) <= 80


def test_instances_say_their_last_line(fake):
    reply = copy.deepcopy(REPLIES["instances"])
    reply["instances"][0]["last_stderr"] = "listening"
    assert ask(fake(line(reply)), "instances").out == (
        "SERVICE  SLOT   PID  STATE    AGE  SERVED  STARTS  MEMORY   CPU  FDS\n"
        "upper       0  4715  idle   2m 2s     800       1    6.0M  0.3s    3\n"
        "  upper 0 said: listening\n")


GENERATIONS = """\
GENERATION  STATE     AGE  WORKERS  CONNS  NOW  LEFT
         2  draining   3s        2      3    2   26s
         3  running    3s        2     12    4     -
  generation 2 waits for 2 connections with a request under way, 1 that cannot
  move
"""


def test_status_tells_of_reloads(fake):
    reply = copy.deepcopy(REPLIES["status"])
    reply["generations"] = REPLIES["generations"]["generations"]
    reply["reload"]["last_error"] = "x.conf:3: [service a] queue: no"
    head, table, _ = ask(fake(line(reply)), "status").out.split("\n\n", 2)
    assert head.splitlines()[-1] == "the last reload failed: x.conf:3: [service a] queue: no"
    assert table + "\n" == GENERATIONS


@pytest.mark.parametrize("changes, text", [
    ({"staying": 0, "connections": 2}, "2 connections with a request under way"),
    ({"asking": 0, "connections": 1}, "1 connection that cannot move"),
    ({"asking": 0, "staying": 0, "moving": 2}, "2 connections about to move"),
    ({"moving": 7}, "2 connections with a request under way, 1 that cannot move, 7 about to move"),
    ({"asking": 0, "staying": 0, "connections": 0}, "its workers to end"),
    ({"state": "ending", "programs": 3, "left": None}, "its own programs to end: 3 left"),
    ({"state": "starting", "left": None}, "its workers and programs to be ready"),
])
def test_what_a_generation_waits_for(fake, changes, text):
    reply = copy.deepcopy(REPLIES["generations"])
    reply["generations"][0].update(changes)
    told = ask(fake(line(reply)), "generations").out.splitlines()[3:]
    assert " ".join(map(str.strip, told)) == f"generation 2 waits for {text}"


def test_connections_that_are_not_shown(fake):
    reply = {**REPLIES["connections"], "total": 3000,
             "missing": [{"worker": 2, "generation": 1, "pid": 77}]}
    assert ask(fake(line(reply)), "connections").out == (
        "SERVICE  WORKER  PEER             STATE    AGE  REQUESTS  NOW  IN  OUT\n"
        "upper         0  127.0.0.1:40112  running  12s         7    1   0    0\n"
        "  1 of 3000 connections are shown\n"
        "  worker 2 (pid 77) does not answer\n")


def test_config_table(fake):
    assert ask(fake(line(REPLIES["config"])), "config").out == (
        "file /etc/hostler/hostler.conf\n\n"
        "SECTION        KEY        VALUE  ORIGIN\n"
        "hostler        workers    2      line 2\n"
        "hostler        log_level  info   default\n"
        "service upper  user       -      the user of [hostler]\n")


def test_version_table(fake):
    assert re.fullmatch(r"hostlerctl \d+\.\d+\.\d+\nhostlerd 0\.1\.0 \(pid 4711\)\n",
                        ask(fake(line(REPLIES["version"])), "version").out)


@pytest.mark.parametrize("words, reply, text", [
    (["stop"], {"quick": False, "connections": 3, "timeout": 30.0},
     "stopping: 3 connections drain for up to 30s"),
    (["stop"], {"quick": False, "connections": 1, "timeout": 90.0},
     "stopping: 1 connection drains for up to 1m 30s"),
    (["stop"], {"quick": True, "connections": 1, "timeout": 0.0},
     "stopping at once; 1 connection was open"),
    (["verbose"], {"level": "debug", "was": "info"},
     "log level debug (was info) until the next reload"),
    (["scale", "workers", "3"], {"from": 2, "workers": 3}, "workers: 2 -> 3 until the next reload"),
    (["scale", "up", "9"], {"from": 2, "instances": 9},
     "instances of up: 2 -> 9 until the next reload"),
    (["rebalance"], {"moving": 150, "connections": 200, "workers": 4},
     "moving 150 of 200 connections between 4 workers"),
    (["rebalance"], {"moving": 0, "connections": 200, "workers": 4},
     "the workers are even already"),
    (["generations", "end", "7"],
     {"generation": 7, "now": False, "connections": 1, "under_way": 2},
     "generation 7 ends within a second: 1 connection, 2 requests under way"),
    (["generations", "end", "7", "--now"],
     {"generation": 7, "now": True, "connections": 2, "under_way": 1},
     "generation 7 was ended at once: 2 connections cut, 1 request lost"),
])
def test_sentences(fake, words, reply, text):
    assert ask(fake(line({"ok": True, **reply})), *words).out == text + "\n"


# ---- reload ----

CHANGES = {
    "ok": True, "dry_run": False, "generation": 3, "took": 0.0521,
    "hostler": [{"key": "log_level", "from": "info", "to": "debug"}],
    "services": [
        {"name": "a", "change": "unchanged", "keys": []},
        {"name": "b", "change": "limits", "keys": [
            {"key": "queue", "from": "1024", "to": "2048"}]},
        {"name": "c", "change": "replaced", "keys": [
            {"key": "command", "from": "x", "to": "y"}, {"key": "user", "from": None, "to": "me"},
            {"key": "queue", "from": "1", "to": "2"}]},
        {"name": "d", "change": "added", "keys": [{"key": "queue", "from": None, "to": "5"}]},
        {"name": "e", "change": "removed", "keys": []}]}

CHANGES_TEXT = """\
hostler: changed
    log_level: info -> debug
service a: unchanged
service b: changed limits
    queue: 1024 -> 2048
service c: made anew because of command, user
    command: x -> y
    user: (not set) -> me
    queue: 1 -> 2
service d: added
service e: removed
"""


def test_reload_prints_what_changed(fake):
    assert ask(fake(line(CHANGES)), "reload").out == (
        CHANGES_TEXT + "reloaded in 0.052 s: generation 3\n")


def test_dry_run_prints_what_would(fake):
    assert ask(fake(line({**CHANGES, "dry_run": True})), "reload", "--dry-run").out == (
        CHANGES_TEXT + "nothing was changed (dry run, 0.052 s)\n")


def test_reload_tells_every_error(fake):
    errors = ["a.conf:3: [service a] queue: no", "a.conf:9: [service b] \x1b[2J: no"]
    ctl = ask(fake(line({"ok": False, "error": errors[0], "errors": errors})), "reload")
    assert (ctl.code, ctl.out) == (REFUSED, "")
    assert ctl.error == ("hostlerctl: a.conf:3: [service a] queue: no\n"
                         "hostlerctl: a.conf:9: [service b] \\x1b[2J: no\n")


@pytest.mark.parametrize("verb, state, text", [
    ("reload", "building", "waiting until the new workers and programs are ready"),
    ("reload", "waiting", "waiting until the reload before this one has drained"),
    ("reload", None, "waiting for the daemon"),
    ("upgrade", "waiting", "waiting until what is under way is done: a reload, processes that start, "
                           "an old generation that drains"),
    ("upgrade", "rehearsing", "waiting until the other hostlerd serves"),
    ("upgrade", None, "waiting until the other hostlerd serves")])
def test_slow_orders_say_what_they_wait_for(place, fake, verb, state, text):
    """After a second, once; the reply that comes later is printed all the same."""
    asked = []
    reply, last = {
        "reload": (CHANGES, "reloaded in 0.052 s: generation 3\n"),
        "upgrade": ({"ok": True, "version": "2", "before": "1", "binary": "/x", "generation": 3,
                     "took": 0.052}, "upgraded in 0.052 s: generation 3\n")}[verb]

    def speak(connection, request):
        if b"status" in request:
            connection.sendall(line({"ok": True, verb: {"state": state}}))
            asked.append(time.monotonic())
            return
        second, _ = daemon.listener.accept()
        with second:
            speak(second, daemon.read(second))
        connection.sendall(line(reply))

    daemon = fake(speak)
    begun = time.monotonic()
    ctl = ask(daemon, verb)
    assert (ctl.code, ctl.error) == (OK, f"hostlerctl: {text}\n")
    assert ctl.out.endswith(last)
    assert len(asked) == 1 and asked[0] - begun >= 0.9


# ---- the command line ----


@pytest.mark.parametrize("arguments, reason", [
    (["status", "--dry-run"], "status has no option --dry-run\nTry 'hostlerctl help status'."),
    (["reload", "--quick"], "reload has no option --quick"),
    (["scale"], "scale needs more words\nTry 'hostlerctl help scale'."),
    (["scale", "workers"], "scale needs more words"),
    (["scale", "workers", "2", "3"], "unexpected argument '3'"),
    (["scale", "workers", "two"], "scale: the second word must be a whole number"),
    (["scale", "workers", "-1"], "unknown option '-1'"),
    (["scale", "workers", "4294967296"], "scale: the second word must be a whole number"),
    (["scale", "workers", ""], "scale: the second word must be a whole number"),
    (["status", "--now"], "status has no option --now"),
    (["generations", "end"], "generations end: expects the number of a generation"),
    (["generations", "end", "two"], "generations end: expects the number of a generation"),
    (["generations", "end", "2", "3"], "unexpected argument '3'"),
    (["generations", "fly"], "generations: expects nothing, or 'end' and the number"),
    (["generations", "2", "3"], "generations: expects nothing, or 'end' and the number"),
    (["generations", "--now"], "generations: expects nothing, or 'end' and the number"),
    (["verbose", "a", "b"], "unexpected argument 'b'"),
    (["verbose", b"\xff"], "verbose: the level must be"),
    (["help", "fly"], "unknown command 'fly'\nTry 'hostlerctl --help'."),
    (["statsu"], "unknown command 'statsu', did you mean status?"),
    (["status", "--jsno"], "unknown option '--jsno', did you mean --json?"),
    (["status", "--frobnicate"], "unknown option '--frobnicate'\n"),
    (["help", "status", "x"], "unexpected argument 'x'"),
])
def test_usage(fake, place, arguments, reason):
    daemon = fake(line(REPLIES["status"]))
    done = subprocess.run([HOSTLERCTL, *arguments], capture_output=True, timeout=30,
                          env=environment(place, HOSTLER_CONTROL=str(daemon.path)))
    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert done.stderr.decode().startswith(f"hostlerctl: {reason}")
    assert daemon.requests == []


def test_nobody_is_found(place):
    """Whoever has set `control` learns what to say."""
    if (SOURCE / "/run/hostler/control.sock").exists():
        pytest.skip("the system's daemon answers")
    ctl = Ctl("status", env=environment(place))
    assert ctl.code == UNREACHABLE
    assert "'control'" in ctl.error and "--socket" in ctl.error


def test_examples_of_the_help(fake):
    """What jq is told to do with a reply works on the documented one."""
    if not shutil.which("jq"):
        pytest.skip("needs jq")
    ran = 0
    for words, (_, reply) in VERBS.items():
        text = Ctl(words[0], "--help").out.replace("\\\n", "")
        for pipe in re.findall(rf"^  hostlerctl {' '.join(words)} --json \| (jq .*?'.*?')", text,
                               re.M | re.S):
            done = subprocess.run(["sh", "-c", pipe], input=line(REPLIES[reply]), timeout=30,
                                  capture_output=True)
            assert (done.returncode, done.stderr) == (0, b""), pipe
            assert done.stdout or "select(" in pipe
            ran += 1
    assert ran >= 6


# ---- completion ----


def complete(words, path=None):
    """What bash would offer for the last of the words."""
    script = f"""
source {SOURCE}/etc/hostlerctl.bash
compopt() {{ :; }}
COMP_WORDS=({' '.join(words)} {'' if words[-1:] != [''] else "''"})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_hostlerctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    env = {"PATH": f"{HOSTLERCTL.parent}:/usr/bin:/bin"}
    if path:
        env["HOSTLER_CONTROL"] = str(path)
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True,
                          timeout=30, env=env)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_completion(fake):
    verbs = re.findall(r"^  ([a-z]+)  ", Ctl("--help").out, re.M)
    assert set(verb for verb, *_ in VERBS) <= set(verbs)
    assert complete(["hostlerctl", ""]) == [*verbs, "help"]
    assert complete(["hostlerctl", "con"]) == ["connections", "config"]
    assert complete(["hostlerctl", "help", "re"]) == ["reload", "reopen", "rebalance"]
    assert complete(["hostlerctl", "--json", "ver"]) == ["verbose", "version"]
    assert complete(["hostlerctl", "status", ""]) == []
    assert complete(["hostlerctl", "reload", "--d"]) == ["--dry-run"]
    assert "--quick" in complete(["hostlerctl", "stop", "--"])
    assert "--quick" not in complete(["hostlerctl", "status", "--"])
    assert complete(["hostlerctl", "verbose", ""]) == ["error", "warn", "info", "debug"]
    reply = copy.deepcopy(REPLIES["services"])
    reply["services"].append({**reply["services"][0], "name": "lower"})
    daemon = fake(line(reply))
    assert complete(["hostlerctl", "scale", ""], daemon.path) == ["workers", "upper", "lower"]
    assert complete(["hostlerctl", "--socket", str(daemon.path), "scale", "u"]) == ["upper"]
    assert complete(["hostlerctl", "generations", ""]) == ["end"]
    assert complete(["hostlerctl", "generations", "end", "--"])[-1] == "--now"
    old = fake(line(REPLIES["generations"]), daemon.path.with_name("old.sock"))
    assert complete(["hostlerctl", "generations", "end", ""], old.path) == ["2"]


# ---- the real daemon ----


def test_real_verbs(start):
    """Each verb against the real daemon; last the one that ends it."""
    import harness
    daemon = start({"upper": harness.pool("sed -u s/x/y/", instances=1)})
    client = daemon.connect("upper")
    assert client.ask(b"x") == b"y"

    def run(*words):
        ctl = Ctl(*words, "--socket", daemon.control_path)
        assert (ctl.code, ctl.error) == (OK, ""), ctl
        return ctl.out

    for words in VERBS:
        if words[0] not in ("stop", "scale") and "end" not in words:
            assert run(*words)
    assert f"127.0.0.1:{client.socket.getsockname()[1]}" in run("connections")
    assert "line 4" in run("config") or "line 5" in run("config")
    assert run("scale", "workers", "3") == "workers: 2 -> 3 until the next reload\n"
    daemon.wait_status(lambda status: len(status["workers"]) == 3, "the third worker")
    assert "service upper: unchanged\n" in run("reload")
    daemon.wait_status(lambda status: len(status["workers"]) == 2, "two workers again")
    daemon.check_violations()
    assert "connection drains for up to" in run("stop")
    assert daemon.wait_exit() == 0


def test_real_reload_is_refused(start):
    import harness
    daemon = start({"upper": harness.pool("sed -u s/x/y/", instances=1)})
    path = daemon.status()["file"]
    with open(path, "a") as file:
        file.write("queue = 5x\nfoo = 1\n")
    for words in (["reload"], ["reload", "--dry-run"]):
        ctl = Ctl(*words, "--socket", daemon.control_path)
        assert ctl.code == REFUSED and ctl.out == ""
        first, second = ctl.error.splitlines()
        assert re.fullmatch(rf"hostlerctl: {re.escape(path)}:\d+: \[service upper\] queue: .*", first)
        assert re.fullmatch(rf"hostlerctl: {re.escape(path)}:\d+: \[service upper\] foo: .*", second)
    assert daemon.connect("upper").ask(b"x") == b"y"
