"""hostler-load run: where messages come from, and who says what is expected back."""

import subprocess

import pytest

from load_peer import LOAD, PATIENCE, Peer, assert_balanced, echo, replying, run, upper

LINES = b"hello\n\nan \xff byte\nwith a CR\r\nthe last has no LF"
TEXTS = [b"hello", b"", b"an \xff byte", b"with a CR", b"the last has no LF"]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(LINES)
    return path


@pytest.mark.parametrize("protocol", ["line", "frame"])
def test_lines_of_a_file(lines, protocol):
    with Peer(echo, protocol) as peer:
        result = run("--lines", lines, "--count", 12, "--protocol", protocol, peer.address)
        assert peer.received == (TEXTS * 3)[:12]
    assert result.counts() == {"right": 12}
    assert result.all["settings"]["texts"] == 5
    assert result.all["settings"]["lines"] == str(lines)


def test_lines_are_spread_over_connections(lines):
    with Peer(echo) as peer:
        result = run("--lines", lines, "--connections", 5, "--hold", "--count", 5, peer.address)
        assert sorted(peer.received) == sorted(TEXTS)
    assert result.counts() == {"right": 5}


def test_lines_of_standard_input():
    with Peer(upper) as peer:
        result = run("--lines", "-", "--expect", "upper", "--count", 4, peer.address,
                     input="one\ntwo\n")
        assert peer.received == [b"one", b"two"] * 2
    assert result.counts() == {"right": 4}


def test_lines_wrong_and_with_ids(lines):
    with Peer(replying(lambda number, text: [b"x" if number == 3 else text])) as peer:
        result = run("--lines", lines, "--count", 10, peer.address, status=1)
    assert result.counts() == {"right": 9, "wrong": 1}
    ids = replying(lambda number, text: [text[:4] + b"\0" + text[4:]])
    with Peer(ids, "frame") as peer:
        result = run("--lines", lines, "--count", 20, "--depth", 4, "--protocol", "frame", "--ids",
                     peer.address)
    assert result.counts() == {"right": 20}


@pytest.mark.parametrize("text, why", [
    (b"", "0 lines"), (b"\n" * ((1 << 20) + 1), "lines, expected 1 to 1048576"),
    (b"x" * ((16 << 20) + 1), "at most 16777216 can be sent"), (None, "No such file")],
    ids=["empty", "many", "long", "none"])
def test_lines_that_cannot_be(tmp_path, text, why):
    path = tmp_path / "lines"
    if text is not None:
        path.write_bytes(text)
    process = subprocess.run(
        [LOAD, "run", "--lines", path, "80"], capture_output=True, text=True, timeout=PATIENCE)
    assert process.returncode == 2
    assert why in process.stderr


def test_command_for_lines_and_for_messages(lines):
    """A command that replaces each letter by the next one, and a server that does the same."""
    letters = bytes(range(ord("a"), ord("z") + 1))
    table = bytes.maketrans(letters, letters[1:] + b"a")
    command = "tr a-z b-za"
    with Peer(replying(lambda number, text: [text.translate(table)])) as peer:
        result = run("--lines", lines, "--count", 12, "--expect", command, peer.address)
        assert result.counts() == {"right": 12}
        assert result.all["settings"]["expect_command"] == command
        assert result.all["expecting"] > 0
        result = run("--count", 5000, "--depth", 4, "--size", "40..90", "--expect", command,
                     "--connections", 3, peer.address)
    assert result.counts() == {"right": 5000}
    assert len(set(peer.received)) > 4000
    assert_balanced(result)


def test_command_that_knows_better():
    with Peer(echo) as peer:
        result = run("--count", 10, "--expect", "tr a-m A-M", peer.address, status=1)
        assert result.counts() == {"wrong": 10}
        # A command that is called like one of the words.
        result = run("--count", 10, "--expect-command", "sed ''", peer.address)
    assert result.counts() == {"right": 10}


@pytest.mark.parametrize("command, why", [
    ("false", "status 1"), ("/nowhere/at/all", "No such file"), ("head -3", "printed 3 lines"),
    ("'", "quot"), ("", "no command"), ("sh -c 'kill $$'", "signal 15")])
def test_command_that_fails(command, why):
    with Peer(echo) as peer:
        process = subprocess.run(
            [LOAD, "run", "--expect", command, peer.address], capture_output=True, text=True,
            timeout=PATIENCE)
        assert peer.accepted == 0  # it never began
    assert process.returncode == 2
    assert why in process.stderr


def test_any():
    replies = [b"one", b"", b"ERR busy", b"x" * 5000]
    with Peer(replying(lambda number, text: [replies[number]])) as peer:
        result = run("--expect", "any", "--count", 4, peer.address)
    assert result.counts() == {"right": 3, "error": 1}
    ids = [b"\0", b"\0something", b"\1"]
    with Peer(replying(lambda number, text: [text[:4] + ids[number]]), "frame") as peer:
        result = run("--expect", "any", "--count", 3, "--protocol", "frame", "--ids", peer.address)
    assert result.counts() == {"right": 2, "error": 1}
    with Peer(echo, "http") as peer:
        result = run("--expect", "any", "--count", 3, "--protocol", "http", peer.address)
        assert len(set(peer.received)) == 3
    assert result.counts() == {"right": 3}


def test_sizes():
    with Peer(echo) as peer:
        result = run("--size", "32..100", "--count", 2000, "--connections", 3, "--depth", 5,
                     peer.address)
        sizes = [len(message) for message in peer.received]
    assert result.counts() == {"right": 2000}
    assert set(sizes) == set(range(32, 101))
    assert (result.all["settings"]["size_least"], result.all["settings"]["size"]) == (32, 100)
    # So large that the socket takes only parts: what has begun to leave is still counted right.
    with Peer(echo, "frame") as peer:
        result = run("--size", "32..3M", "--count", 40, "--depth", 8, "--protocol", "frame",
                     peer.address)
        assert len({len(message) for message in peer.received}) > 30
    assert result.counts() == {"right": 40}


def test_size_of_another_message():
    """The right text cut short by the end of it is wrong."""
    with Peer(replying(lambda number, text: [text[:-1] if number == 2 else text])) as peer:
        result = run("--size", "40..80", "--count", 5, peer.address, status=1)
    assert result.counts() == {"right": 4, "wrong": 1}


async def stream_echo(client):
    while part := await client.reader.read(7):  # never where a message ends
        await client.send_raw(part)


def test_stream():
    with Peer(stream_echo) as peer:
        result = run("--protocol", "stream", "--count", 60, "--depth", 3, "--connections", 2,
                     "--size", "32..200", peer.address)
    assert result.counts() == {"right": 60}


def test_stream_wrong_ends_the_connection():
    async def damaged(client):
        first = await client.reader.read(64)
        await client.send_raw(first[:60] + b"----")
        await client.reader.read(64)

    with Peer(damaged) as peer:
        result = run("--protocol", "stream", "--count", 2, peer.address, status=1)
        assert result.counts() == {"wrong": 1}
        assert result.connections["damaged"] == 1
        result = run("--protocol", "stream", "--count", 2, "--expect", "any", "--depth", 2,
                     "--timeout", "200ms", peer.address, status=0)
    assert result.counts() == {"right": 1, "broken": 1}


def test_stream_unasked_is_wrong():
    async def eager(client):
        await client.send_raw(b"welcome" * 20)
        await client.reader.read(64)

    with Peer(eager) as peer:
        result = run("--protocol", "stream", "--count", 1, "--hold", peer.address, status=1)
    assert result.requests["wrong"] == 1


@pytest.mark.parametrize("arguments, words", [
    (["--lines", "x", "--size", "64"], "exclude each other"),
    (["--lines", "x", "--protocol", "http"], "--lines needs another --expect"),
    (["--lines", "x", "--protocol", "stream"], "--lines cannot"),
    (["--expect", "cat", "--protocol", "stream"], "a command tells lines"),
    (["--size", "80..40"], "from 32 to 40"),
    (["--size", "..40"], "from 32 to 40"),
    (["--size", "40.."], "--size"),
])
def test_usage(arguments, words):
    process = subprocess.run(
        [LOAD, "run", *arguments, "80"], capture_output=True, text=True, timeout=PATIENCE)
    assert process.returncode == 2
    assert words in process.stderr
