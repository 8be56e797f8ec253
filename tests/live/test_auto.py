"""concurrency = auto: several messages at once for programs that are cheap, and only for these."""

import collections

import harness
from harness import pool, program, wait_for

CLIENTS = 16


def auto(**keys):
    return pool(program("alone.py"), **{"instances": 2, "pipeline": 64, **keys})


def ask(daemon, line, each, clients=CLIENTS):
    """All at once from many clients; how often each reply came."""
    found = collections.Counter()
    connections = [daemon.connect(timeout=20) for _ in range(clients)]
    for client in connections:
        client.send((line + b"\n") * each)
    for client in connections:
        found.update(client.lines(each))
        client.close()
    return found


def learn(daemon):
    """Until the workers know that the program is cheap."""
    wait_for(lambda: ask(daemon, b"0", 60)[b"not"] > 0 and daemon.counters()["ahead"] > 0,
             "several messages in one instance", 20)


def is_right(daemon):
    assert daemon.service()["violations"] == 0


def test_it_is_the_default(start):
    """Cheap ones are sent together, and those who ask for one at a time get that."""
    daemon = start({"auto": auto(), "one": auto(concurrency=1)}, {"workers": 2})
    learn(daemon)
    one = [daemon.connect("one", timeout=20).send(b"0\n" * 60) for _ in range(CLIENTS)]
    for client in one:
        assert client.lines(60) == [b"alone"] * 60
    assert daemon.counters("one")["ahead"] == 0
    is_right(daemon)


def test_a_dear_program_is_never_given_two(start):
    """Not at the start, when nothing is known of it, and not later."""
    daemon = start({"auto": auto()}, {"workers": 2})
    assert ask(daemon, b"5", 12) == {b"alone": 12 * CLIENTS}
    assert daemon.counters()["ahead"] == 0
    is_right(daemon)


def test_one_that_becomes_dear_is_exact_soon(start):
    daemon = start({"auto": auto(instances=1)}, {"workers": 1})  # each worker learns for itself
    learn(daemon)
    found = ask(daemon, b"5", 16)
    assert found[b"not"] < 40, "what was in the instance when it became dear, and hardly more"
    before = daemon.counters()["ahead"]
    assert ask(daemon, b"5", 4) == {b"alone": 4 * CLIENTS}
    assert daemon.counters()["ahead"] == before
    # And when it is cheap again, that is seen as well.
    learn(daemon)
    is_right(daemon)


def test_after_a_death_one_at_a_time(start):
    """A message that kills its instance takes others along once, not again and again."""
    daemon = start({"auto": auto()}, {"workers": 2})
    learn(daemon)
    client = daemon.connect(timeout=20)
    assert client.ask(b"die") == b"ERR failed"
    before = daemon.counters()["ahead"]
    assert ask(daemon, b"0", 20) == {b"alone": 20 * CLIENTS}
    for _ in range(3):
        others = daemon.connect(timeout=20).send(b"0\n" * 30)
        assert client.ask(b"die") == b"ERR failed"
        assert others.lines(30) == [b"alone"] * 30
    assert daemon.counters()["ahead"] == before
    is_right(daemon)


def test_a_program_that_answers_late(start):
    """One that answers when the next message comes is given one, as with concurrency = 1."""
    daemon = start({"late": pool("sed -u -n x;1!p", request_timeout="300ms", instances=2)})
    client = daemon.connect().send(b"a\nb\nc\n")
    assert client.lines(3) == [b"ERR timeout"] * 3
    assert daemon.counters()["ahead"] == 0


def test_growing_comes_first(start):
    """With MIN..MAX requests that wait call one more instance; then they are sent together."""
    daemon = start({"auto": auto(instances="1..3", start_rate=1000)})
    harness.wait_for(lambda: ask(daemon, b"0", 60) and len(daemon.instance_pids()) == 3,
                     "three instances", 20)
    learn(daemon)
    is_right(daemon)
