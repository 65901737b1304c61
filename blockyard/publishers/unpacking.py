"""Archives unpacked into one folder: nothing that is in them leads out of it, or fills the disk."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath

from blockyard.mistakes import DataError

DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError)
"""What the readers of archives raise; the last two for what they don't know, and what is encrypted."""


def unpack(archive: Path, name: str, folder: Path, at_most: int) -> None:
    """Unpack an archive, files and folders alone, into a new folder.

    Args:
        archive: The file.
        name: Its published name, which says what it is.
        folder: Where to; what stands in it if this fails is in part.
        at_most: Bytes that all files may have together.

    Raises:
        DataError: If it is damaged, or something in it is of another kind, leads out of the folder or is too large.
    """
    folder.mkdir(parents=True)
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder, members=list(_in_zip(packed, name, at_most)))
        else:
            with tarfile.open(archive) as packed_tar:
                packed_tar.extractall(folder, members=_in_tar(packed_tar, name, at_most), filter="data")
    except DAMAGED as error:
        raise DataError(f"{name} can't be unpacked: {' '.join(str(error).split())}") from error


def _in_tar(packed: tarfile.TarFile, name: str, at_most: int) -> Iterator[tarfile.TarInfo]:
    room = at_most
    for member in packed:
        if not member.isfile() and not member.isdir():
            raise DataError(f"{name} holds {member.name!r}, which is neither a file nor a folder: nothing is unpacked")
        room -= member.size
        _check(member.name, room, name, at_most)
        yield member


def _in_zip(packed: zipfile.ZipFile, name: str, at_most: int) -> Iterator[zipfile.ZipInfo]:
    room = at_most
    for member in packed.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)  # none, where it was made on another system
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(
                f"{name} holds {member.filename!r}, which is neither a file nor a folder: nothing is unpacked"
            )
        room -= member.file_size
        _check(member.filename, room, name, at_most)
        yield member


def _check(member: str, room: int, name: str, at_most: int) -> None:
    posix, windows = PurePosixPath(member), PureWindowsPath(member)
    if posix.is_absolute() or windows.anchor or ".." in posix.parts + windows.parts:
        raise DataError(f"{name} holds {member!r}, which leads out of its folder: nothing is unpacked")
    if room < 0:
        raise DataError(f"{name} holds more than {at_most:,} bytes: nothing is unpacked")
