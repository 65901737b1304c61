"""What data sets share whose samples have a label each: how often a class occurs, and drawing all equally often."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.base import DataModule
from blockyard.datamodules.loading import TrainSampler
from blockyard.mistakes import DataError

KEPT = (0, 0, 1)
"""The stream of random numbers, besides the seed, that chooses the samples; those of epochs and samples are shorter."""


class LabelledDataModule(DataModule):
    """A data set with one label a sample.

    Args:
        class_sampling: ``balanced`` draws every class equally often in training, see :class:`ClassBalancedSampler`. An
            epoch is as long as before: it has samples of rare classes several times and lacks some of frequent ones.
            None draws every sample once.
        labels_per_class: So many training samples of each class there are, drawn by ``seed``, the same in every epoch:
            of a larger number, the smaller one's are a part. None leaves all. Validation and test are whole.
        options: Those of :class:`~blockyard.datamodules.base.DataModule`.

    Raises:
        ValueError: If a number is out of range; when training starts, if a class has not the samples to be drawn.
    """

    def __init__(
        self,
        *,
        class_sampling: Literal["balanced"] | None = None,
        labels_per_class: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if class_sampling not in (None, "balanced"):
            raise ValueError(f"class_sampling={class_sampling!r} must be balanced or null")
        self.class_sampling = class_sampling
        if labels_per_class is not None and labels_per_class < 1:
            raise ValueError(f"labels_per_class={labels_per_class} must be at least 1; null leaves all")
        self.labels_per_class = labels_per_class

    def setup(self, stage: str) -> None:
        """Read what a stage needs, so that missing data, and classes to be drawn that have none, are reported at once.

        Raises:
            DataError: If something is missing or damaged.
        """
        super().setup(stage)
        if stage == "fit" and (self.class_sampling or self.labels_per_class):
            self.class_counts()

    def class_counts(self) -> list[int]:
        """Training samples of each class.

        Raises:
            DataError: If a class has none, or samples have several labels.
        """
        targets = self._train_targets()
        counts = np.bincount(targets, minlength=self.num_classes).tolist()
        if absent := [name for name, count in zip(self.classes, counts, strict=True) if not count]:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise DataError(f"class {absent[0]}{more}: no training sample, so that classes can't be balanced")
        return counts

    def _train_targets(self) -> NDArray[np.integer[Any]]:
        """Labels of the items of training that there are: of a sample read in several, one each."""
        split, targets = self.split("train"), self._all_targets()
        rows = self._kept_items(split)
        of_items = targets if split.owner is None else targets[np.asarray(split.owner)]
        return of_items if rows is None else of_items[rows]

    def _all_targets(self) -> NDArray[np.integer[Any]]:
        targets = self.split("train").targets
        if targets is None or targets.ndim > 1:
            raise DataError(f"{type(self).__name__}: classes can't be balanced where a sample may have several labels")
        return targets

    def _kept(self) -> NDArray[np.int64] | None:
        if self.labels_per_class is None:
            return None
        rng = np.random.default_rng([self.seed, *KEPT])
        kept, wanted, targets = [], self.labels_per_class, self._all_targets()
        for label, name in enumerate(self.classes):
            members = np.flatnonzero(targets == label)
            if len(members) < wanted:
                raise DataError(f"class {name} has {len(members)} training samples: labels_per_class={wanted} is more")
            kept.append(rng.permutation(members)[:wanted])
        return np.sort(np.concatenate(kept))

    def _train_sampler(self, samples: int, epoch: int, start: int) -> TrainSampler:
        if self.class_sampling is None:
            return super()._train_sampler(samples, epoch, start)
        return ClassBalancedSampler(self._train_targets(), self.batch_size, self.seed, *self._place(), epoch, start)

    def _order(self, samples: int) -> dict[str, int]:
        return super()._order(samples) | ({} if self.class_sampling is None else {"balanced": 1})


class ClassBalancedSampler(TrainSampler):
    """Draws every class equally often: the classes take turns, in an order that is random in every round.

    Up to any place in an epoch two classes differ by one draw at most. So do the samples of a class: all come once, in
    random order, before one comes again. An epoch is as long as that of :class:`TrainSampler`; what is drawn is a
    function of (seed, epoch) as there, and the same whatever the number of ranks.

    Args:
        targets: Label of each sample ``(n,)``; those that occur are drawn.
        place: Arguments of :class:`TrainSampler` after the first.
        named: Those of them that are named.

    Raises:
        ValueError: As :class:`TrainSampler`.
    """

    def __init__(self, targets: NDArray[np.integer[Any]], *place: int, **named: int) -> None:
        super().__init__(len(targets), *place, **named)
        self.members = _positions(targets)

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The samples of an epoch, class by class in turn."""
        turns = _rounds(np.arange(len(self.members)), self.samples, rng)
        order = np.empty(self.samples, dtype=np.int64)
        for members, places in zip(self.members, _positions(turns), strict=True):
            order[places] = _rounds(members, len(places), rng)
        return order


def _positions(labels: NDArray[np.integer[Any]]) -> list[NDArray[np.int64]]:
    """Where each label that occurs stands, by label; one sort, however many labels there are."""
    _, counts = np.unique(labels, return_counts=True)
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])


def _rounds(values: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many values: all of them in random order, again and again in another; the last round may be cut off."""
    rounds = np.tile(values, (-(-count // len(values)), 1))
    return rng.permuted(rounds, axis=1).ravel()[:count]
