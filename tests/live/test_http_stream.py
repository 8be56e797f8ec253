"""stream = yes: what a program says goes out line by line, as chunks."""

import http.client
import socket
import subprocess

import pytest

import harness
from harness import pool, program, wait_for


def several(**keys):
    return pool(f"{program('several.py')} END", protocol="http", reply_end="END", stream="yes", **keys)


def post(body, fields="", version="1.1", method="POST"):
    return (f"{method} / HTTP/{version}\r\nHost: a\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
            .encode() + body)


def read_head(client):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.take(1)
    lines = head.decode().split("\r\n")[:-2]
    return int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:])


def read_chunk(client):
    size = b""
    while not size.endswith(b"\r\n"):
        size += client.take(1)
    data = client.take(int(size, 16))
    assert client.take(2) == b"\r\n"
    return data


def read_reply(client):
    """All chunks of a reply, the last one not counted."""
    status, fields = read_head(client)
    assert (status, fields.get("Transfer-Encoding")) == (200, "chunked")
    assert "Content-Length" not in fields
    chunks = []
    while data := read_chunk(client):
        chunks.append(data)
    return chunks


def until(path, before, after):
    return b"until %s %s %s" % (str(path).encode(), before, after)


def test_a_line_goes_out_as_soon_as_it_is_there(start, folder):
    daemon = start({"a": several(content_type="text/event-stream")})
    client = daemon.connect()
    client.send(post(until(folder / "go", rb"data:1\n\n", rb"data:2\r\n\nEND\n")))
    status, fields = read_head(client)
    assert (status, fields["Content-Type"]) == (200, "text/event-stream")
    assert [read_chunk(client) for _ in range(2)] == [b"data:1\n", b"\n"]
    (folder / "go").touch()
    assert [read_chunk(client) for _ in range(3)] == [b"data:2\r\n", b"\n", b""]
    # A reply without a line is one as any other, and the connection goes on.
    client.send(post(b"list 0 x") + post(b"list 2 x"))
    assert read_head(client)[1]["Content-Length"] == "0"
    assert read_reply(client) == [b"x 1\n", b"x 2\n"]
    assert daemon.counters("a")["replies"] == 3


def test_replies_keep_their_order(start, folder):
    """What is there before its turn waits; what comes in its turn does not."""
    daemon = start({"a": several(instances=2, concurrency=1)})
    client = daemon.connect()
    client.send(post(until(folder / "1", rb"a\n", rb"b\nEND\n")))
    client.send(post(until(folder / "2", rb"c\nd\n", rb"e\nEND\n")) + post(b"list 1 f"))
    read_head(client)
    assert read_chunk(client) == b"a\n"
    daemon.wait_service(lambda s: s["waiting"] == 1, "both are busy, one waits")
    (folder / "1").touch()
    assert [read_chunk(client), read_chunk(client)] == [b"b\n", b""]
    read_head(client)
    got = read_chunk(client)
    while got.count(b"\n") < 2:
        got += read_chunk(client)
    assert got == b"c\nd\n"
    (folder / "2").touch()
    assert [read_chunk(client), read_chunk(client)] == [b"e\n", b""]
    assert read_reply(client) == [b"f 1\n"]


BROKEN = {
    "dies": (b"die a 1\\nb", {}, "", "failed"),
    "late": (b"hang a 1\\nb", {"request_timeout": "200ms"}, "", "timeout"),
    "large": (b"list 999 a", {"max_message": "1500B"}, "", "failed"),
    "in a hurry": (b"hang a 1\\n", {"on_cancel": "kill"}, "X-Timeout: 0.2\r\n", "timeout"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_breaks_off_has_no_last_chunk(start, how):
    """Nobody can take it for whole, and nothing comes behind it."""
    text, keys, fields, counter = BROKEN[how]
    daemon = start({"a": several(**keys)})
    client = daemon.connect()
    client.send(post(text, fields) + post(b"list 1 x"))
    assert read_head(client)[0] == 200
    assert read_chunk(client) == b"a 1\n"
    rest = client.rest()
    assert b"\r\n0\r\n" not in rest and b"HTTP" not in rest
    assert (len(rest) > 1400) == (how == "large")
    wait_for(lambda: daemon.counters("a")[counter] == 1, f"it counts as {counter}")
    wait_for(lambda: daemon.service("a")["connections"] == 0, "the connection is gone")


def test_nothing_was_said_yet(start):
    daemon = start({"a": several(request_timeout="200ms")})
    client = daemon.connect()
    for text, status in ((b"die a", 502), (b"hang a", 504), (b"list 1 x", 200)):
        client.send(post(text))
        got, fields = read_head(client)
        assert got == status
        if status != 200:
            client.take(int(fields["Content-Length"]))
    assert read_chunk(client) == b"x 1\n"


def test_http_1_0_gets_it_without_chunks(start):
    """The end of the connection is that of the reply, so one that breaks off is reset."""
    daemon = start({"a": several()})
    client = daemon.connect()
    client.send(post(b"list 2 x", "Connection: keep-alive\r\n", "1.0") + post(b"list 1 y"))
    status, fields = read_head(client)
    assert (status, fields["Connection"]) == (200, "close")
    assert not {"Transfer-Encoding", "Content-Length"} & set(fields)
    assert client.rest() == b"x 1\nx 2\n"
    client = daemon.connect()
    client.send(post(b"die a\\n", version="1.0"))
    read_head(client)
    assert client.take(2) == b"a\n"
    with pytest.raises(ConnectionResetError):
        client.rest()


def test_head(start):
    daemon = start({"a": several()})
    client = daemon.connect()
    client.send(b"HEAD /?list+2+x HTTP/1.1\r\nHost: a\r\n\r\n" + post(b"list 1 y"))
    assert read_head(client)[1]["Transfer-Encoding"] == "chunked"
    assert read_reply(client) == [b"y 1\n"]


@pytest.mark.parametrize("on_cancel", ["finish", "kill"])
def test_a_client_that_leaves(start, folder, on_cancel):
    daemon = start({"a": several(on_cancel=on_cancel)})
    client = daemon.connect()
    client.send(post(until(folder / "go", rb"a\n", rb"b\nEND\n")))
    read_head(client)
    before = daemon.service("a")["instances"][0]["pid"]
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    daemon.wait_service(lambda s: s["connections"] == 0, "it has left")
    if on_cancel == "kill":
        wait_for(lambda: not harness.exists(before), "its instance is killed")
    else:
        assert daemon.service("a")["instances"][0]["state"] == "busy"
        (folder / "go").touch()
    assert exchange(daemon, b"list 1 x") == [b"x 1\n"]
    if on_cancel == "finish":
        assert daemon.service("a")["instances"][0]["pid"] == before
    assert daemon.counters("a")["withdrawn"] == 1


def exchange(daemon, text):
    client = daemon.connect()
    client.send(post(text))
    return read_reply(client)


def test_nobody_waits_for_a_slow_client(start):
    """The only instance goes to the next client although the first one reads nothing."""
    daemon = start({"a": several(max_message="8M", request_timeout="30s")})
    slow = daemon.connect()
    slow.send(post(b"list 3000 " + 2000 * b"x"))
    assert exchange(daemon, b"list 1 y") == [b"y 1\n"]
    got = read_reply(slow)
    assert len(got) == 3000 and got[-1].endswith(b"x 3000\n")


def test_others_clients(start):
    daemon = start({"a": several()})
    host, port = daemon.address("a")
    client = http.client.HTTPConnection(host, port, timeout=10 * harness.SCALE)
    client.request("POST", "/", body=b"list 3 x")
    assert client.getresponse().read() == b"x 1\nx 2\nx 3\n"
    client.request("POST", "/", body=b"die a\\nb")
    with pytest.raises(http.client.IncompleteRead):
        client.getresponse().read()
    curl = ["curl", "-s", "-d", "die a\\n", f"http://{host}:{port}/"]
    done = subprocess.run(curl, capture_output=True, timeout=20 * harness.SCALE)
    assert (done.returncode, done.stdout) == (18, b"a\n"), "a partial file"


def test_a_reload_waits_for_it(start, folder):
    daemon = start({"a": several(), "other": harness.echo()})
    client = daemon.connect("a")
    client.send(post(until(folder / "go", rb"a\n", rb"b\nEND\n")))
    read_head(client)
    assert read_chunk(client) == b"a\n"
    daemon.configure({"other": {"pipeline": 2}})
    assert daemon.reload()["ok"]
    daemon.wait_status(lambda s: len(s["generations"]) == 2, "the old generation drains")
    (folder / "go").touch()
    assert [read_chunk(client), read_chunk(client)] == [b"b\n", b""]
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "it is gone")
    client.send(post(b"list 1 x"))
    assert read_reply(client) == [b"x 1\n"], "the connection has moved"


@pytest.mark.parametrize("keys, error", [
    ({"reply_end": None}, "stream: needs reply_end"),
    ({"message": "json"}, "stream: is for message raw alone"),
    ({"protocol": "line"}, "stream: is for protocol http alone"),
])  # fmt: skip
def test_what_does_not_go_together(folder, keys, error):
    keys = {**several(), **keys}
    harness.write_config(folder / "bad.conf",
                         {"a": {key: value for key, value in keys.items() if value}}, {})
    done = harness.hostlerd("-t", "-f", folder / "bad.conf")
    assert done.returncode != 0 and error in done.stderr
