"""The small servers that docs/readiness.md is about still echo, and its driver still draws."""

import contextlib
import pathlib
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree

import harness
import pytest

BENCH = pathlib.Path(__file__).parent.parent / "bench"
PROGRAMS = harness.BUILD / "tests/bench"
MANY = ["busy", "threads", "processes", "select", "poll", "epoll"]
CLIENTS = 10

sys.path.insert(0, str(BENCH))
import idle  # noqa: E402
import svg  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def programs():
    harness.bench_programs()


@contextlib.contextmanager
def serving(model, *options):
    """Address of such a server, which must end with its stdin and leave no process behind."""
    with subprocess.Popen([PROGRAMS / f"echo_{model}", *options], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as server:  # fmt: skip
        try:
            words, address = server.stdout.readline().rsplit(" ", 1)
            assert words == "listening on"
            yield harness.parse_address(address.strip())
            children = harness.descendants(server.pid)
            server.stdin.close()
            assert server.wait(5 * harness.SCALE) == -signal.SIGTERM
            harness.wait_for(lambda: not any(harness.exists(child.pid) for child in children),
                             f"{model} leaves nothing behind")  # fmt: skip
        finally:
            server.kill()


def ask_in_pieces(client, number):
    client.send(b"one %d\ntwo " % number)
    assert client.line() == b"one %d" % number
    client.send(b"%d\n" % number)
    assert client.line() == b"two %d" % number


@pytest.mark.parametrize("model", MANY)
def test_many_clients_at_once(model):
    with serving(model) as address, contextlib.ExitStack() as stack:
        clients = [harness.Client(address) for _ in range(CLIENTS)]
        for client in clients:
            stack.callback(client.close)
        for number, client in enumerate(clients):
            client.send(b"one %d\ntwo " % number)
        for number, client in enumerate(clients):
            assert client.line() == b"one %d" % number
            client.send(b"%d\n" % number)
        for number, client in enumerate(clients):
            assert client.line() == b"two %d" % number
        # One that leaves disturbs none of the others.
        clients.pop(3).close()
        for number, client in enumerate(clients):
            client.send(b"three %d\n" % number)
            assert client.line() == b"three %d" % number


def test_one_client_at_a_time():
    with serving("blocking") as address:
        first, second = harness.Client(address), harness.Client(address)
        ask_in_pieces(first, 1)
        second.send(b"me too\n")
        assert second.is_silent(0.1)
        first.close()
        assert second.line() == b"me too"
        ask_in_pieces(second, 2)
        second.close()


def hold(address, count, protocol="line"):
    """Asks over so many connections: how many were answered, how many turned away."""
    done = subprocess.run(
        [PROGRAMS / "hold", "--protocol", protocol, "--connections", str(count), "%s:%d" % address],
        input="ask\nask 2 3\n", capture_output=True, text=True, timeout=30 * harness.SCALE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    held, all_of_them, two, lost = done.stdout.splitlines()
    assert re.match(rf"holding \d+ of {count} connections after ", held), held
    assert two.startswith("answered 6 of 6, the last after ")
    return int(all_of_them.split()[1]), int(lost.split()[1])


def test_select_ends_where_its_sets_end():
    """Beyond 1024 descriptors a client is turned away; four are those of the server itself."""
    with serving("select") as address:
        assert hold(address, 1030) == (1020, 10)
        with contextlib.closing(harness.Client(address)) as client:
            ask_in_pieces(client, 1)
    with serving("select", "--bigger", "1") as address:
        assert hold(address, 1030) == (1030, 0)


@pytest.mark.parametrize("protocol", ["http", "websocket"])
def test_other_protocols_are_held_too(start, protocol):
    if idle.refuses(protocol):
        pytest.skip(f"this hostlerd does not know protocol {protocol}")
    daemon = start({"here": harness.echo(protocol=protocol)})
    assert hold(daemon.address("here"), 20, protocol) == (20, 0)


def test_who_does_not_speak_websocket_is_not_held():
    with serving("epoll") as address:
        words = [PROGRAMS / "hold", "--protocol", "websocket", "--connections", "5", "%s:%d" % address]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert done.stdout.startswith("holding 0 of 5 connections after "), done.stdout


SERIES = [
    {"name": "a < b & c", "colour": "#ff0000", "points": [(10, 0.002), (1000, 5.0)]},
    {"name": "d", "colour": "#00ff00", "points": [(10, 3.0)], "shape": 2, "dashed": True},
    {"name": "nothing", "colour": "#0000ff", "points": []},
]
ROWS = [{"name": "e & f", "colour": "#ff0000", "one": 3.0},
        {"name": "g", "colour": "#ff0000", "one": None, "note": "<none>"}]  # fmt: skip


@pytest.mark.parametrize("picture, words", [
    (svg.lines("A & B", "<C>", "x", SERIES), {"A & B", "<C>", "x", "a < b & c", "d", "1,000"}),
    (svg.bars(("A & B", "<C>"), [("p", "one", str)], ROWS), {"e & f", "g", "<none>", "3.0"}),
], ids=["lines", "bars"])  # fmt: skip
def test_pictures_are_well_formed(picture, words):
    root = xml.etree.ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert words <= {"".join(element.itertext()) for element in root}
    width, height = (float(root.get(side)) for side in ("width", "height"))
    for element in root.iter():
        for key, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            assert 0 <= float(element.get(key, 0)) <= most, element.attrib


def test_the_driver_measures_and_draws(tmp_path):
    done = subprocess.run(
        [sys.executable, BENCH / "readiness.py", "--rounds", "1", "--seconds", "0.1", "--requests",
         "50", "--models", "epoll,hostlerd", "--part", "echo,new", "--connections", "10,20",
         "--json", tmp_path / "found", "--plots", tmp_path],
        capture_output=True, text=True, timeout=60 * harness.SCALE,
        env={"HOSTLER_BUILD": str(harness.BUILD), "PATH": "/usr/sbin:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Four tables with a row for each model; only memory cannot be told of so few connections.
    for model in ("epoll", "hostlerd"):
        rows = [line for line in done.stdout.splitlines() if line.startswith(f"| {model} |")]
        assert len(rows) == 4, done.stdout
        assert [row.count("–") for row in rows] == [1, 0, 0, 0], done.stdout
    pictures = sorted(tmp_path.glob("*.svg"))
    assert len(pictures) == 4, pictures
    for picture in pictures:
        xml.etree.ElementTree.parse(picture)
