"""The profile of blocks as a picture, SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from html import escape

from blockyard.leaderboard.labels import NO_BLOCK
from blockyard.leaderboard.profile import CONTROLS, LEVEL, LIFT, Cell, Profile

NAME, COLUMN, ROW, HEAD, LINE = 236, 84, 22, 46, 14
"""Width of the names and of a column; height of a row, of what stands above, of a line below; CSS pixels."""
LETTER = 5.4
"""Width of a letter of the lines below."""
BETTER, WORSE = (0x21, 0x66, 0xAC), (0xB3, 0x58, 0x06)
"""Colours of the largest differences, which those who see no red and green can tell apart."""
INK, SOFT = "#1b1f24", "#57606a"
FAILED = "#b3004b"
LEGEND = (
    "Accuracy in %, mean over seeds ± half its 95 % interval. Coloured: it differs from that without a block, "
    f"p < {LEVEL} in a t test paired by seed, corrected for all cells (Holm)."
)
PREDICTED = " Predicted: + it is solved, − it is not, ? open; framed: it came otherwise."
Predictions = Mapping[str, Mapping[str, str]]


def picture(profile: Profile, predictions: Predictions | None = None) -> str:
    """The matrix: each cell's accuracy, coloured by its difference where that is significant.

    Only attributes style it, so that it looks the same on a page that allows no other style.

    Args:
        profile: What to draw.
        predictions: For names of rows, and columns, ``+``, ``-`` or ``?``; drawn beside the accuracy, those that failed
            in a frame.
    """
    said, width = predictions or {}, NAME + COLUMN * len(profile.columns) + 8
    legend = textwrap.wrap(LEGEND + PREDICTED * bool(said), int((width - 16) / LETTER))
    bottom = HEAD + ROW * len(profile.rows)
    height = bottom + LINE * (len(legend) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="What each block is for">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(_head(index, column) for index, column in enumerate(profile.columns)),
    ]
    for number, (name, cells) in enumerate(profile.rows.items()):
        top = HEAD + ROW * number
        parts.append(_text(NAME - 8, top + 15, name, "end", INK, bold=name == NO_BLOCK))
        for index, column in enumerate(profile.columns):
            if column in cells:
                floor = profile.rows.get(NO_BLOCK, {}).get(column)
                mark = prediction_of(name, column, said)
                parts.append(_cell(NAME + COLUMN * index, top, cells[column], floor, mark))
    parts += [_text(8, bottom + LINE * n + 17, text, "start", SOFT, size=10) for n, text in enumerate(legend)]
    return "\n".join([*parts, "</svg>\n"])


def prediction_of(name: str, column: str, predictions: Predictions) -> str:
    """What was predicted of a row, by its name with or without options; empty if nothing was.

    Options may be written as YAML has them, ``norm=false``.
    """
    known = {row.casefold(): marks for row, marks in predictions.items()}
    found = known.get(name.casefold()) or known.get(name.partition("(")[0].casefold(), {})
    return found.get(column, "")


def failed(mark: str, cell: Cell) -> bool:
    """Whether a prediction came otherwise: a lift that was not there, or one that was not to be.

    With too few seeds for significance, none has.
    """
    if cell.p is None:
        return False
    return (mark == "+" and not cell.lifts) or (mark == "-" and cell.lifts)


def _head(index: int, column: str) -> str:
    middle, (first, _, second) = NAME + COLUMN * (index + 0.5), column.partition("-")
    colour = SOFT if column in CONTROLS else INK
    lines = [first, second or ("(control)" if column in CONTROLS and first != "control" else "")]
    return "".join(_text(middle, 18 + 15 * n, line, "middle", colour) for n, line in enumerate(lines) if line)


def _cell(left: float, top: float, cell: Cell, floor: Cell | None, mark: str) -> str:
    colour, ink = _colours(cell, floor)
    half = "" if cell.score.half_width is None or cell.score.few else f" ±{100 * cell.score.half_width:.0f}"
    frame = f' stroke="{FAILED}" stroke-width="2"' if failed(mark, cell) else ""
    parts = [
        f'<g><title>{escape(cell.words)}</title><rect x="{left + 2}" y="{top + 1.5}" width="{COLUMN - 4}" '
        f'height="{ROW - 3}" rx="2" fill="{colour}"{frame}/>',
        _text(left + 10, top + 15, f"{100 * cell.score.mean:.0f}{half}", "start", ink, bold=bool(cell.sign)),
        _text(left + COLUMN - 10, top + 15, mark.replace("-", "−"), "end", ink) if mark else "",
    ]
    return "".join([*parts, "</g>"])


def _colours(cell: Cell, floor: Cell | None) -> tuple[str, str]:
    """Of the ground and of the text."""
    if not cell.sign or cell.difference is None or floor is None:
        return "#f3f4f6", SOFT if cell.difference else INK
    gain = cell.difference.mean
    room = 1 - floor.score.mean if gain > 0 else floor.score.mean
    share = min(1.0, abs(gain) / max(room, LIFT))
    red, green, blue = (round(255 + (c - 255) * share) for c in (BETTER if gain > 0 else WORSE))
    return f"#{red:02x}{green:02x}{blue:02x}", "#ffffff" if share > 0.55 else INK


def _text(x: float, y: float, text: str, anchor: str, colour: str, *, bold: bool = False, size: int = 12) -> str:
    weight = ' font-weight="600"' if bold else ""
    look = f'text-anchor="{anchor}" fill="{colour}" font-size="{size}"{weight}'
    return f'<text x="{x}" y="{y}" {look}>{escape(text)}</text>'
