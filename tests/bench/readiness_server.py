"""A server under measurement, and what asks it: hold and hostler-load."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

import proctree

BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", ".")).resolve()
PATIENCE = 20  # seconds until a server that should be there, or gone, is a failure
WAIT = 2  # seconds until a client that is not served gives up


class Server:
    """
    A server from its start to its end. `command` is a list of words, or the text of a configuration
    for hostlerd, in which CONTROL stands for the path of its control socket.
    """

    def __init__(self, name, command):
        self.name = name
        self.command = command
        self.is_hostlerd = isinstance(command, str)

    def words(self, folder):
        if not self.is_hostlerd:
            return self.command
        text = self.command.replace("CONTROL", str(folder / "control"))
        (folder / "hostler.conf").write_text(text)
        return [BUILD / "hostlerd", "-f", folder / "hostler.conf"]

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="readiness-")
        folder = pathlib.Path(self.folder.name)
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.words(folder), stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        ready = r"ready: " if self.is_hostlerd else r"listening on"
        deadline = time.monotonic() + PATIENCE
        while not re.search(ready, self.log.read_text()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"{self.name} does not start: {self.log.read_text()}")
            time.sleep(0.01)
        self.address = re.search(r"listening on (?:\w+://)?([^/\s]+:\d+)", self.log.read_text()).group(1)
        return self

    def __exit__(self, *_):
        proctree.end(self.process, PATIENCE)
        self.process.stdin.close()
        self.folder.cleanup()

    def cpu(self):
        return proctree.nanoseconds(self.process.pid) / 1e9

    def cpu_at_rest(self):
        """As soon as it has nothing more to do; the busy one never has."""
        if self.name == "busy":
            return self.cpu()
        return proctree.at_rest(self.process.pid, patience=5) / 1e9

    def complaint(self):
        """What a small server said that it could not do."""
        return "" if self.is_hostlerd else " ".join(self.log.read_text().splitlines()[1:])


class Hold:
    """Clients that connect and are silent, until they are told to ask. See hold.c."""

    def __init__(self, address, count, timeout, protocol="line"):
        self.count = count
        self.process = subprocess.Popen(
            [BUILD / "tests/bench/hold", "--protocol", protocol, "--connections", str(count),
             "--timeout", str(timeout), address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self):
        found = re.match(r"holding (\d+) of \d+ connections after (\S+) s", self.told())
        self.opened, self.opening = int(found.group(1)), float(found.group(2))
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(PATIENCE)

    def told(self):
        said = self.process.stdout.readline()
        if not said:
            raise RuntimeError("tests/bench/hold ended")
        return said

    def ask(self, times=1):
        """Every connection asks one line: how many replies there were, seconds until the last."""
        self.tell(times)
        return self.heard()

    def tell(self, times=1):
        self.process.stdin.write(f"ask {self.count} {times}\n")
        self.process.stdin.flush()

    def heard(self):
        """What came of tell()."""
        found = re.match(r"answered (\d+) of \d+, the last after (\S+) s", self.told())
        return int(found.group(1)), float(found.group(2))


def load(address, *options):
    """Runs hostler-load, which may find replies overdue; None when it could not even connect."""
    done = subprocess.run(
        [BUILD / "hostler-load", "run", "--json", "--timeout", f"{WAIT}s", "--connect-timeout",
         f"{WAIT}s", *options, address],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode == 3:
        return None
    if done.returncode not in (0, 1):
        raise RuntimeError(f"hostler-load: {done.stderr}")
    found = json.loads(done.stdout)
    if found["requests"]["wrong"] or found["requests"]["duplicate"]:
        raise RuntimeError(f"wrong replies: {found}")
    return found
