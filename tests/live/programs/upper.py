"""What a good program looks like: read a line, write a line, flush. With --frame: frames."""

import struct
import sys


def read_message(framed):
    if not framed:
        return sys.stdin.buffer.readline().rstrip(b"\n") if sys.stdin.buffer.peek(1) else None
    head = sys.stdin.buffer.read(4)
    return sys.stdin.buffer.read(struct.unpack(">I", head)[0]) if head else None


def main():
    framed = "--frame" in sys.argv
    while (message := read_message(framed)) is not None:
        head = struct.pack(">I", len(message)) if framed else b""
        sys.stdout.buffer.write(head + message.upper() + (b"" if framed else b"\n"))
        sys.stdout.buffer.flush()


main()
