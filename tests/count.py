#!/usr/bin/python3
"""Counts what `make check` ran in a build folder, test by test.

count.py BUILD LOG: LOG is what make printed. Says one line for each part, the end of the log of
each part that failed, and last "N passed, N failed, N skipped". The exit status is 1 when anything
failed, or nothing ran.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree

CHECK_LINE = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.MULTILINE)
LIVE_LINE = re.compile(r"^PASSED +[\d.]+ s ", re.MULTILINE)
HOUSE_LINE = re.compile(r"^(ok|not ok|skipped) ", re.MULTILINE)


class Part:
    """One program that automake ran."""

    def __init__(self, trs):
        self.log = trs.with_suffix(".log")
        self.name = trs.stem
        self.result = re.search(r":test-result: (\w+)", trs.read_text()).group(1)
        self.text = self.log.read_text(errors="replace") if self.log.exists() else ""
        self.passed = self.failed = self.skipped = 0
        self.count([trs.parent / name for name in ("live.xml", "live-alone.xml")])
        # A program that failed without having said which test it was.
        if self.result in ("FAIL", "ERROR") and self.failed == 0:
            self.failed = 1

    def count(self, live):
        if self.result == "SKIP":
            self.skipped = 1
        elif self.name == "run-live":
            self.count_live(live)
        elif self.name == "house":
            results = HOUSE_LINE.findall(self.text)
            self.passed = results.count("ok")
            self.failed = results.count("not ok")
            self.skipped = results.count("skipped")
        elif CHECK_LINE.search(self.text):
            for checks, failures, errors in CHECK_LINE.findall(self.text):
                self.failed += int(failures) + int(errors)
                self.passed += int(checks) - int(failures) - int(errors)
        elif self.result == "PASS":
            self.passed = 1

    def count_live(self, live):
        """Which tests pytest ran: its XML, or (when it was ended) the lines that it printed."""
        if not all(part.exists() for part in live):
            self.passed = len(LIVE_LINE.findall(self.text))
            return
        for part in live:
            for suite in xml.etree.ElementTree.parse(part).getroot().iter("testsuite"):
                wrong = int(suite.get("failures")) + int(suite.get("errors"))
                skipped = int(suite.get("skipped"))
                self.failed += wrong
                self.skipped += skipped
                self.passed += int(suite.get("tests")) - wrong - skipped


def main():
    build, make_log = map(pathlib.Path, sys.argv[1:3])
    parts = [Part(trs) for trs in sorted((build / "tests").rglob("*.trs"))]
    make_text = make_log.read_text(errors="replace")
    total = {"passed": 0, "failed": 0, "skipped": 0}

    for part in parts:
        if part.failed:
            print(f"---- the end of {part.log}:")
            print("\n".join(part.text.splitlines()[-80:]))
            print("----")
    for part in parts:
        for key in total:
            total[key] += getattr(part, key)
        print(f"{part.name:24} {part.passed:4} passed {part.failed:4} failed "
              f"{part.skipped:4} skipped")
    if not make_text.rstrip().endswith("exit status 0") and total["failed"] == 0:
        total["failed"] = 1
        print("---- make check failed:")
        print("\n".join(make_text.splitlines()[-40:]))
    if total["passed"] == 0 and total["failed"] == 0:
        total["failed"] = 1
        print("no test ran")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
