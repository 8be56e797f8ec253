"""handler = status: the page, its figures, metrics, and the answers for who sends requests here."""

import http.client
import json
import os
import re
import signal
import threading
import time

import pytest

import browser
import harness
from harness import echo, pool, program, wait_for
from metrics import Metrics


def status(**keys):
    return {"listen": "127.0.0.1:0", "protocol": "http", "handler": "status", **keys}


class Site:
    """A connection to the service `status` that is kept open as long as the other side does."""

    def __init__(self, daemon, name="status", prefix=""):
        self.address, self.prefix = daemon.address(name), prefix
        self.client = None

    def ask(self, path, method="GET"):
        if self.client is None:
            self.client = http.client.HTTPConnection(*self.address, timeout=10 * harness.SCALE)
        try:
            self.client.request(method, self.prefix + path)
            reply = self.client.getresponse()
            return reply, reply.read().decode()
        except OSError:
            self.close()
            raise

    def get(self, path, code=200):
        reply, text = self.ask(path)
        assert reply.status == code, (path, reply.status, text)
        return text

    def metrics(self):
        return Metrics(self.get("/metrics"))

    def close(self):
        if self.client is not None:
            self.client.close()
        self.client = None


def test_paths_and_methods(start):
    daemon = start({"status": status(), "below": status(path="/a/b"), "up": echo()})
    site = Site(daemon)
    types = {"/": "text/html; charset=utf-8", "/status.json": "application/json",
             "/metrics": "text/plain; version=0.0.4; charset=utf-8",
             "/health": "text/plain; charset=utf-8", "/ready": "text/plain; charset=utf-8"}
    for path, kind in types.items():
        reply, text = site.ask(path)
        assert (reply.status, reply.headers["Content-Type"]) == (200, kind), path
        assert reply.headers["Cache-Control"] == "no-store"
        head, nothing = site.ask(path, "HEAD")
        assert (head.status, nothing) == (200, "") and int(head.headers["Content-Length"]) > 0
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            reply, _ = site.ask(path, method)
            assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD"), (path, method)
    assert (site.get("/health"), site.get("/ready")) == ("ok\n", "ready\n")
    for path in ("/nothing", "/metrics/", "/index.html", "/metrics%00", "/ready/up"):
        assert site.ask(path)[0].status == 404, path
    assert site.get("/%6detrics?x=y").startswith("# HELP")

    below = Site(daemon, "below", "/a/b")
    assert below.get("/health") == "ok\n" and "<h1>hostler</h1>" in below.get("/")
    reply, _ = below.ask("")
    assert (reply.status, reply.headers["Location"]) == (301, "./b/")


def test_the_list_of_metrics(start):
    """docs/status-page.md names every one."""
    site = Site(start({"up": pool(program("upper.py")), "status": status()}))
    text = (harness.HERE.parent.parent / "docs/status-page.md").read_text()
    table = re.search(r"^\| metric \|.*?\n\n", text, re.M | re.S).group()
    named = {f"hostler_{name}" for row in table.split("\n")[2:-2]
             for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(site.metrics().types)


def test_the_page_allows_nobody_else(start):
    site = Site(start({"status": status()}))
    seen = set()
    for _ in range(2):
        reply, text = site.ask("/")
        policy = reply.headers["Content-Security-Policy"]
        nonce = re.search(r"script-src 'nonce-(\w{32})'", policy).group(1)
        assert re.findall(r'<(\w+) nonce="(\w+)"', text) == [("style", nonce), ("script", nonce)]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        seen.add(nonce)
        time.sleep(0.06)  # the page is made anew only then
    assert len(seen) == 2


def test_nothing_secret_is_told(start):
    daemon = start({"status": status(), "up": pool(program("upper.py"), environment="KEY=hush")})
    daemon.wait_full()
    site = Site(daemon)
    told = [site.get(path) for path in ("/", "/status.json", "/metrics", "/ready")]
    for text in told:
        for secret in ("upper.py", "hush", str(daemon.folder), str(daemon.control_path)):
            assert secret not in text
        for pid in (daemon.pid, *daemon.worker_pids(), *daemon.instance_pids("up")):
            assert not re.search(rf"\b{pid}\b", text)


def work(daemon):
    """Requests of several outcomes."""
    client = daemon.connect("up")
    assert client.send(b"1 a\n" * 40).lines(40) == [b"1 A"] * 40
    client.ask(b"60 b")
    assert daemon.connect("up").ask(b"x" * 2000) == b"ERR too-large"
    assert daemon.connect("up").ask(b"2000 late") == b"ERR timeout"
    assert daemon.connect("echo").ask(b"c") == b"c"


def test_the_same_figures_as_hostlerctl(start):
    daemon = start({"up": pool(program("nap.py"), instances=2, max_message="1K",
                               request_timeout="300ms"),
                    "echo": echo(), "status": status()}, {"workers": 2})
    daemon.wait_full()
    work(daemon)
    daemon.wait_full()
    site = Site(daemon)
    # Figures are a moment old, and the killed instance's successor is known to all a moment later.
    wait_for(lambda: site.metrics().get("instances", service="up", state="idle") == 2 and
             site.metrics().get("outcomes_total", service="up", outcome="timeout") == 1, "fresh figures")
    told, figures, page = daemon.request("stats"), site.metrics(), json.loads(site.get("/status.json"))
    for service in told["services"]:
        name, now = service["name"], service["now"]
        other = next(s for s in page["services"] if s["name"] == name)
        if name == "status":
            continue  # it counts its own
        assert other["counters"] == service["counters"]
        assert other["now"] == now
        for counter, count in service["counters"].items():
            if f"hostler_{counter}_total" in figures.types:
                assert figures.get(f"{counter}_total", service=name) == count
            else:
                assert figures.get("outcomes_total", service=name, outcome=counter) == count
        ends = {dict(labels)["outcome"]: value for (metric, labels), value in figures.values.items()
                if metric == "hostler_outcomes_total" and ("service", name) in labels}
        assert sum(ends.values()) == figures.get("requests_total", service=name)
        for gauge in ("connections", "max_connections", "under_way"):
            assert figures.get(gauge, service=name) == now[gauge]
        assert [o["outcome"] for o in other["outcomes"]] == [o["outcome"] for o in service["outcomes"]]
        for mine, theirs in zip(other["outcomes"], service["outcomes"]):
            for span in ("queue", "run", "whole"):
                for key in ("count", "sum", "max", "p50", "p90", "p99", "p999"):
                    assert mine[span][key] == theirs[span][key]
                assert sum(count for _, count in mine[span]["buckets"]) == mine[span]["count"]
                labels = {"service": name, "outcome": theirs["outcome"]}
                assert figures.get(f"{span}_seconds_count", **labels) == theirs[span]["count"]
                assert abs(figures.get(f"{span}_seconds_sum", **labels) -
                           theirs[span]["sum"] / 1e9) < 1e-6
    slow = {"service": "up", "outcome": "replies"}
    assert figures.get("run_seconds_bucket", le="0.05", **slow) < 41
    assert figures.get("run_seconds_bucket", le="0.25", **slow) == 41
    assert figures.get("instances", service="up", state="idle") == 2
    assert figures.get("instances", service="up", state="starting") == 0
    assert figures.get("instances_wanted", service="up") == 2
    assert figures.get("instance_starts_total", service="up") == 3, "one was too late"
    assert figures.get("workers") == 2 and figures.get("ready") == 1
    assert abs(figures.get("start_time_seconds") - time.time()) < 60
    assert ("hostler_waiting", (("service", "echo"),)) not in figures.values


def test_counters_never_fall(start):
    """While a worker is killed, an instance too, and two reloads happen."""
    daemon = start({"up": pool(program("nap.py"), instances=2, concurrency=1), "status": status()},
                   {"workers": 2})
    daemon.wait_full()
    site, over = Site(daemon), threading.Event()

    def load():
        while not over.is_set():
            try:
                client = harness.Client(daemon.address("up"))
                while not over.is_set():
                    client.ask(b"1 x")
            except (OSError, AssertionError):
                pass  # its worker was killed

    def look(before):
        time.sleep(0.06)  # a pace: figures may be 50 ms old, so those of another worker
        while True:
            try:
                now = site.metrics()
                break
            except (OSError, http.client.HTTPException):
                site.close()
        for key, value in before.growing().items():
            assert now.values.get(key, -1) >= value, (key, value, now.values.get(key))
        return now

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        first = newest = look(Metrics("# HELP a b\n# TYPE a gauge\n"))
        for pid in daemon.worker_pids():
            os.kill(pid, signal.SIGKILL)
            newest = look(newest)
        os.kill(daemon.instance_pids("up")[0], signal.SIGKILL)
        newest = look(newest)
        for keys in ({"queue": 50}, {"instances": 3, "environment": "A=b"}):  # a limit; a new pool
            daemon.reloaded({"up": keys})
            assert site.get("/ready") == "ready\n", "the daemon goes on, whatever worker answers"
            newest = look(newest)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert newest.get("requests_total", service="up") > first.get("requests_total", service="up")
    assert newest.get("instance_failures_total", service="up") == 1
    assert newest.get("instance_starts_total", service="up") >= 6
    assert newest.get("instances_wanted", service="up") == 3


def wait_ready(site, path, code, text):
    def is_so():
        reply, told = site.ask(path)
        return (reply.status, told) == (code, text)
    wait_for(is_so, (path, code, text))


def test_ready(start):
    """A service that cannot take the next request is told by name; the others are ready."""
    daemon = start({"up": pool(program("nap.py"), concurrency=1, queue=1, queue_timeout="20s"),
                    "few": echo(max_connections=1), "status": status()})
    daemon.wait_full()
    site = Site(daemon)
    assert site.get("/ready") == "ready\n"
    clients = [daemon.connect("up") for _ in range(2)]
    clients[0].send(b"700 a\n")
    daemon.wait_service(lambda s: [i["state"] for i in s["instances"]] == ["busy"], "busy", "up")
    assert site.get("/ready") == "ready\n", "there is room in the line"
    clients[1].send(b"1 b\n")
    full = "service up: queue requests wait already\n"
    wait_ready(site, "/ready", 503, full)
    reply, _ = site.ask("/ready")
    assert reply.headers["Retry-After"] == "1"
    wait_ready(site, "/ready?service=up", 503, full)
    assert site.get("/ready?service=status") == "ready\n"
    assert site.metrics().get("service_ready", service="up") == 0
    assert [client.line() for client in clients] == [b"700 A", b"1 B"]
    wait_ready(site, "/ready", 200, "ready\n")
    for wrong in ("?service=", "?service=u", "?service=upp", "?x", "?service=up&x"):
        assert site.get("/ready" + wrong, 404) == "no such service\n"
    assert site.get("/health") == "ok\n"
    only = daemon.connect("few")
    assert only.ask(b"x") == b"x"
    wait_ready(site, "/ready", 503, "service few: max_connections are open\n")
    only.close()
    wait_ready(site, "/ready", 200, "ready\n")


def test_ready_with_the_first_instance(start):
    """Programs that die one after another, or are not ready yet: the daemon is healthy all the same."""
    none = "none of its instances can serve"
    daemon = start({"loop": pool("sh -c 'exit 3'"), "status": status(),
                    "late": pool(program("life.py", "wait", "1", "say", "up"), ready="line")},
                   wait="running")
    site = Site(daemon)
    wait_ready(site, "/ready", 503, f"service loop: {none}\nservice late: {none}\n")
    assert site.get("/health") == "ok\n" and "not ready" in site.get("/")
    assert site.metrics().get("instances", service="late", state="starting") == 1
    wait_ready(site, "/ready?service=late", 200, "ready\n")
    wait_for(lambda: site.metrics().get("backing_off", service="loop") == 1, "it backs off")
    states = {s["name"]: s["state"] for s in json.loads(site.get("/status.json"))["services"]}
    assert states == {"loop": "backing off", "late": "ready", "status": "ready"}
    assert site.metrics().get("instance_failures_total", service="loop") >= 2


@pytest.fixture
def open_browser(folder):
    browser.require()
    opened = []

    def make(**options):
        opened.append(browser.Browser(folder / f"browser{len(opened)}", **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_the_page_lives(start, open_browser):
    """In a browser: figures come by themselves, a reload and an end of hostlerd are seen."""
    daemon = start({"up": pool(program("nap.py"), instances=2, max_message="1K"),
                    "status": status(path="/in/here")})
    window = open_browser(size=(390, 800), dark=True)
    window.open(f"http://127.0.0.1:{daemon.address('status')[1]}/in/here")
    cards = "[...document.querySelectorAll('.card h2')].map(node => node.textContent)"
    wait_for(lambda: window.value(cards) == ["up", "status"], "a card for each service")
    assert window.value("document.getElementById('table').hidden") is True
    daemon.connect("up").send(b"5 a\n" * 100).lines(100)
    assert daemon.connect("up").ask(b"x" * 2000) == b"ERR too-large"
    wait_for(lambda: "requests 101" in window.text(), "the requests are seen")
    assert "too_large 1" in window.text()
    lines = "document.querySelectorAll('.card:first-child svg path.first').length"
    wait_for(lambda: window.value(lines) == 2, "both charts have a line")
    assert window.value("document.documentElement.scrollWidth <= innerWidth"), "it fits a phone"
    daemon.reloaded({"more": echo()})
    wait_for(lambda: window.value(cards) == ["up", "status", "more"], "the new service")
    assert window.complaints == []
    daemon.stop()
    wait_for(lambda: "hostlerd does not answer" in window.text(), "that nobody answers")


def test_the_page_without_a_script(start, open_browser):
    daemon = start({"up": pool(program("nap.py"), instances=2), "status": status()})
    window = open_browser(script=False)
    window.open(f"http://127.0.0.1:{daemon.address('status')[1]}/")
    rows = window.text().split("\n")
    assert any(re.match(r"up\s+line\s+program\s+0\s+0\s+0\s+2\s+0\s+0\s+0\s+ready", row) for row in rows)
    assert window.complaints == []
