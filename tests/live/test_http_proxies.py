"""nginx and haproxy in front of protocol http, as docs/http.md shows them."""

import asyncio
import contextlib
import json
import os
import re
import socket
import threading

import pytest

import clients
import harness
from clients import read_reply
from harness import HERE, echo, pool, program, wait_for

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
{documented}
}}
"""

HAPROXY = """
global
    nbthread 1
{documented}
"""


def documented(language, replace):
    """The snippet of docs/http.md in that language, with what stands there replaced."""
    text = (HERE.parent.parent / "docs/http.md").read_text()
    snippet = re.search(rf"```{language}\n(.*?)```", text, re.S).group(1)
    for pattern, by in replace.items():
        snippet, count = re.subn(pattern, by, snippet)
        assert count > 0, f"{pattern} is not in the snippet of {language}"
    return snippet


class Proxy:
    """The address that it listens at, which is open before it runs, so that no port is guessed."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = self.socket.getsockname()

    def connect(self):
        return harness.Client(self.address)


@pytest.fixture(params=["nginx", "haproxy"])
def proxy(request, folder):
    """proxy(DAEMON) starts the one or the other in front of its service."""
    name = request.param
    clients.tool(name)
    stack = contextlib.ExitStack()

    def start(daemon):
        front, config = Proxy(), folder / f"{name}.conf"
        stack.enter_context(front.socket)
        host, port = daemon.address()
        number, own = front.socket.fileno(), front.address[1]
        env = {}
        if name == "nginx":
            text = NGINX.format(folder=folder, documented=documented("nginx", {
                r"listen 80;": f"listen 127.0.0.1:{own};", r"127\.0\.0\.1:8080": f"{host}:{port}"}))
            arguments = ["-p", folder, "-c", config, "-e", "stderr"]
            env["NGINX"] = f"{number};"  # sockets that it has already
        else:
            text = HAPROXY.format(documented=documented("haproxy", {
                r"bind :80\b": f"bind fd@{number}", r"127\.0\.0\.1:8080": f"{host}:{port}"}))
            arguments = ["-db", "-f", config]
        config.write_text(text)
        stack.enter_context(clients.running(
            name, *arguments, log=folder / f"{name}.log", cwd=folder, env=env, pass_fds=[number]))
        return front

    with stack:
        yield start


def web(**keys):
    return echo(protocol="http", **keys)


def ask(client, method, target="/", body=b"", fields="", host="front.example"):
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    client.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}{fields}\r\n".encode() + body)
    return read_reply(client, body=method != "HEAD")


def test_connections_to_the_daemon_are_kept(start, proxy):
    daemon = start({"a": web()})
    front = proxy(daemon)
    for _ in range(4):
        client = front.connect()
        for number in range(50):
            assert ask(client, "GET", f"/?{number}")[2] == b"%d" % number
            assert ask(client, "POST", "/", b"x%d" % number)[2] == b"x%d" % number
            assert ask(client, "HEAD", "/?abc")[::2] == (200, b"")
    assert daemon.counters()["replies"] == 600
    assert daemon.counters()["accepted"] <= 2


def test_what_the_program_sees(start, proxy):
    """The client's own Host, and its address where proxies put it."""
    daemon = start({"a": pool(program("web.py"), protocol="http", message="json")})
    front = proxy(daemon)
    status, fields, body = ask(front.connect(), "PATCH", "/?a=%C3%A9+b", b"{}",
                               "X-Request-Id: mine\r\nX-One: 1\r\nX-One: 2\r\n")
    seen = json.loads(body)
    assert (status, fields["x-request-id"]) == (200, "mine")
    assert (seen["method"], seen["target"], seen["body"]) == ("PATCH", "/?a=%C3%A9+b", "{}")
    assert (seen["headers"]["host"], seen["headers"]["x-one"]) == ("front.example", "1, 2")
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert seen["headers"]["x-request-id"] == "mine"
    assert ask(front.connect(), "GET", "/none")[::2] == (404, b"no such page\n")


def chunked(data, piece):
    parts = [data[at:at + piece] for at in range(0, len(data), piece)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_bodies(start, proxy):
    daemon = start({"a": web(max_message="4M")})
    front = proxy(daemon)
    client = front.connect()
    data = os.urandom(3 << 20)
    assert ask(client, "POST", "/", data)[::2] == (200, data)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in (65536, 777):
        # In the background, for the reply may begin before all was sent.
        sending = threading.Thread(target=client.send, args=(head + chunked(data, piece),))
        sending.start()
        assert read_reply(client)[::2] == (200, data)
        sending.join()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert read_reply(client)[0] == 100
    client.send(b"late")
    assert read_reply(client)[::2] == (200, b"late")


def test_too_large(start, proxy):
    """The refusal reaches the client, who is still sending; then the connections are good again."""
    daemon = start({"a": web(max_message="64K")})
    front = proxy(daemon)
    client = front.connect()
    for _ in range(10):
        told = []
        sender = front.connect()

        def send(to=sender):
            with contextlib.suppress(OSError):  # the proxy closes when it has told
                to.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n"
                        + bytes(5000000))

        sending = threading.Thread(target=send)
        sending.start()
        told.append(read_reply(sender)[0])
        sending.join()
        assert told == [413]
        assert ask(client, "POST", "/", b"fine")[::2] == (200, b"fine")


def test_a_pipeline(start, proxy):
    front = proxy(start({"a": web()}))
    client = front.connect()
    client.send(b"".join(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d" % n
                         for n in range(50)))
    assert [read_reply(client)[2] for _ in range(50)] == [b"%02d" % n for n in range(50)]


SECOND = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
FRAMES = [
    b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding : chunked\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding:\x0bchunked\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding: xchunked\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding: chunked, identity\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding: gzip, chunked\r\n",
    b"Content-Length: %d\r\nX: y\r\n Transfer-Encoding: chunked\r\n",
    b"Content-Length: %d\r\nX: y\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: %d\r\nX: y\rTransfer-Encoding: chunked\r\n",
    b"Content-Length: %d\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: %d\r\n",
    b"Content-Length: +%d\r\n",
    b"Content-Length: %d, %d\r\n",
    b"Content-Length : %d\r\n",
    b"Content-Length: %d\r\nTransfer_Encoding: chunked\r\n",
    b"Content-Length: %d\r\nConnection: Content-Length\r\n",
    b"Content-Length: %d\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n",
    b"Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\nX-Length: %d\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nX-Length: %d\r\n",
]  # fmt: skip


@pytest.mark.parametrize("method", [b"POST", b"GET"])
def test_no_request_is_slipped_past(start, proxy, method):
    """Whatever the body is framed as, what stands in it never becomes a request of its own."""
    daemon = start({"a": echo(protocol="http", message="json", max_message="64K")})
    front = proxy(daemon)
    found = 0
    for body in (b"0\r\n\r\n" + SECOND, chunked(SECOND, 100), b"5\r\nabcde\r\n0\r\n\r\n" + SECOND):
        for frame in FRAMES:
            length = (len(body),) * frame.count(b"%d")
            client = front.connect()
            client.send(method + b" /first HTTP/1.1\r\nHost: a\r\n" + frame % length + b"\r\n" + body
                        + b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answers = client.rest()
            targets = re.findall(rb'"target":"(.*?)"', answers)
            # A proxy that took the chunks for the whole body was right to find a second request.
            honest = b"\nTransfer-Encoding: chunked" in frame or frame.startswith(b"Transfer-Enc")
            if b"/smuggled" in targets:
                found += 1
                assert honest and b"Content-Length" not in frame, (frame, answers)
            # Whoever comes next on the same connection to the daemon is told of his own alone.
            for _ in range(2):
                assert json.loads(ask(client := front.connect(), "GET", "/next")[2])[
                    "target"] == "/next", (frame, answers)
                client.close()
    assert found > 0, "a second request that is one is seen"


def test_reloads_behind_a_proxy(start, proxy):
    """Its connections to the daemon move: nobody in front of it notices."""
    daemon = start({"a": pool(program("upper.py"), protocol="http", instances=2)})
    front = proxy(daemon)
    wrong, asked, over = [], [], threading.Event()

    def client_of(number):
        client = front.connect()
        while not over.is_set():
            status, fields, body = ask(client, "POST", "/", b"n%d" % len(asked))
            if fields.get("connection") == "close":
                client = front.connect()  # nginx: after a thousand requests
            asked.append(status)
            if status != 200 or not body.startswith(b"N"):
                wrong.append((status, body))

    threads = [threading.Thread(target=client_of, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for round in range(5):
        before = len(asked)
        daemon.reloaded({"a": {"pipeline": 10 + round}})
        wait_for(lambda: len(asked) >= before + 20, "replies behind the reload")
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:5]


def test_a_web_socket(start, proxy):
    """Of a page of the proxy's own host; it stays over a reload, and its end comes through."""
    websockets = pytest.importorskip("websockets", reason="needs python3-websockets")
    daemon = start({"page": web(), "socket": echo(protocol="websocket", path="/socket",
                                                  max_message="64K", ping_interval="300ms")})
    front = proxy(daemon)
    host, port = front.address

    async def story():
        async with websockets.connect(f"ws://{host}:{port}/socket", ping_interval=None,
                                      origin=f"http://{host}:{port}") as socket:
            for round in range(3):
                for message in ("", "text", b"\xff" * 60000, ["in ", "parts"]):
                    await socket.send(message)
                    assert await socket.recv() == ("in parts" if message == ["in ", "parts"] else message)
                await asyncio.get_running_loop().run_in_executor(
                    None, lambda: daemon.reloaded({"page": {"pipeline": 10 + round}}))
            await asyncio.sleep(0.8)  # pings of ours come through, and their pongs
            await socket.send(b"x" * 65537)
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
        assert socket.close_code == 1009
        with pytest.raises(websockets.InvalidStatusCode, match="403"):
            await websockets.connect(f"ws://{host}:{port}/socket", origin="http://elsewhere.example")

    asyncio.run(asyncio.wait_for(story(), 30 * harness.SCALE))
    assert ask(front.connect(), "GET", "/?page")[2] == b"page"
