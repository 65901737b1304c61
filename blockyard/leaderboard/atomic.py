"""Files that are there whole or not at all, whatever stops the process."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write or replace a file."""
    with _complete(path, content) as temporary:
        temporary.replace(path)


def create(path: Path, content: bytes) -> None:
    """Write a new file; of several processes that create the same one, exactly one succeeds.

    Raises:
        FileExistsError: If there is one already; it is left alone.
    """
    with _complete(path, content) as temporary:
        os.link(temporary, path)


@contextmanager
def _complete(path: Path, content: bytes) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
