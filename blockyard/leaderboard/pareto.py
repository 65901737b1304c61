"""Score against MACs: the front, and its plot as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import product

from blockyard.leaderboard.columns import operations, with_interval
from blockyard.leaderboard.statistics import ROUNDING
from blockyard.leaderboard.tables import Row, Table

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 16, 52
"""Margins; the unit is a CSS pixel at full size."""
MANY = 300
"""Above this number of rows, only those on the front get their interval and name."""
NUMBERED = 15
"""Up to this number of rows, all points carry number and name, otherwise those on the front."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
TINY = 1e-200
"""Below this size a score is drawn as 0: floats begin to lose digits, and powers of ten between them are 0."""
LETTER = 7.2
"""Width of a letter, on the safe side."""


@dataclass(frozen=True)
class Axis:
    """Maps values to a coordinate.

    Attributes:
        low: The smallest value.
        high: The largest, above ``low``.
        start: Coordinate of ``low``.
        end: Coordinate of ``high``.
        log: Whether equal ratios are equally long; values are above 0 then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The coordinate of a value."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values between low and high."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) < 5 else (1,)
            found = [step * 10.0**power for power in powers for step in steps]
        else:
            rough = (self.high - self.low) / 8
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


def plot(table: Table, name: str) -> str:
    """An SVG picture of a table's rows; the table itself holds all that it shows.

    Args:
        table: The table; a row's number is its position, from 1.
        name: Prefix of the ids in the picture.
    """
    x, y = _axes(table)
    on_front = front(table.rows, table.primary.higher_is_better)
    numbered = [(number, row, row.experiment in on_front) for number, row in enumerate(table.rows, 1)]
    ahead = sorted((item for item in numbered if item[2]), key=lambda item: (item[1].macs, item[0]))
    few = len(numbered) <= MANY
    line = " ".join(f"{x.at(row.macs):.1f},{y.at(row.score.mean):.1f}" for _, row, _ in ahead)
    said = "; ".join(
        f"{number}, {row.block}: {operations(row.macs)} MACs, "
        f"{table.primary.name} {with_interval(row.score, table.primary)}"
        for number, row, _ in ahead[:20]
    )
    summary = (
        f"{len(numbered)} rows. On the front: {said or 'none, no row has 3 seeds'}. The table below has all values."
    )
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title {name}-desc">',
            f'<title id="{name}-title">{escape(table.primary.name)} against MACs</title>',
            f'<desc id="{name}-desc">{escape(summary)}</desc>',
            f'<clipPath id="{name}-area"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
            f'height="{HEIGHT - TOP - BOTTOM}"/></clipPath>',
            *_scales(table, x, y),
            f'<polyline class="front" points="{line}"/>',
            f'<g clip-path="url(#{name}-area)">',
            *(_bar(row, x, y) for _, row, ahead in numbered if ahead or few),
            "</g>",
            # the front last, to lie on top
            *(_point(*item, table, x, y, few) for item in sorted(numbered, key=lambda item: item[2])),
            *_names(numbered if len(numbered) <= NUMBERED else ahead, x, y),
            "</svg>",
        ]
    )


def _axes(table: Table) -> tuple[Axis, Axis]:
    macs = [row.macs for row in table.rows]
    log = min(macs) > 0 and max(macs) > 10 * min(macs)
    ends = [row.score.mean for row in table.rows]
    # intervals of two seeds are so long that they would hide everything else; they leave the picture
    sure = [row.score for row in table.rows if not row.score.few]
    ends += [score.mean + side * (score.half_width or 0) for score in sure for side in (-1, 1)]
    (left, right), (bottom, top) = _padded(min(macs), max(macs), log), _padded(min(ends), max(ends), False)
    return Axis(left, right, LEFT, WIDTH - RIGHT, log), Axis(bottom, top, HEIGHT - BOTTOM, TOP)


def _padded(low: float, high: float, log: bool) -> tuple[float, float]:
    """Some room at both ends, and a range also where all values are the same."""
    if log:
        room = (high / low) ** 0.06
        return low / room, high * room
    size = max(abs(low), abs(high))
    room = 0.06 * (high - low) if high - low > ROUNDING * size else 0.05 * size
    room = room if size > TINY else 1.0
    return low - room, high + room


def _scales(table: Table, x: Axis, y: Axis) -> list[str]:
    """Grid, numbers and names of the axes."""
    bottom, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    lines, words = [], []
    for tick in x.ticks():
        lines.append(f"M{x.at(tick):.1f} {TOP}V{bottom}")
        words.append(f'<text x="{x.at(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{operations(tick)}</text>')
    ticks, power = y.ticks(), 0 if table.primary.is_fraction else _power(y)
    for tick in ticks:
        lines.append(f"M{LEFT} {y.at(tick):.1f}H{WIDTH - RIGHT}")
        text = table.primary.text(tick / 10**power, (ticks[1] - ticks[0]) / 10**power if len(ticks) > 1 else None)
        words.append(f'<text x="{LEFT - 8}" y="{y.at(tick) + 4:.1f}" text-anchor="end">{text}</text>')
    scale = ", logarithmic" if x.log else ""
    parts = f", in 10{str(power).translate(RAISED)}" if power else ""
    title, name = f"MACs of one sample{scale}", escape(table.primary.heading + parts)
    return [
        f'<path class="grid" d="{"".join(lines)}"/>',
        *words,
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{title}</text>',
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


def _point(number: int, row: Row, ahead: bool, table: Table, x: Axis, y: Axis, named: bool) -> str:
    across, up = x.at(row.macs), y.at(row.score.mean)
    classes = " ".join(["point", *["baseline"] * row.is_baseline, *["few"] * row.score.few, *["ahead"] * ahead])
    size = 5 if len(table.rows) <= NUMBERED else 3.5
    if row.is_baseline:
        shape = f'<rect x="{across - size:.1f}" y="{up - size:.1f}" width="{2 * size}" height="{2 * size}"'
    else:
        shape = f'<circle cx="{across:.1f}" cy="{up:.1f}" r="{size}"'
    score = f"{with_interval(row.score, table.primary)}, {operations(row.macs)} MACs"
    name = f"<title>{number} {escape(row.block)}, {escape(row.backbone)}: {score}</title>" if named or ahead else ""
    return f'{shape} class="{classes}">{name}</{"rect" if row.is_baseline else "circle"}>'


def _names(points: Sequence[tuple[int, Row, bool]], x: Axis, y: Axis) -> list[str]:
    """Number and name beside each point, or its number alone, where nothing else stands; or nothing."""
    taken = [box for _, row, _ in points for box in _occupied(row, x, y)]
    marks = []
    for number, row, _ in points:
        across, up = x.at(row.macs), y.at(row.score.mean)
        for text, down, right in product((f"{number} {row.block}", str(number)), (-6, 18), (True, False)):
            width, edge = LETTER * len(text), across + (8 if right else -8)
            box = _Box(edge if right else edge - width, up + down - 12, width, 15)
            if box.left > LEFT and box.left + width < WIDTH - RIGHT and not any(map(box.meets, taken)):
                place = f'text-anchor="{"start" if right else "end"}" x="{edge:.1f}" y="{up + down:.1f}"'
                marks.append(f'<text class="name" {place}>{escape(text)}</text>')
                taken.append(box)
                break
    return marks


def _occupied(row: Row, x: Axis, y: Axis) -> list[_Box]:
    """Where a point and its interval are."""
    across, up = x.at(row.macs), y.at(row.score.mean)
    top = y.at(row.score.mean + (row.score.half_width or 0))
    return [_Box(across - 6, up - 6, 12, 12), _Box(across - 2, top, 4, 2 * (up - top))]


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    width: float
    height: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )
