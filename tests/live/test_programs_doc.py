"""What the README and the pages for writers of programs show is true: their programs, their commands, their replies.

A fenced block with a file name is a file. A block `console` has commands behind `$ ` and below them
what they print; one that starts hostlerd is a test, and the blocks without hostlerd below it, if
any, ask that same daemon.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

import browser
import harness
import websocket_peer

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = {name: (SOURCE / name).read_text()
         for name in ("docs/programs.md", "docs/http.md", "docs/http-json.md", "README.md")}
PROGRAMS_PAGE = PAGES["docs/programs.md"]

FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = 10001  # of every example; here each daemon gets another one
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where hostlerd looks


def blocks(page):
    return [(words.split(), text) for words, text in FENCE.findall(PAGES[page])]


def files(page):
    """The files of a page by their place in it: (number of the block, name, text)."""
    return [(number, words[1], text) for number, (words, text) in enumerate(blocks(page))
            if len(words) == 2]


def commands(text):
    """The commands of a console block, each with what it prints."""
    found = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append([line[2:].rstrip("\n"), ""])
        else:
            found[-1][1] += line
    return found


def examples():
    """(page, number of the block, commands before hostlerd, its arguments, commands after it)."""
    found = []
    for page in PAGES:
        for number, (words, text) in enumerate(blocks(page)):
            if words != ["console"]:
                continue
            steps = commands(text)
            starts = [i for i, (command, _) in enumerate(steps)
                      if command.startswith("hostlerd run")]
            if starts:
                at = starts[0]
                arguments = shlex.split(steps[at][0])[1:]
                found.append((page, number, steps[:at], arguments, steps[at + 1:]))
    return found


EXAMPLES = examples()


def name_of(example):
    page, _, _, arguments, _ = example
    place = pathlib.Path(page).stem.lower()
    return place + ":" + " ".join(arguments[3:])


def needs(*tools, path=None):
    for tool in tools:
        if not shutil.which(tool, path=path):
            pytest.skip(f"{tool} is not installed")


def write_files(folder, page, number):
    """The files that a reader would have by then: of one name, the last one."""
    for at, name, text in files(page):
        if at < number:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)


def run_shell(command, folder, port):
    """Runs a command of the page as a reader would, and returns what it prints."""
    command = re.sub(rf"\b{PORT}\b", str(port), command)
    compiler = os.environ.get("HOSTLER_CC", "cc")
    command = re.sub(r"^cc\b", lambda _: compiler, command)
    return subprocess.run(["sh", "-c", command], cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=30 * harness.SCALE).stdout


@pytest.fixture
def place(folder):
    """Where a reader keeps the files of the page."""
    path = folder / "files"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def begin(launch, folder, place):
    """begin(EXAMPLE) makes its files, runs what comes first, then the daemon."""

    def run(example):
        page, number, before, arguments, _ = example
        for command, _ in before:
            needs(*shlex.split(os.environ.get("HOSTLER_CC", command))[:1])
        if "--" in arguments:
            program = arguments[arguments.index("--") + 1]
            if "/" not in program:
                needs(program, path=PATH)
        write_files(place, page, number)
        for command, printed in before:
            assert run_shell(command, place, PORT) == printed
        control = folder / "control.sock"
        words = ["127.0.0.1:0" if word == f"127.0.0.1:{PORT}" else word
                 for word in arguments[1:]]
        words = [word.replace("{", "{{").replace("}", "}}") for word in words]  # launch formats
        daemon = launch("run", "--directory", place, "--stop-timeout", "1s",
                        "--hostler.control", control, *words, control=control)
        return daemon.wait_full()

    return run


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_what_the_page_shows(example, begin, place):
    _, _, _, arguments, after = example
    daemon = begin(example)
    for command, printed in after:
        needs(*re.findall(r"\b(?:nc|curl)\b", command))
        assert run_shell(command, place, daemon.address()[1]) == printed
    if "ERR" not in "".join(printed for _, printed in after):
        assert not daemon.log_lines("is killed|ended: killed|warn .*instance"), "a good example"


def upper_examples():
    """The examples whose program turns lines, or frames, into capitals."""
    def fits(words):
        name = pathlib.PurePath(words[-1]).stem
        return "--http" not in words and (name, words.count("frame")) in (("upper", 0), ("frames", 2))

    return [example for example in EXAMPLES if fits(example[3])]


@pytest.mark.parametrize("example", upper_examples(), ids=name_of)
def test_programs_are_right_for_every_byte(example, begin):
    """Empty messages, lone CRs, bytes that are not UTF-8, long ones; then hostler-load."""
    daemon = begin(example)
    framed = "frame" in example[3]
    messages = [b"", b"a\rb", b"\xff\xfe \xe9t\xe9", b" \\n \t x ", b"x" * 60000, b"last"]
    client = daemon.connect(timeout=20)
    for message in messages:
        upper = bytes(c - 32 if 97 <= c <= 122 else c for c in message)
        if framed:
            assert client.send(harness.frame(message)).frame() == upper
        else:
            assert client.ask(message) == upper
    protocol = "frame" if framed else "line"
    load = subprocess.run(
        [harness.BUILD / "hostler-load", "run", "--connections", "6", "--count", "300",
         "--protocol", protocol, "--expect", "upper", str(daemon.address()[1])],
        stdout=subprocess.PIPE, text=True, timeout=50 * harness.SCALE)
    assert load.returncode == 0, load.stdout
    assert daemon.counters()["failed"] == 0 and daemon.counters()["timeout"] == 0


# ---- the words of the page ----


def test_every_reason_is_told():
    """The table of reasons has the text of every row of POOL_REASONS."""
    texts = re.findall(r'X\([A-Z_]+, "(.+)"\)', (SOURCE / "ipc/pool.h").read_text())
    assert len(texts) >= 8
    for text in texts:
        assert f"| `{text}` |" in PROGRAMS_PAGE
    outcomes = re.findall(r'"(ERR [a-z-]+)"', (SOURCE / "workers/req.c").read_text())
    outcomes.remove("ERR limited")  # lines and frames are closed: only HTTP and WebSocket are told
    assert len(outcomes) == 5
    for text in outcomes:
        assert f"`{text}`" in PROGRAMS_PAGE and f"`{text}`" in PAGES["README.md"]


def test_the_environment_is_as_told(start):
    words = "import os; [print(*os.environ, flush=True) for _ in iter(input, None)]"
    command = shlex.join([sys.executable, "-c", words])
    daemon = start({"s": harness.pool(command, environment="MODEL=small")},
                   env={"LC_TIME": "C", "TZ": "UTC", "SECRET": "1"})
    names = set(daemon.connect().ask(b"?").decode().split())
    row = re.search(r"^\| environment \|(.*)\|$", PROGRAMS_PAGE, re.MULTILINE).group(1)
    told = set(re.findall(r"\b[A-Z][A-Z_]+(?=[=`])", row))
    assert {"PATH", "HOME", "TZ"} < told
    assert names - {"LC_TIME", "MODEL"} <= told
    assert names >= {"PATH", "HOME", "PYTHONUNBUFFERED", "HOSTLER_SERVICE", "HOSTLER_SLOT", "LANG",
                     "TZ", "LC_TIME", "MODEL"}


def test_configurations_of_the_readme_are_fine(folder):
    """A block `ini NAME` is a file that hostlerd -t takes, in a folder with the page's programs."""
    found = [(number, words[1], text) for number, (words, text) in enumerate(blocks("README.md"))
             if words[:1] == ["ini"] and len(words) == 2]
    assert found
    for number, name, text in found:
        write_files(folder, "README.md", number)
        (folder / name).write_text(text)
        done = harness.hostlerd("-t", "-f", folder / name)
        assert done.returncode == 0, done.stdout + done.stderr


# What brings each of the lines of the log about that the page quotes: a word of it, a program.
QUOTED = {
    "nobody asked for": "while read -r line; do printf 'one\\ntwo\\n'; done",
    "does it flush": "cat >/dev/null",
    "die one after another": "echo \"KeyError: 'name'\" >&2; exit 1",
}


@pytest.mark.slow  # a hint comes after five seconds
@pytest.mark.parametrize("words", QUOTED, ids=lambda words: words.replace(" ", "-"))
def test_lines_of_the_log_are_as_quoted(start, words):
    quoted = [text for kind, text in blocks("docs/programs.md") if not kind and words in text]
    assert len(quoted) == 1
    pattern = re.escape(quoted[0].strip())
    pattern = re.sub(r"\\\(pid\\ \d+\\\)", r"\\(pid \\d+\\)", pattern)
    pattern = re.sub(r"^worker\\ \d", r"worker \\d", pattern)
    command = shlex.join(["sh", "-c", QUOTED[words]])
    daemon = start({"upper": harness.pool(command, request_timeout="7s")}, wait="running")
    daemon.connect().send(b"ping\n")
    daemon.wait_log(f" {pattern}$", timeout=10)


def readme_site(folder):
    """The services of the README's site.conf, in a folder with its files, on a port of their own."""
    number, text = next((number, text) for number, (words, text) in enumerate(blocks("README.md"))
                        if words == ["ini", "site.conf"])
    write_files(folder, "README.md", number)
    services = {}
    for line in text.splitlines():
        if line.startswith("["):
            keys = services[line[len("[service "):-1]] = {}
        elif line:
            key, value = re.split(r"\s*=\s*", line, maxsplit=1)
            keys[key] = value
    for keys in services.values():
        keys["listen"] = keys["listen"].replace(":8080", ":0")
        if "command" in keys:
            keys["directory"] = folder
    return services | {"page": services["page"] | {"root": folder / "public"}}


def test_the_site_of_the_readme(start, folder):
    """A page, an API, a WebSocket and the status page share one port."""
    daemon = start(readme_site(folder))
    assert len({daemon.service(name)["listen"][0] for name in daemon.services}) == 1

    def get(target):
        client = daemon.connect("page")
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, body = client.rest().split(b"\r\n\r\n", 1)
        return int(head.split()[1]), body.decode()

    page = (folder / "public/index.html").read_text()
    assert get("/") == (200, page)
    assert get("/api/hello?name=you") == (200, '{"hello": "you"}')
    assert get("/api/nothing")[0] == 404
    assert get("/live")[0] == 404, "there is no such file, and no WebSocket was wished for"
    assert "hostler_requests_total" in get("/status/metrics")[1]
    assert websocket_peer.Socket(daemon.connect("page"), target="/live").ask(b"ping") == b"PING"


@pytest.mark.slow
@pytest.mark.bound(60)
def test_the_page_of_the_readme(start, folder):
    browser.require()
    daemon = start(readme_site(folder))
    window = browser.Browser(folder)
    try:
        window.open("http://%s:%d/" % daemon.address("page"))
        harness.wait_for(lambda: window.text().split() == ["hello,", "you", "PING"], "the page", 20)
    finally:
        window.close()
    assert daemon.service("live")["counters"]["replies"] == 1
