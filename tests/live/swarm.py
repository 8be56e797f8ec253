"""Many clients in one thread, each checking every reply it gets.

A client sends one message, waits for the reply, compares it, and sends the next. What can go wrong
is counted apart: a wrong reply, one too many (duplicate), an error reply by its text, a connection
that broke under an exchange, one that was refused, and an exchange that took longer than `limit`.
"""

import collections
import os
import selectors
import socket
import threading
import time

import harness


class Member:
    """One client with at most one message under way."""

    def __init__(self, number):
        self.number = number
        self.socket = None
        self.sequence = 0
        self.expected = None  # the reply that is owed
        self.unsent = b""
        self.received = b""
        self.since = 0.0  # when the message was sent
        self.answered = 0


class Swarm(threading.Thread):
    def __init__(self, address, clients, expect=bytes.upper, limit=10.0, per_client=None):
        super().__init__(daemon=True)
        self.address, self.expect, self.limit = address, expect, limit * harness.SCALE
        self.per_client = per_client  # messages of each client; None: until finish()
        self.members = [Member(number) for number in range(clients)]
        self.selector = selectors.DefaultSelector()
        self.stopping = threading.Event()
        self.failure = None
        self.right = self.wrong = self.duplicate = self.broken = self.refused = self.overdue = 0
        self.reconnected = 0
        self.waits = []  # seconds from each right reply's message to the reply
        self.errors = collections.Counter()
        self.samples = []  # the first few things that went wrong, for people

    # -- for the test --

    def finish(self):
        """Waits for the end of the messages, or of the exchange under way; then returns itself."""
        if self.per_client is None:
            self.stopping.set()
        self.join(60 * harness.SCALE)
        assert not self.is_alive(), "the clients did not come to an end"
        if self.failure:
            raise self.failure
        return self

    def counts(self):
        return {"right": self.right, "wrong": self.wrong, "duplicate": self.duplicate,
                "broken": self.broken, "refused": self.refused, "overdue": self.overdue,
                "reconnected": self.reconnected, **self.errors}

    def percentile(self, part):
        """How long that part of the right replies took at most, in seconds."""
        return sorted(self.waits)[int(len(self.waits) * part)]

    def check_honest(self):
        """Nothing that must never happen has happened."""
        assert (self.wrong, self.duplicate, self.overdue, self.refused) == (0, 0, 0, 0), (
            self.counts(), self.samples)

    def check_clean(self):
        self.check_honest()
        assert not self.broken and not self.errors, (self.counts(), self.samples)

    def wait_round(self, timeout=10.0):
        """Waits until every client has been answered twice more: what was under way is over."""
        goals = [(m, m.answered + 2) for m in self.members]
        harness.wait_for(lambda: not self.is_alive() or all(m.answered >= n for m, n in goals),
                         "an answer for every client", timeout)
        if self.failure:
            raise self.failure

    # -- the thread --

    def run(self):
        try:
            for member in self.members:
                self.connect(member)
            while not self.is_done():
                for key, events in self.selector.select(0.05):
                    self.on_event(key.data, events)
                self.find_overdue()
        except Exception as error:  # told by finish()
            self.failure = error
        finally:
            for member in self.members:
                if member.socket:
                    member.socket.close()
            self.selector.close()

    def is_done(self):
        if self.per_client is not None:
            return all(m.sequence >= self.per_client and not m.expected for m in self.members)
        return self.stopping.is_set() and not any(m.expected for m in self.members)

    def note(self, member, what):
        if len(self.samples) < 20:
            self.samples.append(f"client {member.number}, message {member.sequence}: {what}")

    def connect(self, member):
        member.socket = socket.socket(
            socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        member.socket.setblocking(False)
        member.received = member.unsent = b""
        try:
            member.socket.connect(self.address)
        except BlockingIOError:
            pass
        except OSError as error:
            self.refused += 1
            self.note(member, f"connect: {error}")
        self.selector.register(member.socket, selectors.EVENT_WRITE, member)

    def reconnect(self, member):
        self.selector.unregister(member.socket)
        member.socket.close()
        member.expected = None
        self.reconnected += 1
        self.connect(member)

    def send_next(self, member):
        if self.stopping.is_set() or member.sequence == self.per_client:
            self.watch(member, selectors.EVENT_READ)
            return
        member.sequence += 1
        text = b"client %d message %d %s" % (
            member.number, member.sequence, os.urandom(6).hex().encode())
        member.expected, member.since = self.expect(text), time.monotonic()
        member.unsent = text + b"\n"
        self.flush(member)

    def flush(self, member):
        sent = member.socket.send(member.unsent)
        member.unsent = member.unsent[sent:]
        self.watch(member, selectors.EVENT_WRITE if member.unsent else selectors.EVENT_READ)

    def watch(self, member, events):
        self.selector.modify(member.socket, events, member)

    def on_event(self, member, events):
        try:
            if events & selectors.EVENT_WRITE:
                self.on_writable(member)
            else:
                self.on_readable(member)
        except ConnectionRefusedError as error:
            self.refused += 1
            self.note(member, str(error))
            self.reconnect(member)
        except (ConnectionError, EOFError) as error:
            if member.expected:
                self.broken += 1
                self.note(member, f"broken: {error!r}")
            self.reconnect(member)

    def on_writable(self, member):
        error = member.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        if member.unsent:
            self.flush(member)
        else:
            self.send_next(member)

    def on_readable(self, member):
        data = member.socket.recv(65536)
        if not data:
            raise EOFError
        member.received += data
        if b"\n" not in member.received:
            return
        line, member.received = member.received.split(b"\n", 1)
        self.on_reply(member, line)

    def on_reply(self, member, line):
        if not member.expected or member.received:
            self.duplicate += 1
            self.note(member, f"got {line!r} and {member.received!r} too many")
        elif line == member.expected:
            self.right += 1
            self.waits.append(time.monotonic() - member.since)
        elif line.startswith(b"ERR "):
            self.errors[line.decode()] += 1
        else:
            self.wrong += 1
            self.note(member, f"got {line!r} instead of {member.expected!r}")
        member.received, member.expected = b"", None
        member.answered += 1
        self.send_next(member)

    def find_overdue(self):
        now = time.monotonic()
        for member in self.members:
            if member.expected and now - member.since > self.limit:
                self.overdue += 1
                self.note(member, f"no reply for {self.limit:g} s")
                self.reconnect(member)
