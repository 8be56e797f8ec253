"""Takes the given time for each line, then repeats it."""

import sys
import time

for line in sys.stdin.buffer:
    time.sleep(float(sys.argv[1]))
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
