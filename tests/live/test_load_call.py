"""hostler-load call: replies, retries, and that nothing is executed twice by itself."""

import socket
import subprocess
import threading
import time

import pytest

from harness import SCALE, wait_for
from load_peer import (
    LOAD, PATIENCE, Peer, closing_after, connections_in_state, echo, refusing_port, replying,
    upper)


def call(*arguments, status=0, **more):
    """What it printed, as lines, and what it said."""
    command = [LOAD, "call", *[str(argument) for argument in arguments]]
    process = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **more)
    assert process.returncode == status, process.stdout + process.stderr
    return process.stdout.splitlines(), process.stderr


@pytest.mark.parametrize("protocol", ["line", "frame"])
def test_replies_in_order_on_one_connection(protocol):
    with Peer(upper, protocol) as peer:
        assert call("--protocol", protocol, peer.address, "one", "two words", "-x", "") == (
            ["ONE", "TWO WORDS", "-X", ""], "")
        assert peer.accepted == 1


def test_over_a_unix_socket(tmp_path):
    with Peer(upper, path=str(tmp_path / "s")) as peer:
        assert call(peer.address, "a")[0] == ["A"]


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_lines_of_standard_input(arguments):
    with Peer(upper) as peer:
        assert call(peer.address, *arguments, input="one\n\nlast")[0] == ["ONE", "", "LAST"]


def test_standard_input_is_answered_line_by_line():
    with Peer(upper) as peer:
        process = subprocess.Popen([LOAD, "call", peer.address], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        for word in ("one", "two"):
            process.stdin.write(word + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == word.upper() + "\n"
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def test_ids():
    statuses = [0, 1, 3]  # fine, busy, failed
    with Peer(replying(lambda number, text: [
            text[:4] + bytes([statuses[number]]) + (text[4:] if number == 0 else b"")
    ]), "frame") as peer:
        shown, said = call("--protocol", "frame", "--ids", peer.address, "a", "b", "c", status=1)
    assert shown == ["a", "ERR busy", "ERR failed"]
    with Peer(replying(lambda number, text: [b"\0\0\0\x63\0x"]), "frame") as peer:
        shown, said = call("--protocol", "frame", "--ids", peer.address, "a", status=1)
    assert shown == [] and "a reply to another request" in said


def test_http():
    async def behave(client):
        while (await client.receive()) is not None:
            path = client.head.split()[1]
            await client.send_http(path.encode() + b"\n", 404 if path == "/none" else 200)

    with Peer(behave, "http") as peer:
        shown, said = call("--protocol", "http", peer.address, "/a?b=c", "/none", status=1)
        assert shown == ["/a?b=c", "/none"]
        assert "'/none': status 404" in said
        assert peer.accepted == 1
        for text in ("a", "/a b", "/a\r\nb"):
            shown, said = call("--protocol", "http", peer.address, text, status=1)
            assert shown == [] and "cannot be asked" in said


def test_http_address():
    async def behave(client):
        while (text := await client.receive()) is not None:
            assert client.head.startswith("POST /up?x HTTP/1.1\r\n")
            await client.send_http(text.upper(), 413 if len(text) > 9 else 200)

    with Peer(behave, "http") as peer:
        url = f"http://{peer.address}/up?x"
        assert call(url, "a /b#", "é", "")[0] == ["A /B#", "é", ""]
        shown, said = call(url, "x" * 10, status=1)
        assert shown == ["X" * 10] and "status 413" in said


def test_error_is_a_reply_and_not_asked_again():
    with Peer(replying(lambda number, text: [b"ERR failed"])) as peer:
        assert call("--retries", 5, peer.address, "a", status=1)[0] == ["ERR failed"]
        assert peer.received == [b"a"]


def test_busy_is_asked_again_and_the_pauses_grow():
    with Peer(replying(lambda number, text: [b"ERR busy" if number < 3 else text])) as peer:
        began = time.monotonic()
        shown, said = call("--retries", 3, "--backoff", "40ms", peer.address, "a")
        assert time.monotonic() - began >= (40 + 80 + 160) / 2 / 1000
        assert shown == ["a"]
        assert peer.received == [b"a"] * 4
        pauses = [float(line.split()[-2]) for line in said.splitlines()]
        assert [low <= pause <= 2 * low for pause, low in zip(pauses, (20, 40, 80))] == [True] * 3
    with Peer(replying(lambda number, text: [b"ERR busy"])) as peer:
        assert call("--retries", 1, "--backoff", "1ms", peer.address, "a", status=1)[0] == [
            "ERR busy"]
        assert peer.received == [b"a"] * 2


@pytest.mark.parametrize("how", ["close", "reset", "silence"])
def test_what_may_have_been_executed_is_not_asked_again(how):
    async def behave(client):
        await client.receive()
        if how == "silence":
            await client.receive()  # which never comes
        if how == "reset":
            client.reset()

    arguments = ["--retries", 2, "--backoff", "1ms", "--timeout", "150ms"]
    with Peer(behave) as peer:
        shown, said = call(*arguments, peer.address, "pay", status=1)
        assert shown == []
        assert "may have been executed, so it is not asked again" in said
        assert peer.received == [b"pay"]
        call(*arguments, "--retry-all", peer.address, "pay", status=1)
        assert peer.received == [b"pay"] * 4


def test_the_next_text_goes_on_after_a_lost_one():
    async def behave(client):
        while (message := await client.receive()) is not None:
            if message == b"bad":
                return
            await client.send(message)

    with Peer(behave) as peer:
        assert call(peer.address, "a", "bad", "c", status=1)[0] == ["a", "c"]
        assert peer.accepted == 2


def test_idle_connection_that_was_closed_is_made_anew():
    """The server closes after each reply: nothing was asked in vain, so nothing is said."""
    with Peer(closing_after(1)) as peer:
        process = subprocess.Popen([LOAD, "call", peer.address], text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for word in ("one", "two"):
            process.stdin.write(word + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == word + "\n"
            wait_for(lambda: connections_in_state("close-wait", peer.port) == 1, "the FIN of the server")
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == ""
        assert peer.accepted == 2


@pytest.mark.parametrize("retries", [0, 1])
def test_what_was_never_sent_is_asked_again(tmp_path, retries):
    """The server stays but reads no more: not a byte of the second text can have reached it."""
    def serve():
        first, _ = listener.accept()
        assert first.recv(100) == b"one\n"
        first.shutdown(socket.SHUT_RD)
        first.sendall(b"1\n")
        if retries:
            with listener.accept()[0] as second:
                asked.append(second.recv(100))
                second.sendall(b"2\n")
        done.wait(PATIENCE)
        first.close()

    done, asked, path = threading.Event(), [], str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(2)
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        shown, said = call("--retries", retries, "--backoff", "1ms", path, "one", "two",
                           status=0 if retries else 1)
        done.set()
        server.join(PATIENCE)
    assert shown == ["1", "2"][:1 + retries] and asked == [b"two\n"] * retries
    assert said.startswith("hostler-load call: 'two': Broken pipe")
    assert "may have been executed" not in said


@pytest.mark.parametrize("end, said, seen", [
    ("says why", "", ["ERR too large"]),
    ("leaves", "it may have been executed, so it is not asked again", []),
    ("stands still", "the server does not read; it may have been executed", []),
])
def test_what_was_sent_in_part_is_not_asked_again(tmp_path, end, said, seen):
    """The server stops in the middle of a large text: what it has read, it may have acted upon."""
    def serve():
        with listener.accept()[0] as connection:
            assert connection.recv(1000) == b"x" * 1000
            if end == "leaves":
                return
            if end == "says why":
                connection.sendall(b"ERR too large\n")
                connection.shutdown(socket.SHUT_RD)
                while connection.recv(65536):  # room again, so that the caller looks at once
                    pass
            done.wait(PATIENCE)

    done, path = threading.Event(), str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(2)
        listener.settimeout(PATIENCE)
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        shown, told = call("--retries", 2, "--backoff", "1ms", "--timeout",
                           "300ms" if end == "stands still" else "10s", path, "-",
                           input="x" * (4 << 20), status=1)
        done.set()
        server.join(PATIENCE)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()  # nobody came a second time
    assert shown == seen and said in told
    assert "; retry" not in told


def test_unreachable():
    with refusing_port() as port:
        shown, said = call("--retries", 2, "--backoff", "1ms", port, "a", "b", status=3)
    assert shown == []
    assert said.count("Connection refused") == 3  # and nothing of b
    assert "retry 2 of 2" in said


def test_server_that_comes_up():
    with refusing_port() as port:
        result = []
        asker = threading.Thread(target=lambda: result.append(
            call("--retries", 100, "--backoff", "20ms", port, "a")))
        asker.start()
        with Peer(echo, port=port):
            asker.join(PATIENCE)
    assert result and result[0][0] == ["a"]


def test_connect_timeout():
    """Nobody accepts and the backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        began = time.monotonic()
        shown, said = call("--connect-timeout", "150ms", listener.getsockname()[1], "a", status=3)
        assert 0.15 <= time.monotonic() - began < 5 * SCALE
        assert "not open in time" in said
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("arguments, words", [
    ([], "address is missing"),
    (["--protocol", "stream", "80", "x"], "no end of a reply"),
    (["--ids", "80", "x"], "--ids wants --protocol frame"),
    (["--retries", "x", "80"], "from 0"),
    (["--timeout", "10", "80"], "with a unit"),
    (["--frobnicate", "80"], "frobnicate"),
])
def test_usage(arguments, words):
    shown, said = call(*arguments, status=2)
    assert words in said and said.startswith("hostler-load call: ")


def test_help():
    shown, said = call("--help")
    assert shown[0].startswith("usage: hostler-load call") and said == ""
    assert all(len(line) <= 90 for line in shown)
