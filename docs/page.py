"""Pictures of the leaderboard's page as a browser shows it, from the committed records; ``make docs`` runs it."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from blockyard import files
from blockyard.leaderboard.page import page
from blockyard.leaderboard.profile import profile
from blockyard.leaderboard.record import read_all
from blockyard.leaderboard.tables import tables

ROOT = Path(__file__).parents[1]
BOARD = ROOT / "leaderboard"
FOLDERS = tuple(
    BOARD / name
    for name in (
        *("records", "diagnostics/records", "digits-blocks", "digits-mixers", "digits-networks"),
        *("digits-stages", "transport-mixers", "motions-networks", "spoken-networks", "clips-networks"),
        "scenes-heads",
    )
)
PICTURES = {
    "leaderboard.png": (1280, 1000, "light", "header"),
    "leaderboard-1920-dark.png": (1920, 1080, "dark", "#table-4"),
    "leaderboard-390.png": (390, 1000, "light", "header"),
    "leaderboard-390-dark.png": (390, 1000, "dark", "#table-4"),
}
"""Width and height in CSS pixels, colours, and what stands at the top."""
COLOURS = 200
LARGEST = 250_000
"""Bytes of a picture."""


def written(path: Path) -> None:
    """Write the page of all committed records.

    Raises:
        ValueError: If a record is damaged.
    """
    records, damaged = read_all(FOLDERS)
    if damaged:
        raise ValueError(damaged[0])
    files.write(path, page(tables(records, FOLDERS), profile(records)).encode())


def small(png: Path) -> bytes:
    """The picture with few colours, which text and lines don't miss.

    Raises:
        ValueError: If it is still too large.
    """
    buffer = io.BytesIO()
    with Image.open(png) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    if buffer.tell() > LARGEST:
        raise ValueError(f"{png.name}: {buffer.tell():,} bytes")
    return buffer.getvalue()


def main() -> Sequence[str]:
    """Write the pictures.

    Returns:
        Their names; none where there is no Chromium.
    """
    sys.path.insert(0, str(ROOT / "tests" / "leaderboard"))
    import browser

    if browser.CHROMIUM is None:
        print("the pictures of the page are left as they are: no Chromium")
        return []
    with tempfile.TemporaryDirectory() as name, browser.chromium(Path(name) / "profile") as tab:
        source, shot = Path(name) / "leaderboard.html", Path(name) / "shot.png"
        written(source)
        for picture, (width, height, scheme, top) in PICTURES.items():
            tab.open(source, width, height=height, scheme=scheme)
            if (wide := tab("document.documentElement.scrollWidth")) > width:
                raise ValueError(f"{picture}: the page is {wide} pixels wide")
            tab.screenshot(shot, height, tab(f"document.querySelector({top!r}).getBoundingClientRect().top + scrollY"))
            files.write(ROOT / "docs" / picture, small(shot))
    return list(PICTURES)


if __name__ == "__main__":
    main()
