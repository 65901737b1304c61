"""What candidates nothing else beats, and how much such a front covers; objectives are minimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = tuple[float, ...]
"""Of a candidate, by objective; the less, the better."""
Floats = NDArray[np.float64]


def front(values: Sequence[Values]) -> list[int]:
    """Positions of those that no other equals or beats in everything and beats in something, ordered by value.

    Of several with the same values the first stands for all.
    """
    table = _table(values)
    found: dict[Values, int] = {}
    for number, one in enumerate(table):
        beaten = (table <= one).all(1) & (table < one).any(1)
        if not beaten.any():
            found.setdefault(tuple(one.tolist()), number)
    return [found[one] for one in sorted(found)]


def hypervolume(values: Sequence[Values], reference: Values) -> float:
    """The volume of what at least one candidate beats, up to a reference point, exactly.

    By slices along the last objective, each of which is a hypervolume of one objective fewer: quick for two and three.

    Args:
        values: Of candidates; those that do not beat the reference in everything add nothing.
        reference: One number an objective, worse than what counts.
    """
    table = _table(values).reshape(-1, len(reference))
    return float(_volume(table[(table < np.array(reference)).all(1)], np.array(reference, float)))


def _table(values: Sequence[Values]) -> Floats:
    return np.array(list(values), float)


def _volume(table: Floats, reference: Floats) -> float:
    if not len(table):
        return 0.0
    if table.shape[1] == 1:
        return float(reference[0] - table.min())
    table = table[table[:, -1].argsort(kind="stable")]
    ends = np.append(table[1:, -1], reference[-1])
    total = 0.0
    for count, height in enumerate(ends - table[:, -1], 1):
        if height > 0:
            total += height * _volume(table[:count, :-1], reference[:-1])
    return total


def gains(values: Sequence[Values], others: Sequence[Values], reference: Values) -> list[float]:
    """What each of some candidates would add to the hypervolume of others by itself."""
    before = hypervolume(others, reference)
    return [hypervolume([*others, one], reference) - before for one in values]
