"""Several services of HTTP behind one address: who is asked, whose limits hold, what a reload may change."""

from ctl_help import Ctl
from harness import echo, pool, program, wait_for
from test_http import exchange, post, read_reply


def web(path="/", **keys):
    return echo(protocol="http", path=path, **keys)


def get(target, host="a", fields=""):
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode()


def test_one_address_has_several_services(start):
    daemon = start({
        "front": web(),
        "api": pool(program("upper.py"), protocol="http", path="/api"),
        "named": web(host="x.example", content_type="text/named", max_message="100B"),
    })
    assert len({daemon.service(name)["listen"][0] for name in ("front", "api", "named")}) == 1
    client = daemon.connect("front")
    assert exchange(client, get("/?ab"))[2] == b"ab"
    assert exchange(client, get("/api?ab"))[2] == b"AB"
    assert exchange(client, post(b"ab", target="/api/x"))[2] == b"AB"
    assert exchange(client, get("/?ab", host="X.example:80"))[1]["Content-Type"] == "text/named"
    # All at once, and in order.
    client.send(get("/api?1x") + get("/?2x") + get("/api?3x") + get("/?4x", host="x.example"))
    assert [read_reply(client)[2] for _ in range(4)] == [b"1X", b"2x", b"3X", b"4x"]
    # A limit of a body is that of the service which is asked.
    assert exchange(client, post(b"x" * 101))[0] == 200
    assert exchange(client, post(b"x" * 100).replace(b"Host: a", b"Host: x.example"))[0] == 200
    status, fields, _ = exchange(client, post(b"x" * 101).replace(b"Host: a", b"Host: x.example"))
    assert (status, fields["Connection"]) == (413, "close")
    counters = {name: daemon.service(name)["counters"] for name in ("front", "api", "named")}
    assert counters["front"]["requests"] == 3 and counters["api"]["requests"] == 4
    assert counters["named"]["requests"] == 4 and counters["named"]["too_large"] == 1
    assert counters["front"]["accepted"] == 1 and counters["api"]["accepted"] == 0


def test_tables_and_log_say_which_requests_are_whose(start):
    daemon = start({"front": web(), "api": web("/api", host="a.x"), "line": echo()})
    address = "%s:%d" % daemon.address("front")
    table = Ctl("services", "--socket", daemon.control_path).out
    rows = {row.split()[0]: row for row in table.splitlines()}
    assert f" {address}  " in rows["front"]
    assert f" {address}/api (a.x)  " in rows["api"]
    assert [(daemon.service(name)["path"], daemon.service(name)["host"])
            for name in ("front", "api", "line")] == [
                ("/", None), ("/api", "a.x"), (None, None)]
    assert f"listening on http://{address}/api for a.x, with" in daemon.log()


def test_nobody_is_404(start):
    daemon = start({"a": web("/a")})
    client = daemon.connect()
    status, fields, body = exchange(client, get("/"))
    assert status == 404 and "Connection" not in fields and body
    assert exchange(client, get("/a?x"))[2] == b"x", "it goes on"
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get("/a?y"))
    assert read_reply(client, body=False)[0] == 404
    assert read_reply(client)[2] == b"y"
    # A body that nobody wants is not waited for.
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    status, fields, _ = read_reply(client)
    assert (status, fields["Connection"]) == (404, "close")
    assert client.rest() == b""


def test_access_logs_are_the_services(start, tmp_path):
    daemon = start({"front": web(), "api": web("/api", access_log=tmp_path / "api")})
    client = daemon.connect("front")
    for target in ("/?one", "/api?two"):
        assert exchange(client, get(target))[0] == 200
    wait_for(lambda: (tmp_path / "api").read_text().count("\n") == 1, "its line")
    line = (tmp_path / "api").read_text()
    assert "127.0.0.1:" in line


def test_a_reload_changes_routes(start):
    services = {"front": web(), "api": web("/api", content_type="text/api")}
    daemon = start(services)
    client = daemon.connect("front")
    assert exchange(client, get("/api"))[1]["Content-Type"] == "text/api"
    daemon.reloaded({"api": {"path": "/v2"}})
    assert exchange(client, get("/api"))[1]["Content-Type"] != "text/api"
    assert exchange(client, get("/v2"))[1]["Content-Type"] == "text/api"


def test_a_connection_outlives_its_front(start, tmp_path):
    """It is nobody's between two requests: the next one goes to whoever is there by then."""
    shared = {"listen": f"unix:{tmp_path}/web"}
    daemon = start({"front": web(**shared), "api": web("/api", content_type="text/api", **shared)})
    client = daemon.connect("front")
    assert exchange(client, get("/api"))[1]["Content-Type"] == "text/api"
    client.send(get("/api")[:20])  # in the middle of a request too
    daemon.reloaded({"front": None})
    client.send(get("/api")[20:])
    assert read_reply(client)[1]["Content-Type"] == "text/api"
    assert exchange(client, get("/"))[0] == 404
    daemon.reloaded({"other": web("/", content_type="text/other", **shared)})
    assert exchange(client, get("/"))[1]["Content-Type"] == "text/other"
    assert daemon.service("other")["counters"]["requests"] == 1
