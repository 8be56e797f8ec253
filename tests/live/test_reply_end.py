"""reply_end: several lines are a reply, up to a certain line."""

import os
import signal

import pytest

import harness
from harness import frame, pool, program


def several(end="END", **keys):
    word = end.strip("'")
    return pool(f"{program('several.py')} '{word}'", reply_end=end, **keys)


def framed(end="END", **keys):
    return several(end, protocol="frame", **keys)


# ---- what the client gets ----


def test_lines_and_the_end_line(start):
    client = start({"a": several()}).connect()
    client.send(b"list 3 x\nlist 0 y\nlist 1 z\n")
    assert client.finish_sending().rest() == b"x 1\nx 2\nx 3\nEND\nEND\nz 1\nEND\n"


def test_frames_without_the_end_line(start):
    client = start({"a": framed()}).connect()
    client.send(frame(b"list 3 x") + frame(b"list 0 y") + frame(b"list 1 z") + frame(b"raw \\nEND\\n"))
    assert client.finish_sending().rest() == (
        frame(b"x 1\nx 2\nx 3") + frame(b"") + frame(b"z 1") + frame(b""))


def test_ids_without_the_end_line(start):
    client = start({"a": framed(ids="yes")}).connect()
    client.send(frame(b"\0\0\0\1list 2 x"))
    assert client.frame() == b"\0\0\0\1\0x 1\nx 2"


# what the program writes (a Python literal), and what is sent to a client of line and of frame
REPLIES = [
    (rb"END\n", b"END\n", b""),
    (rb"\nEND\n", b"\nEND\n", b""),
    (rb"\n\nEND\n", b"\n\nEND\n", b"\n"),
    (rb"a\r\nb\r\nEND\r\n", b"a\nb\nEND\n", b"a\r\nb"),
    (rb"a\r\r\nEND\n", b"a\r\nEND\n", b"a\r"),
    (rb"xEND\nEND \n END\nEN\nEND\n", b"xEND\nEND \n END\nEN\nEND\n", b"xEND\nEND \n END\nEN"),
    (rb"\x00\xff\n\xfe\nEND\n", b"\0\xff\n\xfe\nEND\n", b"\0\xff\n\xfe"),
    (rb"ERR busy\nEND\n", b"ERR busy\nEND\n", b"ERR busy"),
]


@pytest.mark.parametrize("written, lines, payload", REPLIES)
def test_a_reply(start, written, lines, payload):
    daemon = start({"line": several(), "frame": framed()})
    client = daemon.connect("line")
    assert client.send(b"raw " + written + b"\nping\n").take(len(lines)) == lines
    assert client.lines(2) == [b"ping", b"END"]
    assert daemon.connect("frame").send(frame(b"raw " + written)).frame() == payload


def test_carriage_returns(start):
    """Every line, the end line too, ends as the request did, whatever the program does."""
    client = start({"a": several()}).connect()
    client.send(b"list 2 x\r\n").send(b"list 2 y\n").send(b"raw a\\r\\nb\\nEND\\n\r\n")
    client.send(b"raw END\\r\\n\r\n")
    assert client.finish_sending().rest() == (
        b"x 1\r\nx 2\r\nEND\r\n" b"y 1\ny 2\nEND\n" b"a\r\nb\r\nEND\r\n" b"END\r\n")


@pytest.mark.parametrize("end", ["''", "END OF REPLY", "'(gdb) '", ".", "'\"'"])
def test_other_end_lines(start, end):
    line = end.strip("'").encode()
    client = start({"a": several(end)}).connect()
    client.send(b"list 2 x\nping\n")
    assert client.lines(5) == [b"x 1", b"x 2", line, b"ping", line]


# ---- how the reply comes ----


@pytest.mark.parametrize("written", [rb"one\ntwo\nEND\n", rb"one\r\nEND\r\n", rb"END\n", rb"E\nEN\nEND\n"])
def test_byte_by_byte(start, written):
    client = start({"a": framed()}).connect()
    whole = client.send(frame(b"raw " + written)).frame()
    assert client.send(frame(b"pieces " + written)).frame() == whole


def test_the_end_line_cut_anywhere(start):
    """Two writes, cut at each byte, and a whole reply after it."""
    client = start({"a": several()}).connect()
    text = b"one\r\nEND\r\n"
    for cut in range(1, len(text)):
        written = b"".join(b"\\x%02x" % byte for byte in text)
        client.send(b"cut 0.02 %d " % cut + written + b"\nping\n")
        assert client.lines(4) == [b"one", b"END", b"ping", b"END"], cut


def test_a_long_reply(start):
    """Far more than a pipe holds, while the next requests wait behind it."""
    client = start({"a": several(max_message="4M", high_water="8M")}).connect()
    client.send(b"list 200000 x\nping\n")
    assert client.lines(200000) == [b"x %d" % (n + 1) for n in range(200000)]
    assert client.lines(3) == [b"END", b"ping", b"END"]


@pytest.mark.parametrize("protocol", ["line", "frame"])
def test_pipelined_in_order(start, protocol):
    """With several instances and several messages in each: replies stay whole and in order."""
    daemon = start({"a": several(protocol=protocol, instances=3, concurrency=4)})
    client = daemon.connect()
    client.send(b"".join(b"list %d r%d\n" % (n % 4, n) if protocol == "line" else
                         frame(b"list %d r%d" % (n % 4, n)) for n in range(300)))
    for n in range(300):
        lines = [b"r%d %d" % (n, line + 1) for line in range(n % 4)]
        if protocol == "line":
            assert client.lines(len(lines) + 1) == [*lines, b"END"], n
        else:
            assert client.frame() == b"\n".join(lines), n


def test_an_empty_reply_that_waits_for_its_turn(start):
    """It is there before an earlier one, and stays without a line."""
    client = start({"a": several(instances=2)}).connect()
    client.send(b"sleep 0.3 slow\nlist 0 x\nraw \\nEND\\n\n")
    assert client.lines(5) == [b"slow", b"END", b"END", b"", b"END"]


# ---- what goes wrong ----


def test_errors_end_with_the_end_line_too(start):
    """So a client can always read on to there; with frame there is nothing to end."""
    daemon = start({"line": several(), "frame": framed()})
    client = daemon.connect("line")
    client.send(b"die one\\ntwo\\nEN\nping\r\ndie \r\nping\n")
    assert client.finish_sending().rest() == (
        b"ERR failed\nEND\n" b"ping\r\nEND\r\n" b"ERR failed\r\nEND\r\n" b"ping\nEND\n")
    client = daemon.connect("frame").send(frame(b"die one\\ntwo\\nEND"))
    assert client.frame() == b"ERR failed"


def test_a_whole_reply_before_the_end_of_the_program(start):
    daemon = start({"a": several()})
    assert daemon.connect().send(b"die one\\nEND\\n\n").lines(2) == [b"one", b"END"]
    daemon.wait_log("ended: exit status 3")


@pytest.mark.parametrize("written, payload", [
    (r"1234567890\nEND\n", b"1234567890"),
    (r"1234567890\r\nEND\r\n", b"1234567890"),
    (r"1234\n56789\nEND\n", b"1234\n56789"),
    (r"12345678901\nEND\n", None),
    (r"1234\n567890\nEND\n", None),
    (r"1\n2\n3\n4\n5\n6\n", None),
    (r"12345678901234567", None),
])
def test_max_message_is_for_the_whole_reply(start, written, payload):
    """Ten bytes, newlines between lines included, the last one and the end line not."""
    command = f"{program('several.py')} END '{written}'"
    daemon = start({"a": pool(command, protocol="frame", reply_end="END", max_message="10B")})
    client = daemon.connect().send(frame(b"go"))
    if payload is not None:
        assert client.frame() == payload
    else:
        assert client.frame() == b"ERR failed"
        daemon.wait_log("wrote a reply larger than max_message")


def test_an_endless_reply(start):
    daemon = start({"a": several()})
    client = daemon.connect()
    assert client.send(b"flood\n").lines(2) == [b"ERR failed", b"END"]
    daemon.wait_log("wrote a reply larger than max_message")
    daemon.wait_full()
    assert client.send(b"ping\n").lines(2) == [b"ping", b"END"]


def test_a_line_behind_the_end_line(start):
    daemon = start({"a": several()})
    client = daemon.connect()
    assert client.send(b"raw one\\nEND\\nmore\\n\n").lines(2) == [b"one", b"END"]
    daemon.wait_log("wrote output that nobody asked for")
    daemon.wait_full()
    assert client.send(b"ping\n").lines(2) == [b"ping", b"END"]


def test_no_end_line_in_time(start):
    """The instance is killed, and the log says what it forgot."""
    daemon = start({"a": several(request_timeout="300ms")})
    client = daemon.connect()
    assert client.send(b"raw one\\ntwo\\n\n").lines(2) == [b"ERR timeout", b"END"]
    daemon.wait_log("did not reply within request_timeout")


@pytest.mark.slow
def test_the_hint_names_the_end_line(start):
    daemon = start({"a": several(request_timeout="20s")})
    daemon.connect().send(b"raw one\\ntwo\\n\n")
    daemon.wait_log(r"has said 8 bytes in 5 seconds .* does it write the line of reply_end\?",
                    timeout=10)


def test_too_large_closes(start):
    client = start({"a": several(max_message="20B")}).connect()
    assert client.send(b"ping\n" + b"x" * 30).rest() == b"ping\nEND\nERR too-large\nEND\n"


def test_busy(start):
    daemon = start({"a": several(queue=1)})
    client = daemon.connect()
    client.send(b"sleep 0.3 one\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    client.send(b"two\nthree\n")
    assert client.lines(6) == [b"one", b"END", b"two", b"END", b"ERR busy", b"END"]


def test_a_killed_instance_mid_reply(start):
    daemon = start({"a": several()})
    client = daemon.connect()
    client.send(b"hang one\\ntwo\\n\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "a busy instance")
    os.kill(daemon.instance_pids()[0], signal.SIGKILL)
    assert client.lines(2) == [b"ERR failed", b"END"]


# ---- the configuration ----


@pytest.mark.parametrize("keys, told", [
    ("framing = frame\nreply_end = END", "reply_end: is for framing line alone"),
    ("reply_end =", "reply_end: there is no value"),
])
def test_refused(folder, keys, told):
    path = folder / "a.conf"
    path.write_text("[service a]\nlisten = 0\nprotocol = line\nhandler = program\ncommand = cat\n"
                    f"{keys}\n")
    done = harness.hostlerd("-t", "-f", path)
    assert done.returncode != 0
    assert told in done.stdout + done.stderr


def test_a_reload_with_another_end_line(start):
    """It belongs to the program, so it comes with new instances."""
    daemon = start({"a": several()})
    pids = daemon.instance_pids()
    reply = daemon.reloaded({"a": several("FIN")})
    assert reply["services"][0]["change"] == "replaced"
    assert daemon.connect().send(b"ping\n").lines(2) == [b"ping", b"FIN"]
    assert not set(pids) & set(daemon.instance_pids())
