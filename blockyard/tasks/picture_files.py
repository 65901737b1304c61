"""The files of pictures that a prediction writes, one an input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath


def picture_files(names: Sequence[str], what: str) -> list[Path]:
    """The file of what is made of each input, a PNG, below the folder of all.

    Args:
        names: Of the inputs.
        what: What is made of an input, for messages.

    Raises:
        ValueError: If two inputs would have one file, or a name leads out of the folder.
    """
    found: dict[PurePosixPath, str] = {}
    for name in names:
        file = PurePosixPath(name).with_suffix(".png")
        if file.is_absolute() or ".." in file.parts:
            raise ValueError(f"{name}: its {what} would lie outside the folder of {what}s")
        if file in found:
            raise ValueError(f"{found[file]} and {name} would both have the {what} {file}: rename one of them")
        found[file] = name
    return [Path(file) for file in found]
