"""The verb ``fetch``: download a published data set, check it, unpack it; no torch.

Nothing else in this package downloads a data set. What arrives of an archive lies in a folder ``<archive>.part``, on
which one process at a time holds the claim. It is compared with the publisher's digest before anything reads it,
unpacked into a folder of another name, and moved to its place in one step.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table

from blockyard.composing.claim import claimed, holder
from blockyard.leaderboard.console import console
from blockyard.mistakes import DataError, nearest
from blockyard.publishers.digests import digest_of, wrong_archive
from blockyard.publishers.downloading import check_address, download
from blockyard.publishers.sets import SETS, Archive, Published
from blockyard.publishers.unpacking import unpack
from blockyard.unfinished import beside

CONTENT = "content"
"""What has arrived of an archive, in the folder named after it."""
MORE = 50
"""Times its own size that the files in an archive may have; the lists of UCF-101 have some 20 times."""


def main(options: Namespace, _: list[str]) -> int:
    """Fetch a set, or list what can be fetched.

    Args:
        options: What :func:`~blockyard.commands.package_options.fetch` reads.

    Returns:
        0.

    Raises:
        ValueError: If there is no such set, it can't be fetched, or what came is not what was published.
    """
    if options.name is None:
        console().print(_listed(), highlight=False)
        return 0
    published = _find(options.name)
    if options.mirror:
        check_address(options.mirror, options.mirror)
    root: Path = options.root
    _say(f"{published.title}: {published.terms} ({published.page})")
    for archive in published.archives:
        if _is_there(root / archive.makes):
            _say(f"{root / archive.makes} is there already")
        else:
            _fetch(archive, root, options.mirror, options.keep)
    print("\n".join(str(root / archive.makes) for archive in published.archives))
    return 0


def _find(name: str) -> Published:
    if name not in SETS:
        raise ValueError(f"fetch: no published set {name}; {nearest(name, SETS)}")
    published = SETS[name]
    if not published.archives:
        raise ValueError(f"fetch: {published.title} can't be fetched, {published.why_not}: see {published.page}")
    return published


def _listed() -> Table:
    """A row of each set, those that can't be fetched last."""
    columns = (Column(no_wrap=True), Column(no_wrap=True, justify="right"), Column())
    table = Table(*columns, box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, published in sorted(SETS.items(), key=lambda item: not item[1].archives):
        size = decimal(published.size) if published.archives else "-"
        table.add_row(name, size, f"{published.title}: {published.terms or published.why_not}")
    return table


def _fetch(archive: Archive, root: Path, mirror: str | None, keep: bool) -> None:
    """Bring one archive to its place, unless another process does.

    Raises:
        ValueError: If another process is at it.
    """
    part = root / f"{archive.name}.part"
    with claimed(part) as mine:
        if not mine:
            raise ValueError(f"fetch: {holder(part) or 'another process'} is at {part}: wait for it to end")
        try:
            if not _is_there(root / archive.makes):  # not since another process was done
                _bring(archive, root, part / CONTENT, mirror, keep)
        finally:
            if not (part / CONTENT).exists():
                shutil.rmtree(part, ignore_errors=True)


def _bring(archive: Archive, root: Path, content: Path, mirror: str | None, keep: bool) -> None:
    given = root / archive.name
    if archive.is_packed and given.is_file():
        _say(f"{given} is there already")
        if wrong := wrong_archive(given, archive.digest):
            raise DataError(wrong)
        _unpack(given, archive, root)
        return
    _download(archive, content, f"{mirror.rstrip('/')}/{archive.name}" if mirror else archive.address)
    _verify(content, archive)
    if archive.is_packed:
        _unpack(content, archive, root)
        if keep:
            content.rename(given)
        else:
            content.unlink()
    else:
        (root / archive.makes).parent.mkdir(parents=True, exist_ok=True)
        content.rename(root / archive.makes)


def _download(archive: Archive, content: Path, address: str) -> None:
    here = content.stat().st_size if content.is_file() else 0
    lacking, free = archive.size - here, shutil.disk_usage(content.parent).free
    if lacking > free:
        why = f"{os.strerror(errno.ENOSPC)}, {decimal(lacking)} are to come and {decimal(free)} are free"
        raise OSError(errno.ENOSPC, why, str(content.parent))
    _say(f"{address}: {decimal(archive.size)}{f', of which {decimal(here)} are here' if here else ''}")
    with _progress(archive, here) as seen:
        try:
            download(address, content, archive.size, seen)
        except KeyboardInterrupt as stop:
            arrived = content.stat().st_size if content.is_file() else 0
            stop.add_note(f"in {archive.name}, of which {decimal(arrived)} are kept")
            raise


@contextmanager
def _progress(archive: Archive, here: int) -> Iterator[Callable[[int], None]]:
    """What shows how many bytes there are: a line at the foot of a terminal, nothing in a log."""
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True, max_width=28, overflow="ellipsis")),
        BarColumn(bar_width=10),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(archive.name, total=archive.size, completed=here)
        yield lambda count: progress.update(task, completed=count)


def _verify(content: Path, archive: Archive) -> None:
    """Compare a file that was fetched with the published one; another is removed.

    Raises:
        DataError: If it is another one.
    """
    name, digest = archive.digest
    if (found := digest_of(content, name)) != digest:
        content.unlink()
        raise DataError(
            f"what came as {archive.name} is not what was published ({name} {found}, not {digest}) and is removed"
        )
    _say(f"{archive.name}: {name} as published")


def _unpack(file: Path, archive: Archive, root: Path) -> None:
    place = root / archive.makes
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(place)
    try:
        unpack(file, archive.name, temporary, archive.size * MORE)
        if not (temporary / archive.holds).is_dir():
            raise DataError(f"{archive.name} holds no folder {archive.holds}")
        (temporary / archive.holds).rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_there(place: Path) -> bool:
    """Whether a file, or a folder with something in it, is there."""
    return any(place.iterdir()) if place.is_dir() else place.exists()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
