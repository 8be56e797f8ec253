"""What a client of a WebSocket says and hears, byte by byte (RFC 6455)."""

import os
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SWITCHED = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n\r\n")


def handshake(target="/", fields="", host="a"):
    return (f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
            f"{fields}\r\n").encode()


def mask(data, key):
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(data))


def said(opcode, payload=b"", last=True, packed=False):
    """A frame of a client."""
    first = opcode | (0x80 if last else 0) | (0x40 if packed else 0)
    length = len(payload)
    head = (bytes([first, 0x80 | length]) if length < 126 else
            struct.pack(">BBH", first, 0xfe, length) if length < 65536 else
            struct.pack(">BBQ", first, 0xff, length))
    key = os.urandom(4)
    return head + key + mask(payload, key)


def heard(opcode, payload=b""):
    """A frame of a server, as it must be."""
    length = len(payload)
    head = (bytes([0x80 | opcode, length]) if length < 126 else
            struct.pack(">BBH", 0x80 | opcode, 126, length) if length < 65536 else
            struct.pack(">BBQ", 0x80 | opcode, 127, length))
    return head + payload


def close(code=None):
    return b"" if code is None else struct.pack(">H", code)


class Socket:
    """A WebSocket on a client of the harness."""

    def __init__(self, client, **keys):
        self.client = client
        client.send(handshake(**keys))
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += client.take(1)
        assert self.head.startswith(b"HTTP/1.1 101 "), self.head

    def say(self, *arguments, **keys):
        self.client.send(said(*arguments, **keys))
        return self

    def hear(self):
        """The next frame: its opcode and payload; with a reserved bit it is told as (opcode, bit)."""
        first, length = self.client.take(2)
        assert first & 0x80, "a server has no reason to split messages"
        if length == 126:
            length, = struct.unpack(">H", self.client.take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.client.take(8))
        payload = self.client.take(length)
        return (first & 15, payload) if not first & 0x70 else ((first & 15, first & 0x70), payload)

    def ask(self, text):
        self.say(TEXT, text)
        opcode, payload = self.hear()
        assert opcode == TEXT, (opcode, payload)
        return payload

    def closed(self):
        """The code of the Close that comes, behind which nothing comes; None: it has none. Its
        reason is in `reason`."""
        opcode, payload = self.hear()
        assert opcode == CLOSE, (opcode, payload)
        assert self.client.rest() == b""
        self.reason = payload[2:]
        return struct.unpack(">H", payload[:2])[0] if payload else None
