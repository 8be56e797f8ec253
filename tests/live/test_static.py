"""Files of a folder over HTTP: what is served and what never, whole, in part and slowly."""

import os
import socket
import subprocess
import time
import zlib

import pytest

import harness
from harness import descriptors, echo, resident_bytes, wait_for
from test_http import exchange, read_reply
from test_routes import get

MIB = 1 << 20


@pytest.fixture
def www(folder):
    """What is served, and a secret beside it."""
    for path in (folder / "www", folder / "www/sub", folder / "www/.hidden"):
        path.mkdir()
        path.chmod(0o755)
    for name in ("secret", "www/a.txt", "www/sub/index.html", "www/.hidden/b", "www/sub/ü b"):
        (folder / name).write_text(name)
    return folder / "www"


def static(www, **keys):
    return {"listen": "127.0.0.1:0", "protocol": "http", "handler": "static", "root": www, **keys}


def status_of(client, target):
    return exchange(client, get(target))[0]


def test_files(start, www):
    client = start({"a": static(www)}).connect()
    status, fields, body = exchange(client, get("/a.txt?x=y"))
    assert (status, body) == (200, b"www/a.txt")
    assert fields["Content-Type"] == "text/plain; charset=utf-8"
    assert fields["X-Content-Type-Options"] == "nosniff" and fields["Accept-Ranges"] == "bytes"
    client.send(b"HEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
    status, told, _ = read_reply(client, body=False)
    told["Date"] = fields["Date"]
    assert (status, told) == (200, fields), "the same without the body"
    for field in (f"If-None-Match: {fields['ETag']}\r\n",
                  f"If-Modified-Since: {fields['Last-Modified']}\r\n"):
        status, told, _ = exchange(client, get("/a.txt", fields=field))
        assert status == 304 and told["ETag"] == fields["ETag"] and "Content-Length" not in told
    (www / "a.txt").write_text("WWW/a.txt")
    status, told, body = exchange(client, get("/a.txt", fields=f"If-None-Match: {fields['ETag']}\r\n"))
    assert (status, body) == (200, b"WWW/a.txt") and told["ETag"] != fields["ETag"]
    assert exchange(client, get("/sub/"))[2] == b"www/sub/index.html"
    assert exchange(client, get("/sub/%c3%bc%20b"))[2] == "www/sub/ü b".encode()
    assert exchange(client, get("//sub//index.html"))[0] == 200
    (www / "empty").write_text("")
    assert exchange(client, get("/empty"))[::2] == (200, b"")
    assert status_of(client, "/") == 404, "no index, and nobody gets a list"
    status, fields, _ = exchange(client, get("/a.txt").replace(b"GET", b"DELETE"))
    assert (status, fields["Allow"]) == (405, "GET, HEAD, OPTIONS")
    status, fields, _ = exchange(client, get("*").replace(b"GET", b"OPTIONS"))
    assert (status, fields["Allow"]) == (204, "GET, HEAD, OPTIONS")


def test_a_folder_needs_its_slash(start, www):
    """The way there is relative: whatever is asked for, it leads to nobody else's host."""
    (www / "\\evil.example").mkdir()
    daemon = start({"a": static(www), "b": static(www, path="/deep/er", index="a.txt")})
    client = daemon.connect("a")
    for target, place in (("/sub", "./sub/"), ("/sub?a=b", "./sub/?a=b"), ("//sub", "./sub/"),
                          ("/%5Cevil.example", "./%5Cevil.example/"), ("/s%75b", "./s%75b/"),
                          ("/deep/er", "./er/"), ("/deep/er/sub", "./sub/")):
        status, fields, _ = exchange(client, get(target))
        assert (status, fields["Location"]) == (301, place), target
    assert exchange(client, get("/deep/er/"))[2] == b"www/a.txt"
    assert exchange(client, get("/deep/er/a.txt"))[2] == b"www/a.txt"


def test_nothing_else_is_served(start, www):
    (www / "out").symlink_to("../secret")
    (www / "up").symlink_to("..")
    (www / "absolute").symlink_to(www / "a.txt")
    (www / "inside").symlink_to("sub/../a.txt")
    os.mkfifo(www / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(www / "socket"))
    daemon = start({"a": static(www)})
    client = daemon.connect()
    for target in ("/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret",
                   "/sub/..%2f..%2fsecret", "/%2e%2e%2fsecret", "/.%2e/secret", "/sub/../a.txt",
                   "/./a.txt", "/.hidden/b", "/%2ehidden/b", "/out", "/up/secret", "/absolute",
                   "/fifo", "/socket", "/a.txt%00.html", "/a.txt/", "/a.txt/b", "/none", "/sub/none",
                   "/" + "x" * 300, "/" + "x/" * 2000, "/%252e%252e/secret", "/..;/secret",
                   "/..\\secret", "/%c0%ae%c0%ae/secret", "/" + str(www.parent / "secret")):
        assert status_of(client, target) == 404, target
    client.send(get("/fifo").replace(b"GET", b"HEAD"))
    assert read_reply(client, body=False)[0] == 404
    assert status_of(client, "/" + "x/" * 3000) == 414
    assert status_of(client, "/inside") == 200
    (www / "a.txt").chmod(0)
    assert status_of(client, "/a.txt") == 403
    wait_for(lambda: not [path for pid in daemon.worker_pids()
                          for path in descriptors(pid).values() if path.startswith(f"{www}/")],
             "no file is open")


def test_ranges(start, www):
    body = os.urandom(100_000)
    (www / "b").write_bytes(body)
    client = start({"a": static(www)}).connect()
    for asked, first, last in (("0-0", 0, 0), ("5-", 5, 99_999), ("-7", 99_993, 99_999),
                               ("10-89999", 10, 89_999), ("99999-200000", 99_999, 99_999)):
        status, fields, got = exchange(client, get("/b", fields=f"Range: bytes={asked}\r\n"))
        assert (status, fields["Content-Range"]) == (206, f"bytes {first}-{last}/100000")
        assert got == body[first:last + 1]
    status, fields, _ = exchange(client, get("/b", fields="Range: bytes=100000-\r\n"))
    assert (status, fields["Content-Range"]) == (416, "bytes */100000")
    assert exchange(client, get("/b", fields="Range: bytes=0-1,5-6\r\n"))[2] == body


def test_a_folder_may_be_replaced(start, www):
    """Without a reload: another one, or a link that leads to another one."""
    current = www.parent / "current"
    current.symlink_to("www")
    daemon = start({"a": static(current)})
    client = daemon.connect()
    assert status_of(client, "/a.txt") == 200
    (www.parent / "new").mkdir(mode=0o755)
    (www.parent / "new/new.txt").write_text("new")
    (www.parent / "link").symlink_to("new")
    (www.parent / "link").rename(current)
    wait_for(lambda: status_of(client, "/new.txt") == 200, "the new folder")
    assert status_of(client, "/a.txt") == 404
    (www.parent / "new").rename(www.parent / "gone")
    wait_for(lambda: status_of(client, "/new.txt") == 404, "that it is gone")
    assert daemon.wait_log("service a: .*/current: No such file")
    began = time.monotonic()
    for _ in range(50):
        assert status_of(client, "/new.txt") == 404
    told = len(daemon.log_lines("/current: No such file"))
    assert told <= 2 + time.monotonic() - began, "once a second, however many ask"
    (www.parent / "gone").rename(www.parent / "new")
    wait_for(lambda: status_of(client, "/new.txt") == 200, "that it is back")


@pytest.fixture
def huge(www):
    """200 MB that take no room, but for some in their middle."""
    with open(www / "huge", "wb") as file:
        file.truncate(200 * MIB)
        file.seek(100 * MIB)
        file.write(os.urandom(MIB))
    return www / "huge"


def digest(chunks):
    state = 0
    for chunk in chunks:
        state = zlib.crc32(chunk, state)
    return state


def receive(client, length):
    while length > 0:
        if client.pending:
            chunk, client.pending = client.pending[:length], client.pending[length:]
        else:
            chunk = client.socket.recv(min(length, MIB))
        assert chunk, f"the end, with {length} bytes owed"
        length -= len(chunk)
        yield chunk


def head_of(client):
    while b"\r\n\r\n" not in client.pending:
        client.more()
    head, client.pending = client.pending.split(b"\r\n\r\n", 1)
    return head


def test_a_huge_file_takes_no_memory(start, www, huge):
    """And replies that are asked for behind it come behind it."""
    with open(huge, "rb") as file:
        expected = digest(iter(lambda: file.read(MIB), b""))
    daemon = start({"a": static(www), "b": echo(protocol="http", path="/echo")}, {"workers": 1})
    client = daemon.connect("a")
    [worker] = daemon.worker_pids()
    assert status_of(client, "/a.txt") == 200
    before = resident_bytes(worker)
    client.send(get("/huge") + get("/echo?next") + get("/a.txt"))
    assert head_of(client).startswith(b"HTTP/1.1 200")
    chunks = receive(client, 200 * MIB)
    first = next(chunks)
    assert exchange(daemon.connect("a"), get("/echo?other"))[2] == b"other", "others are served"
    during = resident_bytes(worker)
    assert digest([first, *chunks]) == expected
    assert read_reply(client)[2] == b"next"
    assert read_reply(client)[2] == b"www/a.txt"
    assert max(during, resident_bytes(worker)) < before + 2 * MIB * harness.SCALE
    wait_for(lambda: str(huge) not in descriptors(worker).values(), "the file is closed")


def test_a_client_that_leaves_takes_the_file_along(start, www, huge):
    daemon = start({"a": static(www)}, {"workers": 1})
    [worker] = daemon.worker_pids()
    for leave in ("reset", "close"):
        client = daemon.connect().send(get("/huge"))
        client.take(1000)
        wait_for(lambda: str(huge) in descriptors(worker).values(), "the file is open")
        getattr(client, leave)()
        wait_for(lambda: str(huge) not in descriptors(worker).values(), "it is closed")
    wait_for(lambda: daemon.counters()["withdrawn"] == 2, "both count as withdrawn")


def test_a_reload_waits_for_the_file(start, www, huge):
    """Then the connection moves, with what was asked for behind."""
    daemon = start({"a": static(www)}, {"workers": 1})
    client = daemon.connect().send(get("/huge") + get("/a.txt"))
    head_of(client)
    chunks = receive(client, 200 * MIB)
    next(chunks)
    daemon.configure({"a": {"idle_timeout": "1m"}})
    assert daemon.reload()["ok"]
    assert len(daemon.status()["generations"]) == 2
    for _ in chunks:
        pass
    assert read_reply(client)[2] == b"www/a.txt"
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation", 10)
    assert status_of(client, "/a.txt") == 200


def test_a_stop_waits_for_the_file(start, www, huge):
    daemon = start({"a": static(www)})
    client = daemon.connect().send(get("/huge"))
    head_of(client)
    chunks = receive(client, 200 * MIB)
    next(chunks)
    daemon.send_signal(harness.signal.SIGTERM)
    daemon.wait_log("stopping")
    for _ in chunks:
        pass
    assert client.rest() == b""
    client.close()
    assert daemon.wait_exit() == 0


def test_curl_fetches_and_goes_on(start, www, tmp_path):
    body = os.urandom(3 * MIB)
    (www / "b").write_bytes(body)
    host, port = start({"a": static(www)}).address()
    got = tmp_path / "got"
    curl = ["curl", "-sSf", "--max-time", "10", "-o", got]
    try:
        subprocess.run([*curl, "-r", "0-999999", f"http://{host}:{port}/b"], check=True)
    except FileNotFoundError:
        pytest.skip("no curl")
    subprocess.run([*curl, "-C", "-", f"http://{host}:{port}/b"], check=True)
    assert got.read_bytes() == body
    subprocess.run([*curl, "-L", f"http://{host}:{port}/sub"], check=True)
    assert got.read_text() == "www/sub/index.html"
