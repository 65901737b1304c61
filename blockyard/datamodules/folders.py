"""What lies in folders: links are followed, and what a reader has no use for is counted and told, once, by kind."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from blockyard.mistakes import DataError

KINDS_TOLD = 6
"""Kinds of what was left out that a message names; the rest is a number."""
FEW = 3
"""Of each kind, so many are named."""
LONGEST_SUFFIX = 10


class PassedOver(UserWarning):
    """Files that a reader of folders has no use for."""


class LeftOut:
    """What a reader of folders has no use for: names by kind."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}

    def add(self, kind: str, name: str) -> None:
        """Count one."""
        self.names.setdefault(kind, []).append(name)

    def add_file(self, name: str, where: str = "") -> None:
        """Count a file by its suffix, and by where it lies."""
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - for a million
        kind = suffix if 1 < len(suffix) <= LONGEST_SUFFIX else "without suffix"
        self.add(f"{kind} {where}".strip(), name)

    def __str__(self) -> str:
        kinds = sorted(self.names.items(), key=lambda item: (-len(item[1]), item[0]))
        told = [
            f"{len(names):,} {kind} ({', '.join(names[:FEW])}{', …' if len(names) > FEW else ''})"
            for kind, names in kinds[:KINDS_TOLD]
        ]
        rest = sum(len(names) for _, names in kinds[KINDS_TOLD:])
        return ", ".join([*told, f"{rest:,} of other kinds"] if rest else told)

    @rank_zero_only
    def tell(self, place: object, noun: str) -> None:
        """Warn of what was left out of a place, if anything was; of the same once."""
        if self.names:
            total = sum(map(len, self.names.values()))
            # At this very line, so that Python says the same thing only once.
            warnings.warn(f"{place}: {total:,} passed over in search of {noun}s: {self}", PassedOver, stacklevel=1)


class PathsBelow(Sequence[Path]):
    """Paths of names below one folder, made when asked for: a million of them take seconds.

    Args:
        folder: Where they are.
        names: Relative to it.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> PathsBelow: ...
    def __getitem__(self, index: int | slice) -> Path | PathsBelow:
        """One path, or those of a slice."""
        if isinstance(index, slice):
            return PathsBelow(self.folder, self.names[index])
        return self.folder / self.names[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    def take(self, rows: Sequence[int]) -> PathsBelow:
        """Those at some positions."""
        return PathsBelow(self.folder, [self.names[row] for row in rows])


def entries(folder: str | Path, left: LeftOut, inside: str = "") -> Iterator[tuple[os.DirEntry[str], bool]]:
    """The visible files and folders in a folder, sorted by name, and whether each is a folder.

    Links are followed, except to a folder that they lie in themselves. A link that leads nowhere counts as a file, for
    its name may be one that is asked for. Only links cost a ``stat``.

    Args:
        folder: Where to look.
        left: Takes what is hidden, and what is neither file nor folder.
        inside: What comes before names in ``left``.

    Raises:
        DataError: If the folder can't be read.
    """
    try:
        with os.scandir(folder) as found:
            listed = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} can't be read: {error.strerror}") from error
    for entry in listed:
        if entry.name.startswith("."):
            left.add("hidden", inside + entry.name)
        elif entry.is_file(follow_symlinks=False):  # most are: told by the folder itself
            yield entry, False
        elif _is(entry.is_dir):
            if entry.is_symlink() and _leads_back(Path(entry.path)):
                left.add("linked to a folder above", inside + entry.name)
            else:
                yield entry, True
        elif entry.is_symlink() or _is(entry.is_file):
            yield entry, False
        else:
            left.add("neither file nor folder", inside + entry.name)


def names_below(folder: str | Path, wanted: Callable[[str], bool], left: LeftOut) -> list[str]:
    """Names of the files below a folder at any depth, relative to it, sorted folder by folder.

    A folder that several links lead to is read as often, as torchvision does.

    Args:
        folder: Where to look.
        wanted: Whether a file of this name is asked for.
        left: Takes the others.

    Raises:
        DataError: If a folder can't be read.
    """
    found: list[str] = []

    def collect(place: str, inside: str) -> None:
        for entry, is_folder in entries(place, left, inside):
            if is_folder:
                collect(entry.path, f"{inside}{entry.name}/")
            elif wanted(entry.name):
                found.append(inside + entry.name)
            else:
                leave(entry, left, inside)

    collect(os.fspath(folder), "")
    return found


def names_in(folder: str | Path, wanted: Callable[[str], bool], left: LeftOut) -> list[str]:
    """Names of the files in a folder, not below it, sorted; arguments and errors are those of :func:`names_below`."""
    found: list[str] = []
    for entry, is_folder in entries(folder, left):
        if is_folder:
            left.add("folders", entry.name)
        elif wanted(entry.name):
            found.append(entry.name)
        else:
            leave(entry, left)
    return found


def folders_in(folder: str | Path, left: LeftOut, beside: str) -> list[str]:
    """Names of the folders in a folder, sorted; ``left`` takes the files ``beside`` them.

    Raises:
        DataError: If the folder can't be read.
    """
    found: list[str] = []
    for entry, is_folder in entries(folder, left):
        if is_folder:
            found.append(entry.name)
        else:
            leave(entry, left, where=f"beside {beside}")
    return found


def leave(entry: os.DirEntry[str], left: LeftOut, inside: str = "", where: str = "") -> None:
    """Count a file that is not asked for, or a link that leads nowhere."""
    if entry.is_symlink() and not _is(entry.is_file):
        left.add("broken links", inside + entry.name)
    else:
        left.add_file(inside + entry.name, where)


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # a link to itself
        return False


def _leads_back(link: Path) -> bool:
    """Whether a link leads to a folder on the way to it, by name or in truth."""
    target, folder = link.stat(), link.absolute().parent
    return any(os.path.samestat(target, above.stat()) for above in (folder, *folder.parents, *folder.resolve().parents))
