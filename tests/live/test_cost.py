"""What a request costs hostlerd in instructions of user space, which hardly differ between runs.

callgrind counts those of the worker, first with some requests of each kind and then with more of one
kind; the difference is what these cost. The ceilings are about half above what was found when they
were set: a change that reaches one has made every request dearer, and either mends that or says why
and sets it anew. docs/performance.md has the clock's side of it.
"""

import concurrent.futures
import re
import shutil
import signal
import socket
import subprocess

import harness
import pytest
from harness import BUILD, HOSTLERD, Client, Control, echo, parse_address, pool, wait_for

MESSAGE = b"x" * 63 + b"\n"
GET = b"GET /?" + MESSAGE[:-1] + b" HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: keep-alive\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 64\r\n\r\n" + MESSAGE
REPLY = (b"HTTP/1.1 200 OK\r\nServer: hostler\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
         b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n")  # fmt: skip
WARM = 64  # requests of each kind that every run has
MORE = 960  # requests that one of the runs has beside them

GREETING = (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")  # fmt: skip
MASKED = b"\x81\xc0" + bytes(4) + MESSAGE  # a text of 64 bytes, RFC 6455, 5.2

# A request of each kind and how many bytes its reply has; kinds that are not named send MESSAGE.
ASKED = {
    "get": (GET, len(REPLY % 63) + 63),
    "post": (POST, len(REPLY % 64) + 64),
    "websocket": (MASKED, 2 + 64),
}

# Instructions that a request may cost, by service and requests in flight; in the comment, found.
CEILINGS = {
    ("echo", 1): 3600,  # 2400
    ("echo", 16): 1250,  # 830
    ("upper", 1): 9200,  # 6100
    ("upper", 16): 4100,  # 2720
    ("get", 1): 9600,  # 6400
    ("get", 16): 7200,  # 4830
    ("post", 1): 8000,  # 5300
    ("websocket", 1): 6000,  # 4000
    ("websocket", 16): 3350,  # 2240
}


def knows_websocket():
    text = "[service x]\nlisten = 127.0.0.1:0\nprotocol = websocket\nhandler = echo\n"
    return subprocess.run([HOSTLERD, "-t", "-f", "/dev/stdin"], input=text.encode(),
                          capture_output=True).returncode == 0  # fmt: skip


KINDS = [kind for kind in CEILINGS if kind[0] != "websocket" or knows_websocket()]


def is_optimised():
    """Whether the compiler was told to optimise, and to count nothing."""
    try:
        text = (BUILD / "Makefile").read_text()
    except OSError:
        return False
    flags = dict(re.findall(r"^((?:HOSTLER_)?CFLAGS) = (.*)$", text, re.MULTILINE))
    return bool(re.search(r"-O[123s]\b", flags.get("CFLAGS", ""))) and (
        "--coverage" not in flags.get("HOSTLER_CFLAGS", ""))


pytestmark = [
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind"),
    pytest.mark.skipif(harness.SANITIZED, reason="valgrind and sanitizers do not go together"),
    pytest.mark.skipif(not is_optimised(), reason="the ceilings are of an optimised build"),
]


class Counted:
    """A hostlerd under callgrind, with one worker and a program in C."""

    def __init__(self, folder):
        self.folder, self.control = folder, folder / "control"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)  # the worker writes its count there, as nobody when we are root
        harness.write_config(folder / "conf", {
            "echo": echo(),
            "upper": pool(BUILD / "demo-upper", instances=1, concurrency=16),
            **{kind: echo(protocol="websocket" if kind == "websocket" else "http")
               for kind, _ in KINDS if kind in ASKED},
        }, {"workers": 1, "control": self.control})
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out.%p", HOSTLERD,
                 "-f", folder / "conf"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def status(self):
        control = Control(self.control, timeout=30)
        try:
            return control.request("status")
        finally:
            control.close()

    def is_ready(self):
        assert self.process.poll() is None, self.log()
        return " ready: " in self.log()

    def ask(self, service, depth, count):
        address = next(s["listen"][0] for s in self.status()["services"] if s["name"] == service)
        client = Client(parse_address(address), timeout=30)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if service == "websocket":
            client.send(GREETING)
            while client.line() != b"\r":
                pass
        text, length = ASKED.get(service, (MESSAGE, len(MESSAGE)))
        for _ in range(count // depth):
            client.send(text * depth).take(length * depth)
        client.close()

    def instructions(self):
        """Ends it; returns what its worker did."""
        worker = next(w["pid"] for w in self.status()["workers"])
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30 * harness.SCALE) == 0, self.log()
        text = (self.folder / f"out.{worker}").read_text()
        return int(re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE).group(1))

    def kill(self):
        self.process.kill()
        self.process.wait()


def count(folder, kind=None):
    """The instructions of a worker that had WARM requests of each kind, and MORE of `kind`."""
    counted = Counted(folder / "-".join(str(word) for word in kind or ("none",)))
    try:
        wait_for(counted.is_ready, "ready under callgrind", 30)
        for each in KINDS:
            counted.ask(*each, WARM + (MORE if each == kind else 0))
        return counted.instructions()
    finally:
        counted.kill()


@pytest.mark.bound(120)
def test_instructions_of_a_request(folder):
    with concurrent.futures.ThreadPoolExecutor(len(KINDS) + 1) as together:
        runs = {kind: together.submit(count, folder, kind) for kind in [None, *KINDS]}
        totals = {kind: run.result() for kind, run in runs.items()}
    costs = {kind: (totals[kind] - totals[None]) / MORE for kind in KINDS}
    print({f"{service} x {depth}": round(cost) for (service, depth), cost in costs.items()})
    for kind, cost in costs.items():
        assert 0 < cost < CEILINGS[kind], f"{kind}: {cost:.0f} instructions a request"
