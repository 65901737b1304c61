"""What data of one's own ask for: how a folder is recognised, and the options that its content speaks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

Item = TypeVar("Item")

SURVEYED = 200
"""So many files of a split are opened at most, at even distances."""
FEW = 2_000
"""With fewer training samples a network that starts from nothing had better be small."""
BATCHES = 8
"""An epoch has so many batches at least, where there are samples for them."""
LEAST = 16
"""Samples in a batch, where there are as many: batch norm's statistics of fewer are noise."""


class Choice(NamedTuple):
    """A value of an option, and why it is that one.

    Attributes:
        value: Plain, as in a configuration.
        reason: One sentence, for people.
    """

    value: Any
    reason: str


@dataclass(frozen=True)
class Suggestion:
    """What was read of some data, and what it speaks for.

    Attributes:
        said: What was read, one line.
        options: Options of their data module.
    """

    said: str
    options: dict[str, Choice] = field(default_factory=dict)


class OwnLayout:
    """A data module that people's own folders can be laid out for; a mixin, by default of those that can't."""

    laid_out: ClassVar[str] = ""
    """How such a folder is laid out; empty where the data are a published set."""

    @classmethod
    def parts(cls, root: Path) -> Sequence[str]:
        """What in a folder shows that it is laid out so, as names below it; nothing where it is not.

        Of several layouts that a folder fits, it has the one that more of its parts speak for.
        """
        return ()

    @classmethod
    def opening(cls, root: Path) -> dict[str, Any]:
        """The options without which such a folder can't be read."""
        return {"root": str(root)}

    def suggest(self, weights: bool) -> Suggestion:
        """Options that the training split speaks for.

        Args:
            weights: Whether the network will start from trained weights.

        Raises:
            DataError: If files are missing or damaged.
        """
        raise NotImplementedError


def spread(items: Sequence[Item], most: int = SURVEYED) -> Iterator[Item]:
    """At most so many items, at even distances."""
    for position in range(0, len(items), max(1, -(-len(items) // most))):
        yield items[position]


def batch_for(samples: int, largest: int = 64) -> Choice:
    """A batch that leaves an epoch several steps: the largest power of 2 that does, but enough for batch norm.

    Args:
        samples: Of the training split.
        largest: What it may be at most.
    """
    batch = min(largest, max(LEAST, samples // BATCHES))
    batch = 1 << (min(batch, max(1, samples)).bit_length() - 1)
    return Choice(batch, f"{samples:,} training samples make {samples // batch} steps an epoch of it")


def counted(numbers: Sequence[int], noun: str) -> str:
    """Such as ``12 to 40 pictures a class``."""
    least, most = min(numbers), max(numbers)
    return f"{least:,} {noun} a class" if least == most else f"{least:,} to {most:,} {noun} a class"
