"""WebSocket in front of echo and of a program: beside HTTP, over its time, and as it ends."""

import zlib

import pytest

import harness
from harness import echo, pool, program, wait_for
from test_http import read_reply
from websocket_peer import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Socket, close, handshake,
                            said)


def sockets(**keys):
    return echo(protocol="websocket", **keys)


def refused(daemon, *arguments, **keys):
    client = daemon.connect()
    client.send(handshake(*arguments, **keys))
    return read_reply(client)[0]


def test_messages_and_replies(start):
    daemon = start({"a": sockets(max_message="1M")})
    ws = Socket(daemon.connect())
    for message in (b"hello", b"", "é".encode() * 100, b"x" * 70000):
        assert ws.ask(message) == message
    for length in (0, 1, 125, 126, 300, 4100, 65535, 65536, 200000):
        ws.say(BINARY, bytes(length))
        assert ws.hear() == (BINARY, bytes(length))
    ws.say(TEXT, b"a", last=False).say(PING, b"?").say(CONTINUATION, b"b", last=False)
    assert ws.hear() == (PONG, b"?")
    assert ws.say(PONG).say(CONTINUATION, b"c").hear() == (TEXT, b"abc")
    counters = daemon.counters()
    assert counters["requests"] == counters["replies"] == 14


def test_a_program_answers_in_kind(start):
    daemon = start({"a": pool(program("upper.py"), protocol="websocket", max_message="1M")})
    ws = Socket(daemon.connect())
    assert ws.ask("abcé".encode()) == "ABCé".encode()
    assert ws.say(BINARY, b"abc").hear() == (BINARY, b"ABC")
    ws.client.send(b"".join(said(TEXT, b"m%d" % i) for i in range(100)))
    assert [ws.hear() for _ in range(100)] == [(TEXT, b"M%d" % i) for i in range(100)]


def test_beside_http_on_one_port_and_path(start):
    """What is asked for decides, and who stands before the other in the file does not."""
    for first, second in (("web", "sock"), ("sock", "web")):
        services = {"web": echo(protocol="http"), "sock": sockets()}
        daemon = start({first: services[first], second: services[second]})
        client = daemon.connect()
        client.send(b"GET /?x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_reply(client)[2] == b"x"
        ws = Socket(client)
        assert ws.ask(b"hello") == b"hello"
        # Who wants to become something else is answered as it is.
        client = daemon.connect()
        client.send(b"GET /?x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert read_reply(client)[2] == b"x"
        assert daemon.service("sock")["connections"] >= 1
        wait_for(lambda: daemon.counters("sock")["requests"] == 1, "its own requests")
        daemon.stop()


def test_what_comes_with_the_handshake(start):
    daemon = start({"a": sockets()})
    client = daemon.connect()
    client.send(handshake() + said(TEXT, b"at once") + said(CLOSE, close(1000)))
    assert client.rest().endswith(b"\r\n\r\n\x81\x07at once\x88\x02\x03\xe8")
    client = daemon.connect()
    for i in handshake() + said(TEXT, b"bit by bit"):
        client.send(bytes([i]))
    while not client.pending.endswith(b"\x81\x0abit by bit"):
        assert client.more()


def test_who_may_not(start):
    daemon = start({"a": sockets(subprotocols="b a")})
    assert refused(daemon, fields="Origin: http://evil.example\r\n") == 403
    assert refused(daemon, fields="Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n") == 400
    client = daemon.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    status, fields, _ = read_reply(client)
    assert status == 426 and fields["Upgrade"] == "websocket"
    client.send(handshake().replace(b"Version: 13", b"Version: 8"))
    status, fields, _ = read_reply(client)
    assert (status, fields["Sec-WebSocket-Version"]) == (426, "13")
    client.send(handshake().replace(b"GET", b"HEAD"))
    status, fields, _ = read_reply(client, body=False)
    assert (status, fields["Allow"]) == (405, "GET")
    ws = Socket(client, fields="Origin: https://a\r\nSec-WebSocket-Protocol: c, a, b\r\n")
    assert b"Sec-WebSocket-Protocol: a\r\n" in ws.head, "and the connection went on till here"
    assert ws.ask(b"x") == b"x"


def test_packed_messages(start):
    daemon = start({"a": sockets(deflate="yes", max_message="100K"), "b": sockets()})
    offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n"
    assert b"Extensions" not in Socket(daemon.connect("b"), fields=offer).head
    ws = Socket(daemon.connect("a"), fields=offer)
    assert b"server_max_window_bits=10" in ws.head

    def pack(data):
        packer = zlib.compressobj(wbits=-15)
        return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]

    text = b"".join(b"line %d\n" % i for i in range(5000))
    packed = pack(text)
    ws.say(TEXT, packed[:100], last=False, packed=True).say(CONTINUATION, packed[100:])
    (kind, payload) = ws.hear()
    assert kind == (TEXT, 0x40) and len(payload) < len(text) / 2
    assert zlib.decompressobj(wbits=-10).decompress(payload + b"\0\0\xff\xff") == text
    assert ws.ask(b"too short to pack") == b"too short to pack"
    ws.say(BINARY, pack(bytes(100 * 1024)), packed=True)
    assert ws.hear()[0] == (BINARY, 0x40)
    assert ws.say(BINARY, pack(bytes(100 * 1024 + 1)), packed=True).closed() == 1009
    ws = Socket(daemon.connect("a"), fields=offer)
    assert ws.say(TEXT, pack(b"\xff"), packed=True).closed() == 1007


# ---- ends ----


@pytest.mark.parametrize("code", [None, 1000, 1001, 3000, 4999])
def test_a_close_is_answered_behind_the_replies(start, code):
    daemon = start({"a": pool(program("nap.py"), protocol="websocket", concurrency=1)})
    ws = Socket(daemon.connect())
    behind = said(TEXT, b"50 y") if code is None else b""  # what nobody looks at any more
    ws.client.send(said(TEXT, b"50 x") + said(CLOSE, close(code)) + behind)
    assert ws.hear()[0] == TEXT
    assert ws.closed() == code
    if behind:
        ws.client.close()
    wait_for(lambda: daemon.service()["connections"] == 0, "it is gone", 1)
    assert daemon.counters()["requests"] == 1


def test_refusals_close(start):
    """The code says why, behind earlier replies; later ones are not sent."""
    napper = program("nap.py")
    daemon = start({
        "line": pool(program("upper.py"), protocol="websocket"),
        "late": pool(napper, protocol="websocket", request_timeout="50ms"),
        "full": pool(napper, protocol="websocket", queue=1, concurrency=1),
        "short": sockets(max_message="10B"),
        "slow": sockets(message_timeout="50ms"),
    })
    ws = Socket(daemon.connect("line")).say(TEXT, b"a").say(TEXT, b"b\nc").say(TEXT, b"d")
    assert ws.hear() == (TEXT, b"A")
    assert (ws.closed(), ws.reason) == (1007, b"bad")
    ws = Socket(daemon.connect("late")).say(TEXT, b"9000 x")
    assert (ws.closed(), ws.reason) == (1011, b"timeout")
    ws = Socket(daemon.connect("full"))
    ws.client.send(said(TEXT, b"100 x") * 3)
    assert [ws.hear()[0] for _ in range(2)] == [TEXT, TEXT]
    assert (ws.closed(), ws.reason) == (1013, b"busy")
    ws = Socket(daemon.connect("short")).say(TEXT, b"0123456789")
    assert ws.hear() == (TEXT, b"0123456789")
    assert ws.say(TEXT, b"01234", last=False).say(CONTINUATION, b"567890").closed() == 1009
    assert Socket(daemon.connect("slow")).say(TEXT, b"x", last=False).closed() == 1008
    assert daemon.counters("slow")["slow_cut"] == 1
    counts = {name: daemon.counters(name) for name in ("line", "late", "full", "short")}
    assert counts["line"]["bad"] == counts["late"]["timeout"] == counts["full"]["busy"] == 1
    assert counts["short"]["too_large"] == 1


def test_a_reply_that_is_no_text_is_the_programs_fault(start):
    daemon = start({"a": pool("sed -u 's/.*/\\xff/'", protocol="websocket")})
    ws = Socket(daemon.connect()).say(BINARY, b"x")
    assert ws.hear() == (BINARY, b"\xff")
    assert ws.say(TEXT, b"x").closed() == 1011
    assert daemon.counters()["failed"] == 1


def test_a_half_close_gets_its_replies(start):
    daemon = start({"a": pool(program("nap.py"), protocol="websocket")})
    ws = Socket(daemon.connect()).say(TEXT, b"50 x")
    ws.client.finish_sending()
    assert ws.hear()[0] == TEXT
    assert ws.client.rest() == b"", "it left without a Close, and is left without one"


def test_a_stop_says_so(start):
    daemon = start({"a": pool(program("nap.py"), protocol="websocket")})
    mute, idle = Socket(daemon.connect()), Socket(daemon.connect())
    assert idle.say(TEXT, b"0 x").hear()[0] == TEXT
    busy = Socket(daemon.connect()).say(TEXT, b"200 x")
    wait_for(lambda: daemon.counters()["requests"] == 2, "it is asked")
    daemon.send_signal(15)
    assert mute.closed() == idle.closed() == 1001
    assert busy.hear()[0] == TEXT
    assert busy.closed() == 1001
    for ws in (mute, idle, busy):
        ws.client.close()
    daemon.wait_exit()


def test_an_address_may_say_so_much(start):
    daemon = start({"a": sockets(rate=3)})
    ws = Socket(daemon.connect())
    ws.client.send(said(TEXT, b"x") * 50)
    heard = 0
    while (frame := ws.hear()) == (TEXT, b"x"):
        heard += 1
    assert frame == (CLOSE, close(1008)) and heard < 10


def test_a_service_that_is_removed_says_so(start):
    """At once, also where nothing was said yet: the handshake was the first request."""
    daemon = start({"a": sockets(), "other": echo()})
    mute, idle, partial = (Socket(daemon.connect("a")) for _ in range(3))
    assert idle.ask(b"x") == b"x"
    partial.say(TEXT, b"a", last=False).say(PING)
    assert partial.hear() == (PONG, b"")
    daemon.configure({"a": None})
    assert daemon.reload()["ok"]
    assert mute.closed() == idle.closed() == 1001
    assert partial.say(CONTINUATION, b"b").hear() == (TEXT, b"ab"), "which is waited for"
    assert partial.closed() == 1001


# ---- silence ----


def test_silence_is_asked_about(start):
    daemon = start({"a": sockets(ping_interval="100ms"), "b": sockets(idle_timeout="100ms")})
    ws = Socket(daemon.connect("a"))
    for _ in range(3):
        assert ws.hear() == (PING, b"")
        ws.say(PONG)
    assert ws.ask(b"x") == b"x"
    assert ws.hear() == (PING, b""), "and again"
    assert ws.closed() == 1001, "this one was not answered"
    assert daemon.counters("a")["idle_cut"] == 1
    # A ping that would come later than that is none.
    assert Socket(daemon.connect("b")).closed() == 1001
    assert daemon.counters("b")["idle_cut"] == 1


def test_a_slow_message_has_one_time(start):
    """However many parts come: each frame, each ping would be a sign of life."""
    daemon = start({"a": sockets(message_timeout="300ms")})
    ws = Socket(daemon.connect()).say(TEXT, b"x", last=False)

    def goes_on():
        ws.say(CONTINUATION, b"y", last=False)
        return not ws.client.is_silent(0.02)

    wait_for(goes_on, "it is told", timeout=2)
    assert ws.closed() == 1008


# ---- moves ----


def test_a_message_moves_in_the_middle(start):
    """Between any two bytes of it, packed or not; and what was agreed on moves along."""
    daemon = start({"a": sockets(deflate="yes", ping_interval="0"), "other": echo()})
    offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    clients = [Socket(daemon.connect(), fields=offer if i % 2 else "") for i in range(16)]
    packer = zlib.compressobj(wbits=-15)
    long = b"long " * 20
    packed = (packer.compress(long) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    wholes = [said(TEXT, b"ab\xc3", last=False) + said(CONTINUATION, b"\xa9cd"),
              said(TEXT, packed[:10], last=False, packed=True) + said(CONTINUATION, packed[10:])]
    for number, ws in enumerate(clients):
        ws.client.send(wholes[number % 2][:1 + number])
    for number in range(3):
        daemon.configure({"other": {"pipeline": 100 + number}})
        assert daemon.reload()["ok"]
        daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)
        for at, ws in enumerate(clients):
            part = slice(1 + at + number, 2 + at + number)
            ws.client.send(wholes[at % 2][part])
    for number, ws in enumerate(clients):
        ws.client.send(wholes[number % 2][4 + number:])
        kind, payload = ws.hear()
        if number % 2:
            payload = zlib.decompressobj(wbits=-15).decompress(payload + b"\0\0\xff\xff")
        assert payload == (long if number % 2 else "abécd".encode())
        assert kind == ((TEXT, 0x40) if number % 2 else TEXT)
    assert daemon.counters("a")["closed"] == 0
    assert not daemon.log_lines("makes no sense")


def test_an_upgrade_keeps_websockets(start):
    daemon = start({"a": sockets(), "web": echo(protocol="http", path="/web")})
    clients = [Socket(daemon.connect("a")) for _ in range(20)]
    for ws in clients:
        assert ws.ask(b"before") == b"before"
    before = daemon.status()["generation"]
    assert daemon.request("upgrade")["ok"]
    daemon.wait_status(lambda s: s["generation"] > before and len(s["generations"]) == 1,
                       "the new ones alone", 15 * harness.SCALE)
    for ws in clients:
        assert ws.ask(b"after") == b"after"
    assert daemon.counters("a")["closed"] == 0
