"""Charts as SVG text, without any library: lines over two logarithmic axes, and bars.

Each series is labelled where it ends, in its colour, so that nobody has to match a legend. The
colours hold on white and on black; the page's own scheme decides which of the two it is.
"""

import math
from xml.sax.saxutils import escape

WIDTH = 760
FONT = "font-family='system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif'"
STYLE = """\
<style>
.page{fill:#ffffff}.ink{fill:#24292f}.soft{fill:#57606a}.grid{stroke:#d8dee4;stroke-width:1}
.axis{stroke:#8c959f;stroke-width:1}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9da7b1}.grid{stroke:#30363d}.axis{stroke:#6e7681}}
</style>"""


def document(height, title, subtitle, body):
    """A whole SVG file; `subtitle` says what is measured, and in which unit."""
    return "\n".join([
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}'"
        f" height='{height}' {FONT} role='img'>",
        f"<title>{escape(title)}</title>", STYLE,
        f"<rect class='page' width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        text(20, 30, title, "ink", 17, weight="bold"), text(20, 51, subtitle, "soft", 13),
        *body, "</svg>", ""])  # fmt: skip


def text(x, y, words, kind, size=13, anchor="start", weight="normal", colour=None):
    paint = f"fill='{colour}'" if colour else f"class='{kind}'"
    return (f"<text x='{x:.1f}' y='{y:.1f}' {paint} font-size='{size}' text-anchor='{anchor}'"
            f" font-weight='{weight}'>{escape(words)}</text>")


def line(x1, y1, x2, y2, kind):
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' class='{kind}'/>"


def ticks(values):
    """Round numbers around all values: powers of ten, or 1, 2, 5 where there are few of them."""
    low, high = math.log10(min(values)), math.log10(max(values))
    steps = (1,) if high - low > 2 else (1, 2, 5)
    found = [step * 10.0**power for power in range(math.floor(low) - 1, math.ceil(high) + 2)
             for step in steps]  # fmt: skip
    first = max(i for i, tick in enumerate(found) if tick <= min(values) * 1.0001)
    last = min(i for i, tick in enumerate(found) if tick >= max(values) * 0.9999)
    return found[first : max(last, first + 1) + 1]


def spread(wanted, gap, low, high):
    """Heights as near to the wanted ones as they can be, at least `gap` apart, between the two."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    found = [0.0] * len(wanted)
    floor = low
    for place in order:
        found[place] = max(wanted[place], floor)
        floor = found[place] + gap
    ceiling = high
    for place in reversed(order):
        found[place] = min(found[place], ceiling)
        ceiling = found[place] - gap
    return found


def mark(shape, x, y, colour):
    """One of four shapes, so that series differ without colour too."""
    if shape == 0:
        return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4.5' fill='{colour}'/>"
    corners = {
        1: [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        2: [(0, -5.5), (5.5, 4.5), (-5.5, 4.5)],
        3: [(0, -6), (6, 0), (0, 6), (-6, 0)],
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f"<polygon points='{points}' fill='{colour}'/>"


def lines(title, subtitle, xlabel, series, xname=lambda x: f"{x:,}", yname=lambda y: f"{y:g}"):
    """series: dicts of name, colour, points [(x, y)], and shape, dashed, note as one likes."""
    series = [one for one in series if one["points"]]
    left, right, top, bottom, height = 78, 556, 78, 380, 430
    xs = sorted({x for one in series for x, _ in one["points"]})
    heights = ticks([y for one in series for _, y in one["points"]])
    low, high = math.log10(heights[0]), math.log10(heights[-1])
    first, last = math.log10(xs[0]), math.log10(max(xs[-1], xs[0] * 10))

    def across(x):
        return left + 14 + (math.log10(x) - first) / (last - first) * (right - left - 28)

    def down(y):
        return bottom - (math.log10(y) - low) / (high - low) * (bottom - top)

    body = []
    for tick in heights:
        body.append(line(left, down(tick), right, down(tick), "grid"))
        body.append(text(left - 8, down(tick) + 4, yname(tick), "soft", 12, "end"))
    body.append(line(left, bottom, right, bottom, "axis"))
    for x in xs:
        body.append(line(across(x), bottom, across(x), bottom + 5, "axis"))
        body.append(text(across(x), bottom + 20, xname(x), "soft", 12, "middle"))
    body.append(text((left + right) / 2, bottom + 41, xlabel, "soft", 13, "middle"))
    labels = spread([down(one["points"][-1][1]) for one in series], 18, top + 4, bottom - 2)
    for one, label in zip(series, labels):
        points = [(across(x), down(y)) for x, y in one["points"]]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = " stroke-dasharray='6 4'" if one.get("dashed") else ""
        width = one.get("width", 2)
        body.append(f"<polyline points='{path}' fill='none' stroke='{one['colour']}'"
                    f" stroke-width='{width}'{dash}/>")
        body += [mark(one.get("shape", 0), x, y, one["colour"]) for x, y in points]
        # From the last point to its label, thin.
        body.append(f"<polyline points='{points[-1][0] + 7:.1f},{points[-1][1]:.1f}"
                    f" {right + 8},{label:.1f} {right + 16},{label:.1f}' fill='none'"
                    f" stroke='{one['colour']}' stroke-width='0.8'/>")
        words = one["name"] + (f" {one['note']}" if one.get("note") else "")
        body.append(text(right + 20, label + 4, words, "ink", 13, colour=one["colour"]))
    return document(height, title, subtitle, body)


def bars(title, panels, rows):
    """
    Bars side by side. panels: (heading, key, words of a value); rows: dicts of name, colour and one
    value for each key (None: there is none, and `note` says why).
    """
    left, top, step = 250, 92, 34
    wide = (WIDTH - left - 20) / len(panels)
    height = top + step * len(rows) + 16
    body = []
    for number, (heading, key, words) in enumerate(panels):
        x = left + number * wide
        most = max(row[key] or 0 for row in rows) or 1
        body.append(text(x, top - 14, heading, "soft", 13))
        for place, row in enumerate(rows):
            y = top + place * step
            if row[key] is None:
                body.append(text(x + 4, y + 17, row.get("note", "none"), "soft", 12))
                continue
            length = max(2, (wide - 90) * row[key] / most)
            body.append(f"<rect x='{x:.1f}' y='{y + 3}' width='{length:.1f}' height='20' rx='2'"
                        f" fill='{row['colour']}'/>")
            body.append(text(x + length + 6, y + 18, words(row[key]), "ink", 12))
    for place, row in enumerate(rows):
        body.append(text(left - 12, top + place * step + 18, row["name"], "ink", 13, "end"))
    return document(height, title[0], title[1], body)
