"""HTTP/1.1 in front of echo and of a program: what a client sees on the wire."""

import http.client
import subprocess
import urllib.request

import pytest

import harness
from harness import echo, pool, program, wait_for


def web(**keys):
    return echo(protocol="http", **keys)


def exchange(client, *parts):
    for part in parts:
        client.send(part)
    return read_reply(client)


def read_reply(client, body=True):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.take(1)
    lines = head.decode().split("\r\n")[:-2]
    fields = dict(line.split(": ", 1) for line in lines[1:])
    length = int(fields.get("Content-Length", 0)) if body else 0
    return int(lines[0].split()[1]), fields, client.take(length)


def post(body, fields="", target="/"):
    return (f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
            .encode() + body)


GET = b"GET /?%s HTTP/1.1\r\nHost: a\r\n\r\n"


def test_replies(start):
    daemon = start({"a": web(content_type="text/x")})
    client = daemon.connect()
    status, fields, body = exchange(client, post(b"hello"))
    assert (status, body) == (200, b"hello")
    assert set(fields) == {"Server", "Date", "Content-Type", "Content-Length"}
    assert fields["Content-Type"] == "text/x" and fields["Date"].endswith(" GMT")
    assert exchange(client, GET % b"a%20b+c%zz%4")[2] == b"a b c%zz%4", "the query, decoded"
    client.send(b"HEAD /?abc HTTP/1.1\r\nHost: a\r\n\r\n")
    status, fields, body = read_reply(client, body=False)
    assert (status, fields["Content-Length"]) == (200, "3")
    status, fields, body = exchange(client, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == 204 and "GET" in fields["Allow"] and "Content-Length" not in fields
    assert exchange(client, post(b"last", "Connection: close\r\n"))[1]["Connection"] == "close"
    assert client.rest() == b""


@pytest.mark.parametrize("behind", [b"", b"x"])
def test_a_last_request_is_not_waited_behind(start, behind):
    """Unless its client breaks its word: a reset could destroy the reply."""
    daemon = start({"a": web()})
    client = daemon.connect()
    client.send(post(b"last", "Connection: close\r\n") + behind)
    assert client.rest().endswith(b"\r\n\r\nlast")
    client.send(b"x")
    if behind:
        client.send(b"x")
    else:
        with pytest.raises(ConnectionError):
            client.send(b"x")


def test_the_server_may_be_nameless(start):
    daemon = start({"a": web(server_field="no")})
    assert "Server" not in exchange(daemon.connect(), post(b"x"))[1]


@pytest.mark.parametrize("whole", [True, False])
def test_a_pipeline_is_answered_in_order(start, whole):
    daemon = start({"a": pool(program("nap.py"), protocol="http", instances=2, concurrency=1)})
    text = b"".join(post(b"%d x%d" % (30 * (4 - n), n)) for n in range(4))
    client = daemon.connect()
    if whole:
        client.send(text)
    else:
        for number in range(len(text)):
            client.send(text[number:number + 1])
    assert [read_reply(client)[2] for _ in range(4)] == [
        b"%d X%d" % (30 * (4 - n), n) for n in range(4)]


def test_chunked(start):
    daemon = start({"a": web()})
    client = daemon.connect()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert exchange(client, head + b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n",
                    b"0\r\nT: u\r\n\r\n")[2] == b"abcde"
    assert exchange(client, post(b"next"))[2] == b"next"


def test_expect(start):
    """100 before the body is sent, not for what is refused, and in its turn."""
    daemon = start({"a": web(max_message="100B"), "slow": pool(program("nap.py"), protocol="http")})
    client = daemon.connect("a")
    head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    client.send((head % 3).encode())
    assert client.take(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert exchange(client, b"abc")[2] == b"abc"
    assert exchange(client, (head % 3).encode() + b"abc")[2] == b"abc"
    assert exchange(client, (head % 101).encode())[0] == 413, "and nothing between the two"
    assert client.rest() == b""
    assert exchange(daemon.connect("a"), head.replace("100-", "200-").encode() % 3)[0] == 417
    client = daemon.connect("slow")
    client.send(post(b"300 first") + (head % 5).encode())
    assert read_reply(client)[2] == b"300 FIRST"
    assert client.take(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert exchange(client, b"0 two")[2] == b"0 TWO"


def test_http_1_0(start):
    daemon = start({"a": web()})
    client = daemon.connect()
    status, fields, body = exchange(client, b"GET /?x HTTP/1.0\r\n\r\n")
    assert (status, body, fields["Connection"]) == (200, b"x", "close")
    assert client.rest() == b""
    client = daemon.connect()
    for _ in range(2):
        _, fields, body = exchange(
            client, b"GET /?x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (body, fields["Connection"]) == (b"x", "keep-alive")


@pytest.mark.parametrize("text, status", [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40000 + b"\r\n\r\n", 431),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"0\r\n\r\n" + post(b"smuggled"), 400),
    (b"\x16\x03\x01\x02\x00", 400),
])  # fmt: skip
def test_refused(start, text, status):
    """One answer, the end of the connection, and nothing behind it is taken for a request."""
    daemon = start({"a": web()})
    client = daemon.connect()
    answer = exchange(client, text)
    assert answer[0] == status and answer[1]["Connection"] == "close"
    assert client.rest() == b""
    assert daemon.counters("a")["replies"] == 0


@pytest.mark.parametrize("head, status", [
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5b8d80\r\n", 413),
    (b"POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\n\r\n", 411),
    (b"POST / HTTP/1.1\r\nHost: a\r\nX: ", 431),
])  # fmt: skip
def test_a_refusal_is_not_lost(start, head, status):
    """However much its client sends behind it before it looks, no reset takes it away."""
    daemon = start({"a": web()})
    client = daemon.connect()
    client.send(head)
    for _ in range(60):
        client.send(b"x" * 100000)
    assert read_reply(client)[0] == status
    assert client.rest() == b""


def test_what_cannot_be_done(start):
    daemon = start({"busy": pool(program("nap.py"), protocol="http", queue=1),
                    "late": pool(program("nap.py"), protocol="http", request_timeout="100ms"),
                    "dies": pool(program("wild.py"), protocol="http"),
                    "slow": web(message_timeout="200ms")})
    first, second = daemon.connect("busy"), daemon.connect("busy")
    first.send(post(b"500 x"))
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "it runs", "busy")
    second.send(post(b"0 y"))
    daemon.wait_service(lambda s: s["waiting"] == 1, "one waits", "busy")
    third = daemon.connect("busy")
    status, fields, _ = exchange(third, post(b"0 z"))
    assert (status, fields["Retry-After"]) == (503, "1")
    assert "Connection" not in fields, "the connection goes on"
    assert [read_reply(c)[0] for c in (first, second)] == [200, 200]
    assert exchange(third, post(b"0 z"))[0] == 200
    assert exchange(daemon.connect("late"), post(b"5000 x"))[0] == 504
    assert exchange(daemon.connect("dies"), post(b"die"))[0] == 502
    assert exchange(daemon.connect("busy"), post(b"two\nlines"))[0] == 400
    client = daemon.connect("slow")
    status, fields, _ = exchange(client, b"POST / HTTP/1.1\r\nHost:")
    assert (status, fields["Connection"]) == (408, "close")


def test_a_request_moves_in_the_middle(start):
    """Reloads, at every few bytes of a request: it is answered once, and was told 100 once."""
    daemon = start({"a": web(), "other": echo()})
    text = (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    client = daemon.connect("a")
    for at in range(0, len(text), 11):
        client.send(text[at:at + 11])
        daemon.configure({"other": {"pipeline": 2 + at}})
        assert daemon.reload()["ok"]
        daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation")
    assert client.take(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert read_reply(client)[2] == b"abcde"


def test_pythons_client(start):
    daemon = start({"a": pool(program("upper.py"), protocol="http", instances=2)})
    connection = http.client.HTTPConnection(*daemon.address("a"), timeout=10)
    for number in range(20):
        connection.request("POST", "/", body=f"hello {number}")
        assert connection.getresponse().read() == f"HELLO {number}".encode()


def test_curl(start):
    daemon = start({"a": web(max_message="1M")})
    host, port = daemon.address("a")
    done = subprocess.run(
        ["curl", "-s", "--data-binary", "@-", "-H", "Transfer-Encoding: chunked",
         "-H", "Expect: 100-continue", f"http://{host}:{port}/"],
        input=b"x" * 500000, capture_output=True, timeout=20 * harness.SCALE,
    )  # fmt: skip
    assert done.stdout == b"x" * 500000


def test_http_options_are_for_http(start, folder):
    config = folder / "bad.conf"
    config.write_text("[service a]\nlisten = 127.0.0.1:0\nprotocol = line\nhandler = echo\n"
                      "content_type = text/html\n")
    done = harness.hostlerd("-t", "-f", config)
    assert done.returncode != 0
    assert "content_type: is for protocol http alone; the protocol is line" in done.stderr


def test_a_client_that_leaves_in_mid_request(start):
    daemon = start({"a": web()})
    for text in (b"GET", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9"
                 b"\r\n\r\nabc"):
        client = daemon.connect()
        client.send(text).finish_sending()
        assert read_reply(client)[0] == 400
        assert client.rest() == b""
    wait_for(lambda: daemon.service("a")["connections"] == 0, "all are gone")


def test_run(launch):
    daemon = launch("run", "--http", "127.0.0.1:0", "--hostler.control", "{control}", "--instances", "1",
                    "--command", program("upper.py"))
    daemon.wait_full()
    url = daemon.log_lines(r"service run: listening on (http://127\.0\.0\.1:\d+/)$")[0].split()[-1]
    with urllib.request.urlopen(url, b"ping", timeout=10 * harness.SCALE) as reply:
        assert reply.status == 200 and reply.read() == b"PING"


def test_the_log_says_once_why_newlines_are_bad(start):
    daemon = start({"a": pool(program("upper.py"), protocol="http")}, {"workers": 1})
    client = daemon.connect()
    for _ in range(3):
        assert exchange(client, post(b"a\nb"))[0] == 400
    assert exchange(client, post(b"ab"))[2] == b"AB", "it goes on"
    assert daemon.log().count("service a: messages with a newline in them are refused") == 1
