"""What honest programs do and a hardened service may forbid: each message is a deed, the reply "done"
or what forbade it."""

import mmap
import pathlib
import socket
import subprocess
import sys
import tempfile
import time


def compile_at_run_time():
    """Memory that is written and executed, as a just-in-time compiler has it."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def sandbox():
    """A user, mount and pid namespace with a /proc of its own, as bwrap and browsers make it."""
    subprocess.run(["unshare", "-Urmpf", "--mount-proc", "true"], check=True, capture_output=True)


def keep_data():
    for folder in ("/srv", "/var/tmp", "/home", "/tmp"):
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"data")


def speak_netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


def change_user():
    subprocess.run(["setpriv", "--reuid=1", "--clear-groups", "true"], check=True,
                   capture_output=True)


def change_the_system():
    """What is forbidden on purpose."""
    pathlib.Path("/usr/lib/hostler-was-here").write_text("")


def set_the_clock():
    time.clock_settime(time.CLOCK_REALTIME, time.time())


def main():
    for line in sys.stdin:
        try:
            globals()[line.strip()]()
            print("done", flush=True)
        except Exception as error:
            words = getattr(error, "stderr", b"") or repr(error).encode()
            print(words.decode().replace("\n", " "), flush=True)


main()
