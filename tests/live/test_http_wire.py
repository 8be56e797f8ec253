"""The exchanges of tests/exchanges.txt with the daemon: whole and byte by byte."""

import pathlib
import re
import socket

import pytest

from harness import echo
from wire import expand

TABLE = pathlib.Path(__file__).resolve().parent.parent / "exchanges.txt"
BEHIND = b"GET /?behind HTTP/1.1\r\nHost: a\r\n\r\n"


def exchanges():
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if line and line[0] != "#":
            answers, text = line.split(" :: ", 1)
            *answers, end = answers.split()
            yield number, answers, end, expand(text)


def read_reply(client, answer):
    """What the reply was, in the words of the table, and whether it is the last."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.take(1)
    lines = head.decode().split("\r\n")[:-2]
    assert re.fullmatch(r"HTTP/1\.1 \d{3} [\w ']+", lines[0]), lines[0]
    status = int(lines[0].split()[1])
    if status == 100:
        return read_reply(client, answer)
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert "Date" in fields
    length = int(fields.get("Content-Length", 0))
    body = b"" if "~" in answer else client.take(length)
    if "~" in answer:
        said = f"{status}~{length}".encode()
    elif "=" in answer:
        said = f"{status}=".encode() + body
    else:
        said = f"{status}".encode()
    return said, fields.get("Connection") == "close"


def check_end(client, end):
    """What comes behind the last answer."""
    if end == "+":
        assert read_reply(client, "=") == (b"200=behind", False)
    client.finish_sending()
    if end == "?":
        assert read_reply(client, "") == (b"400", True)
    assert client.rest() == b"", "more was said"


def send_all(client, text, step):
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for at in range(0, len(text), step):
            client.send(text[at:at + step])
    except ConnectionError:
        pytest.fail("reset while it was sending")


def test_statuses_are_documented():
    text = (TABLE.parent.parent / "docs/http.md").read_text()
    named = set(re.findall(r"^\| (\d{3}) \|", text, re.M))
    tried = {re.match(r"\d+", answer)[0] for _, answers, _, _ in exchanges() for answer in answers}
    assert tried - named == set()
    # Those are tried in test_http.py, test_routes.py and test_websocket.py: they need a program, time, or
    # several services.
    assert named - tried == {"404", "408", "426", "429", "502", "503", "504"}


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "byte by byte"])
def test_exchanges(start, bytewise):
    daemon = start({"a": echo(protocol="http", pipeline=4, max_target="100B", max_head="2000B",
                              max_message="1000B")})
    tried = 0
    for number, answers, end, text in exchanges():
        client = daemon.connect()
        try:
            # Who asked for the end, and then goes on later, is reset: RFC 9112, 9.6.
            breaks_word = bytewise and end == "." and answers[-1].startswith("2")
            behind = b"" if end == "?" or breaks_word else BEHIND
            send_all(client, text + behind, 1 if bytewise else len(text + behind))
            for place, answer in enumerate(answers, 1):
                last = end == "." and place == len(answers)
                assert read_reply(client, answer) == (
                    expand(answer) if "=" in answer else answer.encode(), last)
            check_end(client, end)
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{TABLE.name}:{number}: {error}") from error
        client.close()
        tried += 1
    assert tried > 350
    assert daemon.service("a")["connections"] == 0
