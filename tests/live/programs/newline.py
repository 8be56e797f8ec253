"""Speaks frames and answers each with one that has a newline in it."""

import struct
import sys

while head := sys.stdin.buffer.read(4):
    sys.stdin.buffer.read(struct.unpack(">I", head)[0])
    sys.stdout.buffer.write(struct.pack(">I", 9) + b"two\nlines")
    sys.stdout.buffer.flush()
