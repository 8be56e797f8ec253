"""The program of the pool cases: a line in, the line in capitals out."""

import sys

for message in sys.stdin.buffer:
    sys.stdout.buffer.write(message.upper())
    sys.stdout.buffer.flush()
