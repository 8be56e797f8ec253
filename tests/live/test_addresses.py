"""max_connections_per_address and rate: what one address may, of the whole daemon."""

import os
import signal
import socket

import pytest

import harness
from harness import echo, frame, wait_for
from test_http import post, read_reply


class From(harness.Client):
    """A client with an address of its own."""

    def __init__(self, number, daemon, name="a"):
        self.source = (f"127.0.0.{number}", 0)
        super().__init__(daemon.address(name))
        daemon.clients.append(self)

    def connected(self, address):
        self.socket.bind(self.source)
        return super().connected(address)

    def serves(self):
        return self.ask(b"x") == b"x"


def is_taken(daemon, number):
    """Whether the address may connect once more; what it was given is closed again."""
    client = From(number, daemon)
    try:
        return client.serves()
    except (AssertionError, ConnectionError):
        return False
    finally:
        client.close()


def test_connections(start):
    daemon = start({"a": echo(max_connections_per_address=2)}, {"workers": 3})
    clients = [From(number, daemon) for number in (2, 2, 3, 3)]
    assert all(client.serves() for client in clients)
    for number in (2, 3):
        assert From(number, daemon).is_ended()
    assert daemon.counters("a")["address_cut"] == 2
    assert all(client.serves() for client in clients), "who is in stays"
    clients[0].close()
    wait_for(lambda: is_taken(daemon, 2), "there is room again")
    assert not is_taken(daemon, 3)


def test_http_says_so(start):
    """As many at once as may be connected are told; who would hold more is closed."""
    daemon = start({"a": echo(protocol="http", max_connections_per_address=2)})
    inside = [From(2, daemon) for _ in range(2)]
    for client in inside:
        client.send(post(b"x"))
        assert read_reply(client)[0] == 200
    told = [From(2, daemon) for _ in range(2)]
    for client in told:
        client.send(post(b"y" * 50000))
        status, fields, body = read_reply(client)
        assert (status, body) == (429, b"Too Many Requests")
        assert (fields["Retry-After"], fields["Connection"]) == ("1", "close")
        assert not client.more(), "the end"
    silent = From(2, daemon)
    assert silent.is_ended() and not silent.pending
    for client in told:
        client.close()
    wait_for(lambda: daemon.service("a")["connections"] == 2, "they are gone")
    another = From(2, daemon)
    assert read_reply(another)[0] == 429, "told before it asks"
    for client in inside:
        client.send(post(b"z"))
        assert read_reply(client)[2] == b"z"
    counters = daemon.counters("a")
    assert (counters["address_cut"], counters["limited"], counters["replies"]) == (4, 0, 4)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_handshake_is_told_so(start):
    """A WebSocket counts for its own service, before that the connection for the front."""
    shared = {"listen": f"127.0.0.1:{free_port()}", "handler": "echo"}
    daemon = start({
        "a": {**shared, "protocol": "http", "max_connections_per_address": 3},
        "b": {**shared, "protocol": "websocket", "path": "/ws", "max_connections_per_address": 1}})
    shake = (b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    clients = [From(2, daemon) for _ in range(3)]
    assert read_reply(clients[0].send(shake))[0] == 101
    status, fields, _ = read_reply(clients[1].send(shake))
    assert (status, fields["Retry-After"]) == (429, "1")
    assert read_reply(clients[1].send(post(b"x")))[2] == b"x", "the connection goes on"
    assert daemon.counters("b")["address_cut"] == 1
    assert read_reply(From(3, daemon).send(shake))[0] == 101
    # One of the front's three has become the other's.
    extra = From(2, daemon)
    assert read_reply(extra.send(post(b"x")))[0] == 200
    assert read_reply(From(2, daemon))[0] == 429
    clients[0].close()
    daemon.wait_service(lambda s: s["connections"] == 1, "it has left", "b")
    assert read_reply(clients[1].send(shake))[0] == 101


@pytest.mark.parametrize("protocol", ["line", "frame"])
def test_rate(start, protocol):
    daemon = start({"a": echo(rate=5, protocol=protocol)})
    message = b"x\n" if protocol == "line" else frame(b"x")
    other, client = From(3, daemon), From(2, daemon)
    for _ in range(5):
        assert client.send(message).take(len(message)) == message
    # Only who is slow has another second.
    wait_for(lambda: is_cut(client, message), "it asks too often")
    assert daemon.counters("a")["address_cut"] == 1
    assert other.send(message).take(len(message)) == message, "others are not meant"


def is_cut(client, message):
    try:
        for _ in range(6):
            client.send(message).take(len(message))
    except (AssertionError, ConnectionError):
        return True
    return False


def test_a_rest_without_an_end_counts(start):
    daemon = start({"a": echo(rate=1)})
    client = From(2, daemon)
    client.send(b"x\ny").finish_sending()
    assert client.is_ended()
    counters = daemon.counters("a")
    assert (counters["requests"], counters["address_cut"]) == (1, 1)


def test_http_rate(start):
    daemon = start({"a": echo(protocol="http", rate=5)})
    client = From(2, daemon)
    client.send(post(b"x") * 12)
    replies = [read_reply(client)]
    while replies[-1][0] == 200:
        replies.append(read_reply(client))
    status, fields, _ = replies.pop()
    assert (status, fields["Retry-After"], fields["Connection"]) == (429, "1", "close")
    assert client.rest() == b"", "nothing behind it"
    assert len(replies) == 5
    counters = daemon.counters("a")
    assert (counters["limited"], counters["address_cut"], counters["requests"]) == (1, 1, 6)
    client = From(3, daemon)
    client.send(post(b"x"))
    assert read_reply(client)[0] == 200, "others are not meant"

    def may_ask():
        client = From(2, daemon)
        client.send(post(b"x"))
        return read_reply(client)[0] == 200

    wait_for(may_ask, "the second is over")


def test_who_was_killed_gives_its_places_back(start):
    daemon = start({"a": echo(max_connections_per_address=3)})
    clients = [From(2, daemon) for _ in range(3)]
    assert all(client.serves() for client in clients) and not is_taken(daemon, 2)
    for pid in daemon.worker_pids():
        os.kill(pid, signal.SIGKILL)
    for client in clients:
        client.is_ended()
    wait_for(lambda: len(daemon.worker_pids()) == 2, "they are replaced")
    wait_for(lambda: is_taken(daemon, 2), "there is room again")
    clients = [From(2, daemon) for _ in range(3)]
    assert all(client.serves() for client in clients) and not is_taken(daemon, 2)


def test_moves_do_not_matter(start):
    """Through reloads and an upgrade: the limit holds, and nobody is turned away for a move."""
    daemon = start({"a": echo(max_connections_per_address=3), "other": echo()})
    clients = [From(2, daemon) for _ in range(3)]
    for number in range(3):
        if number < 2:
            assert daemon.reloaded({"other": {"pipeline": 10 + number}})["ok"]
        else:
            assert daemon.request("upgrade")["ok"]
        daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation")
        assert all(client.serves() for client in clients)
        assert not is_taken(daemon, 2)
        clients.pop(0).close()
        wait_for(lambda: is_taken(daemon, 2), "there is room")
        clients.append(From(2, daemon))
        assert clients[-1].serves()
    assert daemon.service("a")["connections"] == 3


def test_a_limit_that_comes_later(start):
    """Connections that are open when it comes are counted; none of them is cut for it."""
    daemon = start({"a": echo()})
    clients = [From(2, daemon) for _ in range(4)]
    assert all(client.serves() for client in clients)
    assert daemon.reloaded({"a": {"max_connections_per_address": 3}})["ok"]
    daemon.wait_status(lambda s: len(s["generations"]) == 1, "one generation")
    assert all(client.serves() for client in clients)
    assert not is_taken(daemon, 2) and is_taken(daemon, 3)
    for client in clients[:2]:
        client.close()
    wait_for(lambda: is_taken(daemon, 2), "there is room")


def test_a_unix_socket_has_no_address(start, folder):
    daemon = start({"a": echo(listen=f"unix:{folder}/sock", max_connections_per_address=1, rate=1)})
    for _ in range(3):
        client = daemon.connect()
        assert [client.ask(b"x"), client.ask(b"y")] == [b"x", b"y"]


def test_a_stream_has_no_requests(folder):
    harness.write_config(folder / "bad.conf", {
        "a": {"listen": "127.0.0.1:0", "protocol": "stream", "handler": "echo", "rate": 5}}, {})
    done = harness.hostlerd("-t", "-f", folder / "bad.conf")
    assert done.returncode != 0
    assert "rate: is not for protocol stream, which has no requests" in done.stderr
