"""Draw where a block sits in a network: the network above, and below it the part that the block is put into."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 480, 190
ABOVE, BELOW = 26, 124
"""Middles of the two rows."""
TALL, GAP, LETTER = 30, 16, 6.6
PARTS = ("stem", "stage 1", "stage 2", "stage 3", "stage 4", "pooling", "classifier", "loss")
PLACES = {
    "unit": ("unit", "unit", "", "unit"),
    "stage": ("unit", "unit", "unit", ""),
    "around": ("unit", "unit", "unit"),
    "units": ("unit", "", "", "unit"),
    "branch": ("conv 1", "conv 2", "conv 3", ""),
    "shortcut": ("conv 1", "conv 2", "conv 3"),
    "convolution": ("conv 1", "", "conv 3"),
    "convolutions": ("", "", ""),
    "activation": ("conv 1", "", "conv 2", ""),
    "mixer": ("norm", ""),
    "head": ("last map", "", "classifier of positions"),
    "pooling": ("last map", "", "classifier"),
    "loss": ("logits", "", "gradient"),
    "objective": ("pictures", "network", "", "gradient"),
    "gradient": ("loss", "gradient", "", "optimiser"),
}
"""What runs in the lower row, one after another; the empty ones are the block."""
RESIDUAL = ("branch", "shortcut", "convolution", "convolutions", "activation", "mixer")
PART_OF = {"head": "classifier", "pooling": "pooling", "loss": "loss", "objective": "loss", "gradient": "loss"}
"""Which part of the network the lower row belongs to, if not to stages."""


def picture(name: str, place: str, stages: Sequence[int] = ()) -> str:
    """An SVG for a page of light or dark colours, whose text colour it takes.

    Args:
        name: What the block is called.
        place: A key of :data:`PLACES`.
        stages: The stages that have it, from 1; none for a place behind them.

    Raises:
        ValueError: If there is no such place or stage, or the picture would not hold all of it.
    """
    marked = [f"stage {stage}" for stage in stages] or [PART_OF.get(place, "")]
    if place not in PLACES or not set(marked) <= set(PARTS):
        raise ValueError(f"{name}: there is no place {place} in {', '.join(marked)}")
    where = " and ".join(marked)
    lines = [
        f'<svg class="place" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escape(name)}, {place}, in {where}</title>",
        *_row(PARTS, ABOVE, marked, gap=6, pad=5, size=10.5),
        *_zoom(PARTS.index(marked[0])),
        *_below(name, place),
        "</svg>",
    ]
    return "\n".join(lines)


def _below(name: str, place: str) -> list[str]:
    labels = [label or name for label in PLACES[place]]
    residual = place in RESIDUAL
    starts, widths = _places([*labels, "+"] if residual else labels, GAP, 8)
    if starts[0] < GAP:
        raise ValueError(f"{name}: too long a name for a picture of its place")
    lines = _row(labels, BELOW, [name], starts=starts)
    first, last = starts[0], starts[len(labels) - 1] + widths[len(labels) - 1]
    if residual:
        plus = starts[-1] + widths[-1] / 2
        lines += [_arrow(last, plus - 10), *_residual(first, plus, name if place == "shortcut" else "")]
    else:
        lines += [_arrow(first - GAP, first), _arrow(last, last + GAP)]
    if place == "around":
        lines += [
            f'<rect class="block" fill-opacity="0" x="{first - 10:.1f}" y="{BELOW - 38}"'
            f' width="{last - first + 20:.1f}" height="68" rx="6"/>',
            _text((first + last) / 2, BELOW - 23, name, 12),
        ]
    return lines


def _residual(first: float, plus: float, on_shortcut: str) -> list[str]:
    """The way around a branch, and the sum behind it."""
    low = BELOW + 42
    lines = [
        _arrow(first - GAP, first),
        f'<path class="line" d="M{first - GAP / 2:.1f} {BELOW} V{low} H{plus:.1f} V{BELOW + 10}"/>',
        f'<circle class="box" cx="{plus:.1f}" cy="{BELOW}" r="10"/>',
        _text(plus, BELOW + 4, "+", 12),
        _arrow(plus + 10, plus + 10 + GAP),
    ]
    if on_shortcut:
        wide = len(on_shortcut) * LETTER + 16
        middle = (first + plus) / 2
        lines += _box(middle - wide / 2, wide, low, on_shortcut, "block", 12)
    return lines


def _places(labels: Sequence[str], gap: float, pad: float, letter: float = LETTER) -> tuple[list[float], list[float]]:
    """Where boxes of these labels begin, centred in the picture, and how wide they are."""
    widths = [len(label) * letter + 2 * pad for label in labels]
    total = sum(widths) + gap * (len(labels) - 1)
    starts = accumulate((width + gap for width in widths[:-1]), initial=(WIDTH - total) / 2)
    return list(starts), widths


def _row(
    labels: Sequence[str],
    middle: float,
    marked: Sequence[str],
    *,
    starts: Sequence[float] = (),
    gap: float = GAP,
    pad: float = 8,
    size: float = 12,
) -> list[str]:
    """Boxes with arrows between them."""
    centred, widths = _places(labels, gap, pad, LETTER * size / 12)
    starts = starts[: len(labels)] or centred
    lines = []
    for label, start, wide in zip(labels, starts, widths, strict=True):
        lines += _box(start, wide, middle, label, "block" if label in marked else "box", size)
    for start, wide, following in zip(starts, widths, starts[1:], strict=False):
        lines.append(_arrow(start + wide, following, middle))
    return lines


def _box(start: float, wide: float, middle: float, label: str, kind: str, size: float) -> list[str]:
    box = f'x="{start:.1f}" y="{middle - TALL / 2}" width="{wide:.1f}" height="{TALL}" rx="4"'
    return [f'<rect class="{kind}" {box}/>', _text(start + wide / 2, middle + size / 3, label, size, f"of-{kind}")]


def _text(middle: float, base: float, label: str, size: float, kind: str = "of-box") -> str:
    return f'<text class="{kind}" x="{middle:.1f}" y="{base:.1f}" font-size="{size}">{escape(label)}</text>'


def _arrow(start: float, end: float, middle: float = BELOW) -> str:
    tip = f"M{end:.1f} {middle} l-4 -3 m4 3 l-4 3"
    return f'<path class="line" d="M{start:.1f} {middle} H{end:.1f} {tip}"/>'


def _zoom(part: int) -> list[str]:
    """Lines from a part of the upper row to the frame around the lower."""
    starts, widths = _places(PARTS, 6, 5, LETTER * 10.5 / 12)
    top, bottom = ABOVE + TALL / 2, 72
    left, right = starts[part], starts[part] + widths[part]
    return [
        f'<path class="zoom" d="M{left:.1f} {top} L4 {bottom} M{right:.1f} {top} L{WIDTH - 4} {bottom}"/>',
        f'<rect class="zoom" x="4" y="{bottom}" width="{WIDTH - 8}" height="{HEIGHT - bottom - 2}" rx="6"/>',
    ]
