"""Several data sets at once, for one network that learns a task from each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from typing import Any, ClassVar

import numpy as np
from torch.utils.data import DataLoader

from blockyard.datamodules.base import DataModule
from blockyard.datamodules.loading import Column, Key, SeededSplit, Split, TrainSampler, divide_batch, make_loader
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.mistakes import DataError, nearest

BETWEEN = ": "
"""Stands between the name of a set and that of one of its classes."""


@dataclass(frozen=True)
class Member:
    """What a network has to know of one of several data sets.

    Attributes:
        name: What it is called among them.
        samples_are: What its samples are, in the words that tasks know.
        num_classes: Its classes; 0 where there are none.
        input_shape: Shape ``(C, *S)`` of its samples.
        asked: Whether it is the one that an evaluation is of; None where it is of all.
    """

    name: str
    samples_are: str
    num_classes: int
    input_shape: tuple[int, ...]
    asked: bool | None = None


class MultiData(DataModule):
    """Several data sets, from each of which one network learns a task.

    Every training batch has samples of all sets, of each as many as its own ``batch_size`` says: these are the weights
    of the sets. It maps the name of a set to a batch of that. An epoch passes the set once that has most batches;
    shorter ones begin anew within it, each in its own order, with its own augmentation, as if it were alone. Validation
    and test pass the sets one after the other.

    Args:
        sets: Name to data module.
        only: The set that a test, or an export, is of; None is all.
        batch_size: Samples of a training batch, shared out as the sets' own sizes say; None is their sum.
        num_workers: Worker processes a process that load training batches; evaluation has those of each set.
        seed: Seed of order and augmentation of the sets that have none of their own, as for any data module.
        name: What tables call the data.
        checked: A manifest that ``blockyard check-data`` wrote of all sets.

    Raises:
        ValueError: If there are fewer than two sets, a name is no word, ``only`` is none of them, or the batch size
            can't be shared out.
    """

    samples_are: ClassVar[str] = "several sets"
    evaluation_options: ClassVar[tuple[str, ...]] = ("only",)

    def __init__(
        self,
        sets: dict[str, DataModule],
        only: str | None = None,
        batch_size: int | None = None,
        num_workers: int = 2,
        seed: int | None = None,
        name: str | None = None,
        checked: str | None = None,
    ) -> None:
        if len(sets) < 2:
            raise ValueError(f"MultiData: sets are {len(sets)}; two are the least that can be learned together")
        if wrong := [one for one in sets if not one.isidentifier()]:
            raise ValueError(f"MultiData: a set is called {wrong[0]!r}; needed is a word of letters, digits and _")
        if only is not None and only not in sets:
            raise ValueError(f"MultiData: only={only!r} is none of the sets; {nearest(only, sets)}")
        own = sum(one.batch_size for one in sets.values())
        super().__init__(own if batch_size is None else batch_size, num_workers, seed, name, checked)
        self.hparams.pop("sets")  # which are no plain data: a checkpoint has their options in its configuration
        self.sets, self.only = sets, only
        for label, one in sets.items():
            one._given_seed = seed if one._given_seed is None else one._given_seed
            one.batch_size, rest = divmod(one.batch_size * self.batch_size, own)
            if rest:
                raise ValueError(f"MultiData: batch_size={batch_size} can't be shared out as {own} are: {label}")

    @property
    def members(self) -> list[Member]:
        """What a network has to know of each set."""
        counts = self._class_counts()
        return [
            Member(
                name, data.samples_are, counts[name], data.input_shape, None if self.only is None else name == self.only
            )
            for name, data in self.sets.items()
        ]

    @property
    def chosen(self) -> dict[str, DataModule]:
        """The sets that an evaluation is of."""
        return self.sets if self.only is None else {self.only: self.sets[self.only]}

    @property
    def classes(self) -> list[str]:
        """Names of the classes of all sets, each behind the name of its set."""
        return [f"{name}{BETWEEN}{label}" for name, data in self.sets.items() for label in data.classes]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the samples of the first set, or of the only one."""
        return next(iter(self.chosen.values())).input_shape

    def _class_counts(self) -> dict[str, int]:
        """Classes of each set: as a checkpoint says, or the data."""
        if self.known is None:
            return {name: data.num_classes for name, data in self.sets.items()}
        owners = [label.partition(BETWEEN)[0] for label in self.known.classes]
        return {name: owners.count(name) for name in self.sets}

    def read_vocabulary(self) -> Vocabulary:
        """The classes of all sets."""
        return Vocabulary(len(self.classes), tuple(self.classes))

    @property
    def exported(self) -> DataModule:
        """The only set, with the classes that the checkpoint says.

        Raises:
            ValueError: If there are several.
        """
        if self.only is None:
            raise ValueError(f"a network of one task is exported: --data.only says which, {' or '.join(self.sets)}")
        one = self.sets[self.only]
        if self.trained is not None:
            said = [label.partition(BETWEEN) for label in self.trained.classes]
            names = tuple(label for owner, _, label in said if owner == self.only)
            one.trained = Vocabulary(len(names), names)
        return one

    def load(self, split: str) -> Split:
        """The samples of a split of the chosen sets, one set after the other."""
        return JoinedSplit({name: data.split(split) for name, data in self.chosen.items()})

    def setup(self, stage: str) -> None:
        """Read what a stage needs.

        Raises:
            DataError: If something is missing or damaged.
            ValueError: If predictions are asked for.
        """
        if stage == "predict":
            raise ValueError(
                f"predict: not by several tasks: blockyard export --data.only {'|'.join(self.sets)} gives one's network"
            )
        for data in self.chosen.values():
            data.trainer = self.trainer
            data.setup(stage)

    def train_dataloader(self) -> DataLoader:
        """Batches of all sets, shuffled and augmented; starts where a resumed run stopped.

        Raises:
            ValueError: If the ranks do not divide the batch of a set, or a checkpoint from the middle of an epoch meets
                another order of the data.
        """
        streams = [_Stream(data, self._place()[1]) for data in self.sets.values()]
        samples = max(stream.batches for stream in streams) * self.batch_size
        sampler = JoinedSampler(streams, samples, self.batch_size, self.seed, *self._place(), *self._start(samples))
        self._sampler = sampler
        for data in self.sets.values():
            data._resumed = {"seed": self.seed}
        local = divide_batch(self.batch_size, sampler.num_replicas)
        return make_loader(_JoinedSets(self.sets), sampler, local, self.num_workers)

    def val_dataloader(self) -> list[DataLoader]:
        """A loader for each set.

        Raises:
            DataError: If a set has no validation samples.
        """
        loaders = {name: data.val_dataloader() for name, data in self.chosen.items()}
        if empty := [name for name, loader in loaders.items() if isinstance(loader, list)]:
            raise DataError(f"MultiData: {empty[0]} has no validation samples, by which its task is judged")
        return [loader for loader in loaders.values() if not isinstance(loader, list)]

    def test_dataloader(self) -> Any:
        """A loader for each set."""
        return [data.test_dataloader() for data in self.chosen.values()]

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Count, set by set, the training samples that could not be read."""
        parts = {name: self.sets[name] for name in batch if name in self.sets}
        for name, data in parts.items():
            data.on_before_batch_transfer(batch[name], dataloader_idx)
        return batch if parts else super().on_before_batch_transfer(batch, dataloader_idx)

    def _order(self, samples: int) -> dict[str, int]:
        sets = self.sets.items()
        return super()._order(samples) | {f"batch_size of {name}": data.batch_size for name, data in sets}


def members_of(data: DataModule) -> list[Member]:
    """What a network has to know of each of several data sets; nothing of a single one."""
    return data.members if isinstance(data, MultiData) else []


class JoinedSplit(Split):
    """The samples of several splits, one split after the other.

    Args:
        splits: By the names of their sets.
    """

    def __init__(self, splits: dict[str, Split]) -> None:
        self.splits = splits
        self.ends = list(accumulate(len(split) for split in splits.values()))
        self.names = [f"{name}/{sample}" for name, split in splits.items() for sample in split.names]

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, item: int) -> dict[str, Any]:
        """The sample of a position among all."""
        number = int(np.searchsorted(self.ends, item, side="right"))
        split = list(self.splits.values())[number]
        return split[item - self.ends[number] + len(split)]

    def described(self) -> Iterator[Column]:
        """What tells the samples of each split from others."""
        return chain.from_iterable(split.described() for split in self.splits.values())


class JoinedSampler(TrainSampler):
    """Hands out, step by step, the batches of several sets, so that each comes in its own order.

    Args:
        streams: One for each set.
        place: Arguments of :class:`TrainSampler`.
    """

    def __init__(self, streams: Sequence[_Stream], *place: Any) -> None:
        super().__init__(*place)
        self.streams = streams

    def __iter__(self) -> Iterator[Key]:
        first = self.epoch * self.batches + self.start
        of_sets = [stream.batches_from(first) for stream in self.streams]
        for _ in range(self.start, self.batches):
            for number, batches in enumerate(of_sets):
                yield from ((epoch, index * len(of_sets) + number) for epoch, index in next(batches))


class _Stream:
    """The training batches of one set without an end: an epoch after the other, each in the order that it has alone."""

    def __init__(self, data: DataModule, world: int) -> None:
        self.data, self.local = data, divide_batch(data.batch_size, world)
        self.batches = self._sampler(0, 0).batches

    def batches_from(self, number: int) -> Iterator[list[Key]]:
        """This process's batches from a batch on, counted through all epochs."""
        epoch, start = divmod(number, self.batches)
        while True:
            keys = iter(self._sampler(epoch, start))
            for _ in range(start, self.batches):
                yield list(islice(keys, self.local))
            epoch, start = epoch + 1, 0

    def _sampler(self, epoch: int, start: int) -> TrainSampler:
        data, split = self.data, self.data.split("train")
        rows = data._kept_items(split)
        sampler = data._train_sampler(len(split if rows is None else rows), epoch, start)
        sampler.rows = rows
        return sampler


class _JoinedSets(SeededSplit):
    """Reads samples of several sets, each as it would be read alone, and collates a batch of each."""

    def __init__(self, sets: dict[str, DataModule]) -> None:
        self.sets = {name: SeededSplit(data.split("train"), data.seed) for name, data in sets.items()}

    def __len__(self) -> int:
        return sum(map(len, self.sets.values()))

    def __getitems__(self, keys: Sequence[Key | int]) -> list[Any]:
        """Number of the set and sample, by keys whose index tells both."""
        samples, found = list(self.sets.values()), list[Any]()
        for key in keys:
            epoch, index = (0, key) if isinstance(key, int) else key
            position, number = divmod(index, len(samples))
            found.append((number, samples[number][epoch, position]))
        return found

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """A batch of each set by its name."""
        return {
            name: split.collate([sample for owner, sample in samples if owner == number])
            for number, (name, split) in enumerate(self.sets.items())
        }
