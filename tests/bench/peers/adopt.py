"""Runs a command and reaps what it leaves behind, so that its CPU time is counted here.

    adopt.py COMMAND...    ends, and ends the command, at SIGTERM
"""

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36

if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "prctl")
command = subprocess.Popen(sys.argv[1:])
signal.signal(signal.SIGTERM, lambda number, frame: command.terminate())
while True:
    pid, status = os.wait()
    if pid == command.pid:
        sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)
