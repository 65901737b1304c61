"""Files on their way: named after the process that writes them, so that what a killed one left can be told and removed.

No torch, and nothing else of this package.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

OLD = 86400.0
"""Seconds after which what a process of another machine began is taken for left behind."""
_NAME = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.unfinished", re.DOTALL)


def beside(path: Path) -> Path:
    """A name in the folder of ``path`` for what is to take its place when it is whole.

    The first call for a folder removes what processes that are gone have left in it.
    """
    _sweep_once(path.parent.absolute())
    # 50 characters, so that a name as long as the file system allows leaves room for the rest
    return path.with_name(f".{path.name[:50]}.{_tag()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.unfinished")


def sweep(folder: Path) -> None:
    """Remove what processes that are gone have left unfinished in a folder, as far as this process may."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (name := _NAME.fullmatch(entry.name)) and _is_left(entry, name[1], int(name[2])):
                _remove(entry)


_sweep_once = cache(sweep)


def _is_left(entry: os.DirEntry[str], tag: str, process: int) -> bool:
    if tag == _tag():
        return started(process) is None
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        with suppress(OSError):
            os.unlink(entry.path)  # noqa: PTH108 - what scandir gives


def machine() -> str:
    """Where process numbers mean the same: this machine since it was started, or one container on it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no /proc, such as on macOS
        return socket.gethostname()


@cache
def _tag() -> str:
    return hashlib.sha256(machine().encode()).hexdigest()[:8]


def started(process: int) -> str | None:
    """When a process of this machine started, so that another with its number is not taken for it; None if it ended."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    else:
        return None if state == "Z" else fields[18]
    try:  # no /proc
        os.kill(process, 0)
    except PermissionError:
        return "unknown"  # it is somebody else's
    except OSError:
        return None
    return "unknown"
