"""The exchanges of tests/websockets.txt with the daemon: whole and byte by byte."""

import itertools
import pathlib
import re
import socket
import struct
import zlib

import pytest

from harness import echo
from wire import expand

TABLE = pathlib.Path(__file__).resolve().parent.parent / "websockets.txt"
SERVICES = {
    "echo": {"max_message": "1000B"},
    "big": {"max_message": "64K"},
    "deflate": {"max_message": "1000B", "deflate": "yes"},
    "rules": {"max_message": "1000B", "subprotocols": "chat superchat",
              "origins": "http://good.example https://good.example:8443"},
}
KINDS = {"text": 1, "bin": 2, "cont": 0, "ping": 9, "pong": 10, "close": 8}
TEXT, CLOSE = 1, 8
FRAME = re.compile(r"(?:(?P<times>\d+)\*)?(?:(?P<kind>[a-z]+?)|op(?P<number>\d+))"
                   r"(?P<marks>(?:[-!&z]|[~@<^]\d+)*)=(?P<payload>.*)")
ANSWER = re.compile(r"(?:(?P<times>\d+)\*)?(?P<maybe>\??)(?:(?P<status>\d+)(?:\[(?P<fields>.*)\])?"
                    r"|(?P<kind>[a-z]+?)(?P<deflated>z?)=(?P<payload>.*))")
# Of what is longer, the middle goes at once: a byte at a time it would only take long.
BYTEWISE_MAX = 2000
BYTEWISE_ENDS = 500

keys = itertools.count(0x37fa213d, 0x01010107)


# ---- the table ----


def deflate(data):
    """Without the end of the flush; nothing at all is a byte of zeroes: RFC 7692, 7.2.3.6."""
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4] or b"\0"


def inflate(data):
    return zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")


def masked(payload, key):
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def build_frame(word):
    """The bytes of a word such as text-^1=hello."""
    found = FRAME.fullmatch(word)
    assert found, word
    kind = int(found["number"]) if found["number"] else KINDS[found["kind"]]
    marks = re.findall(r"([-!&z~@<^])(\d*)", found["marks"])
    numbers = {mark: int(number) for mark, number in marks if mark in "~@<"}
    flags = {mark for mark, _ in marks}
    payload = found["payload"]
    code = re.match(r"(\d+),?", payload) if kind == CLOSE else None
    if code:
        payload = struct.pack(">H", int(code[1])) + expand(payload[code.end():])
    else:
        payload = expand(payload)
    payload = deflate(payload) if "z" in flags else payload
    first = (0 if "-" in flags else 0x80) | kind | (0x40 if "z" in flags else 0)
    for mark, number in marks:
        first |= 0x80 >> int(number) if mark == "^" else 0
    length = numbers.get("@", len(payload))
    bits = numbers.get("~", 7 if length < 126 else 16 if length < 65536 else 64)
    mask_bit = 0 if "!" in flags else 0x80
    if bits == 7:
        head = bytes([first, mask_bit | length])
    else:
        head = struct.pack(">BB" + {16: "H", 64: "Q"}[bits], first,
                           mask_bit | {16: 126, 64: 127}[bits], length)
    if "!" not in flags:
        key = bytes(4) if "&" in flags else struct.pack(">I", next(keys) & 0xffffffff)
        head, payload = head + key, masked(payload, key)
    return (head + payload)[:numbers.get("<")] * int(found["times"] or 1)


def words(text):
    return re.findall(r"[^ \[]*\[[^\]]*\]|[^ ]+", text)


def build(text):
    return b"".join(expand(word[1:-1]) if word[0] == "[" else build_frame(word)
                    for word in words(text))


def read_answers(text):
    *answers, end = words(text)
    found = [ANSWER.fullmatch(word) for word in answers]
    assert all(found) and end in "+.?", text
    return [answer for answer in found for _ in range(int(answer["times"] or 1))], end


def exchanges():
    """Line, service, the handshake in front, what is sent, the answers, and what follows them."""
    service = opening = None
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if line.startswith("@"):
            _, service, *rest = words(line)
            opening = build(rest[0]) if rest else b""
        elif line and line[0] != "#":
            answers, sent = line.split(" ::", 1)
            yield number, service, opening, sent, *read_answers(answers)


# ---- talking ----


class Peer:
    """A client with what it has heard. One that goes on behind its own Close may be reset."""

    def __init__(self, client, may_be_reset):
        self.client = client
        self.may_be_reset = may_be_reset
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened = self.may_deflate = False
        self.next = None

    def send(self, data, bytewise):
        lengths = [len(data)]
        if bytewise and len(data) <= BYTEWISE_MAX:
            lengths = [1] * len(data)
        elif bytewise:
            ends = [1] * BYTEWISE_ENDS
            lengths = ends + [len(data) - 2 * BYTEWISE_ENDS] + ends
        at = 0
        try:
            for length in lengths:
                self.client.send(data[at:at + length])
                at += length
        except ConnectionError:
            assert self.may_be_reset, "reset while it was sending"

    def reply(self):
        """Status, fields and whether it is the last."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.client.take(1)
        lines = head.decode().split("\r\n")[:-2]
        assert re.fullmatch(r"HTTP/1\.1 \d{3} [\w ']+", lines[0]), lines[0]
        fields = dict(line.split(": ", 1) for line in lines[1:])
        status = int(lines[0].split()[1])
        if status == 101:
            assert (fields["Upgrade"], fields["Connection"]) == ("websocket", "Upgrade"), fields
            assert "Sec-WebSocket-Accept" in fields
            self.opened = True
            self.may_deflate = "permessage-deflate" in fields.get("Sec-WebSocket-Extensions", "")
        else:
            self.client.take(int(fields.get("Content-Length", 0)))
        return status, lines[1:], fields

    def frame(self):
        """Kind, payload and whether it came deflated; None at the end of the stream."""
        if self.next is None:
            self.next = self.read_frame()
        return self.next

    def read_frame(self):
        if not self.client.pending and not self.client.more():
            return None
        first, second = self.client.take(2)
        size, least = second, 0
        if second >= 126:
            form, least = {126: (">H", 126), 127: (">Q", 65536)}[second]
            size, = struct.unpack(form, self.client.take(struct.calcsize(form)))
        kind, deflated = first & 15, bool(first & 0x40)
        assert first & 0xb0 == 0x80 and kind in (1, 2, 8, 9, 10), f"{first:#x} begins no frame"
        assert least <= size and (kind < 8 or size < 126), f"{kind} of {size} bytes"
        assert not deflated or (self.may_deflate and kind < 8), "it comes deflated"
        payload = self.client.take(size)
        payload = inflate(payload) if deflated else payload
        if kind == TEXT:
            payload.decode()
        if kind == CLOSE and payload:
            assert 1000 <= struct.unpack(">H", payload[:2])[0] < 5000
            payload[2:].decode()
        return kind, payload, deflated

    def rest(self):
        """What comes behind all answers until the end: nothing, but a Close may."""
        if self.opened:
            last = self.frame()
            assert last is None or last[0] == CLOSE, last
            self.next = None
        self.end()

    def end(self):
        try:
            assert self.client.rest() == b"", "more was said"
        except ConnectionError:
            assert self.may_be_reset, "reset at the end"


def is_answer(frame, answer):
    if frame is None or frame[0] != KINDS[answer["kind"]] or (answer["deflated"] and not frame[2]):
        return False
    if answer["kind"] == "close":
        code = frame[1][:2]
        wanted = struct.pack(">H", int(answer["payload"])) if answer["payload"] else b""
        return code == wanted or (wanted == b"" and code == struct.pack(">H", 1000))
    return frame[1] == expand(answer["payload"])


def check_fields(answer, lines, fields):
    wanted = expand(answer["fields"] or "").decode().split("\r\n")[:-1]
    for line in wanted:
        if line.startswith("-"):
            assert line[1:] not in fields, fields
        else:
            assert line in lines, f"{line!r} is not in {lines}"


def check_answers(peer, answers, end):
    for place, answer in enumerate(answers, 1):
        if answer["status"]:
            status, lines, fields = peer.reply()
            assert status == int(answer["status"])
            check_fields(answer, lines, fields)
            last = end == "." and place == len(answers)
            assert ("Connection: close" in lines) == last
        elif is_answer(peer.frame(), answer):
            peer.next = None
        else:
            assert answer["maybe"], f"wanted {answer[0]}, got {peer.frame()}"


def check_end(peer, end, behind_opened):
    """What comes behind the last answer."""
    if end == "+":
        if behind_opened:
            kind, payload, _ = peer.frame()
            assert (kind, payload) == (TEXT, b"behind")
            peer.next = None
        else:
            assert peer.reply()[0] == 101
            peer.opened = True
    if end == ".":
        peer.end()
        return
    peer.client.finish_sending()
    if end == "?" and not peer.opened:
        status, lines, _ = peer.reply()
        assert status == 400 and "Connection: close" in lines
    peer.rest()


def try_exchange(client, opening, sent, answers, end, bytewise):
    peer = Peer(client, bytewise and " close" in sent)
    if opening:
        peer.send(opening, False)
        assert peer.reply()[0] == 101
    opens = bool(opening) or any(answer["status"] == "101" for answer in answers)
    behind = {True: build_frame("text=behind"), False: expand("$W|")}[opens]
    # Who has been told the end and goes on byte by byte may be reset: it says no more.
    more = behind if end == "+" or (end == "." and not bytewise) else b""
    peer.send(build(sent) + more, bytewise)
    check_answers(peer, answers, end)
    check_end(peer, end, opens)


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "byte by byte"])
def test_exchanges(start, bytewise):
    common = {"protocol": "websocket", "pipeline": 4, "max_target": "100B", "max_head": "2000B"}
    services = {name: echo(**common, **keys) for name, keys in SERVICES.items()}
    daemon = start({**services, "web": echo(protocol="http", path="/web")})
    assert daemon.address("web") == daemon.address("echo")
    tried = 0
    for number, service, opening, sent, answers, end in exchanges():
        client = daemon.connect(service)
        try:
            try_exchange(client, opening, sent, answers, end, bytewise)
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{TABLE.name}:{number}: {error}") from error
        client.close()
        tried += 1
    assert tried > 600
    for name in SERVICES:
        assert daemon.service(name)["connections"] == 0
