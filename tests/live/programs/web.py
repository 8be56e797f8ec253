"""A whole web endpoint: shows the request, says what it is told to, or sleeps."""

import json
import sys
import time

for line in sys.stdin:
    ask = json.loads(line)
    reply = {"status": 404, "body": "no such page\n"}
    if ask["path"] == "/":
        reply = {"headers": {"Content-Type": "application/json", "Set-Cookie": ["a=1", "b=2"]}, "body": line}
    elif ask["path"] == "/nap":
        time.sleep(float(ask["query"]["s"][0]))
        reply = {"body": "awake"}
    print(ask["body"] if ask["path"] == "/say" else json.dumps(reply), flush=True)
