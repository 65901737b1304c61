"""The rules by which a validation split is carved out where a data set has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import DataError


def hold_out(
    targets: NDArray[np.integer[Any]], per_class: int | float, classes: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split stratified by a fixed rule: the *last* samples of every class, in the published order, are held out.

    The rule needs no random numbers, so it is the same everywhere for ever, and neighbours in the published order,
    which are often alike, mostly stay together.

    Args:
        targets: Labels ``(n,)``.
        per_class: Samples of each class, or a fraction below 1 of each class (rounded, at least one).
        classes: Names of the classes.

    Returns:
        Positions that stay and positions held out, both ascending.

    Raises:
        DataError: If nothing of a class would stay.
    """
    held = np.zeros(len(targets), dtype=bool)
    for label, name in enumerate(classes):
        members = np.flatnonzero(targets == label)
        count = int(per_class) if per_class >= 1 or per_class == 0 else max(1, round(per_class * len(members)))
        if count >= len(members):
            raise DataError(f"class {name} has {len(members)} samples: {count} can't be held out for validation")
        held[members[len(members) - count :]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def hold_out_groups(
    targets: NDArray[np.integer[Any]], groups: Sequence[str], share: float, classes: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split stratified by class that keeps the clips of one recording together, by a fixed rule.

    Of every class the *last* groups in alphabetical order are held out, as few as reach ``share`` of its clips; at
    least one group stays. It needs no random numbers, so it is the same everywhere for ever.

    Args:
        targets: Labels ``(n,)``.
        groups: Which recording each clip is from; it counts within a class.
        share: Share of the clips of each class; 0 holds nothing out.
        classes: Names of the classes.

    Returns:
        Positions that stay and positions held out, both ascending.

    Raises:
        DataError: If a class has only one group.
    """
    held = np.zeros(len(targets), dtype=bool)
    names = np.asarray(groups)
    for label, title in enumerate(classes) if share else ():
        members = np.flatnonzero(targets == label)
        of_class = sorted(set(names[members].tolist()))
        if len(of_class) == 1:
            raise DataError(f"class {title} has one group of clips, {of_class[0]}: none can be held out for validation")
        for group in of_class[:0:-1]:
            if held[members].sum() < share * len(members):
                held[members[names[members] == group]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
