"""Clients that others wrote, against protocol http: each does what its users do with it."""

import http.client
import itertools
import json
import os
import re
import urllib.error
import urllib.request

import pytest

import clients
import harness
from clients import run, url
from harness import PROGRAMS, echo, pool, program, wait_for


def web(**keys):
    return echo(protocol="http", **keys)


def page(**keys):
    return pool(program("web.py"), protocol="http", message="json", **keys)


@pytest.fixture
def big(folder):
    """A file of a bit more than a MiB that is no text."""
    path = folder / "big"
    path.write_bytes(os.urandom(1024) * 1030)
    return path


# ---- curl ----


def curl(*arguments, **options):
    return run("curl", "-sS", "--max-time", 15, *arguments, **options)


def test_curl(start, big):
    daemon = start({"a": web(max_message="2M")})
    here = url(daemon.address())
    data = big.read_bytes()
    assert curl(here + "?a%20b+c").stdout == b"a b c"
    assert curl("-d", "x=1&y=2", here).stdout == b"x=1&y=2"
    # Over a MiB it asks before it sends; a pipe it sends in chunks, of which nobody knows how many.
    done = curl("-v", "--data-binary", f"@{big}", here)
    assert b"< HTTP/1.1 100 Continue" in done.stderr and done.stdout == data
    done = curl("-v", "-T", "-", here, input=data)
    assert b"> Transfer-Encoding: chunked" in done.stderr and done.stdout == data
    assert b"> PUT" in done.stderr
    done = curl("-v", "-T", "-", "-H", "Expect: 100-continue", here, input=b"")
    assert b"< HTTP/1.1 100 Continue" in done.stderr and done.stdout == b""
    # It offers HTTP/2; a server may go on as if it had not.
    assert curl("--http2", "-w", "%{http_version}", here + "?x").stdout == b"x1.1"


def test_curl_heads(start):
    daemon = start({"a": web(content_type="text/x")})
    here = url(daemon.address())
    head = curl("-I", here + "?abcd").stdout.decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n") and head.endswith("\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines()[1:-1])
    assert list(fields) == ["Server", "Date", "Content-Type", "Content-Length"]
    assert (fields["Server"], fields["Content-Length"]) == ("hostler", "4")
    assert re.fullmatch(r"\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT", fields["Date"])
    # HEAD without a body leaves the connection in order: what follows is on the same one.
    done = curl("-I", here + "?x", "--next", "-w", " %{num_connects}", here + "?next")
    assert done.stdout.endswith(b"\r\n\r\nnext 0")
    assert b"\r\nConnection: close\r\n" in curl("-i", "-H", "Connection: close", here).stdout
    assert b"Connection" not in curl("-i", here).stdout
    head, body = curl("-i", "--http1.0", "-d", "old", here).stdout.split(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head and body == b"old"
    done = curl("-i", "--http1.0", "-H", "Connection: keep-alive", here + "?1", here + "?2",
                "-w", "%{num_connects}")
    assert done.stdout.count(b"\r\nConnection: keep-alive\r\n") == 2
    assert done.stdout.endswith(b"20"), "the second needed no connection"
    done = curl("-i", "-X", "OPTIONS", here)
    assert done.stdout.startswith(b"HTTP/1.1 204 No Content\r\n") and b"\r\nAllow: " in done.stdout
    assert run("curl", "-sf", "-X", "DELETE", here, status=22).stdout == b""
    assert curl("-X", "DELETE", "-w", " %{http_code}", here).stdout == b"Method Not Allowed 405"


def test_curl_keeps_its_connection(start, big, folder):
    daemon = start({"a": web(max_message="2M")}, {"workers": 1})
    here = url(daemon.address())
    many = itertools.chain.from_iterable(
        ("--next", "-sS", "-w", "%{num_connects}\n", *what)
        for what in [("-d", "post\n", here), ("-I", here), ("-T", big, "-o", folder / "1", here),
                     ("--data-binary", f"@{big}", "-o", folder / "2", here)] * 5)
    done = curl("-w", "%{num_connects}\n", f"{here}?[1-20]", *many)
    counts = re.findall(r"^(?:\d*?|post|)([01])$", done.stdout.decode(), re.M)
    assert len(counts) == 40 and counts.count("1") == 1
    assert (folder / "1").read_bytes() == (folder / "2").read_bytes() == big.read_bytes()
    assert daemon.counters()["accepted"] == 1 and daemon.counters()["replies"] == 40


@pytest.mark.parametrize("how", [
    ["-H", "Expect:"], ["-H", "Expect:", "-H", "Transfer-Encoding: chunked"], [],
])  # fmt: skip
def test_curl_is_told_413(start, folder, how):
    """Not a reset, which would take the reply away from it: 50 times of 50."""
    daemon = start({"a": web(max_message="64K")})
    huge = folder / "huge"
    with open(huge, "wb") as file:
        file.truncate(10 << 20)
    times = 50
    one = ["--data-binary", f"@{huge}", *how, "-o", "/dev/null", "-w", "%{http_code}\n",
           url(daemon.address())]
    more = ["--next", "-sS", "--max-time", 15, *one] * 4
    told = b"".join(curl(*one, *more).stdout for _ in range(times // 5))
    assert told == b"413\n" * times
    assert daemon.counters()["too_large"] == times


def test_access_log(start, folder):
    """What each request came to, under the name that its client gave it."""
    log = folder / "access"
    daemon = start({"a": web(max_message="1K", access_log=log)})
    here = url(daemon.address())
    curl("-H", "X-Request-Id: one", here + "?12345", "--next", "-d", "1234567", "-H",
         "X-Request-Id: two", here, "--next", "-I", "-H", "X-Request-Id: three", here + "?1",
         "--next", "-d", "x" * 2000, "-H", "X-Request-Id: four", here)
    wait_for(lambda: log.exists() and log.read_text().count("\n") == 4, "four lines")
    client = r"\d{4}-\S+ \S+ a 127\.0\.0\.1:\d+ "
    times = r"queue=0\.0\d+ run=0\.0\d+ instance=- status="
    for line, wanted in zip(log.read_text().splitlines(), [
            rf"reply in=5 out=5 {times}200 method=GET target=/\?12345 id=one",
            f"reply in=7 out=7 {times}200 method=POST target=/ id=two",
            rf"reply in=1 out=0 {times}200 method=HEAD target=/\?1 id=three",
            f"too-large in=0 out=17 {times}413 method=POST target=/"]):
        assert re.fullmatch(client + wanted, line), line


def test_access_log_of_several_services(start, folder):
    """Each request is noted for the service that it was for, a target of any length and bytes."""
    log = folder / "access"
    daemon = start({"front": web(access_log=log),
                    "page": web(path="/page", handler="static", root=folder, access_log=log),
                    "api": pool("cat", protocol="http", path="/api", access_log=log)}, {"log_format": "json"})
    here = url(daemon.address())
    curl(here + "none", "--next", here + "page/none", "--next", "-d", "a\nb", here + "api",
         "--next", "-d", "x" * 100000, here + "api", "--next", here + 'page/"' + "y" * 5000)
    wait_for(lambda: log.exists() and log.read_text().count("\n") == 5, "five lines")
    keys = ["service", "outcome", "out", "status", "method", "target"]
    # Behind the 413 curl connects anew, maybe to the other worker, which may write its line first.
    assert sorted([line[key] for key in keys] for line in map(json.loads, log.open())) == sorted([
        ["front", "reply", 0, 200, "GET", "/none"], ["page", "reply", 9, 404, "GET", "/page/none"],
        ["api", "bad", 11, 400, "POST", "/api"], ["api", "too-large", 17, 413, "POST", "/api"],
        ["page", "bad", 12, 414, "GET", '/page/"' + "y" * 501]])


# ---- wget ----


def test_wget(start, big, folder):
    daemon = start({"a": web(max_message="2M"), "b": page()})
    here, there = url(daemon.address("a")), url(daemon.address("b"))

    def wget(*arguments, **options):
        return run("wget", "-nv", "-t", 1, "-T", 15, "-O", "-", *arguments, **options)

    assert wget(here + "?one").stdout == b"one"
    assert wget(f"--post-file={big}", here).stdout == big.read_bytes()
    assert wget("--method=PUT", "--body-data=put", here).stdout == b"put"
    done = run("wget", "-t", 1, "-O", "-", here + "?one", here + "?two", env={"LC_ALL": "C"})
    assert done.stdout == b"onetwo" and b"Reusing existing connection" in done.stderr
    assert b"200 OK" in run("wget", "-S", "--spider", there).stderr
    assert json.loads(wget("--method=DELETE", there).stdout)["method"] == "DELETE"
    assert b"404: Not Found" in wget(there + "none", status=8).stderr.replace(b"ERROR 404", b"404")
    # What came is whole, and it goes on where an earlier try ended without ranges.
    run("wget", "-q", "-c", "-O", folder / "copy", here + "?all")
    assert (folder / "copy").read_bytes() == b"all"


# ---- those that make load ----


@pytest.mark.parametrize("more", [["-k"], [], ["-k", "-i"]])
def test_ab(start, big, more):
    """HTTP/1.0, with its keep-alive and without; -i is HEAD."""
    daemon = start({"a": web(max_message="2M")})
    here = url(daemon.address())
    head = "-i" in more
    count = 2000
    text = run("ab", "-q", "-n", count, "-c", 20, *more, here + "?0123456789").stdout.decode()
    told = dict(re.findall(r"^([A-Z][\w /-]+): +(\S+)", text, re.M))
    assert (told["Complete requests"], told["Failed requests"]) == (str(count), "0")
    assert told["HTML transferred"] == ("0" if head else str(10 * count))
    assert told.get("Keep-Alive requests") == (str(count) if "-k" in more else None)
    assert "Non-2xx" not in text
    assert daemon.counters()["accepted"] in range(*((20, 41) if "-k" in more else (count, count + 21)))


def test_ab_posts(start, big):
    daemon = start({"a": web(max_message="2M")})
    text = run("ab", "-q", "-k", "-n", 100, "-c", 10, "-p", big, "-T", "application/x",
               url(daemon.address())).stdout.decode()
    assert re.search(r"Complete requests: +100\n", text) and "Non-2xx" not in text
    assert re.search(r"Failed requests: +0\n", text)
    assert f"HTML transferred:       {100 * big.stat().st_size} bytes" in text


@pytest.mark.parametrize("depth", [1, 16])
def test_wrk(start, folder, depth):
    daemon = start({"a": web()})
    script = folder / "pipeline.lua"
    script.write_text(
        "init = function(args)\n"
        f"  local all = {{}}\n  for i = 1, {depth} do all[i] = wrk.format(nil, '/?' .. i) end\n"
        "  text = table.concat(all)\nend\n"
        "request = function() return text end\n")
    text = run("wrk", "-t1", "-c20", "-d1s", "-s", script, url(daemon.address())).stdout.decode()
    assert int(re.search(r"(\d+) requests in", text).group(1)) > 100
    assert "Socket errors" not in text and "Non-2xx" not in text, text


@pytest.mark.parametrize("more", [["-m", 1], ["-m", 8], ["-m", 1, "-d"]])
def test_h2load(start, big, more):
    """HTTP/1.1; -m is how many requests it sends ahead."""
    daemon = start({"a": web(max_message="2M")})
    posts = "-d" in more
    count = 100 if posts else 2000
    text = run("h2load", "--h1", "-n", count, "-c", 10, *more, *([big] if posts else []),
               url(daemon.address(), "/?0123456789")).stdout.decode()
    assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in text, text
    assert f"status codes: {count} 2xx" in text


# ---- Python ----


def test_http_client(start, big):
    """One connection for all: bodies of a known length and in chunks, HEAD, OPTIONS, 100."""
    daemon = start({"a": web(max_message="2M")})
    connection = http.client.HTTPConnection(*daemon.address(), timeout=15 * harness.SCALE)
    data = big.read_bytes()

    def ask(method, target="/", body=None, **options):
        connection.request(method, target, body, **options)
        reply = connection.getresponse()
        return reply.status, reply.read()

    for number in range(20):
        assert ask("POST", body=b"%d" % number) == (200, b"%d" % number)
        assert ask("GET", f"/?{number}") == (200, b"%d" % number)
        assert ask("HEAD", "/?x") == (200, b"")
        assert ask("OPTIONS", "*") == (204, b"")
    assert ask("POST", body=data) == (200, data)
    assert ask("PUT", body=iter([data[:7], b"", data[7:500000], data[500000:]])) == (200, data)
    with open(big, "rb") as file:
        assert ask("POST", body=file) == (200, data)
    assert daemon.counters()["accepted"] == 1
    assert ask("DELETE")[0] == 405
    assert ask("POST", body=b"again") == (200, b"again"), "on a new connection"
    assert daemon.counters()["accepted"] == 2


def test_http_client_is_told_413(start):
    """It sends everything before it looks at the reply."""
    daemon = start({"a": web(max_message="64K")})
    connection = http.client.HTTPConnection(*daemon.address(), timeout=15 * harness.SCALE)
    for _ in range(20):
        connection.request("POST", "/", bytes(10 << 20))
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (413, b"Content Too Large")


def test_urllib(start):
    daemon = start({"a": page()})
    here = url(daemon.address())

    def ask(target="", data=None, **options):
        request = urllib.request.Request(here + target, data, **options)
        return urllib.request.urlopen(request, timeout=15 * harness.SCALE)

    with ask("?a=%C3%A9", headers={"X-One": "\u00e9"}) as reply:
        asked = json.loads(reply.read())
        assert asked["query"] == {"a": ["\u00e9"]} and asked["headers"]["x-one"] == "\u00e9"
        assert reply.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    with ask(data=b"a=1", method="PATCH") as reply:
        asked = json.loads(reply.read())
        assert (asked["method"], asked["body"]) == ("PATCH", "a=1")
    with pytest.raises(urllib.error.HTTPError, match="404: Not Found"):
        ask("none")


# ---- node ----


def test_node(start):
    """fetch, and the older http with an Agent that keeps connections: node_http.js says the rest."""
    daemon = start({"a": web(max_message="2M"), "b": page()}, {"workers": 1})
    done = run("node", PROGRAMS / "node_http.js", url(daemon.address("a"), ""),
               url(daemon.address("b"), ""))
    told = json.loads(done.stdout)
    assert told["agent"] == {"asked": 51, "sockets": 1}
    assert told["done"] == ["fetch", "json", "stream", "agent", "continue", "abort"]
