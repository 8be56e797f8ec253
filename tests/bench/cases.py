"""The cases of `make bench`: who is asked what, and what has to come out of it."""

import dataclasses

import http_servers
import servers
import web_pools
from servers import Hostlerd, Limit, Server, python

ECHO = "--hostler.workers 1 --protocol line --handler echo"
POOL = "--handler program --instances 2 --queue 2048"


@dataclasses.dataclass
class Bar:
    """`figure` of one server over that of another, and what that ratio may be, if anything is wanted."""

    figure: str  # cpu, rate, p99
    server: str
    over: str
    most: float = None  # the ratio has to be at most this
    least: float = None  # or at least this


@dataclasses.dataclass
class Case:
    name: str
    title: str
    load: str  # options of the generator
    servers: list  # the first is what the others are compared with, the second hostlerd
    bars: list
    longer: float = 1  # a run takes so many times as long as another case's
    program: list = None  # what the instances run
    arranged: bool = False  # whether their CPUs are chosen, as placement.py explains

    def names(self):
        return [server.name for server in self.servers]


AGAIN = " again"


def echo(name, title, load, bar):
    servers_here = [
        Limit("epoll", "echo_epoll"),
        Hostlerd("hostlerd", ECHO),
        servers.Uvloop("uvloop"),
        servers.Node(),
        Server("asyncio", python("echo.py")),
        servers.Uvloop("uvloop, bytes as they come", "--bytes"),
    ]
    # Ahead in CPU: whoever is busy without a pause saves the generator wake-ups, and gets a higher rate.
    ahead = [Bar("cpu", "hostlerd", peer, most=1.0) for peer in ("uvloop", "Node", "asyncio")]
    return Case(name, title, load, servers_here, [bar, *ahead])


def http(name, title, load, most):
    """All are asked alike; the 64 bytes are in the query or the body, which hostlerd echoes."""
    present = http_servers.servers(post="--get" not in load)
    return Case(name, title, f"--protocol http --expect any {load}", present,
                [Bar("cpu", "hostlerd", "nginx", most=most),
                 *(Bar("cpu", "hostlerd", server.name) for server in present[2:])])  # fmt: skip


def limit_pool(depth, program="upper.py"):
    return Limit(f"loop, {depth} in flight", "limit_pool", "--children", "2", "--depth", str(depth),
                 "--", *python(program))  # fmt: skip


def hostlerd_pool(concurrency=None, workers=1, name="hostlerd", program="upper.py", protocol="line"):
    """Without a concurrency: whatever is the default."""
    options = f"--hostler.workers {workers} --protocol {protocol} {POOL}"
    if concurrency is not None:
        options += f" --concurrency {concurrency}"
    return Hostlerd(name, options, python(program))


def pool(name, title, concurrency, workers, depth, most=None):
    limit = limit_pool(depth)
    return Case(name, title, "--connections 64 --expect upper",
                [limit, hostlerd_pool(concurrency, workers)],
                [Bar("cpu", "hostlerd", limit.name, most=most)],
                program=python("upper.py"), arranged=True)  # fmt: skip


def http_pool(name, title, load, concurrency, cpu=None, p99=None):
    """POSTs of 64 bytes that come back in capitals; who ends a connection is connected to again."""
    peers = web_pools.peers()
    ours = hostlerd_pool(concurrency, protocol="http")
    return Case(name, title, f"--protocol http --expect upper --reconnect {load}",
                [peers[0], ours, *peers[1:]],
                [Bar(figure, "hostlerd", peer.name, most=most) for peer in peers
                 for figure, most in (("cpu", cpu), ("p99", p99))],
                program=python("upper.py"), arranged=True, longer=2)  # fmt: skip


def websocket(name, title, load):
    """All echo messages of 64 bytes; a session of websocketd has a program of its own."""
    peers = [servers.WebsocketdEcho("websocketd"), servers.NodeWs("Node ws")]
    ours = Hostlerd("hostlerd", "--hostler.workers 1 --protocol websocket --handler echo")
    return Case(name, title, f"--protocol websocket {load}", [peers[0], ours, *peers[1:]],
                [Bar("cpu", "hostlerd", peer.name, most=0.50) for peer in peers])  # fmt: skip


def asyncio_pool(depth):
    name = "asyncio pool" if depth == 1 else f"asyncio pool, {depth} in flight"
    return Server(name, python("asyncio_pool.py", "--depth", str(depth), "--", *python("upper.py")))


ALL = [
    echo("echo-64x1", "echo, 64 connections, 1 in flight each", "--connections 64",
         Bar("cpu", "hostlerd", "epoll", most=1.15)),
    echo("echo-1000x1", "echo, 1000 connections, 1 in flight each", "--connections 1000 --hold",
         Bar("cpu", "hostlerd", "epoll", most=1.15)),
    echo("echo-64x16", "echo, 64 connections, 16 in flight each", "--connections 64 --depth 16",
         Bar("cpu", "hostlerd", "epoll", most=1.25)),
    echo("echo-connect", "echo: connect, one line, close; 16 at a time",
         "--connections 16 --new-connection", Bar("rate", "hostlerd", "epoll", least=0.90)),
    pool("pool-1", "pool, concurrency = 1, one worker", 1, 1, 1, 1.15),
    pool("pool-1-two-workers", "pool, concurrency = 1, two workers", 1, 2, 1, 1.40),
    pool("pool-32", "pool, concurrency = 32, one worker", 32, 1, 32),
    pool("pool-auto", "pool, concurrency = auto, one worker", "auto", 1, 32, 1.35),
    pool("pool-auto-two-workers", "pool, concurrency = auto, two workers", "auto", 2, 32),
    Case("pool-5ms", "pool, a program that takes 5 ms, concurrency = auto over 1",
         "--connections 64 --expect upper",
         [hostlerd_pool(1, name="concurrency = 1", program="wait.py"),
          hostlerd_pool("auto", program="wait.py")],
         [Bar("p99", "hostlerd", "concurrency = 1", most=1.2),
          Bar("rate", "hostlerd", "concurrency = 1", least=1.0)], longer=3),
    Case("pool-asyncio", "pool, against one written by hand in asyncio",
         "--connections 64 --expect upper",
         [asyncio_pool(1), hostlerd_pool(), asyncio_pool(32)],
         [Bar("rate", "hostlerd", "asyncio pool", least=4.0)],
         program=python("upper.py"), arranged=True),
    Case("sessions", "connect, one line, close with a Python program; 16 at a time",
         "--connections 16 --new-connection --expect upper",
         [servers.Tcpserver("tcpserver", python("upper.py")),
          hostlerd_pool(),
          servers.Xinetd("xinetd", python("upper.py")),
          servers.Socat("socat", python("upper.py")),
          servers.Websocketd("websocketd", python("upper.py"))],
         [Bar("rate", "hostlerd", "tcpserver", least=100),
          Bar("rate", "hostlerd", "xinetd", least=100)]),
    Case("cpu-bound", "a program that computes for about 5 ms; 16 connections",
         "--connections 16 --expect upper",
         [servers.Pipes("two children, bare pipes", python("burn.py")),
          hostlerd_pool(program="burn.py"),
          Server("thread pool", python("threads.py"))],
         [Bar("rate", "hostlerd", "two children, bare pipes", least=0.90),
          Bar("rate", "hostlerd", "thread pool", least=1.8)], longer=2),
    http("http-64", "HTTP: GET over 64 kept connections", "--get --connections 64", 1.10),
    http("http-1000", "HTTP: GET over 1000 kept connections", "--get --connections 1000 --hold", 0.85),
    http("http-connect", "HTTP: connect, GET, close; 16 at a time",
         "--get --connections 16 --new-connection", 1.05),
    http("http-post", "HTTP: POST of 64 bytes over 64 kept connections", "--connections 64", None),
    http_pool("http-pool", "HTTP and a pool of two programs, 64 connections, concurrency = auto",
              "--connections 64", "auto", cpu=0.40, p99=0.50),
    http_pool("http-pool-1", "HTTP and a pool of two programs, 64 connections, concurrency = 1",
              "--connections 64", 1),
    websocket("websocket-64", "WebSocket: echo over 64 connections", "--connections 64"),
]  # fmt: skip
