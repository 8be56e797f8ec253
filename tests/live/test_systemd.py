"""The unit under a real systemd, in a box of its own (systemd-box): start, status, reload, a bad
reload, a master that hangs, stop, the journal, and what programs may do there."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

import harness
from box import Box, CannotBoot
from harness import Client, Control, wait_for

# One process boots the box and runs all of them.
pytestmark = [pytest.mark.bound(60), pytest.mark.xdist_group("systemd")]

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
SOCKET = "/run/hostler/upper.sock"
PYTHON = "/usr/bin/python3 -IS"

# systemd waits for these in the test; in the unit they are longer.
IMPATIENT = """[Service]
WatchdogSec=2s
RestartSec=100ms
# 1 is the one value with which no core is given to a handler outside of the box either.
LimitCORE=1
"""


@pytest.fixture(scope="module")
def machine():
    try:
        box = Box()
    except CannotBoot as reason:
        pytest.skip(str(reason))
    yield box
    box.end()


@pytest.fixture
def box(machine, request):
    """The box with the unit as it was installed, not started; its journal is shown with a failure."""
    machine.clean()
    request.node.daemons = [Journal(machine)]
    yield machine
    machine.clean()
    assert not machine.members()


class Journal:
    """For conftest.py, which shows the logs of daemons."""

    command = ["the journal"]

    def __init__(self, box):
        self.log = box.log


def configure(box, text="", program="upper.py", **keys):
    hostler = {"workers": 2, **keys}
    lines = ["[hostler]"] + [f"{key} = {value}" for key, value in hostler.items()]
    lines += ["[service upper]", f"listen = unix:{SOCKET}", "protocol = line", "handler = program",
              f"command = {PYTHON} /srv/{program}", "instances = 2", "stop_timeout = 1s", text]
    path = box.path(f"{box.folders['sysconfdir']}/hostler/hostler.conf")
    path.write_text("\n".join(lines) + "\n")
    return len(lines)


def start(box, *arguments, **keys):
    configure(box, *arguments, **keys)
    box.do("systemctl", "start", "hostler")


def connect(box, socket=SOCKET):
    return Client(str(box.path(socket)))


def status(box):
    control = Control(box.path("/run/hostler/control.sock"))
    try:
        return control.request("status")
    finally:
        control.close()


# ---- the unit itself ----


def has_analyze():
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")


def test_the_unit_is_clean(tmp_path):
    """With the programs of the build, which need not be installed."""
    has_analyze()
    unit = tmp_path / "hostler.service"
    text = (harness.BUILD / "etc/hostler.service").read_text()
    for program in ("sbin/hostlerd", "bin/hostlerctl"):
        text, count = re.subn(rf"=/\S+/{program}", f"={harness.BUILD / program.split('/')[1]}", text)
        assert count == 1
    unit.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                          text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_its_figure_is_the_one_that_it_says():
    has_analyze()
    if " 252 " not in subprocess.run(["systemd-analyze", "--version"], capture_output=True,
                                     text=True).stdout:
        pytest.skip("other versions of systemd count differently")
    unit = harness.BUILD / "etc/hostler.service"
    said = re.search(r"systemd-analyze security` says ([\d.]+)", unit.read_text()).group(1)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
                          capture_output=True, text=True, timeout=30)
    assert f"Overall exposure level for hostler.service: {said} " in done.stdout


def test_the_installed_unit_is_clean(box):
    manuals = "yes" if shutil.which("man") else "no"
    found = box.do("systemctl", "show", "-p", "FragmentPath", "--value", "hostler").strip()
    assert box.run("systemd-analyze", "verify", f"--man={manuals}", found).stdout == ""
    assert box.show("LoadState") == "loaded"


def test_enable(box):
    box.do("systemctl", "enable", "hostler")
    wants = box.path("/etc/systemd/system/multi-user.target.wants/hostler.service")
    assert wants.is_symlink()
    box.do("systemctl", "disable", "hostler")
    assert not wants.is_symlink()


# ---- start and status ----


def test_it_is_active_once_it_is_ready(box):
    """What precedes READY takes as long as the test likes: exec alone makes nothing active."""
    configure(box)
    hostlerd = f"{box.folders['sbindir']}/hostlerd -f {box.folders['sysconfdir']}/hostler/hostler.conf"
    box.drop_in("[Service]\nExecStart=\n"
                f"ExecStart=/bin/sh -c 'mkfifo /run/hostler/gate; read x </run/hostler/gate; "
                f"exec {hostlerd}'\n")
    box.do("systemctl", "start", "--no-block", "hostler")
    gate = box.path("/run/hostler/gate")
    wait_for(gate.exists, "the start")
    assert box.show("ActiveState") == "activating"
    assert box.run("systemctl", "is-active", "--quiet", "hostler").returncode != 0
    gate.write_text("go\n")
    wait_for(lambda: box.show("ActiveState") != "activating", "the end of the start", 10)
    now = status(box)  # without waiting
    assert box.show("ActiveState") == "active"
    assert now["state"] == "running" and all(w["state"] == "ready" for w in now["workers"])


def test_start_status_stop(box):
    start(box)
    assert box.show("ActiveState", "SubState", "NotifyAccess", "NRestarts") == {
        "ActiveState": "active", "SubState": "running", "NotifyAccess": "main", "NRestarts": "0"}
    assert status(box)["pid"] == int(box.show("MainPID"))
    shown = box.do("systemctl", "status", "hostler")
    assert 'Status: "2 workers, 1 service, 0 connections"' in shown
    client = connect(box)
    assert client.ask(b"hello") == b"HELLO"
    wait_for(lambda: box.show("StatusText") == "2 workers, 1 service, 1 connection",
             "the status text", 10)
    client.close()
    members = box.members()
    assert len(members) == 1 + 1 + 2 + 2  # master, guardian, workers, instances
    box.do("systemctl", "stop", "hostler")
    assert box.show("ActiveState", "Result", "ExecMainStatus") == {
        "ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert not any(harness.exists(pid) for pid in members)
    assert not box.path("/run/hostler").exists()


def test_the_journal(box):
    """Each line with its own priority, and none with the prefix that tells it."""
    start(box, "limit_nofile = 64")
    assert connect(box).ask(b"hello") == b"HELLO"
    box.do("systemctl", "stop", "hostler")
    box.wait_said("^master: stopped$")
    ours = box.journal(_COMM="hostlerd")
    assert all(not re.match(r"<\d>|\d{4}-", e["MESSAGE"]) for e in ours)
    born = [e for e in ours if re.search(r"\(pid \d+\) started$", e["MESSAGE"])]
    assert len(born) == 5 and all(e["PRIORITY"] == "6" for e in born)
    assert box.said("^master: ready: 2 workers, 1 service", PRIORITY="6")
    assert box.said("started as root without .hostler. user", PRIORITY="4")
    assert not box.journal(PRIORITY="3")


def test_a_configuration_with_mistakes_does_not_start(box):
    lines = configure(box, "queu = 5")
    assert box.run("systemctl", "start", "hostler").returncode != 0
    assert box.show("Result") in ("exit-code", "start-limit-hit")
    mistake = rf"^/.*hostler\.conf:{lines}: \[service upper\] queu: unknown key"
    assert box.wait_said(mistake, PRIORITY="3")
    assert not box.said("<3>")


def test_an_error_of_a_start_is_told_the_journal_too(box):
    """The log is a file; what keeps it from starting is in both."""
    configure(box, "[service e]\nlisten = unix:/nowhere/e.sock\nprotocol = line\nhandler = echo",
              log="/var/log/hostler/hostlerd.log")
    assert box.run("systemctl", "start", "hostler").returncode != 0
    assert box.wait_said(r"^master: .*cannot listen on unix:/nowhere/e\.sock", PRIORITY="3")
    assert " error master: " in box.path("/var/log/hostler/hostlerd.log").read_text()


# ---- reload ----


def reload(box):
    return box.run("systemctl", "reload", "hostler")


def test_reload(box):
    start(box)
    before = box.show("MainPID"), [i["pid"] for i in status(box)["services"][0]["instances"]]
    client = connect(box)
    assert client.ask(b"one") == b"ONE"
    configure(box, "queue = 7\n[service second]\nlisten = unix:/run/hostler/second.sock\n"
              "protocol = line\nhandler = echo")
    done = reload(box)
    assert done.returncode == 0, done.stdout
    assert box.show("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    assert connect(box, "/run/hostler/second.sock").ask(b"two") == b"two"
    assert connect(box).ask(b"three") == b"THREE"
    now = status(box)
    service = next(s for s in now["services"] if s["name"] == "upper")
    assert service["queue"] == 7
    assert (box.show("MainPID"), [i["pid"] for i in service["instances"]]) == before
    assert re.fullmatch(r"\d workers, 2 services, \d connections?", box.show("StatusText"))


def test_a_bad_reload(box):
    start(box)
    client = connect(box)
    assert client.ask(b"one") == b"ONE"
    members = box.members()
    lines = configure(box, "queu = 5")
    assert reload(box).returncode != 0
    mistake = rf"hostler\.conf:{lines}: \[service upper\] queu: unknown key"
    assert box.wait_said(mistake, _COMM="hostlerd", PRIORITY="3")
    assert re.search(f"reload failed: .*{mistake}", box.show("StatusText"))
    assert box.show("ActiveState", "SubState", "NRestarts") == {
        "ActiveState": "active", "SubState": "running", "NRestarts": "0"}
    assert client.ask(b"two") == b"TWO"
    assert box.members() == members
    # The next one, which is good again, takes the complaint back.
    configure(box)
    assert reload(box).returncode == 0
    assert "failed" not in box.show("StatusText")


def test_a_reload_that_reaches_nobody(box):
    """The daemon says nothing about it, so hostlerctl's own line is what there is."""
    box.drop_in("[Service]\nEnvironment=HOSTLER_CONTROL=/run/hostler/other.sock\n")
    start(box)
    assert reload(box).returncode != 0
    assert box.wait_said("^hostlerctl: .*/run/hostler/other.sock", PRIORITY="3",
                         SYSLOG_IDENTIFIER="hostlerctl")
    assert box.show("ActiveState") == "active"


# ---- logs ----


def test_the_sample_for_logrotate(box):
    """Its script, with nothing but what the unit and the configuration of the manual give it."""
    sample = box.path(f"{box.folders['sysconfdir']}/hostler/hostler.logrotate").read_text()
    script = re.search(r"^\tpostrotate\n(.*?)^\tendscript$", sample, re.M | re.S).group(1)
    log, renamed = "/var/log/hostler/upper.log", "/var/log/hostler/upper.log.1"
    path = {"PATH": f"{box.folders['bindir']}:/usr/bin:/bin"}
    start(box, f"access_log = {log}")
    box.do("mv", log, renamed)
    box.do("sh", "-c", script, env=path)
    assert connect(box).ask(b"one") == b"ONE"
    wait_for(lambda: "upper unix reply" in box.path(log).read_text(), "a line in the new file")
    assert box.path(renamed).read_text() == ""
    box.do("systemctl", "stop", "hostler")
    box.do("sh", "-c", script, env=path)


# ---- the watchdog ----


def test_a_master_that_hangs_is_replaced(box):
    box.drop_in(IMPATIENT)
    start(box)
    inside, outside = box.main_pid()
    assert connect(box).ask(b"one") == b"ONE"
    members = box.members()
    os.kill(outside, signal.SIGSTOP)
    wait_for(lambda: box.show("NRestarts") == "1" and box.show("ActiveState") == "active",
             "a new master", 20)
    assert int(box.show("MainPID")) not in (0, inside)
    assert not any(harness.exists(pid) for pid in members)
    assert box.said("Watchdog timeout")
    assert connect(box).ask(b"two") == b"TWO"
    assert len(box.members()) == len(members)


@pytest.mark.slow  # longer than two watchdogs
def test_a_master_that_is_busy_is_not(box):
    """Programs that die all the time, control requests without end."""
    box.drop_in(IMPATIENT)
    start(box, "start_rate = 1000\n[service bad]\nlisten = unix:/run/hostler/bad.sock\n"
          "protocol = line\nhandler = program\ncommand = /bin/sh -c 'read x; exit 1'\n"
          "instances = 8\nstart_rate = 1000\n")
    victims = [connect(box, "/run/hostler/bad.sock") for _ in range(8)]
    deaths = 0
    entered = int(box.show("ActiveEnterTimestampMonotonic"))
    while True:
        for victim in victims:
            victim.send(b"die\n")
        deaths += sum(victim.line().startswith(b"ERR") for victim in victims)
        # One for each request: it would be closed while the back-off lets the victims wait.
        control = Control(box.path("/run/hostler/control.sock"))
        uptime = control.request("status")["uptime"]
        control.close()
        if uptime > 5 * harness.SCALE:
            break
    assert deaths > 10
    assert box.show("NRestarts", "ActiveEnterTimestampMonotonic") == {
        "NRestarts": "0", "ActiveEnterTimestampMonotonic": str(entered)}


def test_a_master_that_is_killed_is_replaced(box):
    box.drop_in(IMPATIENT)
    start(box)
    members = box.members()
    os.kill(box.main_pid()[1], signal.SIGKILL)
    wait_for(lambda: box.show("NRestarts") == "1" and box.show("ActiveState") == "active",
             "a new master", 10)
    assert not any(harness.exists(pid) for pid in members)
    assert connect(box).ask(b"two") == b"TWO"


# ---- stop ----


def test_a_stop_lets_requests_finish(box):
    """Longer than systemd would wait by itself: hostlerd asks for the time that it was given."""
    box.drop_in("[Service]\nTimeoutStopSec=1s\n")
    start(box, program="slow.py 3", shutdown_timeout="20s")
    client = connect(box)
    client.send(b"hello\n")
    wait_for(lambda: any(i["state"] == "busy" for i in status(box)["services"][0]["instances"]),
             "a request under way")
    box.do("systemctl", "stop", "--no-block", "hostler")
    wait_for(lambda: box.show("StatusText") == "stopping: draining", "the status text")
    assert client.line() == b"hello"
    client.close()
    wait_for(lambda: box.show("ActiveState") == "inactive", "the end", 10)
    assert box.show("Result") == "success"
    assert not box.said("timed out|SIGKILL")


def test_a_program_that_is_killed_stops_nobody(box):
    start(box)
    assert box.show("OOMPolicy") == "continue"
    victim = status(box)["services"][0]["instances"][0]["pid"]
    box.do("kill", "-9", victim)
    box.wait_said(rf"instance 0 \(pid {victim}\) ended: killed by signal 9")
    assert box.show("ActiveState") == "active"
    assert connect(box).ask(b"one") == b"ONE"


# ---- what programs may do ----

HONEST = ["compile_at_run_time", "sandbox", "keep_data", "speak_netlink"]


def test_honest_programs_are_not_hindered(box):
    start(box, program="free.py")
    client = connect(box)
    found = {deed: client.ask(deed.encode()) for deed in [*HONEST, "change_user"]}
    assert found == {deed: b"done" for deed in found}


def test_programs_do_not_change_the_system(box):
    start(box, program="free.py")
    client = connect(box)
    for deed, error in (("change_the_system", b"Read-only file system"),
                        ("set_the_clock", b"Operation not permitted")):
        assert error in client.ask(deed.encode())


def test_limits_of_descriptors(box):
    """Programs get the soft limit of old; hostlerd itself goes up to the hard one."""
    start(box)
    inside = status(box)["services"][0]["instances"][0]["pid"]
    limits = {pid: box.path(f"/proc/{pid}/limits").read_text() for pid in
              (inside, int(box.show("MainPID")))}
    found = [re.search(r"Max open files\s+(\d+)\s+(\d+)", text).groups() for text in limits.values()]
    hard = found[0][1]  # less than the unit asks for where the box itself has less
    assert int(hard) > 1024 and found == [("1024", hard), (hard, hard)]


@pytest.mark.skipif(harness.SANITIZED, reason="a sanitizer needs what it forbids")
def test_the_strict_drop_in_of_the_manual(box):
    page = (SOURCE / "docs/operate.md").read_text()
    strict = re.search(r"^```ini strict.conf\n(.*?)^```$", page, re.MULTILINE | re.DOTALL).group(1)
    said = re.search(r"^That gives ([\d.]+);", page, re.MULTILINE).group(1)
    box.drop_in(strict)
    start(box, program="free.py", user="nobody")
    client = connect(box)
    for deed in HONEST:
        assert client.ask(deed.encode()) != b"done", deed
    unit = box.do("systemctl", "cat", "hostler")
    if " 252 " in box.do("systemctl", "--version"):
        whole = box.path("/srv/hostler.service")
        whole.write_text(unit)
        done = box.do("systemd-analyze", "security", "--offline=true", "/srv/hostler.service")
        assert f"Overall exposure level for hostler.service: {said} " in done
    box.do("systemctl", "stop", "hostler")
    assert box.show("Result") == "success"
