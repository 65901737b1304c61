"""Reading files that anybody may have made."""

from __future__ import annotations

from pathlib import Path

MIB = 2**20


def read(path: Path, at_most: int) -> bytes:
    """The content of a regular file; a device or a pipe, which may never end, is refused.

    Args:
        path: The file.
        at_most: Bytes it may have.

    Raises:
        ValueError: If it is missing, no regular file, or larger.
    """
    if not path.is_file():
        raise ValueError("there is no such file" if not path.exists() else "it is not a regular file")
    with path.open("rb") as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise ValueError(f"it is larger than {at_most / MIB:g} MiB")
    return content
