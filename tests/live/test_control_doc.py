"""docs/control.md: every example is asked of a real daemon, and every command has one."""

import json
import pathlib
import re

import pytest

import control_page
import harness
from control_page import REPLIES, REQUESTS, shape

DAEMON = control_page.SOURCE / "daemon"


def test_every_request_has_its_reply():
    assert REQUESTS.keys() == REPLIES.keys()
    fenced = re.findall(r"^```json\b.*$", control_page.TEXT, re.M)
    assert len(fenced) == 2 * len(REQUESTS), "nothing in JSON that no test runs"


def test_every_command_is_documented():
    """Each row of the tables in daemon/ has an example that is not refused."""
    rows = set()
    for path in DAEMON.glob("*.c"):
        for table in re.findall(r"^const struct control_command \w+\[\] = \{(.*?)^\};",
                                path.read_text(), re.M | re.S):
            rows |= set(re.findall(r"\{\"(\w+)\"", table))
    assert rows >= {"status", "trace", "stop"}
    assert rows == {REQUESTS[words]["command"] for words in REQUESTS if REPLIES[words]["ok"]}


FILE = "/etc/hostler/hostler.conf"  # of the examples


def change_the_file(daemon, words):
    """What the examples of `reload` tell of."""
    path = pathlib.Path(daemon.status()["file"])
    lines = path.read_text().splitlines()
    if words == "reload refused":
        lines += [""] * (19 - len(lines)) + ["queue = 5x"]
    elif words.startswith("reload"):
        lines += ["queue = 2048"]
    path.write_text("\n".join(lines) + "\n")
    return path


def leave_a_generation(daemon):
    """The first one has a request under way for longer than the test takes."""
    client = daemon.connect("upper").send(b"30000 x\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    daemon.configure({"upper": {"pipeline": 3}})
    assert daemon.reload()["ok"]
    return client


@pytest.mark.parametrize("words", REQUESTS)
def test_example(start, words):
    """Exactly the keys of the real reply, at every level; a refusal to the letter."""
    daemon = start({"upper": harness.pool(harness.program("nap.py"), instances=1)})
    client = daemon.connect("upper")
    assert client.ask(b"0 x") == b"0 X"
    if words in ("generations", "end_generation"):
        client = leave_a_generation(daemon)
    path = change_the_file(daemon, words)
    reply = daemon.request(**REQUESTS[words])
    documented = REPLIES[words]
    assert reply["ok"] is documented["ok"], reply
    assert shape(reply) == shape(documented)
    if words == "stop":
        assert daemon.wait_exit() == 0
    if not reply["ok"]:
        assert json.loads(json.dumps(reply).replace(str(path), FILE)) == documented
