"""Fixtures for the live tests: a folder, a way to start daemons, and an alarm for each test."""

import os
import pathlib
import shutil
import signal
import tempfile
import threading

import pytest

import harness


LINES = None  # who prints the line of a test's result


@pytest.hookimpl(trylast=True)  # the terminal's reporter is made in this hook too
def pytest_configure(config):
    global LINES
    if os.environ.get("HOSTLER_LIVE_LINES"):
        LINES = config.pluginmanager.get_plugin("terminalreporter")
    config.addinivalue_line("markers", "bound(seconds): how long this test may take (default 60)")
    config.addinivalue_line("markers", "slow: takes several seconds by its nature")
    config.addinivalue_line("markers", "alone: measures, or counts what the whole machine does")
    if not config.pluginmanager.hasplugin("xdist"):
        config.addinivalue_line("markers", "xdist_group(name): one process runs all of the group")
    config.addinivalue_line("markers", "backends: runs on every event_backend, if none is chosen")


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("backends") and harness.BACKEND == "auto":
        metafunc.parametrize("event_backend", ["auto", "poll", "select"], indirect=True)


def pytest_sessionstart(session):
    if not os.access(harness.HOSTLERD, os.X_OK):
        pytest.exit(f"{harness.HOSTLERD} is not there: build first, or set HOSTLER_BUILD", 2)
    # With -v, execnet 1.9 may first have asked each process for its version, and not be done yet.
    if threading.current_thread() is not threading.main_thread():
        pytest.exit("an alarm needs the main thread: leave away -v beside -n", 2)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report):
    """With HOSTLER_LIVE_LINES each test has a line of its own, below, instead of a dot."""
    if LINES and report.passed:
        return ("passed" if report.when == "call" else "", "", "")
    return None


def pytest_runtest_logreport(report):
    if not LINES or (report.passed and report.when != "call"):
        return
    result = report.outcome.upper() if report.when == "call" or report.skipped else "ERROR"
    LINES.write_line(f"{result:7} {report.duration:6.2f} s  {report.nodeid}")


def pytest_collection_modifyitems(items):
    """What takes long begins first, so that at the end nobody waits for it."""
    items.sort(key=lambda item: not (item.get_closest_marker("xdist_group") or
                                     item.get_closest_marker("slow")))


def bounded(seconds):
    """Raises in the middle of whatever takes longer than `seconds` (scaled)."""
    seconds *= harness.SCALE

    def expired(number, stack):
        raise TimeoutError(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    yield from bounded(60)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    marker = item.get_closest_marker("bound")
    yield from bounded(marker.args[0] if marker else 60)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    yield from bounded(60)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the daemons' logs with a failure."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for daemon in getattr(item, "daemons", []):
        text = daemon.log()
        if len(text) > 40000:
            text = text[:10000] + "\n[...]\n" + text[-30000:]
        report.sections.append((f"log of {' '.join(daemon.command)}", text))


@pytest.fixture
def folder():
    """A short path (unix socket paths are) that other users can enter, unlike pytest's own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hostler-"))
    path.chmod(0o755)
    yield path
    if os.environ.get("HOSTLER_KEEP"):
        print(f"kept {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def launch(request, folder):
    """launch(ARGUMENT...) runs hostlerd with a control socket of its own and does not wait."""
    daemons = request.node.daemons = []

    def start(*arguments, control=None, **options):
        place = folder / str(len(daemons))
        place.mkdir()
        control = control or place / "control.sock"
        daemon = harness.Daemon(place, [str(a).format(control=control) for a in arguments],
                                control, **options)
        daemons.append(daemon)
        return daemon

    yield start
    errors = []
    for daemon in reversed(daemons):
        try:
            daemon.finish()
        except Exception as error:  # every daemon is looked at, then the first error is told
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def event_backend(request):
    """What a test's daemons use that do not name one: HOSTLER_BACKEND, or each in turn."""
    return getattr(request, "param", harness.BACKEND)


@pytest.fixture
def start(launch, folder, event_backend):
    """start({NAME: {KEY: VALUE}}) writes a configuration, runs hostlerd and waits for it.

    wait: "idle" (all workers ready, all instances idle), "running", or None.
    """
    numbers = iter(range(1000))

    def run(services, hostler=None, wait="idle", control=None, **options):
        config = folder / f"hostler{next(numbers)}.conf"
        control = control or folder / f"{config.stem}.sock"
        keys = {"workers": 2, "control": control, "shutdown_timeout": "5s",
                "event_backend": event_backend, **(hostler or {})}
        harness.write_config(config, services, keys)
        daemon = launch("-f", config, control=control, **options)
        daemon.config, daemon.services, daemon.hostler = config, services, keys
        if wait == "idle":
            daemon.wait_full()
        elif wait == "running":
            daemon.wait_running()
        return daemon

    return run


@pytest.fixture
def root():
    if os.geteuid() != 0:
        pytest.skip("needs root")
