"""Whether a file is the one that was published."""

from __future__ import annotations

import hashlib
from pathlib import Path

Digest = tuple[str, str]
"""Name of a hash and the hexadecimal digest."""


def wrong_archive(archive: Path, digest: Digest | None) -> str | None:
    """Why a file is not the published archive; None if it is, if it is not there, or if no digest is published.

    Args:
        archive: The file.
        digest: The publisher's.
    """
    if digest is None or not archive.is_file() or (found := digest_of(archive, digest[0])) == digest[1]:
        return None
    return f"{archive} is not the published archive ({digest[0]} {found}, not {digest[1]}): get it again"


def digest_of(file: Path, name: str) -> str:
    """The hexadecimal digest of a file.

    Args:
        file: The file.
        name: Of a hash, such as ``md5``.
    """
    with file.open("rb") as content:
        return hashlib.file_digest(content, name).hexdigest()
