"""A real systemd in a box (see systemd-box), with what `make install` installs, and ways to use it."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import harness
from harness import wait_for

SCRIPT = harness.HERE / "systemd-box"
MAKE_WORDS = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "DESTDIR")


class CannotBoot(Exception):
    """With the reason."""


def make(*arguments):
    """make in the build folder, as if nobody else's make were around us."""
    env = {name: value for name, value in os.environ.items() if name not in MAKE_WORDS}
    return subprocess.run(["make", "-s", "-C", harness.BUILD, *arguments], env=env, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, timeout=60 * harness.SCALE).stdout


def folders():
    """Where things are installed, by make's own word."""
    names = ("prefix", "sysconfdir", "sbindir", "bindir", "systemdsystemunitdir")
    asked = " ".join(f"'{name}=$({name})'" for name in names)
    output = make(f"--eval=box-folders: ; @printf '%s\\n' {asked}", "box-folders")
    return dict(re.findall(r"^(\w+)=(.*)$", output, re.MULTILINE))


class Box:
    def __init__(self):
        self.folders = folders()
        for name, path in self.folders.items():
            if path.startswith(("/tmp/", "/run/")):
                raise CannotBoot(f"{name} is {path}: the box has a /tmp and a /run of its own")
        if not self.folders["systemdsystemunitdir"]:
            raise CannotBoot("configured without a folder for units")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hostler-box-"))
        self.note = self.folder / "pid"
        self.output = self.folder / "output"
        self.process = None
        try:
            self.boot()
        except BaseException:
            self.end()
            raise

    def boot(self):
        install = self.folder / "install"
        install.write_text(
            "#!/bin/sh\nset -eu\n"
            f"unset {' '.join(MAKE_WORDS)}\n"
            f"make -s -C '{harness.BUILD}' install DESTDIR=\"$BOX_ROOT\"\n"
            f"cp '{harness.PROGRAMS}'/*.py \"$BOX_ROOT/srv\"\n"
            "chmod 755 \"$BOX_ROOT/srv\" \"$BOX_ROOT\"/srv/*.py\n")
        install.chmod(0o755)
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [SCRIPT, self.folder, install], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env={**os.environ, "BOX_SECONDS": "150"})
        wait_for(lambda: self.note.exists() or self.process.poll() is not None,
                 "systemd in its box", 30)
        if self.process.poll() == 77:
            raise CannotBoot(self.output.read_text().strip().splitlines()[-1])
        assert self.process.poll() is None, f"no box:\n{self.output.read_text()}"
        self.pid = int(self.note.read_text())
        wait_for(lambda: self.run("systemctl", "is-active", "basic.target").stdout == "active\n",
                 "basic.target", 20)
        self.link_unit()

    def link_unit(self):
        """Below /usr and /usr/local systemd finds the unit by itself."""
        unit = pathlib.Path(self.folders["systemdsystemunitdir"]) / "hostler.service"
        if str(unit.parent) not in self.do("systemctl", "show", "-p", "UnitPath"):
            self.do("systemctl", "link", unit)

    # -- files and commands --

    def path(self, path):
        """A file of the box as seen from here."""
        return pathlib.Path(f"/proc/{self.pid}/root{path}")

    def run(self, *command, timeout=20, env=None):
        entered = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--cgroup", "--net",
                   "--uts", "--ipc", *(str(word) for word in command)]
        return subprocess.run(
            entered, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout * harness.SCALE, cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", **(env or {})})

    def do(self, *command, **options):
        """A command that has to succeed; returns what it said."""
        done = self.run(*command, **options)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{self.log()}"
        return done.stdout

    # -- the unit --

    def show(self, *names):
        """Properties of the unit; of one name its value."""
        output = self.do("systemctl", "show", "hostler", *(f"--property={n}" for n in names))
        values = dict(line.split("=", 1) for line in output.splitlines())
        return values[names[0]] if len(names) == 1 else values

    def main_pid(self):
        """The master's number in the box, and outside."""
        inside = int(self.show("MainPID"))
        return inside, self.outside(inside)

    def outside(self, inside):
        """The number by which we know a process of the box."""
        for process in harness.descendants(self.pid):
            with contextlib.suppress(OSError):
                if harness.status_field(process.pid, "NSpid")[-1] == str(inside):
                    return process.pid
        return None

    def members(self):
        """All processes of the unit, by our numbers."""
        found = []
        for process in harness.descendants(self.pid):
            with contextlib.suppress(OSError):
                if "/hostler.service" in pathlib.Path(f"/proc/{process.pid}/cgroup").read_text():
                    found.append(process.pid)
        return found

    def drop_in(self, text):
        folder = self.path("/etc/systemd/system/hostler.service.d")
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(text)
        self.do("systemctl", "daemon-reload")

    def clean(self):
        """As after the installation."""
        self.run("systemctl", "stop", "hostler")
        self.run("systemctl", "reset-failed", "hostler")
        shutil.rmtree(self.path("/etc/systemd/system/hostler.service.d"), ignore_errors=True)
        self.do("systemctl", "daemon-reload")
        self.do("journalctl", "--rotate", "--vacuum-time=1us")

    # -- the journal --

    def journal(self, **fields):
        """What the unit and systemd itself said about it: each entry's fields."""
        self.run("journalctl", "--sync")
        output = self.run("journalctl", "--unit=hostler", "--output=json", "--no-pager").stdout
        entries = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [e for e in entries if all(e.get(name) == value for name, value in fields.items())]

    def log(self):
        return self.run("journalctl", "--no-pager", "--lines=60").stdout

    def said(self, pattern, **fields):
        return [e for e in self.journal(**fields) if re.search(pattern, str(e["MESSAGE"]))]

    def wait_said(self, pattern, **fields):
        return wait_for(lambda: self.said(pattern, **fields), f"{pattern!r} in the journal", 10)

    # -- the end --

    def end(self):
        if self.process is not None:
            if hasattr(self, "pid"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            try:
                self.process.wait(10 * harness.SCALE)  # it sweeps behind itself
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
