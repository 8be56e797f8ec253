"""The tables and the pictures of what readiness.py has found."""

import statistics

import readiness_cpu
import svg

LOOK = {
    "blocking": {"colour": "#7d8590", "shape": 0, "name": "blocking, one at a time"},
    "busy": {"colour": "#d1242f", "shape": 1, "name": "busy loop"},
    "threads": {"colour": "#bf6a02", "shape": 2, "name": "thread each"},
    "processes": {"colour": "#8f6a4d", "shape": 3, "name": "process each"},
    "select": {"colour": "#a045d6", "shape": 0, "name": "select"},
    "select+": {"colour": "#a045d6", "shape": 1, "name": "select, larger sets", "dashed": True},
    "poll": {"colour": "#2f7de1", "shape": 2, "name": "poll"},
    "epoll": {"colour": "#2b9348", "shape": 3, "name": "epoll"},
    "hostlerd": {"colour": "#0a9396", "shape": 0, "name": "hostlerd", "width": 3.5},
}


TIMES = ("p50", "p99")


class Found:
    """The findings, by model and number of connections."""

    def __init__(self, found):
        self.found = found
        self.counts = sorted({one["connections"] for one in found if one["part"] == "echo"})

    def values(self, model, count, *path):
        """Every round's figure; path leads into the finding."""
        chosen = [
            one
            for one in self.found
            if one.get("model") == model
            and (one.get("connections") == count if count else one["part"] == "new")
        ]
        for word in path:
            chosen = [one[word] for one in chosen if isinstance(one, dict) and word in one]
        # A time of nothing is the time of no reply.
        return [value for value in chosen if value is not None and (value or path[-1] not in TIMES)]

    def middle(self, *where):
        values = self.values(*where)
        return statistics.median(values) if values else None

    def ways(self, key):
        for way in readiness_cpu.WAYS:
            values = [one[key] for one in self.found if one.get("way") == way and key in one]
            yield way, values


def short(value):
    """Three digits, no exponent."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def time_words(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{short(seconds * factor)} {unit}"
    return f"{short(seconds * 1e6)} µs"


def bytes_words(count):
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= factor:
            return f"{short(count / factor)} {unit}"
    return f"{count:.0f} B"


def cell(values, words):
    """The median in words, and half the distance between least and most; of many, but for one each."""
    if not values:
        return "–"
    middle, order = statistics.median(values), sorted(values)
    said = words(middle)
    kept = order[1:-1] if len(order) >= 5 else order
    if kept[0] != kept[-1] and not said.startswith("0.0 "):
        said += f" ±{(kept[-1] - kept[0]) / 2 / middle * 100:.0f} %"
    return said


def micro(seconds):
    return short(seconds * 1e6)


def table(heads, rows):
    return ["", *("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])]


def echo_table(data, models, title, columns):
    """A row for each model. columns: (head, path, words, whether at every N or the largest alone)."""
    if not data.counts:
        return []
    heads, places = ["model"], []
    for head, path, words, at_every in columns:
        for count in data.counts if at_every else data.counts[-1:]:
            first = not at_every or count == data.counts[0]
            heads.append(f"{head}, at {count:,}" if first else f"at {count:,}")
            places.append((count, path, words))
    rows = []
    for model in models:
        cells = [cell(data.values(model, count, *path), words) for count, path, words in places]
        if set(cells) - {"–"}:
            rows.append([LOOK[model]["name"], *cells])
    return ["", f"**{title}**", *table(heads, rows)] if rows else []


def load_columns(kind, cpu):
    """CPU and switches may come from another way of asking than the rest."""
    return [
        ("CPU per request, µs", (cpu, "cpu"), micro, True),
        ("requests/s", (kind, "rate"), short, False),
        ("p50", (kind, "p50"), time_words, False),
        ("p99", (kind, "p99"), time_words, False),
        ("switches per request", (cpu, "switches"), short, False),
    ]


def text(found, machine, models):
    """All tables, as lines of Markdown."""
    data = Found(found)
    lines = [f"{machine['cpus']} CPUs ({machine['cpu']}), {bytes_words(machine['memory'])} of memory,"
             f" Linux {machine['linux']}, Python {machine['python']}"]  # fmt: skip
    lines += echo_table(data, models, "N clients connect, ask one line each, and stay", [
        ("served", ("answered",), "{:,.0f}".format, False),
        ("the last after", ("first",), time_words, True),
        ("CPU per connection, µs", ("cpu_first",), micro, False),
        ("memory per connection", ("memory",), bytes_words, False),
        ("CPU while silent", ("idle",), lambda value: f"{value * 100:.1f} %", False),
    ])  # fmt: skip
    lines += echo_table(data, models, "10 ask, N are held silent", load_columns("held", "held"))
    lines += echo_table(data, models, "all N ask", load_columns("active", "all"))
    rows = [
        [LOOK[model]["name"], *(cell(data.values(model, 0, *path), words)
                                for _, path, words in NEW)]
        for model in models if data.values(model, 0)
    ]  # fmt: skip
    if rows:
        lines += ["", "**10 clients connect, ask one line and leave, again and again**",
                  *table(["model", *(head for head, _, _ in NEW)], rows)]  # fmt: skip
    return lines + cpu_table(data)


NEW = [
    ("CPU per connection, µs", ("cpu",), micro),
    ("connections/s", ("rate",), short),
    ("p50", ("p50",), time_words),
    ("p99", ("p99",), time_words),
]


def cpu_table(data):
    """The last way is the limit: what the others reach of it is taken from the same round."""
    found = {key: dict(data.ways(key)) for key in ("rate", "p50", "p99")}
    limit = found["rate"][readiness_cpu.WAYS[-1]]
    rows = []
    for way, rates in found["rate"].items():
        if rates:
            share = [rate / most for rate, most in zip(rates, limit)]
            rows.append([way, cell(rates, short), cell(share, "{:.2f}".format),
                         cell(found["p50"][way], time_words), cell(found["p99"][way], time_words)])  # fmt: skip
    heads = ["way", "requests/s", "of bare pipes", "p50", "p99"]
    title = f"**Python, 5 ms of work for each request, {readiness_cpu.CLIENTS} clients**"
    return ["", title, *table(heads, rows)] if rows else []


def series(data, models, path, factor, least=0):
    for model in models:
        points = [(count, data.middle(model, count, *path)) for count in data.counts if count >= least]
        points = [(count, value * factor) for count, value in points if value and value > 0]
        yield {**LOOK[model], "points": points}


def axis_time(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 0.999:
            return f"{seconds * factor:,.0f} {unit}"
    return f"{seconds * 1e6:g} µs"


def axis_micro(microseconds):
    return f"{microseconds:,g} µs"


# File, title, subtitle, what the axis is, and of the figures: path, factor and words.
CURVES = [
    ("held", "What one request costs beside N silent connections",
     "Server CPU per request, microseconds; 10 clients ask, N are held and say nothing",
     "silent connections", ("held", "cpu"), 1e6, axis_micro),
    ("held-p99", "How long a reply takes beside N silent connections",
     "99 of 100 replies come within this time; 10 clients ask, N are held and say nothing",
     "silent connections", ("held", "p99"), 1, axis_time),
    ("active", "What one request costs when all N connections ask",
     "Server CPU per request, microseconds",
     "connections, all of them asking", ("all", "cpu"), 1e6, axis_micro),
    ("first", "How long the last of N new clients waits for its first reply",
     "N clients connect at once and ask one line each", "clients", ("first",), 1, axis_time),
]  # fmt: skip


def plots(found, models):
    """(file name, SVG) of each picture that there are figures for."""
    data = Found(found)
    # What serves 10,000: one at a time does not, nor does select with sets of 1024.
    served = [model for model in models if model not in ("blocking", "select")]
    if len(data.counts) > 1:
        for name, title, subtitle, along, path, factor, words in CURVES:
            curves = list(series(data, served, path, factor))
            yield f"readiness-{name}.svg", svg.lines(title, subtitle, along, curves, yname=words)
    rows = [{"name": LOOK[model]["name"], "colour": LOOK[model]["colour"],
             "memory": data.middle(model, max(data.counts), "memory")}
            for model in served if data.counts and data.values(model, max(data.counts), "held")]  # fmt: skip
    if rows and all(row["memory"] for row in rows):
        yield "readiness-memory.svg", svg.bars(
            (f"Memory for each of {max(data.counts):,} silent connections",
             "The server's own memory, kernel stacks and page tables; sockets, the same for all, not counted"),
            [("a connection", "memory", bytes_words)], rows)  # fmt: skip
    rates, tails = dict(data.ways("rate")), dict(data.ways("p99"))
    rows = [{"name": way, "colour": "#0a9396" if "hostlerd" in way else "#7d8590",
             "rate": statistics.median(values), "p99": statistics.median(tails[way])}
            for way, values in rates.items() if values]  # fmt: skip
    if rows:
        yield "readiness-cpu.svg", svg.bars(
            ("CPU-bound Python: 5 ms of work for each request",
             f"{readiness_cpu.CLIENTS} clients, each asks again as soon as it has its reply"),
            [("requests per second", "rate", short), ("99 of 100 within", "p99", time_words)],
            rows)  # fmt: skip
