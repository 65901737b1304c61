"""Files that are there whole or not at all, whatever stops the process."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from blockyard.unfinished import beside

MIB = 2**20

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links say, such as exFAT."""


def write(path: Path, content: bytes) -> None:
    """Write or replace a file."""
    save(path, lambda file: file.write(content))


def save(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Write or replace a file with what ``fill`` writes."""
    with in_place_of(path) as temporary, temporary.open("xb") as file:
        fill(file)


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """Where to write a file that is to be at ``path``, new or replaced, once the block has ended without an error."""
    with _beside(path) as temporary:
        yield temporary
        _put_on_disk(temporary)
        temporary.replace(path)


def create(path: Path, content: bytes) -> None:
    """Write a new file; of several processes that create the same one, exactly one succeeds.

    Raises:
        FileExistsError: If there is one already; it is left alone.
    """
    if path.exists():  # known without writing anything, be the disk full or read-only
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with _beside(path) as temporary:
        with temporary.open("xb") as file:
            file.write(content)
        _put_on_disk(temporary)
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            path.open("xb").close()  # takes the name: one succeeds here too
            temporary.replace(path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name beside ``path`` for a file that is gone after the block; what goes wrong is said of ``path`` itself."""
    _make_folder(path.parent)
    temporary = beside(path)
    try:
        yield temporary
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        # on a disk that has become read-only it stays, to be swept away later
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _put_on_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def insist_on(folder: Path) -> None:
    """See that a folder is there or can be made, before hours are computed for what is to go into it.

    Raises:
        OSError: If a file is in the way, or this process may not write there.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # to those who create a file, that would say that it is there
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


def read_bounded(path: Path, at_most: int) -> bytes:
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
