"""The arithmetic of `make bench`: ratios of paired runs, their spread, and what they say of a bar."""

import dataclasses
import statistics


@dataclasses.dataclass
class Spread:
    """The middle of some values and the quarter on each side of it."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values):
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, middle, high)

    def __str__(self):
        digits = 4 if self.middle < 0.1 else 2 if self.middle < 10 else 0
        middle, low, high = (f"{value:.{digits}f}" for value in (self.middle, self.low, self.high))
        return f"{middle} ({low}-{high})"


def ratios(above, below, figure):
    """Run by run: those of one round were made one after the other."""
    return [one[figure] / other[figure] for one, other in zip(above, below)]


def noise(spread):
    """How far from 1 the same binary against itself is: the middle or a quarter, the furthest."""
    return max(abs(spread.low - 1), abs(spread.middle - 1), abs(spread.high - 1))


def verdict(spread, same, most=None, least=None):
    """met; missed, where the middle is beyond the bar by more than the A/A pair; else undecided."""
    if most is None and least is None:
        return ""
    if most is not None:
        if spread.middle <= most:
            return "met"
        return "missed" if spread.middle > most * (1 + noise(same)) else "undecided"
    if spread.middle >= least:
        return "met"
    return "missed" if spread.middle < least / (1 + noise(same)) else "undecided"


def markdown(heads, rows):
    """The lines of a table; the first column is words, the others are figures."""
    rule = ["---", *("---:" for _ in heads[1:])]
    return ["| " + " | ".join(row) + " |" for row in [heads, rule, *rows]]
