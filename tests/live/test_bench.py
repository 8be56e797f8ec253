"""The benchmarks still run, and what they demand of hostlerd holds in a short round too."""

import json
import pathlib
import subprocess
import sys

import harness
import pytest

BENCH = pathlib.Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import reload  # noqa: E402
import reload_servers  # noqa: E402


def bench(*words, path="/usr/sbin:/usr/bin:/bin"):
    done = subprocess.run(
        [sys.executable, BENCH / "reload.py", "--rounds", "1", *words],
        capture_output=True, text=True, timeout=100 * harness.SCALE,
        env={"HOSTLER_BUILD": str(harness.BUILD), "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("server, load", [
    ("hostlerd echo", "new"), ("hostlerd echo", "keep"),
    ("hostlerd pool", "new"), ("hostlerd pool", "keep"),
    ("hostlerd http", "keep"), ("hostlerd web", "keep"),
])  # fmt: skip
def test_reload(server, load, tmp_path):
    reason = next(kind for kind in reload_servers.ALL if kind.name == server).missing()
    if reason:
        pytest.skip(reason)
    bench("--times", "2", "--seconds", "1", "--only", server, "--load", load, "--happens", "reload",
          "--json", tmp_path / "runs")  # fmt: skip
    found = json.loads((tmp_path / "runs").read_text())
    assert set(found) == {f"{server}, {load}, reload"}
    (run,) = found[f"{server}, {load}, reload"]
    assert run["told"] == run["done"] == 2
    assert run["broken"] == run["closed"] == 0
    assert run["rate"] > 100 and run["worst"] > 0
    assert run["gap_after"] is None or run["gap_after"] < 3


def test_a_change_of_another_service_is_a_reload_too(tmp_path):
    done = bench("--times", "2", "--seconds", "1", "--only", "hostlerd echo", "--load", "new",
                 "--happens", "other", "--json", tmp_path / "runs")  # fmt: skip
    ((run,),) = json.loads((tmp_path / "runs").read_text()).values()
    assert run["done"] == 2
    assert "| new | hostlerd echo | other | 2 |" in done.stdout
    shown = bench("--show", tmp_path / "runs")
    assert shown.stdout.strip() == "\n".join(reload.table({"hostlerd echo, new, other": [run]}))


def test_a_gap_is_held_against_the_run_of_the_same_round():
    found = {"x, keep, nothing": [{"gap": 0.1}, {"gap": 0.2}],
             "x, keep, reload": [{"gap": 0.15}, {"gap": 0.3}]}  # fmt: skip
    assert reload.by_how_much(found, "x, keep, reload") == pytest.approx([0.05, 0.1])
    assert reload.by_how_much(found, "x, keep, nothing") == []
    assert reload.since_last([10.0, 20.0], 21.5) == 1.5
    assert reload.since_last([10.0, 20.0], 9.0) is None


def test_a_gap_is_near_what_it_follows():
    gaps = [0.0] * 100  # of 10 ms each
    gaps[10], gaps[50], gaps[51], gaps[52] = 0.003, 0.001, 0.5, 0.002
    assert reload.longest_near([0.105, 0.115, 0.53, 0.9, 2.0], gaps) == [0.003, 0.5, 0.002, 0]


def test_what_several_clients_saw_is_one_account():
    one = {"rate": 10, "wrong": 1, "broken": 0, "gap": 0.5, "worst": 0.1, "seconds": 2}
    other = {"rate": 5, "wrong": 0, "broken": 2, "gap": 0.1, "worst": 0.7, "seconds": 1}
    assert reload.sums([one, other]) == {
        "rate": 15, "wrong": 1, "broken": 2, "gap": 0.5, "worst": 0.7, "seconds": 2}


def test_what_broke_is_not_counted_as_closed():
    requests = dict.fromkeys("requests outcomes wrong duplicate overdue error unsent".split(), 0)
    connections = {"refused": 1, "failed": 2, "timed_out": 3, "closed_idle": 4, "closed_by_peer": 5}
    counted = reload.account({
        "requests": {**requests, "broken": 3, "unsent": 4}, "rate": 1.0, "gap": 0.5,
        "connections": connections, "latency": {"max": 0.25}, "seconds": 1.0})  # fmt: skip
    assert (counted["refused"], counted["broken"], counted["closed"]) == (10, 3, 6)


def test_a_server_that_is_not_there_is_left_out():
    done = bench("--only", "nginx", "--only", "haproxy", path="/nowhere")
    assert "skipped nginx: nginx is not installed" in done.stderr
    assert "skipped haproxy: haproxy is not installed" in done.stderr
