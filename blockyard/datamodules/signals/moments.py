"""Mean and standard deviation of channels over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.signals.recorded import Recorded, Values
from blockyard.progress import at_work

FLAT = float(np.finfo(np.float32).eps)
"""Of its mean, below which the deviation of a channel is rounding, and is not divided by."""


class Moments(NamedTuple):
    """Mean and standard deviation, ``(C,)`` each."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def moments_of(blocks: Iterable[Values]) -> Moments:
    """Those of all rows of blocks ``(n, C)``, in one pass, in float64; the deviation of a flat channel is 1.

    Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        values = block.astype(np.float64)
        own, share = values.mean(0), len(values) / (count + len(values))
        squares = squares + ((values - own) ** 2).sum(0) + (own - mean) ** 2 * (count * share)
        mean = mean + (own - mean) * share
        count += len(values)
    std = np.sqrt(squares / max(count, 1))
    return Moments(mean, np.where(std > FLAT * np.abs(mean), std, 1.0))


class TrainingMoments:
    """Those of the training data, computed when they are first asked for, which reads all of it.

    Args:
        recorded: The training data.
    """

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded

    @cached_property
    def moments(self) -> Moments:
        """Over all samples of all recordings.

        Raises:
            SignalError: If one can't be read.
        """
        recorded = self.recorded
        with at_work("reading what series are normalised by", len(recorded)) as step:
            return moments_of(_blocks(recorded, step))


def _blocks(recorded: Recorded, step: Callable[[], None]) -> Iterator[Values]:
    for position in range(len(recorded)):
        yield from recorded.blocks(position)
        step()
