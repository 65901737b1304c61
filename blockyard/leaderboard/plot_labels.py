"""Names beside the points of a plot, none over another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

LETTER, LINE = 7.8, 15
"""Width of a letter, on the safe side, and height of a line; CSS pixels at full size."""
LONGEST = 32
"""Letters of a name; the table has it whole."""
BESIDE = 9
"""From a point to a name right beside it."""
STEPS = (0, 18, 36, 60, 90, 130, 180)
"""How far up or down names move from their points; further than the first, a line leads to them."""

NEAR = 8
"""Among so many free places, the nearest, one is looked for that covers no line either."""


@dataclass(frozen=True)
class Box:
    """A place in the picture."""

    left: float
    top: float
    width: float
    height: float

    def meets(self, other: Box) -> bool:
        """Whether both have a part in common."""
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )

    def holds(self, other: Box) -> bool:
        """Whether the other is inside."""
        across = self.left <= other.left and other.left + other.width <= self.left + self.width
        return across and self.top <= other.top and other.top + other.height <= self.top + self.height


def labels(
    points: Sequence[tuple[str, float, float]], taken: Sequence[Box], lines: Sequence[Box], area: Box
) -> list[str]:
    """SVG of the names of points; a name for which there is no room is left out.

    Args:
        points: Name and place of each, the most important first.
        taken: What no name may cover, the points themselves included.
        lines: What a name covers only if it has no other place.
        area: Where names may be.
    """
    occupied, marks = list(taken), []
    for name, across, up in points:
        text = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        free = [
            (box, right)
            for box, right in _places(text, across, up)
            if area.holds(box) and not any(map(box.meets, occupied))
        ]
        if not free:
            continue
        clear = (place for place in free[:NEAR] if not any(map(place[0].meets, lines)))
        box, right = next(clear, free[0])
        occupied.append(box)
        marks.append(_mark(text, box, right, across, up))
    return marks


def _places(text: str, across: float, up: float) -> Iterator[tuple[Box, bool]]:
    """Where a name may stand, the nearest first; and whether it stands at the right."""
    width = LETTER * len(text)
    for step in STEPS:
        for down in (-step, step) if step else (0,):
            for right, out in ((True, BESIDE + step / 3), (False, BESIDE + step / 3)):
                left = across + out if right else across - out - width
                yield Box(left, up + down - LINE / 2, width, LINE), right


def _mark(text: str, box: Box, right: bool, across: float, up: float) -> str:
    edge, middle = (box.left if right else box.left + box.width), box.top + LINE / 2
    place = f'text-anchor="{"start" if right else "end"}" x="{edge:.1f}" y="{middle + 4:.1f}"'
    line = f'<path class="lead-line" d="M{across:.1f} {up:.1f}L{edge:.1f} {middle:.1f}"/>' if middle != up else ""
    return f'{line}<text class="name" {place}>{escape(text)}</text>'
