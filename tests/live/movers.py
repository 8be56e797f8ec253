"""Clients for the tests of moves: each knows every byte that it may ever receive.

One thread serves them all without waiting for any. What a client says goes out as fast as it
wants, a byte at a time or not at all, and it reads or does not. Anything but the bytes that are
owed, in their order, and any end before its time, is told at once.
"""

import contextlib
import selectors
import socket
import struct
import threading
import time

import harness
import websocket_peer


class Wire:
    """A protocol: how a message is written, and how a reply to it."""

    opening, opened = b"", b""  # what comes before all messages, and is answered with

    def __init__(self, keys, reply=lambda text: text):
        self.keys, self.reply = keys, reply

    def message(self, text, number):
        return text + b"\n"

    def answer(self, text, number):
        return self.message(self.reply(text), number)


class Stream(Wire):
    """Whatever comes goes back: there are no messages."""

    def message(self, text, number):
        return text


class Frame(Wire):
    def message(self, text, number):
        return harness.frame(text)


class Ids(Wire):
    """Replies may come in any order, so a client asks one message at a time."""

    def message(self, text, number):
        return harness.frame(struct.pack(">I", number) + text)

    def answer(self, text, number):
        return harness.frame(struct.pack(">IB", number, 0) + self.reply(text))


class WebSocket(Wire):
    """Each message in two frames."""

    opening, opened = websocket_peer.handshake(), websocket_peer.SWITCHED

    def message(self, text, number):
        half = len(text) // 2
        return (websocket_peer.said(websocket_peer.TEXT, text[:half], last=False) +
                websocket_peer.said(websocket_peer.CONTINUATION, text[half:]))

    def answer(self, text, number):
        return websocket_peer.heard(websocket_peer.TEXT, self.reply(text))


class Peer:
    """One client. `pace`: bytes that go out in a round; None for as many as there is room for."""

    def __init__(self, address, wire, name, pace=None):
        self.wire, self.name, self.pace = wire, name, pace
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(10 * harness.SCALE)
        harness.wait_for(lambda: self.connected(address), f"room to connect to {address}")
        self.socket.setblocking(False)
        self.unsent, self.owed = wire.opening, wire.opened
        self.number = self.replies = 0
        self.reads = True
        self.finishes = False  # the sending side is shut when all is sent
        self.asks = False      # again as soon as everything was answered
        self.ended = False

    def connected(self, address):
        try:
            self.socket.connect(address)
        except BlockingIOError:  # of a unix socket: a full backlog
            return False
        return True

    def say(self, text):
        self.number += 1
        self.unsent += self.wire.message(text, self.number)
        self.owed += self.wire.answer(text, self.number)

    def is_done(self):
        return not self.unsent and not self.owed and (self.ended or not self.finishes)

    def wants(self):
        wants = selectors.EVENT_READ if self.reads and not self.ended else 0
        return wants | (selectors.EVENT_WRITE if self.unsent and self.pace is None else 0)

    def send(self, most=None):
        with contextlib.suppress(BlockingIOError):
            sent = self.socket.send(self.unsent[:most])
            self.unsent = self.unsent[sent:]
        if self.finishes and not self.unsent:
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self):
        data = self.socket.recv(1 << 16)
        assert self.owed.startswith(data), (
            f"{self.name} got {data[:80]!r}, {self.owed[:80]!r} is owed")
        if not data:
            assert self.finishes and not self.owed, f"{self.name} was closed"
            self.ended = True
        self.owed = self.owed[len(data):]
        if not self.owed and self.asks:
            self.replies += 1
            self.say(b"%s asks %d" % (self.name.encode(), self.number))


class Movers(threading.Thread):
    """All clients of a test; a round is as long as `beat`."""

    def __init__(self, beat=0.02):
        super().__init__(daemon=True)
        self.beat, self.peers, self.failure = beat, [], None
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.selector = selectors.DefaultSelector()

    def add(self, address, *arguments, **keys):
        peer = Peer(address, *arguments, **keys)
        self.peers.append(peer)
        return peer

    def run(self):
        try:
            due = time.monotonic()
            while not self.stopping.is_set():
                with self.lock:
                    if time.monotonic() >= due:
                        self.round()
                        due = time.monotonic() + self.beat
                    self.turn()
        except Exception as error:  # told by check()
            self.failure = error

    def watch(self, peer):
        known = self.selector.get_map().get(peer.socket.fileno())
        wants = peer.wants()
        if not wants and known:
            self.selector.unregister(peer.socket)
        elif wants and not known:
            self.selector.register(peer.socket, wants, peer)
        elif wants and known.events != wants:
            self.selector.modify(peer.socket, wants, peer)

    def round(self):
        for peer in self.peers:
            if peer.pace is not None and peer.unsent:
                peer.send(peer.pace)
            self.watch(peer)

    def turn(self):
        for key, events in self.selector.select(0.005):
            if events & selectors.EVENT_WRITE:
                key.data.send()
            if events & selectors.EVENT_READ:
                key.data.receive()
            self.watch(key.data)

    # -- for the test --

    def change(self, change):
        """Calls change(peer) for each between two turns."""
        with self.lock:
            for peer in self.peers:
                change(peer)

    def check(self):
        if self.failure:
            raise self.failure

    def finish(self, timeout=20.0):
        """Everybody reads, sends what is left, and is answered."""
        def ends(peer):
            peer.asks, peer.reads, peer.pace = False, True, None

        self.change(ends)
        harness.wait_for(lambda: self.failure or all(peer.is_done() for peer in self.peers),
                         "all that is owed", timeout)
        self.check()

    def close(self):
        self.stopping.set()
        if self.ident is not None:  # a test that was skipped had not started it
            self.join(10)
        for peer in self.peers:
            peer.socket.close()
        self.selector.close()
