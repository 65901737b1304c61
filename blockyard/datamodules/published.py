"""Counts and archives that a data set was published with."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path

from blockyard.mistakes import DataError


def check_counts(place: object, found: Mapping[str, int], published: Mapping[str, int], verify: bool) -> None:
    """Compare what was found with what was published.

    Args:
        place: What a message names.
        found: Counts by name.
        published: What they must be; of what is not among them nothing is known.
        verify: Whether another count is an error; otherwise it is warned of.

    Raises:
        DataError: If a count differs.
    """
    known = [(name, count, published[name]) for name, count in found.items() if name in published]
    differing = [f"{count:,} {name}, not {expected:,}" for name, count, expected in known if count != expected]
    if not differing:
        return
    message = f"{place}: {'; '.join(differing)} as published"
    if verify:
        raise DataError(f"{message}; verify=False reads other data in the same layout")
    warnings.warn(message, stacklevel=2)


def how_to_unpack(archive: Path, digest: tuple[str, str] | None, command: str) -> str | None:
    """What to do with an archive that lies there; None if there is none.

    Args:
        archive: The file.
        digest: Name of a hash and the publisher's hexadecimal digest.
        command: What unpacks it.
    """
    if not archive.is_file():
        return None
    return wrong_archive(archive, digest) or f"unpack the archive beside it with: {command}"


def wrong_archive(archive: Path, digest: tuple[str, str] | None) -> str | None:
    """Why a file is not the published archive; None if it is, if it is not there, or if no digest is published.

    Args:
        archive: The file.
        digest: Name of a hash and the publisher's hexadecimal digest.
    """
    if digest is None or not archive.is_file():
        return None
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, digest[0]).hexdigest()
    if found == digest[1]:
        return None
    return f"{archive} is not the published archive ({digest[0]} {found}, not {digest[1]}): get it again"
