#!/usr/bin/python3
"""The rules of the house that a machine can check, over the source tree.

house.py [CHECK...]   all checks, or those named

Prints "ok NAME", "not ok NAME" with the places below it, or "skipped NAME (reason)". HOSTLER_SOURCE
is the tree, HOSTLER_BUILD the folder with a built hostlerd, HOSTLER_CC the compiler.
"""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys

TOP = pathlib.Path(os.environ.get("HOSTLER_SOURCE", pathlib.Path(__file__).parent.parent)).resolve()
BUILD = pathlib.Path(os.environ.get("HOSTLER_BUILD", TOP / "build"))
FOLDERS = ("common", "ipc", "workers", "daemon", "ctl")
COMPILE = os.environ.get("HOSTLER_CC", "cc").split() + [
    "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-fsyntax-only", "-x", "c", f"-I{TOP}",
    "-isystem", "/usr/share/include/llhttp"]

# Who may include whom. A file of one's own folder always; "workers/worker.h" is one file.
MAY_INCLUDE = {
    "common": (),
    "ipc": ("common",),
    "workers": ("common", "ipc"),
    "daemon": ("common", "ipc", "workers/worker.h"),
    "ctl": ("common", "ipc"),
}

FILE_LINES = 500
FUNCTION_LINES = 80
# Files and functions that were looked at and may be longer, with the reason.
LONGER_FILES = {}
LONGER_FUNCTIONS = {}

# Exported names that do not begin with their file's: the name's owner says why in its header.
OTHER_NAMES = {
    "common/kinds": ("protocol_", "handler_"),
    "common/log": ("fatal", "fatalx"),
    "workers/req": ("outcome_",),
}

# Calls that cut silently, overflow, start a shell, or hand a descriptor on to programs.
FORBIDDEN = {
    "system": "starts a shell", "popen": "starts a shell", "strcpy": "has no bound",
    "strcat": "has no bound", "sprintf": "has no bound", "vsprintf": "has no bound",
    "gets": "has no bound", "strncpy": "may leave out the NUL", "strtok": "keeps a hidden state",
    "tmpnam": "is a race", "mktemp": "is a race", "alloca": "has no bound",
    "atoi": "hides errors", "atol": "hides errors", "atof": "hides errors",
    "pipe": "use pipe2 with O_CLOEXEC", "accept": "use accept4 with SOCK_CLOEXEC",
    "dup": "use fcntl with F_DUPFD_CLOEXEC", "creat": "use open with O_CLOEXEC",
    "epoll_create": "use epoll_create1", "inotify_init": "use inotify_init1",
}
OPENERS = re.compile(
    r"\b(open|openat|socket|socketpair|accept4|pipe2|eventfd|memfd_create|epoll_create1|"
    r"timerfd_create|signalfd|inotify_init1|mkostemp|fopen|fdopen|freopen)\s*\(")
# Functions that may: they open 0, 1 or 2, or close what they opened at once.
MAY_PASS_ON = {
    ("ctl/hostlerctl.c", "hostlerctl_hold_standard"),
    ("daemon/main.c", "main_hold_standard"),
    ("workers/listener.c", "listener_has_fds"),
}


def read(path):
    return path.read_text(errors="replace")


def name_of(path):
    return str(path.relative_to(TOP))


def files(*patterns):
    found = []
    for pattern in patterns:
        found += TOP.glob(pattern)
    return sorted(p for p in found if p.is_file() and "__pycache__" not in p.parts)


def ours(suffixes="ch"):
    return files(*(f"{folder}/*.{suffix}" for folder in FOLDERS for suffix in suffixes))


def all_c():
    return ours() + files("tests/unit/*.[ch]", "tests/fuzz/*.[ch]", "tests/bench/*.[ch]",
                          "tests/live/**/*.[ch]")


BLANKED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def code(text):
    """The text with comments and what stands in quotes made blank; lines stay where they are."""
    def blank(match):
        found = match.group()
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)
    return BLANKED.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def functions(path):
    """Each function of a .c file: name, whether static, first line, last line."""
    lines = code(read(path)).split("\n")
    for start, line in enumerate(lines):
        if line != "{":
            continue
        end = next((i for i in range(start, len(lines)) if lines[i].startswith("}")), None)
        first = start
        while first > 0 and lines[first - 1].strip() and not lines[first - 1].startswith(("}", "#")) \
                and not lines[first - 1].rstrip().endswith((";", "*/")):
            first -= 1
        head = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", " ".join(lines[first:start]))
        named = re.search(r"(\w+)\s*\(", head)
        if named and end is not None and not re.match(r"\s*(struct|enum|union)\s+\w+\s*$", head):
            yield named.group(1), head.lstrip().startswith("static"), first + 1, end + 1


def rows(path, macro):
    """The rows X(...) of a list macro: the first words of each."""
    text = read(TOP / path)
    match = re.search(rf"#define {macro}\(X\)((?:.*\\\n)*.*)", text)
    assert match, f"{path} has no {macro}"
    return [re.split(r"\s*,\s*", row) for row in re.findall(r"\bX\(([^\"]*?)(?:,\s*\"|\))",
                                                          match.group(1))]


def joined(paths):
    return "\n".join(code(read(path)) for path in paths)


class Skip(Exception):
    pass


def built(name):
    program = BUILD / name
    if not os.access(program, os.X_OK):
        raise Skip(f"no {program}")
    return program


# ---- each check yields a sentence for each thing that is wrong; its docstring is the rule ----


def check_include_direction():
    """common includes nothing of ours, and so on: MAY_INCLUDE; every path is from the root."""
    for path in all_c():
        folder = path.relative_to(TOP).parts[0]
        for match in re.finditer(r'^\s*#\s*include\s+"([^"]+)"', read(path), re.MULTILINE):
            where = f"{name_of(path)}:{line_of(match.string, match.start(1))}"
            included = match.group(1)
            if included.startswith(".") or not (TOP / included).is_file():
                yield f"{where}: \"{included}\" is no path from the root of the tree"
            elif folder != "tests":
                top = included.split("/")[0]
                allowed = MAY_INCLUDE[folder]
                if top != folder and top not in allowed and included not in allowed:
                    yield f"{where}: {folder}/ may not include {included}"


def check_protocols_and_handlers_meet_in_req():
    """proto_* and handler_* never include each other."""
    for path in files("workers/proto*.[ch]", "workers/handler*.[ch]"):
        other = "handler" if path.name.startswith("proto") else "proto"
        for match in re.finditer(rf'#\s*include\s+"workers/({other}[^"]*)"', read(path)):
            yield f"{name_of(path)}: includes {match.group(1)}"


def check_headers_stand_alone():
    """Each header can be included first, and its guard is its path."""
    if shutil.which(COMPILE[0]) is None:
        raise Skip(f"no compiler {COMPILE[0]}")
    headers = ours("h")
    for path in headers:
        guard = re.sub(r"\W", "_", name_of(path)).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in read(path):
            yield f"{name_of(path)}: its guard is not {guard}"
        source = f'#include "{name_of(path)}"\n'
        done = subprocess.run(COMPILE + ["-"], input=source, text=True, capture_output=True)
        if done.returncode != 0 or done.stderr:
            yield f"{name_of(path)}: {done.stderr.strip()[:400]}"


def check_files_begin_with_their_purpose():
    """The first thing in a file says what it is for."""
    for path in all_c():
        if not read(path).startswith("/*"):
            yield f"{name_of(path)}: does not begin with a comment"


def check_exported_names():
    """foo.c exports foo_*: of foo_bar.c that is foo_* or foo_bar_*."""
    for path in ours("c"):
        stem = name_of(path)[:-2]
        family = path.stem.split("_")[0] + "_"
        allowed = (family,) + OTHER_NAMES.get(stem, ())
        for name, static, first, _ in functions(path):
            if not static and name != "main" and not name.startswith(allowed):
                yield f"{name_of(path)}:{first}: exports {name}"


def calls(path, pattern):
    """Where a .c or .h file calls what the pattern finds: match, line, the function around it."""
    text = code(read(path))
    spans = list(functions(path))
    for match in pattern.finditer(text):
        line = line_of(text, match.start())
        yield match, line, next((name for name, _, first, last in spans if first <= line <= last), "")


def check_forbidden_calls():
    """No shell, no call without a bound, no descriptor that leaks into programs."""
    pattern = re.compile(rf"(?<![\w>.])({'|'.join(FORBIDDEN)})\s*\(")
    for path in ours():
        for match, line, inside in calls(path, pattern):
            if (name_of(path), inside) not in MAY_PASS_ON:
                yield (f"{name_of(path)}:{line}: {match.group(1)}() "
                       f"{FORBIDDEN[match.group(1)]}")


def check_close_on_exec():
    """Every descriptor is made close-on-exec."""
    for path in ours("c"):
        text = read(path)
        for match, line, inside in calls(path, OPENERS):
            depth, end = 1, match.end()
            while depth and end < len(text):
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            call = text[match.start():end]
            if match.group(1) in ("fopen", "freopen"):
                good = re.search(r'"[rwa+b]*e[rwa+b]*"', call)
            else:
                good = match.group(1) == "fdopen" or "CLOEXEC" in call
            if not good and (name_of(path), inside) not in MAY_PASS_ON:
                yield f"{name_of(path)}:{line}: {match.group(1)}() without close-on-exec"


def check_signal_handlers():
    """Signals are handled through libevent alone; others are default or ignored."""
    pattern = re.compile(r"\bsignal\s*\([^,()]+,(?!\s*SIG_(?:DFL|IGN)\b)|"
                         r"\bsa_handler\s*=(?!\s*SIG_(?:DFL|IGN)\b)|\bsa_sigaction\b|\bsigwait")
    for path in ours("c"):
        text = code(read(path))
        for match in pattern.finditer(text):
            yield f"{name_of(path)}:{line_of(text, match.start())}: a signal handler of its own"


def check_no_typedefs():
    """struct conn, without a typedef; no config.h, which nobody makes."""
    for path in ours():
        text = code(read(path))
        for match in re.finditer(r"\btypedef\s+(struct|union|enum)\b", text):
            yield f"{name_of(path)}:{line_of(text, match.start())}: a typedef"
        if '"config.h"' in read(path):
            yield f"{name_of(path)}: includes config.h"


def check_nothing_unfinished():
    """Nothing is left for later without having been said in an issue."""
    words = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    for path in all_c() + files("*.md", "CHANGES", "Makefile.am", "configure.ac", "try", "check",
                                "docs/**/*", "etc/*", "tests/*", "tests/live/**/*.py", ".ci/*"):
        for match in words.finditer(read(path)):
            yield f"{name_of(path)}:{line_of(match.string, match.start())}: {match.group()}"


def check_lengths():
    """A .c file has at most 500 lines, a function 80; the longest are printed."""
    by_file = sorted(((len(read(p).splitlines()), name_of(p)) for p in ours("c")), reverse=True)
    by_function = sorted(((last - first + 1, f"{name_of(p)}: {name}") for p in ours("c")
                          for name, _, first, last in functions(p)), reverse=True)
    for title, found in (("files", by_file), ("functions", by_function)):
        print(f"the longest {title}:")
        for lines, what in found[:10]:
            print(f"  {lines:5} {what}")
    for lines, what in by_file:
        if lines > FILE_LINES and what not in LONGER_FILES:
            yield f"{what}: {lines} lines; split it"
    for lines, what in by_function:
        if lines > FUNCTION_LINES and what not in LONGER_FUNCTIONS:
            yield f"{what}(): {lines} lines; split it"


def check_every_file_is_built_and_shipped():
    """Makefile.am names every file, so that the release archive is whole."""
    text = re.sub(r"^#.*$", "", read(TOP / "Makefile.am"), flags=re.MULTILINE)
    words = set(re.findall(r"[^\s\\]+", text)) | {"Makefile.am", "configure.ac", "check"}
    for path in all_c() + files("*.md", "CHANGES", "LICENSE", "docs/**/*", "etc/**/*", "tests/*",
                                "tests/bench/*", ".ci/*", "workers/*.html", "tests/live/**/*",
                                "tests/fuzz/**/*"):
        name = name_of(path)
        # A unit test NAME is named without .c; a folder of tests stands for all that is in it.
        parents = {str(parent) for parent in pathlib.PurePath(name).parents if "/" in str(parent)}
        if not words & ({name, re.sub(r"\.c$", "", name)} | parents):
            yield f"{name}: is not in Makefile.am"
    made = set(" ".join(re.findall(r"^nodist_\w+_SOURCES = (.*)$", text, re.M)).split())
    for word in words - made:
        if re.fullmatch(r"[\w./-]+/[\w.-]+\.[ch]", word) and not (TOP / word).exists():
            yield f"Makefile.am: {word} does not exist"


def options():
    """Every key of the option table with its scope, from the table's own text."""
    text = read(TOP / "common/option.c")
    found = re.findall(r'\{\s*(HOSTLER|SERVICE|RLIMIT)\s*\(\s*"(\w+)"', text)
    assert len(found) > 20, "the option table was not understood"
    return [("hostler" if scope == "HOSTLER" else "service", key) for scope, key in found]


def check_options_are_documented():
    """Every option is in hostler.conf(5) and in the sample file."""
    manual = TOP / "docs/man/hostler.conf.5"
    sample = TOP / "etc/hostler.conf.sample"
    for path in (manual, sample):
        if not path.exists():
            yield f"{name_of(path)} does not exist"
            return
    items = re.findall(r"^\.It .*$", read(manual), re.MULTILINE)
    for scope, key in options():
        if not any(re.search(rf"\b{key}\b", item) for item in items):
            yield f"hostler.conf.5: has no {key} of [{scope}]"
        if not re.search(rf"^[#;]?\s*{key}\s*=", read(sample), re.MULTILINE):
            yield f"hostler.conf.sample: has no {key} of [{scope}]"
    known = {key for _, key in options()}
    for match in re.finditer(r"^[#;]?\s?([a-z_]+)\s*=", read(sample), re.MULTILINE):
        if match.group(1) not in known:
            yield f"hostler.conf.sample: {match.group(1)} is no option"


def check_samples_are_valid():
    """hostlerd -t takes every sample configuration."""
    hostlerd = built("hostlerd")
    samples = files("etc/*.conf", "etc/*.conf.sample", "etc/*.ini")
    if not samples:
        yield "etc/ has no sample configuration"
    for sample in samples:
        done = subprocess.run([hostlerd, "-t", "-f", sample], capture_output=True, text=True,
                              timeout=30, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            yield f"{name_of(sample)}: {(done.stdout + done.stderr).strip()}"


def check_rows_of_protocols_and_handlers():
    """A row of kinds.h has its file in workers/, its words in hostler.conf(5), its live tests."""
    manual = TOP / "docs/man/hostler.conf.5"
    words = read(manual) if manual.exists() else ""
    tests = "\n".join(read(path) for path in files("tests/live/*.py"))
    for macro, prefix in (("PROTOCOLS", "proto"), ("HANDLERS", "handler")):
        for row in rows("common/kinds.h", macro):
            file, name = TOP / f"workers/{prefix}_{row[1]}.c", row[1]
            if not file.exists() or f"{prefix}_{name} = {{" not in read(file):
                yield f"{macro} {name}: workers/{prefix}_{name}.c with {prefix}_{name} is missing"
            if not re.search(rf"\b{name}\b", words):
                yield f"{macro} {name}: hostler.conf(5) does not name it"
            if not re.search(rf"[\"']{name}[\"']|\b{name}\b\s*$|=\s*{name}\b", tests,
                             re.MULTILINE):
                yield f"{macro} {name}: no live test names it"


def check_rows_of_counters():
    """Every counter is counted somewhere."""
    text = joined(files("common/stats.c", "workers/*.c", "daemon/*.c"))
    for row in rows("common/stats.h", "OUTCOMES") + rows("common/stats.h", "COUNTERS"):
        if not re.search(rf"\bCOUNTER_{row[0]}\b", text):
            yield f"COUNTERS {row[0]}: nobody counts it"


def check_rows_of_messages():
    """Every message is sent by its side and taken by the other."""
    sides = {"MSG_FROM_MASTER": "daemon", "MSG_FROM_WORKER": "workers"}
    for row in rows("ipc/msg.h", "MESSAGES"):
        for folder in sides.values():
            if not re.search(rf"\bMSG_{row[0]}\b", joined(files(f"{folder}/*.c"))):
                does = "sends" if sides[row[2]] == folder else "takes"
                yield f"MESSAGES {row[0]}: nobody in {folder}/ {does} it"


def check_rows_of_pool_reasons():
    """Every reason why an instance must go is given by somebody."""
    text = joined(files("ipc/*.c", "workers/*.c", "daemon/*.c"))
    for row in rows("ipc/pool.h", "POOL_REASONS"):
        if not re.search(rf"\bPOOL_REASON_{row[0]}\b", text):
            yield f"POOL_REASONS {row[0]}: nobody gives it"


def members(structure):
    """The members of a struct of daemon/ or common/, in order; those of one within it are not told."""
    for path in files("daemon/*.h", "daemon/*.c"):
        match = re.search(rf"^(?:static )?struct {structure} \{{\n(.*?)^\}}", code(read(path)), re.M | re.S)
        if match:
            return [name for line in match.group(1).split(";")
                    for name in re.findall(r"(\w+)(?:\[\w+\])?\s*(?:,|$)", line.strip())]
    raise AssertionError(f"there is no struct {structure}")


def check_no_field_of_the_state_is_forgotten():
    """Where a struct has a table in the state, each member is read, written, or left out by name."""
    parts = joined(files("daemon/state*.c"))  # they name what they write beside the tables
    for path in files("daemon/*.c"):
        text = read(path)
        for structure in sorted(set(re.findall(r"RECORD_(?:FIELD|NAMED)\([^)]*?struct (\w+),", text))):
            left = re.search(rf"Not of struct {structure}: (.*?)\.", text, re.S)
            left = re.findall(r"\w+", left.group(1).replace("*", " ")) if left else []
            for name in members(structure):
                if name in left:
                    left.remove(name)
                elif not re.search(rf"struct {structure}, {name}\b", text) \
                        and not re.search(rf"\b{structure}->{name}\b", parts):
                    yield f"{name_of(path)}: {name} of struct {structure} has no row"
            for name in left:
                yield f"{name_of(path)}: struct {structure} has no {name} that could be left out"


def check_fuzzers_have_a_corpus():
    """Each fuzz target has inputs to begin with, and each folder of inputs a target."""
    targets = {path.stem[len("fuzz_"):] for path in files("tests/fuzz/fuzz_*.c")}
    corpora = {path.parent.name for path in files("tests/fuzz/corpus/*/*")}
    if not targets:
        yield "tests/fuzz has no target"
    for name in sorted(targets ^ corpora):
        yield f"{name}: has {'no corpus' if name in targets else 'no target'}"


def check_tests_do_not_guess():
    """A test waits for a condition, in a while loop; a pace that is meant says so on its line."""
    for path in files("tests/live/*.py"):
        text = read(path)
        lines = text.splitlines()
        tree = ast.parse(text)
        loops = [node for node in ast.walk(tree) if isinstance(node, (ast.While, ast.For))]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) \
                    or node.func.attr != "sleep":
                continue
            around = [loop for loop in loops if loop.lineno < node.lineno <= loop.end_lineno]
            asks = around and isinstance(max(around, key=lambda loop: loop.lineno), ast.While)
            yields = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not asks and not yields and "#" not in lines[node.lineno - 1]:
                yield f"{name_of(path)}:{node.lineno}: sleeps a guess"


def check_manual_pages():
    """mandoc finds nothing wrong."""
    if shutil.which("mandoc") is None:
        raise Skip("no mandoc")
    pages = files("docs/man/*.[1-9]")
    if not pages:
        yield "docs/man has no page"
    for page in pages:
        done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True,
                              text=True, timeout=30)
        for line in done.stdout.splitlines():
            yield line.replace(f"{TOP}/", "")


def check_links():
    """Every relative link of the documents leads somewhere."""
    for path in files("*.md", "docs/**/*.md", "tests/*.md"):
        text = re.sub(r"```.*?```", "", read(path), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in link and not (path.parent / link).exists():
                yield f"{name_of(path)}: {link} does not exist"


def check_scripts_parse():
    """Shell and Python files are at least well-formed."""
    for path in files("try", "check", "autogen.sh", "tests/setup", "tests/*.sh", ".ci/run",
                      "tests/live/**/*.sh", "tests/live/systemd-box", "tests/bench/*.sh"):
        shell = "bash" if read(path).startswith("#!/bin/bash") else "sh"
        done = subprocess.run([shell, "-n", path], capture_output=True, text=True)
        if done.returncode != 0:
            yield f"{name_of(path)}: {done.stderr.strip()}"
    for path in files("tests/**/*.py"):
        try:
            ast.parse(read(path))
        except SyntaxError as error:
            yield f"{name_of(path)}: {error}"


def check_layout():
    """.clang-format decides how C looks."""
    version = shutil.which("clang-format")
    if version is None:
        raise Skip("no clang-format")
    if " 14." not in subprocess.run([version, "--version"], capture_output=True, text=True).stdout:
        raise Skip("clang-format is not version 14: others lay out differently")
    for path in all_c():
        done = subprocess.run([version, "--dry-run", "-Werror", "--style=file", path],
                              capture_output=True, text=True, cwd=TOP)
        if done.returncode != 0:
            yield f"{name_of(path)}: {done.stderr.splitlines()[0].replace(f'{TOP}/', '')}"


def main():
    checks = {name[len("check_"):].replace("_", "-"): function
              for name, function in globals().items() if name.startswith("check_")}
    failed = False
    for name in sys.argv[1:] or checks:
        try:
            wrong = list(checks[name]())
        except Skip as reason:
            print(f"skipped {name} ({reason})")
            continue
        except Exception as error:  # a check that breaks has not found the tree in order
            wrong = [f"{type(error).__name__}: {error}"]
        print(f"{'not ok' if wrong else 'ok'} {name}")
        for sentence in wrong:
            print(f"    {sentence}")
        failed = failed or bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
