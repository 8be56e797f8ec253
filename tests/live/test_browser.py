"""Chromium, with a page that comes from a program behind hostlerd and tries what pages do."""

import json
import os

import pytest

import clients
from clients import url
from harness import echo, pool, program

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-extensions", "--mute-audio", "--no-proxy-server"]  # fmt: skip


def page(**keys):
    return pool(program("browser.py"), protocol="http", message="json", max_message="2M",
                instances=2, **keys)


def visit(daemon, folder, target):
    """What the page at that target of service "page" says came of it."""
    env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    with clients.running(
            "chromium", *FLAGS, f"--user-data-dir={folder}/profile", "--remote-debugging-port=0",
            url(daemon.address("page"), target), log=folder / "chromium.log", env=env):
        line, = daemon.wait_log(r"outcome \{", timeout=40)
    return json.loads(line[line.index("outcome ") + len("outcome "):])


@pytest.mark.slow
@pytest.mark.bound(90)
def test_a_page(start, folder):
    """fetch in all its manners, a page that leaves, and what pages of other origins may read."""
    clients.tool("chromium")
    daemon = start({"page": page(), "other": page(cors_origins="*"), "closed": page()})
    other, closed = (url(daemon.address(name), "") for name in ("other", "closed"))
    outcome = visit(daemon, folder, f"/?other={other}&closed={closed}")
    assert outcome == {"fetches": 60, "bodies": 700000, "leaves": 3, "elsewhere": 2}
    counters = daemon.counters("page")
    assert counters["failed"] == counters["busy"] == 0 and counters["too_large"] == 1


@pytest.mark.slow
@pytest.mark.bound(90)
@pytest.mark.parametrize("deflate", ["no", "yes"])
def test_a_web_socket(start, folder, deflate):
    """On the address of the page, by another path; texts and bytes of all lengths, and its end."""
    clients.tool("chromium")
    daemon = start({"page": page(), "socket": echo(
        protocol="websocket", path="/socket", max_message="1M", subprotocols="b a", deflate=deflate)})
    target = url(daemon.address("page"), "/socket", "ws")
    outcome = visit(daemon, folder, f"/?socket={target}&protocol=c&protocol=a")
    assert outcome.get("socket") == {
        "said": [0, 1, 5, 60000, 0, 1, 125, 126, 65535, 65536], "code": 4000, "clean": True,
        "protocol": "a"}, outcome
    assert daemon.counters("socket")["replies"] == 10
