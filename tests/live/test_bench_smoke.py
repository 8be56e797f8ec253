"""make bench: its arithmetic, its yardsticks' replies, and one short case of it."""

import http.client
import itertools
import json
import os
import pathlib
import subprocess
import sys

import harness
import pytest
from harness import BUILD, Client, program, wait_for

BENCH = pathlib.Path(__file__).resolve().parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import cases  # noqa: E402
import figures  # noqa: E402
import placement  # noqa: E402
import proctree  # noqa: E402
import web_pools  # noqa: E402
from figures import Spread  # noqa: E402


# ---- arithmetic ----


def test_spread_is_the_median_and_the_quartiles():
    spread = Spread.of([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (spread.low, spread.middle, spread.high) == (2, 3, 4)
    assert str(spread) == "3.00 (2.00-4.00)"
    assert str(Spread(120.2, 122.8, 171.9)) == "123 (120-172)"
    assert str(Spread(0.0021, 0.0022, 0.0024)) == "0.0022 (0.0021-0.0024)"
    assert Spread.of([7.0]) == Spread(7, 7, 7)


def test_ratios_are_taken_round_by_round():
    fast, slow = [{"cpu": 1.0}, {"cpu": 4.0}], [{"cpu": 2.0}, {"cpu": 2.0}]
    assert figures.ratios(fast, slow, "cpu") == [0.5, 2.0]


@pytest.mark.parametrize("middle, bound, same, wanted", [
    (1.15, {"most": 1.15}, (1.0, 1.0, 1.0), "met"),
    (1.16, {"most": 1.15}, (1.0, 1.0, 1.0), "missed"),
    (1.16, {"most": 1.15}, (0.95, 1.0, 1.01), "undecided"),
    (1.16, {"most": 1.15}, (0.99, 1.0, 1.05), "undecided"),
    (1.25, {"most": 1.15}, (0.95, 1.0, 1.05), "missed"),
    (0.90, {"least": 0.90}, (1.0, 1.0, 1.0), "met"),
    (0.89, {"least": 0.90}, (1.0, 1.0, 1.0), "missed"),
    (0.89, {"least": 0.90}, (0.97, 1.0, 1.03), "undecided"),
    (0.85, {"least": 0.90}, (0.97, 1.0, 1.03), "missed"),
    (9.99, {}, (1.0, 1.0, 1.0), ""),
])
def test_a_bar_is_missed_only_beyond_the_same_against_itself(middle, bound, same, wanted):
    assert figures.verdict(Spread(middle, middle, middle), Spread(*same), **bound) == wanted


def test_markdown_has_a_row_for_each():
    assert figures.markdown(["a", "b"], [["x", "1"]]) == [
        "| a | b |", "| --- | ---: |", "| x | 1 |"]


def test_processes_are_dealt_over_the_cpus():
    assert placement.deal([12, 11], [7, 8], [0, 1]) == {11: 0, 12: 1, 7: 0, 8: 1}
    assert placement.deal([11, 12], [7], [3]) == {11: 3, 12: 3, 7: 3}


def test_every_bar_names_two_servers_of_its_case():
    assert cases.ALL
    for case in cases.ALL:
        names = case.names()
        assert len(set(names)) == len(names) and "hostlerd" in names
        for bar in case.bars:
            assert bar.server in names and bar.over in names
            assert bar.most is None or bar.least is None


# ---- CPU time ----


def test_cpu_time_is_counted_of_the_whole_tree():
    """A child that runs and one that has ended, a thread that has ended."""
    burn = "end = time.process_time() + {}\nwhile time.process_time() < end: pass\n"
    text = (
        "import subprocess, sys, threading, time\n"
        "def burn():\n    end = time.thread_time() + 0.05\n    while time.thread_time() < end: pass\n"
        "thread = threading.Thread(target=burn); thread.start(); thread.join()\n"
        f"subprocess.run([sys.executable, '-ISc', 'import time\\n' + {burn.format(0.1)!r}])\n"
        f"child = subprocess.Popen([sys.executable, '-ISc', 'import time\\n' + {burn.format(0.1)!r}"
        " + 'print(1, flush=True)\\ninput()'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\nprint('ready', flush=True)\ninput()\n"
    )
    process = subprocess.Popen([sys.executable, "-ISc", text], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout.readline() == b"ready\n"
        assert len(proctree.tree(process.pid)) == 2
        assert 0.24 < proctree.at_rest(process.pid) / 1e9 < 0.24 + 0.5 * harness.SCALE
    finally:
        process.kill()
        process.communicate()


# ---- the yardsticks ----


@pytest.fixture(scope="module")
def yardsticks():
    return harness.bench_programs()


@pytest.mark.parametrize("depth", ["1", "8"])
def test_limit_pool_answers_right(yardsticks, folder, depth):
    words = [yardsticks / "limit_pool", "--children", "2", "--depth", depth, "--"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen([*words, *program("upper.py").split()], stdin=subprocess.PIPE,
                                  stdout=log, stderr=log)
    try:
        said = wait_for(lambda: (folder / "log").read_text(), "an address")
        address = harness.parse_address(said.split()[-1])
        clients = [Client(address) for _ in range(20)]
        texts = [b"client %d line %d\n" % (c, i) for c in range(20) for i in range(20)]
        for number, client in enumerate(clients):
            client.send(b"".join(texts[20 * number:20 * number + 20]) + b"rest")
        clients[0].reset()  # its replies are dropped, nobody else's
        for number, client in enumerate(clients[1:], 1):
            client.send(b" of a line\n").finish_sending()
            wanted = b"".join(texts[20 * number:20 * number + 20]).upper() + b"REST OF A LINE\n"
            assert client.rest() == wanted
    finally:
        server.stdin.close()  # that is its end
        assert server.wait(10) in (0, -15)


def test_limit_pipes_counts_right_replies_alone(yardsticks):
    def run(*command):
        words = [yardsticks / "limit_pipes", "--milliseconds", "50", "--depth", "3", "--", *command]
        return subprocess.run(words, capture_output=True, text=True, timeout=20 * harness.SCALE)
    counted = json.loads(run(*program("upper.py").split()).stdout)
    assert counted["requests"] > 10 and counted["cpu"] > 0 and counted["p99"] >= counted["p50"] > 0
    wrong = run("cat")
    assert wrong.returncode == 1 and "a wrong reply" in wrong.stderr


# ---- all of it ----


def bench(*words, path=os.environ["PATH"]):
    return subprocess.run(
        [sys.executable, BENCH / "bench.py", *words], capture_output=True, text=True,
        timeout=50 * harness.SCALE,
        env={"HOSTLER_BUILD": str(BUILD), "PATH": path},
    )  # fmt: skip


def test_a_short_bench(yardsticks, folder):
    name, kept = "pool-1-two-workers", folder / "runs.json"
    done = bench("--cases", name, "--rounds", "2", "--seconds", "0.1", "--json", kept)
    # So short a run may miss a bar, which is status 1.
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    (found,) = json.loads(kept.read_text())["runs"].values()
    assert set(found) == {"loop, 1 in flight", "hostlerd", "hostlerd again"}
    for run in itertools.chain.from_iterable(found.values()):
        assert run["requests"] > 100 and run["bad"] == 0 and run["cpu"] > 0
    assert f"| {name}: CPU over loop, 1 in flight |" in done.stdout
    assert "| hostlerd | " in done.stdout
    assert bench("--show", kept).stdout == done.stdout


@pytest.mark.parametrize("server", web_pools.peers(), ids=lambda server: server.name)
def test_a_pool_behind_http_answers_in_capitals(server, folder):
    if server.missing():
        pytest.skip(server.missing())
    try:
        host, port = harness.parse_address(server.start(folder))
        for text in (b"one", b"two"):
            connection = http.client.HTTPConnection(host, port, timeout=10 * harness.SCALE)
            connection.request("POST", "/", body=text)
            assert connection.getresponse().read() == text.upper()
            connection.close()
    finally:
        server.stop()


def test_a_bad_reply_or_a_missed_bar_is_told(folder):
    def runs(cpu, bad=0):
        return [{"cpu": cpu, "rate": 1000, "p99": 0.001, "requests": 100, "bad": bad}] * 3

    def show(hostlerd):
        found = {"epoll": runs(1e-5), "hostlerd": hostlerd, "hostlerd again": runs(1.1e-5)}
        (folder / "runs").write_text(json.dumps({
            "settings": {"rounds": 3, "seconds": 1, "loose": False}, "runs": {"echo-64x1": found}}))
        return bench("--show", folder / "runs")

    assert show(runs(1.1e-5)).returncode == 0
    missed, wrong = show(runs(2e-5)), show(runs(1.1e-5, bad=1))
    assert missed.returncode == 1 and "| missed |" in missed.stdout
    assert "| 2.00 (2.00-2.00) | " in missed.stdout
    assert wrong.returncode == 1 and "hostlerd, 3 bad replies" in wrong.stdout


def test_who_is_not_installed_is_left_out_with_the_reason():
    done = bench("--cases", "sessions", "--servers", "xinetd", "--rounds", "1", "--seconds", "0.1",
                 path="/nowhere")
    assert "skipped sessions, tcpserver: tcpserver is not installed" in done.stderr
    assert "skipped sessions, xinetd: xinetd is not installed" in done.stderr
    assert "| hostlerd | " in done.stdout
    assert done.returncode == 0, done.stderr


def test_usage():
    assert bench("--cases", "nothing").returncode == 2
    done = bench("--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [c.name for c in cases.ALL]
