"""message = json: ten lines of Python as a web endpoint, and what clients wish for with fields."""

import base64
import http.client
import json
import re

import pytest

import harness
from harness import echo, pool, program, wait_for


def web(**keys):
    return pool(program("web.py"), protocol="http", message="json", **keys)


class Page(http.client.HTTPConnection):
    def __init__(self, daemon, name=None):
        super().__init__(*daemon.address(name), timeout=10 * harness.SCALE)

    def ask(self, method, target, body=None, **fields):
        """The status, the fields as a list of pairs, and the body."""
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        self.request(method, target, body=body, headers=fields)
        reply = self.getresponse()
        return reply.status, reply.getheaders(), reply.read()

    def say(self, reply, **fields):
        text = reply if isinstance(reply, str) else json.dumps(reply)
        return self.ask("POST", "/say", body=text.encode(), **fields)


def values(fields, name):
    return [value for key, value in fields if key.lower() == name.lower()]


def test_a_web_endpoint(start):
    daemon = start({"a": web()})
    page = Page(daemon)
    status, fields, body = page.ask("PATCH", "/?a=%20b&a=c", body="h\u00e9".encode(), X_Y="z")
    assert status == 200 and values(fields, "Content-Type") == ["application/json"]
    assert values(fields, "Set-Cookie") == ["a=1", "b=2"]
    ask = json.loads(body)
    assert (ask["method"], ask["target"], ask["path"]) == ("PATCH", "/?a=%20b&a=c", "/")
    assert (ask["query_string"], ask["query"]) == ("a=%20b&a=c", {"a": [" b", "c"]})
    assert ask["body"] == "h\u00e9" and ask["headers"]["x-y"] == "z"
    assert ask["peer"] == "%s:%d" % page.sock.getsockname()
    assert [ask["headers"]["x-request-id"]] == values(fields, "X-Request-Id")
    ask = json.loads(page.ask("POST", "/", body=b"\xff\x00")[2])
    assert base64.b64decode(ask["body_base64"]) == b"\xff\x00" and "body" not in ask
    assert page.ask("DELETE", "/elsewhere")[::2] == (404, b"no such page\n")
    assert json.loads(page.ask("OPTIONS", "/")[2])["method"] == "OPTIONS"
    status, fields, body = page.ask("HEAD", "/")
    assert (status, body) == (200, b"") and int(values(fields, "Content-Length")[0]) > 100
    assert page.say("plain, \u00e9")[::2] == (200, "plain, \u00e9".encode())
    assert page.say({"status": 299, "body_base64": "/wA="})[::2] == (299, b"\xff\0")
    status, fields, body = page.say({"status": 204, "body": "x"})
    assert (status, body, values(fields, "Content-Length")) == (204, b"", [])
    assert values(page.say({"headers": {"Server": "me"}})[1], "Server") == ["me"]
    assert values(page.say({"status": 500})[1], "Content-Length") == ["0"]


@pytest.mark.parametrize("reply, why", [
    ({"status": 101}, "status is not a number from 200 to 599"),
    ({"headers": {"X": "a\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK"}}, "control character"),
    ({"headers": {"X\r\nY": "a"}}, "name that is none"),
    ({"headers": {"Transfer-Encoding": "chunked"}}, "not for a program to set"),
    ({"headers": {"content-length": "9"}}, "not for a program to set"),
    ({"body_base64": "%"}, "body_base64 is not base64"),
    ({"stauts": 200}, "no stauts"),
])  # fmt: skip
def test_a_reply_that_cannot_be_sent_on(start, reply, why):
    """502, and nothing of it is on the wire; the instance and the connection live on."""
    daemon = start({"a": web()})
    pids = daemon.instance_pids()
    page = Page(daemon)
    assert page.say(reply)[::2] == (502, b"Bad Gateway")
    assert page.say("next")[2] == b"next"
    assert daemon.instance_pids() == pids
    counters = daemon.counters()
    assert (counters["failed"], counters["bad"], counters["replies"]) == (1, 0, 1)
    daemon.wait_log(r"service a: a reply of instance 0 \(pid \d+\) cannot be sent on: .*" + why)


def test_echo_shows_the_request(start):
    page = Page(start({"a": echo(protocol="http", message="json")}))
    status, fields, body = page.ask("PUT", "/x", body=b"y")
    assert status == 200 and values(fields, "Content-Type") == ["application/json"]
    assert json.loads(body)["body"] == "y"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_request_has_a_name(start, folder, log_format):
    log = folder / "access.log"
    daemon = start({"a": web(access_log=log), "raw": echo(protocol="http", access_log=log),
                    "quiet": echo(protocol="http")}, {"log_format": log_format})
    name = 'own"\\name~' * 11 + "?" * 18
    page, raw, quiet = (Page(daemon, which) for which in ("a", "raw", "quiet"))
    assert len(name) == 128
    given = [values(page.ask("GET", "/", X_Request_Id=name)[1], "X-Request-Id"),
             values(raw.ask("GET", "/?x", X_Request_Id="mine")[1], "X-Request-Id"),
             values(quiet.ask("GET", "/?x", X_Request_Id="mine")[1], "X-Request-Id")]
    assert given == [[name], ["mine"], ["mine"]]
    assert values(quiet.ask("GET", "/?x")[1], "X-Request-Id") == [], "nobody would look at it"
    made = [values(where.ask("GET", "/?x", **fields)[1], "X-Request-Id")[0]
            for where in (page, raw) for fields in ({}, {"X_Request_Id": name + "x"})]
    assert len(set(made)) == 4 and all(re.fullmatch("[0-9a-f]{26}", one) for one in made)
    status, fields, _ = page.say({"status": 99}, X_Request_Id="in an error too".replace(" ", "-"))
    assert (status, values(fields, "X-Request-Id")) == (502, ["in-an-error-too"])
    wait_for(lambda: len(log.read_text().splitlines()) == 7, "all are logged")
    lines = log.read_text().splitlines()
    ids = [json.loads(line)["id"] if log_format == "json" else line.split(" id=")[1]
           for line in lines]
    assert set(ids) == {name, "mine", *made, "in-an-error-too"}


def test_a_client_in_a_hurry(start):
    """It is told in time, in its turn, and costs nobody an instance; what it says cannot lengthen."""
    daemon = start({"a": web(request_timeout="20s"), "kill": web(on_cancel="kill"),
                    "short": web(request_timeout="100ms")})
    pids = daemon.instance_pids("a")
    first, second = Page(daemon, "a"), Page(daemon, "a")
    first.request("GET", "/nap?s=0.6", headers={"X-Timeout": "0.1"})
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "it runs", "a")
    assert second.ask("GET", "/nap?s=0", X_Timeout="0.1")[0] == 504, "while it waits"
    reply = first.getresponse()
    assert (reply.status, reply.read()) == (504, b"Gateway Timeout")
    assert first.ask("GET", "/nap?s=0", X_Timeout="20")[::2] == (200, b"awake")
    assert daemon.instance_pids("a") == pids
    counters = daemon.counters("a")
    assert (counters["requests"], counters["replies"], counters["timeout"],
            counters["withdrawn"]) == (3, 1, 2, 0)
    pids = daemon.instance_pids("kill")
    assert Page(daemon, "kill").ask("GET", "/nap?s=60", X_Timeout="0.1")[0] == 504
    wait_for(lambda: daemon.instance_pids("kill") != pids, "its instance is killed")
    assert Page(daemon, "short").ask("GET", "/nap?s=60", X_Timeout="60")[0] == 504
    assert first.ask("GET", "/", X_Timeout="1s")[0] == 400
    assert first.ask("GET", "/", X_Timeout="1")[0] == 200


def test_a_hurry_in_a_pipeline(start):
    """Its place among the others of its client stays."""
    daemon = start({"a": web(instances=3)})
    client = daemon.connect("a")
    ask = "GET /nap?s=%s HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\nX-Timeout: %s\r\n\r\n"
    client.send((ask % (0.3, "x", 9) + ask % (0.6, "y", 0.1) + ask % (0, "z", 9)).encode())
    client.send(b"GET /nap?s=0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    text = client.rest().decode()
    assert re.findall(r"HTTP/1.1 (\d+)", text) == ["200", "504", "200", "200"]
    assert re.findall(r"X-Request-Id: (.)\r", text)[:3] == ["x", "y", "z"]


def test_a_client_in_a_hurry_that_leaves(start):
    """Its limit leaves with it."""
    daemon = start({"a": web()})
    pids = daemon.worker_pids()
    client = daemon.connect("a")
    client.send(b"GET /nap?s=0.6 HTTP/1.1\r\nHost: a\r\nX-Timeout: 0.3\r\n\r\n")
    daemon.wait_service(lambda s: s["instances"][0]["state"] == "busy", "it runs", "a")
    client.reset()
    daemon.wait_service(lambda s: s["counters"]["withdrawn"] == 1, "it ended", "a")
    assert daemon.worker_pids() == pids and daemon.counters("a")["timeout"] == 0


def test_other_origins(start):
    origins = "https://a.example, http://b.example:8080"
    daemon = start({"a": web(cors_origins=origins), "every": echo(protocol="http", cors_origins="*"),
                    "none": echo(protocol="http")})
    allow, method = "Access-Control-Allow-Origin", {"Access_Control_Request_Method": "PUT"}
    page, every, none = (Page(daemon, name) for name in ("a", "every", "none"))
    status, fields, body = page.ask("OPTIONS", "/", Origin="https://a.example", **method)
    assert (status, body, values(fields, allow)) == (204, b"", ["https://a.example"])
    assert values(fields, "Access-Control-Allow-Methods") == ["PUT"]
    assert daemon.counters("a")["requests"] == 1 and daemon.counters("a")["replies"] == 1
    _, fields, _ = page.ask("GET", "/", Origin="http://b.example:8080")
    assert values(fields, allow) == ["http://b.example:8080"] and values(fields, "Vary") == ["Origin"]
    for other in ({}, {"Origin": "http://b.example"}):
        status, fields, _ = page.ask("GET", "/", **other)
        assert (status, values(fields, allow), values(fields, "Vary")) == (200, [], ["Origin"])
    assert values(page.ask("OPTIONS", "/", Origin="http://c.example", **method)[1], allow) == []
    assert json.loads(page.ask("OPTIONS", "/", Origin="http://c.example")[2])["method"] == "OPTIONS"
    status, fields, _ = page.say({"headers": {allow: "*"}}, Origin="https://a.example")
    assert (status, values(fields, allow)) == (502, ["https://a.example"]), "errors can be read"
    assert values(every.ask("GET", "/?x", Origin="http://c.example")[1], allow) == ["*"]
    assert values(every.ask("OPTIONS", "/", Origin="http://c", **method)[1], allow) == ["*"]
    fields = none.ask("OPTIONS", "/", Origin="http://c", **method)[1]
    assert values(fields, allow) == [] and values(fields, "Allow") != []


@pytest.mark.parametrize("origins", ["https://a/", "a.example", "*, http://a", "://a", "http://"])
def test_what_is_no_origin(folder, origins):
    config = folder / "bad.conf"
    config.write_text("[service a]\nlisten = 127.0.0.1:0\nprotocol = http\nhandler = echo\n"
                      f"cors_origins = {origins}\n")
    done = harness.hostlerd("-t", "-f", config)
    assert done.returncode != 0 and "is no origin: expects * alone" in done.stderr
