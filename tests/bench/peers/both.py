"""Runs two commands side by side, and ends both at SIGTERM, or when one of them has ended.

    both.py COMMAND... -- COMMAND...
"""

import signal
import subprocess
import sys
import threading

at = sys.argv.index("--")
running = [subprocess.Popen(words) for words in (sys.argv[1:at], sys.argv[at + 1:])]
over = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: over.set())
for process in running:
    threading.Thread(target=lambda process=process: (process.wait(), over.set()), daemon=True).start()
over.wait()
for process in reversed(running):
    process.terminate()
for process in running:
    process.wait()
