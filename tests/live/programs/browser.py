"""A page that tries what pages do, and the endpoints that it asks; message = json.

What came of it the page sends to /outcome, and it is the program's one line on standard error.
"""

import json
import pathlib
import sys
import time

PAGE = pathlib.Path(__file__).with_name("browser.html").read_text()

for line in sys.stdin:
    ask = json.loads(line)
    reply = {"status": 404, "body": "no such page\n"}
    if ask["path"] == "/":
        reply = {"headers": {"Content-Type": "text/html; charset=utf-8"}, "body": PAGE}
    elif ask["path"] == "/api":
        reply = {"headers": {"Content-Type": "application/json"}, "body": line}
    elif ask["path"] == "/bytes":
        reply = {key: ask[key] for key in ("body", "body_base64") if key in ask}
    elif ask["path"] == "/nap":
        time.sleep(0.3)
        reply = {"body": "awake"}
    elif ask["path"] == "/outcome":
        print("outcome", ask["body"], file=sys.stderr, flush=True)
        reply = {"status": 204}
    print(json.dumps(reply), flush=True)
