"""
A thread for each connection. Only one of them runs Python at a time, which is what the interpreter's
lock is for: two CPUs serve no more requests than one, and every thread takes its turn with all
others.
"""

import socket
import sys
import threading

from cpu_work import work

turns = int(sys.argv[1])


def serve(client):
    with client, client.makefile("rwb") as lines:
        for message in lines:
            lines.write(work(message, turns))
            lines.flush()


with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
    print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
