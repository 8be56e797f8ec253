"""A headless Chromium, told what to do through a pair of pipes (the DevTools protocol)."""

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time

import pytest

import harness

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def require():
    if PROGRAM is None:
        pytest.skip("no chromium")
    if harness.SANITIZED:
        pytest.skip("a browser is for the plain build")


class Browser:
    """One window with one page. Fails the test when the page complains of anything."""

    def __init__(self, folder, size=(1000, 700), dark=False, script=True):
        reading, to_browser = os.pipe()
        from_browser, writing = os.pipe()
        # It finds its ends as descriptors 3 and 4.
        line = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", line, "sh", str(reading), str(writing), PROGRAM, "--headless=new",
             "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
             "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile",
             "--remote-debugging-pipe", f"--window-size={size[0]},{size[1]}", "about:blank"],
            pass_fds=(reading, writing), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)},
            start_new_session=True)
        os.close(reading)
        os.close(writing)
        self.reading, self.writing, self.pending = from_browser, to_browser, b""
        self.numbers, self.complaints, self.session = itertools.count(1), [], None
        pages = wait_pages(self)
        self.session = self.call("Target.attachToTarget", targetId=pages[0], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1],
                  deviceScaleFactor=1, mobile=size[0] < 600)
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def receive(self, deadline):
        while b"\0" not in self.pending:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.reading], [], [], left)[0], "the browser is silent"
            data = os.read(self.reading, 1 << 16)
            assert data, "the browser has ended"
            self.pending += data
        text, self.pending = self.pending.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30 * harness.SCALE
        while True:
            reply = self.receive(deadline)
            if reply.get("id") == number:
                assert "error" not in reply, f"{method}: {reply['error']}"
                return reply["result"]
            self.note(reply)

    def note(self, event):
        """What a person would see in red in the console."""
        told = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"] + " " + told["entry"].get("url", ""))

    def open(self, address):
        self.call("Page.navigate", url=address)
        harness.wait_for(lambda: self.value("document.readyState") == "complete", "the page")

    def value(self, expression):
        """What an expression is in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                          awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self):
        return self.value("document.body.innerText")

    def picture(self):
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self):
        for fd in (self.reading, self.writing):
            os.close(fd)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)


def wait_pages(browser):
    def pages():
        found = browser.call("Target.getTargets")["targetInfos"]
        return [target["targetId"] for target in found if target["type"] == "page"]
    return harness.wait_for(pages, "a window", 30)
