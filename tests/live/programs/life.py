"""Upper-cases lines. Its arguments say what it does before, one after another:

say TEXT: a line on standard output · piece TEXT: without the newline, but
one for each | · much BYTES: so much without a newline · wait SECONDS · fat MIB: takes
up memory · end STATUS · close: closes its standard output and stays · slow SECONDS: so
long for each reply · lazy: stays a while after the
end of its input · once FILE: ends with status 3 when FILE is there, else makes it.

The line `pid` is answered with the process id, `sleep SECONDS` after that time, `fat MIB` when it
has grown.
"""

import os
import sys
import time

kept = []
manner = {"slow": 0, "lazy": 0}


def fatten(mebibytes):
    kept.append(b"x" * (int(mebibytes) << 20))


def reply(data):
    os.write(1, data)


def begin(words):
    while words:
        word = words.pop(0)
        if word == "say":
            reply(words.pop(0).encode() + b"\n")
        elif word == "piece":
            reply(words.pop(0).replace("|", "\n").encode())
        elif word == "much":
            reply(b"x" * int(words.pop(0)))
        elif word == "wait":
            time.sleep(float(words.pop(0)))
        elif word == "fat":
            fatten(words.pop(0))
        elif word == "end":
            sys.exit(int(words.pop(0)))
        elif word == "close":
            os.close(1)
        elif word == "slow":
            manner["slow"] = float(words.pop(0))
        elif word == "lazy":
            manner["lazy"] = 60
        elif word == "once":
            if os.path.exists(words[0]):
                sys.exit(3)
            open(words.pop(0), "w").close()


def answer(line):
    words = line.split()
    time.sleep(manner["slow"])
    if line == b"pid":
        return str(os.getpid()).encode()
    if words and words[0] == b"sleep":
        time.sleep(float(words[1]))
    if words and words[0] == b"fat":
        fatten(words[1])
    return line.upper()


begin(sys.argv[1:])
for line in sys.stdin.buffer:
    reply(answer(line.rstrip(b"\n")) + b"\n")
time.sleep(manner["lazy"])
