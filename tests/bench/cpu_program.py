"""
The program behind hostlerd: a line in, a line out. It knows nothing of sockets, threads or events.
"""

import sys

from cpu_work import work

turns = int(sys.argv[1])
for message in sys.stdin.buffer:
    sys.stdout.buffer.write(work(message, turns))
    sys.stdout.buffer.flush()
