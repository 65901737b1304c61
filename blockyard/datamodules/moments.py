"""Mean and standard deviation of channels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FLAT = float(np.finfo(np.float32).eps)
"""Of its mean, below which the deviation of a channel is rounding, and is not divided by."""


class Moments(NamedTuple):
    """Mean and standard deviation, ``(C,)`` each."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def moments_of(blocks: Iterable[NDArray[Any]]) -> Moments:
    """Those of all rows of blocks ``(n, C)``, in one pass, in float64; the deviation of a flat channel is 1.

    NaN is no value: a channel has those rows alone where it is a number, and 0 for its mean if there are none.

    Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """
    count, mean, squares = np.zeros(()), np.zeros(()), np.zeros(())
    for block in blocks:
        known = ~np.isnan(block)
        values, new = np.where(known, block, 0).astype(np.float64), known.sum(0)
        own, share = values.sum(0) / np.maximum(new, 1), new / np.maximum(count + new, 1)
        squares = squares + np.where(known, (values - own) ** 2, 0).sum(0) + (own - mean) ** 2 * (count * share)
        mean = mean + (own - mean) * share
        count = count + new
    std = np.sqrt(squares / np.maximum(count, 1))
    return Moments(mean, np.where(std > FLAT * np.abs(mean), std, 1.0))
