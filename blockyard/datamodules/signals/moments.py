"""Mean and standard deviation of the channels of series over the training data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from blockyard.datamodules.moments import Moments, moments_of
from blockyard.datamodules.signals.recorded import Recorded, Values
from blockyard.progress import at_work


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
