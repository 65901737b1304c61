"""What every data module shares."""

from __future__ import annotations

import difflib
import os
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from blockyard.datamodules.checking import Finding, Findings
from blockyard.datamodules.fingerprints import Fingerprinted
from blockyard.datamodules.loading import (
    Batch,
    EvaluationSampler,
    Key,
    SeededSplit,
    Split,
    TrainSampler,
    divide_batch,
    make_loader,
)
from blockyard.datamodules.suggesting import OwnLayout
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.progress import at_work

SPLITS = ("train", "val", "test", "predict")
STAGES = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",)}
"""The splits that a stage of the Trainer needs; its enum equals these words but prints otherwise."""
LONGEST_NAME = 60


class DataModule(Fingerprinted, OwnLayout, LightningDataModule, ABC):
    """A data set behind the loader contract of :mod:`blockyard.datamodules.loading`.

    Batches are dictionaries: ``input``, float ``(B, C, *S)``; ``target``, long ``(B,)``, not in ``predict``; ``index``,
    long ``(B,)``, the position of each sample in its split. All ranks get the same number of batches; in evaluation the
    last one of a rank may be empty, B = 0.

    A subclass implements :meth:`load`, ``input_shape`` and, if its targets are classes, ``classes``, and hands on the
    options that it doesn't name. All are the hyperparameters in checkpoints.

    Args:
        batch_size: *Global* batch size: it is divided among the processes. Of what has views, those are counted.
        num_workers: Worker processes a process; results do not depend on it.
        seed: Seed of order and augmentation. None takes the one of ``seed_everything``, or 0 where that was not called:
            order and augmentation are functions of that number and not of the generators' state, so that runs with one
            seed see the same data in the same order whatever network they train.
        name: What tables call the data; which they are is told by their fingerprints, whatever the name.
        checked: A manifest that ``blockyard check-data`` wrote of the data: their fingerprints then are of sizes and
            contents too, not of names and labels alone.

    Attributes:
        trained: What a checkpoint says of its classes; None leaves it to the data.
        known: What a checkpoint says of its inputs, likewise, whether its classes are believed or compared.

    Raises:
        ValueError: If a number is out of range.
    """

    evaluation_options: ClassVar[tuple[str, ...]] = ()
    """Arguments that only evaluation looks at: a test may set them otherwise than the training did."""
    samples_are: ClassVar[str] = ""
    """What a sample with its target is, in words that tasks know; empty where the shape alone says it."""
    published_classes: ClassVar[int] = 0
    """How many classes the data set was published with, which its files name; 0 where none was."""

    def __init__(
        self,
        batch_size: int = 64,
        num_workers: int = 2,
        seed: int | None = None,
        name: str | None = None,
        checked: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # Lightning finds those of subclasses in the calls that led here
        self.hparams.update({option: _plain(value) for option, value in self.hparams.items()})
        divide_batch(batch_size, 1)
        if name is not None and not (name.isprintable() and 0 < len(name) <= LONGEST_NAME):
            raise ValueError(f"name={name!r} must be one line of 1 to {LONGEST_NAME} characters")
        self.name, self.checked = name, checked
        if num_workers < 0 or (seed is not None and seed < 0):
            raise ValueError(f"num_workers={num_workers} and seed={seed} must not be negative")
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._given_seed = seed
        self.trained: Vocabulary | None = None
        self.known: Vocabulary | None = None
        self._resumed: dict[str, int] = {}
        self._sampler: TrainSampler | None = None
        self._splits: dict[str, Split] = {}
        self.replaced: Counter[str] = Counter()

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of their labels; none where the targets are something else."""
        return []

    @property
    def tells_classes(self) -> bool:
        """Whether the data say which classes there are; a test of data that don't takes those of the checkpoint."""
        return True

    @property
    def is_test_alone(self) -> bool:
        """Whether there is a test and nothing to train on, as a checkpoint needs no more."""
        return not self.tells_classes

    @property
    def shown_classes(self) -> list[str]:
        """Classes that a test alone shows, by names of folders or by labels; none where it can't."""
        return []

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape ``(C, *S)`` of one input."""

    @abstractmethod
    def load(self, split: str) -> Split:
        """Read one of ``train``, ``val``, ``test`` and ``predict``.

        Raises:
            DataError: If something is missing or damaged.
        """

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 where there are none."""
        return len(self.classes)

    @property
    def vocabulary(self) -> Vocabulary:
        """What inputs and outputs of the network mean: as its checkpoint says, where that was asked, or the data."""
        return self.trained or self.read_vocabulary()

    def read_vocabulary(self) -> Vocabulary:
        """What the data say that inputs and outputs of a network trained on them mean."""
        return Vocabulary(self.num_classes, tuple(self.classes))

    @property
    def in_channels(self) -> int:
        """Channels C of an input."""
        return self.input_shape[0]

    @property
    def seed(self) -> int:
        """Seed of order and augmentation: given, of the resumed run, of ``seed_everything``, or 0."""
        if self._given_seed is not None:
            return self._given_seed
        return self._resumed.get("seed", int(os.environ.get("PL_GLOBAL_SEED", 0)))

    def split(self, name: str) -> Split:
        """A split, read on first use.

        Raises:
            ValueError: If there is no split of that name.
            DataError: If something is missing or damaged.
        """
        if name not in SPLITS:
            near = difflib.get_close_matches(name, SPLITS, n=1)
            raise ValueError(f"no split {name!r}; {f'did you mean {near[0]!r}?' if near else f'there are {SPLITS}'}")
        if name not in self._splits:
            with at_work(f"listing {name} of {type(self).__name__}"):
                self._splits[name] = self.load(name)
        return self._splits[name]

    def names(self, split: str) -> list[str]:
        """One name a sample, in the order of ``index``."""
        return list(self.split(split).names)

    def check(self, split: str) -> Iterator[tuple[str, str]]:
        """Read everything in a split once, in the worker processes; name and problem of what is bad.

        Raises:
            DataError: If the split can't even be listed.
        """
        for finding in self.findings(split):
            if finding.problem is not None:
                yield finding.name, finding.problem

    def findings(self, split: str, digest: bool = False) -> Iterator[Finding]:
        """Read everything in a split once, in the worker processes.

        Args:
            split: Which one.
            digest: Whether to tell size, SHA-256 and shape of every sample too.

        Yields:
            What was found, sample by sample, in order.

        Raises:
            DataError: If the split can't even be listed.
        """
        yield from DataLoader(Findings(self.split(split), digest), batch_size=None, num_workers=self.num_workers)

    def remarks(self, split: str) -> Iterator[str]:
        """What is worth knowing of a split as a whole, though nothing is wrong with a sample.

        Raises:
            DataError: If it is of no use.
        """
        yield from ()

    def setup(self, stage: str) -> None:
        """Read what a stage needs, so that missing data is reported before anything starts."""
        for name in STAGES[stage]:
            self.split(name)

    def train_dataloader(self) -> DataLoader:
        """Shuffled and augmented; starts where a resumed run stopped.

        Raises:
            ValueError: If the ranks do not divide the batch, or if a checkpoint from the middle of an epoch meets
                another order of the data.
        """
        rows = self._kept_items(self.split("train"))
        samples = len(self.split("train") if rows is None else rows)
        self._sampler = self._train_sampler(samples, *self._start(samples))
        self._sampler.rows = rows
        return self._loader("train", self._sampler)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """In order, each sample once over all ranks; nothing if the split is empty."""
        return self._evaluation_loader("val") if len(self.split("val")) else []

    def test_dataloader(self) -> DataLoader:
        """In order, each sample once over all ranks."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader:
        """In order, each sample once over all ranks, without targets."""
        return self._evaluation_loader("predict")

    def plain_dataloader(self, name: str) -> DataLoader:
        """A split in order, each sample once, whatever it is used for elsewhere.

        Training samples are read as validation reads its own: without augmentation, and in whole.

        Raises:
            ValueError: If the splits of this data set can't be read so.
        """
        split = self.split("val").over(self.split("train")) if name == "train" else self.split(name)
        rows = self._kept_items(split) if name == "train" else None
        sampler = EvaluationSampler(len(split if rows is None else rows), *self._place())
        sampler.rows = rows
        return make_loader(SeededSplit(split, self.seed), sampler, self.batch_size, self.num_workers)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Count the training samples that could not be read and were ``replaced`` by others; warn once of each."""
        marks = batch.pop("replaced", None)
        for index in batch["index"][marks].tolist() if marks is not None else []:
            name = self.names("train")[index]
            if name not in self.replaced:
                warnings.warn(f"{name} can't be read: another sample takes its place in training", stacklevel=2)
            self.replaced[name] += 1
        return batch

    def state_dict(self) -> dict[str, int]:
        """Position of the training in the data: the batch that comes next, and what makes it that batch."""
        if self.trainer is None or self._sampler is None:
            return {}
        epoch, progress = self._sampler.epoch, self.trainer.fit_loop.epoch_loop.batch_progress
        batch: int = progress.current.state_dict()["processed"]
        if progress.is_last_batch or batch >= self.trainer.num_training_batches:
            epoch, batch = epoch + 1, 0
        return {"epoch": epoch, "batch": batch, **self._order(self._sampler.samples)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Start the next training where the checkpoint stopped; other stages have no position."""
        if self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            self._resumed = dict(state_dict)

    def _start(self, samples: int) -> tuple[int, int]:
        if "epoch" not in self._resumed:
            return (self.trainer.current_epoch if self.trainer else 0), 0
        then, now = self._resumed, self._order(samples)
        pairs = {key: (then.get(key, 0), now.get(key, 0)) for key in {**now, **then} if key not in ("epoch", "batch")}
        changed = [f"{key}={before} then and {after} now" for key, (before, after) in pairs.items() if before != after]
        if changed and then["batch"]:
            raise ValueError(f"the checkpoint is from the middle of an epoch, which can't go on: {', '.join(changed)}")
        self._resumed = {"seed": then["seed"]}
        # Lightning says so of every loader without a state of its own; here the data module has it.
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
        return then["epoch"], then["batch"]

    def _kept(self) -> NDArray[np.int64] | None:
        """Positions of the training samples that there are, ascending; None if that is all of the split."""
        return None

    def _kept_items(self, split: Split) -> NDArray[np.int64] | None:
        """Items of the training samples that there are, as a split reads them; None if that is all of them."""
        rows = self._kept()
        if rows is None or (split.owner is None and split.views == 1):
            return rows
        return np.concatenate([split.items_of(position) for position in rows.tolist()])

    def _order(self, samples: int) -> dict[str, int]:
        return {"seed": self.seed, "batch_size": self.batch_size, "samples": samples}

    def _train_sampler(self, samples: int, epoch: int, start: int) -> TrainSampler:
        return TrainSampler(samples, self.batch_size, self.seed, *self._place(), epoch, start)

    def _evaluation_loader(self, name: str) -> DataLoader:
        return self._loader(name, EvaluationSampler(len(self.split(name)), *self._place()))

    def _loader(self, name: str, sampler: DistributedSampler[Key]) -> DataLoader:
        local_batch_size = divide_batch(self.batch_size, sampler.num_replicas)
        return make_loader(SeededSplit(self.split(name), self.seed), sampler, local_batch_size, self.num_workers)

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def _plain(value: Any) -> Any:
    """An option as a checkpoint can hold it: a Path would make it unreadable."""
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value
