"""A strict reader of Prometheus' text format, version 0.0.4: whatever it does not know is wrong."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([0-9.eE+-]+|\+Inf|-Inf|NaN)")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


class Metrics:
    """What a text says: self.values[name, labels], labels a sorted tuple of pairs."""

    def __init__(self, text):
        assert text.endswith("\n")
        self.types, self.helps, self.values, self.order = {}, {}, {}, []
        for line in text[:-1].split("\n"):
            self.comment(line) if line.startswith("#") else self.sample(line)
        for name, kind in self.types.items():
            if kind == "histogram":
                self.check_histogram(name)

    def comment(self, line):
        word, kind, name, rest = line.split(" ", 3)
        assert word == "#" and kind in ("HELP", "TYPE") and re.fullmatch(NAME, name), line
        table = self.helps if kind == "HELP" else self.types
        assert name not in table, f"{name} has two lines {kind}"
        table[name] = rest
        if kind == "HELP":
            assert rest and "\\" not in rest
            return
        assert rest in SUFFIXES, line
        assert self.helps and list(self.helps)[-1] == name, "HELP stands in front of TYPE"
        assert name.endswith("_total") == (rest == "counter"), f"{name} is a {rest}"
        self.order.append(name)

    def sample(self, line):
        match = SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line!r}"
        name, labels = match.group(1), re.findall(LABEL, match.group(2) or "")
        family = self.order[-1]
        allowed = [family + suffix for suffix in SUFFIXES[self.types[family]]]
        assert name in allowed, f"{name} among the samples of {family}"
        assert len({key for key, _ in labels}) == len(labels), line
        key = name, tuple(sorted(labels))
        assert key not in self.values, f"twice: {line}"
        value = float(match.group(match.lastindex).replace("Inf", "inf"))
        assert math.isfinite(value) and value >= 0, line
        self.values[key] = value

    def check_histogram(self, name):
        """Buckets grow with their bounds, and the last of them is the count."""
        sets = {}
        for (sample, labels), value in self.values.items():
            if sample == name + "_bucket":
                rest = tuple(pair for pair in labels if pair[0] != "le")
                sets.setdefault(rest, []).append((float(dict(labels)["le"].replace("Inf", "inf")), value))
        assert {labels for sample, labels in self.values if sample == name + "_count"} == set(sets)
        for rest, buckets in sets.items():
            bounds, counts = zip(*buckets)
            assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf
            assert list(counts) == sorted(counts)
            assert counts[-1] == self.values[name + "_count", rest]
            assert (name + "_sum", rest) in self.values

    def get(self, name, **labels):
        return self.values["hostler_" + name, tuple(sorted(labels.items()))]

    def growing(self):
        """What may never fall: counters, and all of histograms."""
        kinds = {name + suffix: kind for name, kind in self.types.items() for suffix in SUFFIXES[kind]}
        return {key: value for key, value in self.values.items() if kinds[key[0]] != "gauge"}
