"""Regressions of defects that attacks on reloads brought to light, and attacks that must fail."""

import json
import signal

import pytest

import harness
from harness import echo, pool, program

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
