"""Which process holds which connection.

A connection's socket on the server's side has one inode, whichever worker has it: the kernel tells
it by the two ports (sock_diag(7)), and /proc/PID/fd tells who holds it.
"""

import contextlib
import os
import re
import signal
import socket
import struct

import harness

SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 20, 1
LOOPBACK = socket.inet_aton("127.0.0.1")


def inode_of(client):
    """The inode of the server's end of a TCP connection over loopback; None before it is accepted,
    and when it is gone."""
    own, peer = client.getsockname()[1], client.getpeername()[1]
    where = struct.pack(">HH4s12x4s12x", peer, own, LOOPBACK, LOOPBACK) + struct.pack(
        "=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    request = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + where
    head = struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag:
        diag.send(head + request)
        reply = diag.recv(4096)
    if struct.unpack_from("=H", reply, 4)[0] != SOCK_DIAG_BY_FAMILY:
        return None  # an error: there is no such connection any more
    # struct inet_diag_msg: 4 bytes, the id of 48, expires, two queues, uid, inode.
    return struct.unpack_from("=I", reply, 16 + 4 + 48 + 16)[0] or None


def worker_pids(daemon):
    """All that live, of every generation: also those that the master is about to replace."""
    told = {int(pid) for pid in re.findall(r"worker \d+ \(pid (\d+)\) started", daemon.log())}
    return sorted(pid for pid in told if harness.exists(pid))


def held_by(pid):
    """The inodes of its sockets."""
    inodes = set()
    with contextlib.suppress(OSError):  # it may have ended
        for target in harness.descriptors(pid).values():
            if target.startswith("socket:["):
                inodes.add(int(target[8:-1]))
    return inodes


def count_owners(daemon, inodes):
    """How many workers hold each of them."""
    counts = dict.fromkeys(inodes, 0)
    for pid in worker_pids(daemon):
        for inode in held_by(pid) & counts.keys():
            counts[inode] += 1
    return counts


def wait_one_owner(daemon, inodes_now, timeout=5.0):
    """Waits until each connection has one; inodes_now() tells them, which may change meanwhile."""
    seen = {}

    def settled():
        inodes = inodes_now()
        seen.clear()
        seen.update({i: n for i, n in count_owners(daemon, inodes).items() if n != 1})
        return not (seen.keys() & inodes_now())

    try:
        harness.wait_for(settled, "one owner of each connection", timeout)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}") from None


def stop(pid):
    """SIGSTOP, and waits until it stands still. False when it has ended."""
    try:
        os.kill(pid, signal.SIGSTOP)
        harness.wait_for(lambda: harness.Process(pid).state in "TZX", f"the stop of {pid}")
        return harness.exists(pid)
    except OSError:
        return False
