"""A program that takes 5 ms for a line, as one that asks a database would, and no CPU."""

import sys
import time

for message in sys.stdin.buffer:
    time.sleep(0.005)  # what the request takes
    sys.stdout.buffer.write(message.upper())
    sys.stdout.buffer.flush()
