"""Speaks frames and gives each back as it came."""

import struct
import sys

while head := sys.stdin.buffer.read(4):
    sys.stdout.buffer.write(head + sys.stdin.buffer.read(struct.unpack(">I", head)[0]))
    sys.stdout.buffer.flush()
