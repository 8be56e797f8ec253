"""Regressions of defects that attacks over HTTP and WebSocket brought to light."""

import contextlib
import socket
import zlib

import harness
from harness import echo, pool, program, wait_for
from test_http import read_reply
from websocket_peer import BINARY, Socket, handshake, said

GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"


def slow_reader(daemon, name):
    """A client that has room for little."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10 * harness.SCALE)
    client.connect(daemon.address(name))
    return client


def test_who_does_not_read_becomes_a_websocket(start):
    """What it has not taken by then has its time, too."""
    keys = {"write_timeout": "500ms", "high_water": "16M", "max_message": "8M"}
    daemon = start({"web": echo(protocol="http", **keys),
                    "sock": echo(protocol="websocket", ping_interval=0, **keys)})
    with slow_reader(daemon, "web") as client:
        body = bytes(7 << 20)
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" %
                       (len(body), body))
        assert client.recv(1) == b"H", "it does not fit, so the rest waits by now"
        client.sendall(handshake())
        wait_for(lambda: daemon.counters("sock")["slow_cut"] == 1, "the end of its time")
        assert daemon.service("sock")["connections"] == 0


def test_who_waits_for_others_counts_once(start, folder):
    """A request for a file waits for those in front of it, and is still one within the second."""
    (folder / "file").write_text("x")
    daemon = start({"files": {"listen": "127.0.0.1:0", "protocol": "http", "handler": "static",
                              "root": folder, "rate": 10},
                    "nap": pool(program("nap.py"), protocol="http", path="/nap")})
    client = daemon.connect("files")
    client.send((GET % b"/nap?1%20x" + GET % b"/file") * 5)
    assert [read_reply(client)[0] for _ in range(10)] == [200] * 10


def test_few_bytes_that_become_many(start):
    """Who has 26 MB unpacked by a message lets others be served in between."""
    daemon = start({"a": echo(protocol="websocket", deflate="yes")}, {"workers": 1})
    packer = zlib.compressobj(9, wbits=-15)
    packed = (packer.compress(bytes(65536)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    greedy = Socket(daemon.connect(), fields="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    other = Socket(daemon.connect())
    greedy.client.send(said(BINARY, packed, packed=True) * 400)
    assert other.ask(b"me too") == b"me too"
    greedy.client.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while greedy.client.more():
            pass
    early = len(greedy.client.pending)
    greedy.client.socket.settimeout(greedy.client.timeout)
    replies = [greedy.hear() for _ in range(400)]
    assert {kind for kind, _ in replies} == {(BINARY, 0x40)}
    assert early < sum(len(payload) for _, payload in replies)
