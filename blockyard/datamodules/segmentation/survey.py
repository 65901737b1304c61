"""Which classes the masks of a split show, before a training finds nothing to learn in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blockyard.datamodules.segmentation.masks import IGNORE, MaskFiles, spans
from blockyard.mistakes import DataError

SAMPLE = 500
"""With at least two classes found, so many masks are read at most: a second or two, with large masks ten."""
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Survey:
    """What the masks of a split hold.

    Attributes:
        masks: How many could be read.
        seen: Labels that occur, 255 for what is ignored.
        complete: Whether what was not seen is nowhere in the split.
    """

    masks: int
    seen: frozenset[int]
    complete: bool

    def lacking(self, num_classes: int) -> list[int]:
        """Classes that do not occur."""
        return [label for label in range(num_classes) if label not in self.seen]


def survey(masks: MaskFiles, num_classes: int, most: int | None = SAMPLE) -> Survey:
    """Look at masks, at even distances, until all classes have been seen.

    Args:
        masks: Those of a split.
        num_classes: Number of classes K.
        most: With at least two classes seen, so many masks are looked at; None looks at all, passing over those that
            can't be read.

    Raises:
        DataError: If one can't be read.
    """
    seen: set[int] = set()
    read = 0
    # Multiples of the golden ratio fall evenly however many are taken.
    order = np.argsort(np.arange(len(masks)) * GOLDEN % 1)
    for position in order.tolist():
        try:
            counts = np.bincount(masks[position].ravel(), minlength=IGNORE + 1)
        except DataError:
            if most is not None:
                raise
            continue
        read += 1
        seen |= set(np.flatnonzero(counts).tolist())
        found = len(seen - {IGNORE})
        if found == num_classes or (most is not None and read >= most and found > 1):
            return Survey(read, frozenset(seen), found == num_classes)
    return Survey(read, frozenset(seen), complete=True)


def judge(found: Survey, split: str, classes: Sequence[str], ignored: Sequence[int], remedy: str) -> str | None:
    """What to say of a split; None if nothing is amiss.

    Args:
        found: What its masks hold.
        split: Its name.
        classes: Names of the K classes.
        ignored: Values in mask files that are ignored.
        remedy: What to do about masks that mean something else by those values.

    Raises:
        DataError: If there is nothing to learn or to score: no pixel has a label, or one class is all that is told
            apart from what is ignored.
    """
    lacking = found.lacking(len(classes))
    if not lacking or not found.complete or not found.masks:
        return None
    void = f"{spans(sorted(ignored))}, which is ignored"
    present = [name for label, name in enumerate(classes) if label not in lacking]
    if not present:
        raise DataError(f"{split}: not one pixel of its {found.masks} masks has a label, all are of value {void}")
    if len(present) == 1 and IGNORE in found.seen:
        raise DataError(f"{split}: its {found.masks} masks hold {present[0]} and value {void}, alone{remedy}")
    names = ", ".join(classes[label] for label in lacking[:5]) + (", …" if len(lacking) > 5 else "")
    follows = "learnt" if split == "train" else f"scored: means are over the {len(present)} classes that occur"
    return f"{split}: not one pixel of its {found.masks} masks is {names}, which can't be {follows}"
