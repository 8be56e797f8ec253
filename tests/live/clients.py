"""Clients and proxies that others wrote: what runs them, and what skips a test without them."""

import contextlib
import shutil
import subprocess

import pytest

import harness


def tool(name):
    """The path of a tool; what uses it is skipped where it is missing."""
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"needs {name}")
    return path


def run(name, *arguments, status=0, seconds=20, **options):
    """Runs a tool to its end; it has to end with that status."""
    done = subprocess.run(
        [tool(name), *(str(argument) for argument in arguments)], capture_output=True,
        stdin=None if "input" in options else subprocess.DEVNULL,
        timeout=seconds * harness.SCALE, **options,
    )  # fmt: skip
    assert done.returncode == status, (
        f"{name} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done


def url(address, target="/", scheme="http"):
    host, port = address
    return f"{scheme}://{host}:{port}{target}"


@contextlib.contextmanager
def running(name, *arguments, log, **options):
    """A server of somebody else in the foreground, ended behind the block."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [tool(name), *(str(argument) for argument in arguments)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5 * harness.SCALE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---- HTTP over a socket of one's own ----


def read_reply(client, body=True):
    """Status, fields by their names in lower case, and the body of the next reply of a Client."""
    while b"\r\n\r\n" not in client.pending:
        assert client.more(), f"closed after {client.pending[:200]!r}, wanted a head"
    head, client.pending = client.pending.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, value = line.split(": ", 1)
        fields[name.lower()] = value
    status = int(first.split()[1])
    if not body or status < 200 or status in (204, 304):
        return status, fields, b""
    if fields.get("transfer-encoding") == "chunked":
        return status, fields, read_chunks(client)
    if "content-length" in fields:
        return status, fields, client.take(int(fields["content-length"]))
    return status, fields, client.rest()


def read_chunks(client):
    data = b""
    while length := int(client.line(), 16):
        data += client.take(length)
        assert client.take(2) == b"\r\n"
    assert client.line() == b"\r"
    return data
