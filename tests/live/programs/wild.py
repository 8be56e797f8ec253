"""A program that misbehaves as the message tells it: the first word is the deed.

It reads with its own buffer, so that it can act before a request has come in whole.
"""

import json
import os
import resource
import signal
import sys
import time

MESSAGES = b""


def say(data):
    while data:
        data = data[os.write(1, data):]


def reply(text):
    say(text + b"\n")


def tell(text):
    """A line on standard error."""
    os.write(2, text + b"\n")


def sleep_for_ever():
    while True:
        time.sleep(3600)


def read_line():
    """The next message; None at the end. A message of the deed "early" is answered half read."""
    global MESSAGES
    answered = False
    while b"\n" not in MESSAGES:
        data = os.read(0, 4096)
        if not data:
            return None
        MESSAGES += data
        if MESSAGES.startswith(b"early") and not answered:
            answered = True
            reply(b"EARLY")
            time.sleep(0.5)
    line, MESSAGES = MESSAGES.split(b"\n", 1)
    return line


def fork_grandchild(ignore_term=False, run_away=False):
    """A process that keeps our output open and lives long. Returns once it is what it should be."""
    ready, tell_ready = os.pipe()
    child = os.fork()
    if child == 0:
        if run_away:
            os.setsid()
        if ignore_term:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.close(0)
        os.write(tell_ready, b"!")
        sleep_for_ever()
    os.read(ready, 1)
    return child


def facts():
    return {
        "pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ), "argv": sys.argv[1:],
        "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "nproc": resource.getrlimit(resource.RLIMIT_NPROC),
        "group": os.getpgrp(), "parent": os.getppid(),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "sigpipe": signal_line("SigIgn"),
        "fds": open_descriptors(),
    }


def signal_line(name):
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith(name))


def open_descriptors():
    """What each points to, without the one that lists the folder."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            pass
    return found


def act(deed, text):
    if deed == b"sleep":
        seconds, text = text.split(b" ", 1)
        time.sleep(float(seconds))
        tell(b"slept for " + text)
        reply(text)
    elif deed == b"mute":
        sleep_for_ever()
    elif deed == b"late":  # a reply after the deadline, if it is still alive to give one
        time.sleep(float(text))
        reply(b"LATE")
    elif deed == b"die":
        tell(b"about to die")
        os._exit(3)
    elif deed == b"half":
        say(b"HAL")
        os._exit(4)
    elif deed == b"after":
        reply(text)
        os._exit(5)
    elif deed == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif deed == b"twice":
        say(text + b"\nEXTRA\n")
    elif deed == b"babble":
        reply(text)
        time.sleep(0.02)
        reply(b"EXTRA")
        tell(b"has babbled")
    elif deed == b"flood":
        while True:
            say(b"x" * 4096)
    elif deed == b"close":
        os.close(1)
        sleep_for_ever()
    elif deed == b"orphan":
        fork_grandchild()
        os._exit(6)
    elif deed == b"runaway":
        tell(b"%d ran away" % fork_grandchild(run_away=True))
        os._exit(8)
    elif deed == b"orphan-after":
        fork_grandchild()
        reply(text)
        tell(b"has left")
        os._exit(7)
    elif deed == b"family":  # the whole family ignores TERM
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        fork_grandchild(ignore_term=True)
        reply(text)
    elif deed == b"adopt":  # a grandchild whose parent is gone: the daemon's when it is PID 1
        if os.fork() == 0:
            if os.fork() == 0:
                os.closerange(0, 3)
                time.sleep(0.1)
            os._exit(0)
        os.wait()
        reply(text)
    elif deed == b"facts":
        reply(json.dumps(facts()).encode())
    elif deed == b"stderr":
        tell(b"e" * int(text))
        reply(b"ok")
    elif deed == b"size":
        reply(str(len(text)).encode())
    elif deed == b"big":
        reply(b"b" * int(text))
    else:
        reply((deed + b" " + text if text else deed).upper())


def main():
    while True:
        line = read_line()
        if line is None:
            return
        if line.startswith(b"early"):
            continue
        deed, _, text = line.partition(b" ")
        act(deed, text)


main()
