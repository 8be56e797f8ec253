"""hostlerctl as a test runs it, and a daemon that says whatever it is told to say."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", SOURCE / "build")).resolve()
HOSTLERCTL = BUILD / "hostlerctl"

OK, REFUSED, USAGE, UNREACHABLE = range(4)


def line(value):
    return json.dumps(value).encode() + b"\n"


class FakeDaemon:
    """Listens on `path`; each connection is a call of speak(connection, request line)."""

    def __init__(self, path, speak):
        self.path, self.speak = path, speak
        self.requests = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.is_over.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            # What the client does is looked at from its side.
            with connection, contextlib.suppress(OSError):
                connection.settimeout(20)
                request = self.read(connection)
                if request:  # nothing at all: somebody only looked whether we are there
                    self.requests.append(request)
                    self.speak(connection, request)

    @staticmethod
    def read(connection):
        request = b""
        while not request.endswith(b"\n"):
            data = connection.recv(65536)
            if not data:
                break
            request += data
        return request

    def close(self):
        self.is_over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)
        assert not self.thread.is_alive()

    __enter__ = lambda self: self

    def __exit__(self, *_):
        self.close()


def saying(data):
    return lambda connection, request: connection.sendall(data)


@pytest.fixture
def place():
    """A folder with a short path, where sockets and runtime folders go."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hostlerctl-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def fake(place):
    """fake(bytes or function) starts a daemon and returns it."""
    with contextlib.ExitStack() as stack:
        def start(speak, path=None):
            speak = speak if callable(speak) else saying(speak)
            return stack.enter_context(FakeDaemon(path or place / "control.sock", speak))

        yield start


def environment(place, **more):
    """Nothing of this machine's own daemons."""
    kept = {key: value for key, value in os.environ.items()
            if key not in ("HOSTLER_CONTROL", "XDG_RUNTIME_DIR")}
    return {**kept, "TMPDIR": str(place), **more}


class Ctl:
    """One run of hostlerctl."""

    def __init__(self, *arguments, timeout=30, **options):
        start = time.monotonic()
        done = subprocess.run([HOSTLERCTL, *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout, **options)
        self.seconds = time.monotonic() - start
        self.code, self.out, self.error = (
            done.returncode, done.stdout.decode(), done.stderr.decode())

    def __repr__(self):
        return f"exit {self.code}\n{self.out}\n{self.error}"


def ask(daemon, *arguments, **options):
    return Ctl(*(arguments or ["status"]), "--socket", daemon.path, **options)
