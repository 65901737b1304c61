"""Score against MACs: the front, and its plot as SVG."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from blockyard.leaderboard.columns import operations, with_interval
from blockyard.leaderboard.plot_labels import Box, labels
from blockyard.leaderboard.statistics import ROUNDING
from blockyard.leaderboard.tables import Row, Table
from blockyard.metrics import counted

LEFT, RIGHT, TOP, BOTTOM = 64, 20, 16, 52
"""Margins; the unit is a CSS pixel at full size."""
MANY = 300
"""Above this number of rows, only those on the front get their interval and name."""
NUMBERED = 15
"""Up to this number of rows, all points carry their name, otherwise baselines and those on the front."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
TINY = 1e-200
"""Below this size a score is drawn as 0: floats begin to lose digits, and powers of ten between them are 0."""


@dataclass(frozen=True)
class Frame:
    """The size of a picture.

    Attributes:
        width: CSS pixels at full size.
        height: The same.
        ticks: Numbers along the horizontal axis, about.
    """

    width: int
    height: int
    ticks: int

    @property
    def right(self) -> int:
        """Where the plot ends."""
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        """Where the plot ends below."""
        return self.height - BOTTOM


WIDE, NARROW = Frame(720, 400, 8), Frame(360, 380, 3)
"""For windows, and for telephones."""


@dataclass(frozen=True)
class Axis:
    """Maps values to a coordinate.

    Attributes:
        low: The smallest value.
        high: The largest, above ``low``.
        start: Coordinate of ``low``.
        end: Coordinate of ``high``.
        log: Whether equal ratios are equally long; values are above 0 then.
        about: How many numbers there is room for.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    about: int = 8

    def at(self, value: float) -> float:
        """The coordinate of a value."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values between low and high."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) * 3 < 2 * self.about else (1,)
            found = [step * 10.0**power for power in powers for step in steps]
        else:
            rough = (self.high - self.low) / self.about
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(step for step in (1, 2, 5, 10) if step * power >= rough) * power
            found = [step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [tick for tick in found if self.low <= tick <= self.high]


def front(rows: Sequence[Row], higher_is_better: bool) -> set[str]:
    """Experiments that no other beats in both score and MACs, or in one with the other equal.

    Rows with too few seeds are neither on the front nor in front of others: nothing can be concluded from them.
    """
    sign = 1 if higher_is_better else -1
    kept: list[Row] = []
    for row in sorted((row for row in rows if not row.score.few), key=lambda row: (row.macs, -sign * row.score.mean)):
        gain = sign * (row.score.mean - kept[-1].score.mean) if kept else math.inf
        if gain > 0 or (gain == 0 and row.macs == kept[-1].macs):
            kept.append(row)
    return {row.experiment for row in kept}


def plot(table: Table, name: str, frame: Frame = WIDE) -> str:
    """An SVG picture of a table's rows; the table itself holds all that it shows.

    Args:
        table: The table.
        name: Prefix of the ids in the picture.
        frame: Its size.
    """
    x, y = _axes(table, frame)
    on_front = front(table.rows, table.primary.higher_is_better)
    rows = [(row, row.experiment in on_front) for row in table.rows]
    ahead = sorted((row for row, front in rows if front), key=lambda row: row.macs)
    few = len(rows) <= MANY
    line = " ".join(f"{x.at(row.macs):.1f},{y.at(row.score.mean):.1f}" for row in ahead)
    named = [row for row, front in rows if front or row.is_baseline or len(rows) <= NUMBERED]
    drawn = [row for row, front in rows if front or few]
    return "\n".join(
        [
            f'<svg viewBox="0 0 {frame.width} {frame.height}" role="img" aria-labelledby="{name}-title {name}-desc">',
            f'<title id="{name}-title">{escape(table.primary.name)} against MACs</title>',
            f'<desc id="{name}-desc">{escape(_summary(table, ahead))}</desc>',
            f'<clipPath id="{name}-area"><rect x="{LEFT}" y="{TOP}" width="{frame.right - LEFT}" '
            f'height="{frame.bottom - TOP}"/></clipPath>',
            *_scales(table, x, y, frame),
            f'<polyline class="front" points="{line}"/>',
            f'<g clip-path="url(#{name}-area)">',
            *(_bar(row, x, y) for row in drawn),
            "</g>",
            # the front last, to lie on top
            *(_point(*item, table, x, y, few) for item in sorted(rows, key=lambda item: item[1])),
            *_names(named, drawn, x, y, frame),
            "</svg>",
        ]
    )


def _summary(table: Table, ahead: Sequence[Row]) -> str:
    said = "; ".join(
        f"{row.block}: {operations(row.macs)} MACs, {table.primary.name} {with_interval(row.score, table.primary)}"
        for row in ahead[:20]
    )
    front = f"On the front: {said or 'none, no row has 3 seeds'}."
    return f"{counted(len(table.rows), 'row')}. {front} The table below has all values."


def _axes(table: Table, frame: Frame) -> tuple[Axis, Axis]:
    macs = [row.macs for row in table.rows]
    log = min(macs) > 0 and max(macs) > 10 * min(macs)
    ends = [row.score.mean for row in table.rows]
    # intervals of two seeds are so long that they would hide everything else; they leave the picture
    sure = [row.score for row in table.rows if not row.score.few]
    ends += [score.mean + side * (score.half_width or 0) for score in sure for side in (-1, 1)]
    lowest, highest = table.primary.ends  # an interval may reach further than any score can
    ends = [min(max(end, lowest), highest) for end in ends]
    (left, right), (bottom, top) = _padded(min(macs), max(macs), log), _padded(min(ends), max(ends), False)
    across = Axis(left, right, LEFT, frame.right, log, frame.ticks)
    return across, Axis(bottom, top, frame.bottom, TOP)


def _padded(low: float, high: float, log: bool) -> tuple[float, float]:
    """Some room at both ends, and a range also where all values are the same."""
    if log:
        room = (high / low) ** 0.06
        return low / room, high * room
    size = max(abs(low), abs(high))
    room = 0.06 * (high - low) if high - low > ROUNDING * size else 0.05 * size
    room = room if size > TINY else 1.0
    return low - room, high + room


def _scales(table: Table, x: Axis, y: Axis, frame: Frame) -> list[str]:
    """Grid, numbers and names of the axes."""
    bottom, middle = frame.bottom, (TOP + frame.bottom) / 2
    lines, words = [], []
    for tick in x.ticks():
        lines.append(f"M{x.at(tick):.1f} {TOP}V{bottom}")
        words.append(f'<text x="{x.at(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{operations(tick)}</text>')
    ticks, power = y.ticks(), 0 if table.primary.is_fraction else _power(y)
    for tick in ticks:
        lines.append(f"M{LEFT} {y.at(tick):.1f}H{frame.right}")
        text = table.primary.text(tick / 10**power, (ticks[1] - ticks[0]) / 10**power if len(ticks) > 1 else None)
        words.append(f'<text x="{LEFT - 8}" y="{y.at(tick) + 4:.1f}" text-anchor="end">{text}</text>')
    scale = ", logarithmic" if x.log else ""
    parts = f", in 10{str(power).translate(RAISED)}" if power else ""
    title, name = f"MACs of one sample{scale}", escape(table.primary.heading + parts)
    return [
        f'<path class="grid" d="{"".join(lines)}"/>',
        *words,
        f'<text x="{(LEFT + frame.right) / 2}" y="{frame.height - 10}" text-anchor="middle">{title}</text>',
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{name}</text>',
    ]


def _power(axis: Axis) -> int:
    """The power of ten that numbers on an axis are divided by, to be short enough for their margin."""
    largest = max(abs(axis.low), abs(axis.high))
    return 0 if 1e-2 <= largest < 1e4 else 3 * math.floor(math.log10(largest) / 3)


def _bar(row: Row, x: Axis, y: Axis) -> str:
    half = row.score.half_width
    if half is None:
        return ""
    across, low, high = (f"{v:.1f}" for v in (x.at(row.macs), y.at(row.score.mean - half), y.at(row.score.mean + half)))
    return f'<path class="bar" d="M{across} {low}V{high}"/>'


def _point(row: Row, ahead: bool, table: Table, x: Axis, y: Axis, named: bool) -> str:
    across, up = x.at(row.macs), y.at(row.score.mean)
    classes = " ".join(["point", *["baseline"] * row.is_baseline, *["few"] * row.score.few, *["ahead"] * ahead])
    size = 5 if len(table.rows) <= NUMBERED else 3.5
    if row.is_baseline:
        shape = f'<rect x="{across - size:.1f}" y="{up - size:.1f}" width="{2 * size}" height="{2 * size}"'
    else:
        shape = f'<circle cx="{across:.1f}" cy="{up:.1f}" r="{size}"'
    score = f"{with_interval(row.score, table.primary)}, {operations(row.macs)} MACs"
    name = f"<title>{escape(row.block)}, {escape(row.backbone)}: {score}</title>" if named or ahead else ""
    return f'{shape} class="{classes}">{name}</{"rect" if row.is_baseline else "circle"}>'


def _names(named: Sequence[Row], drawn: Sequence[Row], x: Axis, y: Axis, frame: Frame) -> list[str]:
    """The names of points, where they hide neither each other nor a point."""
    families = Counter(row.family for row in {(row.family, row.block): row for row in drawn}.values())
    points = [(row, x.at(row.macs), y.at(row.score.mean)) for row in drawn]
    marks = [Box(across - 6, up - 6, 12, 12) for _, across, up in points]
    bars = [Box(across - 1, up - half, 2, 2 * half) for row, across, up in points if (half := _half(row, y))]
    texts = [
        (row.family if families[row.family] == 1 else row.block, across, up)
        for row, across, up in points
        if row in named
    ]
    return labels(texts, marks, bars, Box(LEFT, TOP, frame.right - LEFT, frame.bottom - TOP))


def _half(row: Row, y: Axis) -> float:
    """Length of half an interval."""
    return y.at(row.score.mean) - y.at(row.score.mean + (row.score.half_width or 0))
