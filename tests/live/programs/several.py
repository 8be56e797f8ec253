"""Replies with several lines, or as the first word of the message says.

The first argument is the line that ends a reply. With a second one every reply is just that.
"""

import ast
import os
import sys
import time

END = sys.argv[1].encode() if len(sys.argv) > 1 else b"END"


def say(data):
    while data:
        data = data[os.write(1, data):]


def unescape(text):
    """The bytes that a Python literal means."""
    return ast.literal_eval(f"b'{text.decode()}'")


def act(deed, text):
    if deed == b"list":  # so many lines
        count, name = text.split(b" ", 1)
        say(b"".join(b"%s %d\n" % (name, n + 1) for n in range(int(count))) + END + b"\n")
    elif deed == b"raw":  # these very bytes
        say(unescape(text))
    elif deed == b"pieces":  # the same, each byte by itself
        for byte in unescape(text):
            say(bytes([byte]))
            time.sleep(0.003)
    elif deed == b"cut":  # the same in two writes, with a pause between them
        seconds, count, text = text.split(b" ", 2)
        say(unescape(text)[:int(count)])
        time.sleep(float(seconds))
        say(unescape(text)[int(count):])
    elif deed == b"until":  # the first of two before, the second after there is such a file
        path, before, after = text.split(b" ", 2)
        say(unescape(before))
        while not os.path.exists(path):
            time.sleep(0.01)
        say(unescape(after))
    elif deed == b"hang":  # these bytes, then nothing for ever
        say(unescape(text))
        time.sleep(3600)
    elif deed == b"die":  # these bytes, then no more
        say(unescape(text))
        os._exit(3)
    elif deed == b"flood":  # lines without an end
        while True:
            say(b"flood\n" * 1000)
    elif deed == b"sleep":
        seconds, text = text.split(b" ", 1)
        time.sleep(float(seconds))
        say(text + b"\n" + END + b"\n")
    else:
        say(deed + b" " + text + b"\n" + END + b"\n" if text else deed + b"\n" + END + b"\n")


for line in sys.stdin.buffer:
    word, _, rest = line[:-1].partition(b" ")
    if len(sys.argv) > 2:
        act(b"raw", sys.argv[2].encode())
    else:
        act(word, rest)
