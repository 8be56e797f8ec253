"""What may be executed in the master's place: the very file that was looked at, and nobody else's."""

import os
import shutil
import subprocess
import time

import pytest

import harness
from harness import HOSTLERD, echo, pool, program
from test_upgrade import refused, script, settled, upgrade, upgraded

UPPER = program("upper.py")


@pytest.fixture
def theirs(folder, root):
    """A folder that belongs to another user."""
    path = folder / "theirs"
    path.mkdir()
    shutil.chown(path, "nobody")
    return path


FLIP = """
import os, sys
path, *targets = sys.argv[1:]
print("flips", flush=True)
while os.getppid() == %d:
    for target in targets:
        os.symlink(target, path + ".new")
        os.rename(path + ".new", path)
"""


def test_a_link_that_is_changed_at_any_moment(start, theirs):
    """Who may change the path may not have the master execute what he likes."""
    daemon = start({"e": echo()})
    marker, path = theirs / "marker", theirs / "hostlerd"
    evil = script(theirs, f"id -u >>{marker}; exit 1", "evil")
    shutil.chown(evil, "nobody")
    with subprocess.Popen(
            ["/usr/bin/python3", "-IS", "-c", FLIP % os.getpid(), path, HOSTLERD, evil],
            user="nobody", stdout=subprocess.PIPE) as flips:
        try:
            assert flips.stdout.readline()
            end = time.monotonic() + 1
            while time.monotonic() < end and not marker.exists():
                upgrade(daemon, path)
        finally:
            flips.kill()
    assert not marker.exists(), marker.read_text()
    settled(daemon)
    assert daemon.connect().ask(b"x") == b"x"


def test_a_script_where_others_may_write(start, folder, theirs):
    """The interpreter opens it again by its name, so that must be safe too."""
    daemon = start({"upper": pool(UPPER)})
    client = daemon.connect()
    text = f'exec {HOSTLERD} "$@"'
    refused(daemon, client, script(theirs, text), f"others than root may write to {theirs}")
    # A link there leads to the same script each time: it is executed where it lies.
    link = theirs / "link"
    link.symlink_to(script(folder, text, "good"))
    upgraded(daemon, link)
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    refused(daemon, client, script(folder / "open", text), f"may write to {folder}/open")
    (folder / "open").chmod(0o1777)
    upgraded(daemon, folder / "open" / "binary")


def test_a_binary_in_a_folder_of_others(start, theirs):
    """It is executed by its descriptor; what bears its name meanwhile does not matter."""
    daemon = start({"upper": pool(UPPER)})
    path = theirs / "hostlerd"
    path.symlink_to(HOSTLERD)
    upgraded(daemon, path)
    assert harness.Process(daemon.pid).name == "hostlerd"
    assert daemon.connect().ask(b"x") == b"X"


def test_a_user_who_may_open_nothing(start, folder, root):
    """Not even /dev/null: what a rehearsal needs it has, or makes in memory."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespace can be made here")
    folder.chmod(0o777)
    daemon = start({"e": echo()}, control=folder / "control.sock", prefix=[
        "unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o mode=755 none /dev && exec setpriv '
        '--reuid=65534 --regid=65534 --clear-groups "$@"', "sh"])
    upgraded(daemon)
    assert daemon.connect().ask(b"x") == b"x"
