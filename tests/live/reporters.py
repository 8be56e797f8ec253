"""Clients that send numbered messages to be collected, remember which were acknowledged, and then
look for them: what is in the files must be whole, in the order of its client, and never twice.
"""

import collections
import hashlib
import socket
import struct
import threading
import time

import harness


def message(client, number):
    """A message that tells whose it is and whether it is whole; of many lengths."""
    head = b"%d %d " % (client, number)
    seed = hashlib.sha1(head).hexdigest().encode()
    return head + seed * (1 + (number * 7 + client) % 40)


class Reporter(threading.Thread):
    """One client with up to `depth` messages under way; begins anew when it is cut off."""

    def __init__(self, group, number):
        super().__init__(daemon=True)
        self.group, self.number = group, number
        self.acknowledged, self.errors = set(), collections.Counter()
        self.sent = self.broken = 0

    def run(self):
        while not self.group.over.is_set():
            try:
                self.talk()
            except OSError:
                self.broken += 1
                time.sleep(0.002)  # the pace of trying again

    def talk(self):
        with socket.create_connection(self.group.address, 5 * harness.SCALE) as connection:
            received, owed = b"", collections.deque()
            connection.settimeout(10 * harness.SCALE)
            while owed or not self.group.over.is_set():
                while len(owed) < self.group.depth and not self.group.over.is_set():
                    self.sent += 1
                    owed.append(self.sent)
                    connection.sendall(self.group.pack(message(self.number, self.sent)))
                if not owed:
                    return
                data = connection.recv(1 << 16)
                if not data:
                    raise ConnectionError("closed")
                received += data
                replies, received = self.group.unpack(received)
                for reply in replies:
                    number = owed.popleft()
                    if reply == b"OK":
                        self.acknowledged.add(number)
                    else:
                        self.errors[reply] += 1


class Reporters:
    """Several of them at once."""

    def __init__(self, address, clients=8, depth=4, protocol="line"):
        self.address, self.depth, self.protocol = address, depth, protocol
        self.over = threading.Event()
        self.all = [Reporter(self, number) for number in range(clients)]
        for reporter in self.all:
            reporter.start()

    def pack(self, data):
        return data + b"\n" if self.protocol == "line" else harness.frame(data)

    def unpack(self, data):
        if self.protocol == "line":
            *replies, rest = data.split(b"\n")
            return replies, rest
        replies = []
        while len(data) >= 4 and len(data) >= 4 + struct.unpack(">I", data[:4])[0]:
            length = struct.unpack(">I", data[:4])[0]
            replies.append(data[4:4 + length])
            data = data[4 + length:]
        return replies, data

    def count(self):
        return sum(len(reporter.acknowledged) for reporter in self.all)

    def errors(self):
        return sum((reporter.errors for reporter in self.all), collections.Counter())

    def broken(self):
        return sum(reporter.broken for reporter in self.all)

    def wait(self, more, timeout=10.0):
        """Until so many more were acknowledged."""
        want = self.count() + more
        harness.wait_for(lambda: self.count() >= want, f"{more} more acknowledged", timeout)

    def stop(self):
        self.over.set()
        for reporter in self.all:
            reporter.join(20 * harness.SCALE)
            assert not reporter.is_alive(), "a client is stuck"

    def check(self, *paths):
        """The files in the order in which they were written. Returns how many records they have."""
        found = {reporter.number: [] for reporter in self.all}
        for path in paths:
            for client, numbers in self.read(path).items():
                found[client] += numbers
        for reporter in self.all:
            numbers = found[reporter.number]
            assert numbers == sorted(set(numbers)), f"client {reporter.number}: order or twice"
            missing = sorted(reporter.acknowledged - set(numbers))
            assert not missing, f"client {reporter.number}: acknowledged, but gone: {missing[:9]}"
        return sum(len(numbers) for numbers in found.values())

    def read(self, path):
        """The numbers that a file has of each client."""
        found = {reporter.number: [] for reporter in self.all}
        for record in records(path, self.protocol):
            client, number = (int(word) for word in record.split(b" ", 2)[:2])
            assert record == message(client, number), f"{path}: torn: {record[:80]!r}"
            found[client].append(number)
        return found

    def check_unordered(self, paths):
        """The same of files that replaced each other while records were under way to several."""
        found = {reporter.number: set() for reporter in self.all}
        for path in paths:
            for client, numbers in self.read(path).items():
                assert numbers == sorted(set(numbers)), f"{path}: order"
                assert not found[client] & set(numbers), f"{path}: twice"
                found[client] |= set(numbers)
        for reporter in self.all:
            missing = sorted(reporter.acknowledged - found[reporter.number])
            assert not missing, f"client {reporter.number}: acknowledged, but gone: {missing[:9]}"


def records(path, protocol="line"):
    """What is in a file; fails where it is not whole."""
    data = path.read_bytes()
    if protocol == "line":
        assert data == b"" or data.endswith(b"\n"), f"{path} ends with {data[-40:]!r}"
        return data.split(b"\n")[:-1]
    found, at = [], 0
    while at < len(data):
        assert at + 4 <= len(data), f"{path}: a head is torn"
        length = struct.unpack(">I", data[at:at + 4])[0]
        assert at + 4 + length <= len(data), f"{path}: a frame is torn"
        found.append(data[at + 4:at + 4 + length])
        at += 4 + length
    return found


def parts(path):
    """The files that a rotated one has become, oldest first, then the file itself."""
    return sorted(path.parent.glob(path.name + ".2*")) + [path]
