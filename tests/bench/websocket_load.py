#!/usr/bin/python3
"""Asks a WebSocket server as hostler-load asks others: connect, one line, its reply, close.

It is for servers that answer some hundred times a second, and prints of hostler-load's JSON what
the bench reads.
"""

import argparse
import json
import os
import re
import socket
import threading
import time

REQUEST = (
    "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Connection:
    def __init__(self, host, port, timeout=10):
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.pending = b""
        self.socket.sendall(REQUEST.encode())
        while b"\r\n\r\n" not in self.pending:
            self.more()
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(head)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self.pending += data

    def ask(self, text):
        """One text frame with less than 126 bytes, masked (RFC 6455, 5.2); returns the reply's text."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
        self.socket.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
        while len(self.pending) < 2 or len(self.pending) < 2 + self.pending[1]:
            self.more()
        return self.pending[2:2 + self.pending[1]]

    def close(self):
        self.socket.close()


class Load:
    def __init__(self, address, size, seconds):
        self.host, self.port = address.rsplit(":", 1)
        self.size = size
        self.end = time.monotonic() + seconds
        self.took, self.wrong = [], 0
        self.lock = threading.Lock()

    def ask(self, text):
        begin = time.monotonic()
        try:
            connection = Connection(self.host, self.port)
            try:
                right = connection.ask(text) == text.upper()
            finally:
                connection.close()
        except OSError:
            right = False
        with self.lock:
            self.took.append(time.monotonic() - begin)
            self.wrong += not right

    def run(self, number):
        count = 0
        while time.monotonic() < self.end:
            count += 1
            self.ask(f"message {number} {count} ".ljust(self.size - 1, "x").encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--duration", default="1000ms", help="as hostler-load wants it: 500ms, 2s")
    parser.add_argument("--expect", choices=["upper"], default="upper")
    parser.add_argument("--new-connection", action="store_true", help="it always does that")
    parser.add_argument("address")
    options = parser.parse_args()
    number, unit = re.fullmatch(r"(\d+)(ms|s)", options.duration).groups()
    load = Load(options.address, options.size, int(number) / (1000 if unit == "ms" else 1))
    begin = time.monotonic()
    threads = [threading.Thread(target=load.run, args=(i,)) for i in range(options.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    took = sorted(load.took)
    count = len(took)
    print(json.dumps({
        "requests": {"outcomes": count, "right": count - load.wrong, "wrong": load.wrong},
        "latency": {"p50": took[count // 2], "p99": took[int(count * 0.99)]},
        "rate": (count - load.wrong) / seconds,
        "seconds": seconds,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
