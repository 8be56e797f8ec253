"""Sleeps as many milliseconds as the line begins with, then repeats the line in upper case."""

import sys
import time

for line in sys.stdin.buffer:
    time.sleep(int(line.split()[0]) / 1000)
    sys.stdout.buffer.write(line.upper())
    sys.stdout.buffer.flush()
