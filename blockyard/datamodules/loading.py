"""The loader contract: randomness belongs to the sample, not to the worker.

What a sample looks like depends on (seed, epoch, index), the order of an epoch on (seed, epoch), and neither on the
number of workers, the number of ranks or the state of the main process. Samplers hand out ``(epoch, index)`` pairs, so
that the epoch reaches workers that outlive it.
"""

from __future__ import annotations

import math
import random
import signal
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import albumentations as A
import cv2
import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info
from torch.utils.data.distributed import DistributedSampler

Key: TypeAlias = tuple[int, int]
"""(epoch, index) of a sample; a negative index is padding."""
Batch: TypeAlias = dict[str, Tensor]
Column: TypeAlias = Sequence[str] | NDArray[Any]
"""Something told of every sample of a split, in order."""

PADDING = -1


class Split(Dataset[dict[str, Any]]):
    """The samples of one split, as a map-style data set of dictionaries.

    A subclass implements ``__len__`` and ``__getitem__`` and may draw from the random generators of Python, NumPy and
    torch, and from an albumentations pipeline kept in ``transform``: the loader seeds all of them for every sample.
    """

    names: Sequence[str]
    """One name a sample, for people and CSV files; of a video, however many views it has."""
    views: int = 1
    """Items that belong to one sample, neighbours in the split: the clips and crops of a video in evaluation."""
    owner: Sequence[int] | NDArray[np.integer[Any]] | None = None
    """Of every item the position of its sample in ``names``, ascending, where samples differ in their number of items:
    the windows of a long recording, the clips of a tracklet. None: each sample has ``views`` items."""
    windows: Sequence[tuple[float, float]] | None = None
    """Of every item the part of its recording that it is, from and to, in seconds."""
    targets: NDArray[Any] | None = None
    """The label of each sample ``(n,)``, or, where it may have several, ``(n, K)`` of 0 and 1; None if unknown."""
    transform: A.Compose | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    def collate(self, samples: list[dict[str, Any]]) -> Batch:
        """Stack the samples of a batch along a new first axis."""
        return default_collate(samples)

    def sample_of(self, item: int) -> int:
        """The position in ``names`` of the sample that an item belongs to."""
        return item // self.views if self.owner is None else int(self.owner[item])

    def items_of(self, position: int) -> range:
        """The items of the sample ``names[position]``."""
        if self.owner is None:
            return range(position * self.views, (position + 1) * self.views)
        return range(bisect_left(self.owner, position), bisect_right(self.owner, position))

    def described(self) -> Iterator[Column]:
        """What tells the samples from others besides their names, column by column: labels, masks, people, cameras.

        Of samples that have no files of their own the pixels, too.
        """
        yield from ()

    def over(self, other: Split) -> Split:
        """The samples of another split of the data set, read as this one reads its own.

        Raises:
            ValueError: If splits of this kind can't.
        """
        raise ValueError(f"{type(self).__name__} can't read the samples of another split: it has no method over")

    def files(self, position: int) -> Sequence[Path]:
        """The files that ``names[position]`` is read from; none if all samples are in a few files together."""
        return ()

    def stored_shape(self, position: int) -> tuple[int, ...] | None:
        """The shape of what is stored, where that can be told at once."""
        return None

    def note(self, position: int) -> str | None:
        """What is worth knowing of what ``names[position]`` names though nothing is wrong, without its name."""
        return None

    def problem(self, position: int) -> str | None:
        """What is wrong with what ``names[position]`` names, in one line; None if nothing is."""
        return trouble(lambda: self[self.items_of(position)[0]])


def trouble(read: Callable[[], object]) -> str | None:
    """What reading something raises, in one line; None if nothing."""
    try:
        read()
    except (ValueError, OSError) as error:
        return " ".join(str(error).split())
    return None


def empty_batch(shape: Sequence[int]) -> Tensor:
    """Room for a float32 batch ``(B, C, *S)``; a worker's is shared memory, which spares a copy to the main process."""
    if get_worker_info() is None:
        # NumPy asks Linux for large pages: of small ones the first touch takes longer than all that is done to a batch.
        return torch.from_numpy(np.empty(tuple(shape), np.float32))
    storage = torch.UntypedStorage._new_shared(4 * math.prod(shape), device="cpu")  # as default_collate does
    return torch.empty(0).set_(storage).view(tuple(shape))


class SeededSplit(Dataset[dict[str, Any]]):
    """A split whose every sample has random numbers of its own, a function of (seed, epoch, index).

    Seeding takes about 30 µs a sample. ``Compose.set_random_seed`` of albumentations would take more, and would give
    every transform of the pipeline the same stream, so that a flip and a crop would be correlated.

    Args:
        split: What to read.
        seed: Seed of the run.
    """

    def __init__(self, split: Split, seed: int) -> None:
        self.split = split
        self.seed = seed
        self._python = random.Random()

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        """The sample of ``(epoch, index)``; a plain index means epoch 0."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key | int]) -> list[dict[str, Any]]:
        """The samples of a batch, leaving the random state of the process as it was."""
        with isolate_rng(include_cuda=False):
            return [self._sample(*((0, key) if isinstance(key, int) else key)) for key in keys]

    def collate(self, samples: list[dict[str, Any]]) -> Batch:
        """Collate as the split says, then drop the padding, which always comes last."""
        batch = self.split.collate(samples)
        real = int((batch["index"] != PADDING).sum())
        return batch if real == len(samples) else {name: value[:real] for name, value in batch.items()}

    def _sample(self, epoch: int, index: int) -> dict[str, Any]:
        # A padded position is read like any other sample (the first one), so that an empty batch has the keys, types
        # and shapes of a full one.
        position = max(index, 0)
        generator = np.random.default_rng([self.seed, epoch, 1 + position])
        second, first = divmod(generator.bit_generator.random_raw(), 2**32)
        random.seed(first)
        np.random.seed(first)  # noqa: NPY002 - third-party readers draw from the global generator
        torch.default_generator.manual_seed(first)  # a hundred times cheaper than torch.manual_seed
        if self.split.transform is not None:
            self._python.seed(second)
            self.split.transform.set_random_state(generator, self._python)
        return {**self.split[position], "index": index}


class TrainSampler(DistributedSampler[Key]):
    """Shuffles an epoch by (seed, epoch) and deals each *global* batch out to the ranks.

    The global batches are the same whatever the number of ranks; rank r takes its slice of each. The last, incomplete
    batch is dropped. It is a ``DistributedSampler`` so that Lightning never wraps it in another one.

    Args:
        samples: Size of the training split.
        batch_size: Global batch size.
        seed: Seed of the run.
        rank: This process.
        world: Number of processes.
        epoch: Epoch of the first iteration.
        start: Batches of that epoch to leave out, because they were trained on before a checkpoint.

    Raises:
        ValueError: If the ranks do not divide the batch, or if the split does not fill one batch.
    """

    rows: NDArray[np.int64] | None = None
    """Which samples of the split there are ``(samples,)``, where these are not all."""
    repeats: ClassVar[bool] = False
    """Whether a batch may have a sample twice, so that few samples fill one."""

    def __init__(
        self, samples: int, batch_size: int, seed: int, rank: int = 0, world: int = 1, epoch: int = 0, start: int = 0
    ) -> None:
        super().__init__(range(samples), num_replicas=world, rank=rank, seed=seed, drop_last=True)  # type: ignore[arg-type]
        self.local_batch_size = divide_batch(batch_size, world)
        if samples < batch_size and not self.repeats:
            raise ValueError(f"batch_size={batch_size} is larger than the training split of {samples} samples")
        self.batch_size = batch_size
        self.batches = samples // batch_size
        self.samples = samples
        self.epoch = epoch
        self.start = start

    def __len__(self) -> int:
        """Samples of this rank in a *whole* epoch: Lightning adds the batches left out by itself."""
        return self.batches * self.local_batch_size

    def __iter__(self) -> Iterator[Key]:
        epoch, start = self.epoch, self.start
        order = self.order(np.random.default_rng([self.seed, epoch, 0]))
        order = order if self.rows is None else self.rows[order]
        batches = order[: self.batches * self.batch_size].reshape(self.batches, self.num_replicas, -1)
        return ((epoch, index) for index in batches[start:, self.rank].ravel().tolist())

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The samples of an epoch's global batches, one batch after the other; more of them are left out.

        Args:
            rng: Where the randomness comes from: a stream of the epoch's own.
        """
        return rng.permutation(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; only the one that a run was resumed in starts in the middle."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0


class EvaluationSampler(DistributedSampler[Key]):
    """Deals a split out as ``range(rank, samples, world)``: no sample twice, none left out.

    Every rank gets the same number of positions and so of batches, because ranks that synchronise in ``forward`` would
    wait for each other otherwise; the positions without a sample are padding, which the loader drops. The last batch of
    a rank may therefore be empty.

    Args:
        samples: Size of the split.
        rank: This process.
        world: Number of processes.
    """

    rows: NDArray[np.int64] | None = None
    """Which samples of the split there are ``(samples,)``, where these are not all."""

    def __init__(self, samples: int, rank: int = 0, world: int = 1) -> None:
        super().__init__(range(samples), num_replicas=world, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.samples = samples

    def __len__(self) -> int:
        return -(-self.samples // self.num_replicas)

    def __iter__(self) -> Iterator[Key]:
        whole = range(self.samples) if self.rows is None else self.rows.tolist()
        indices = list(whole[self.rank :: self.num_replicas])
        indices += [PADDING] * (len(self) - len(indices))
        return ((0, index) for index in indices)


def divide_batch(batch_size: int, world: int) -> int:
    """Batch size of one rank.

    Raises:
        ValueError: If ``world`` does not divide ``batch_size``.
    """
    if batch_size < 1 or batch_size % world:
        raise ValueError(
            f"batch_size={batch_size} is the global batch: it must be positive and divisible by the {world} processes"
        )
    return batch_size // world


def make_loader(split: SeededSplit, sampler: DistributedSampler[Key], batch_size: int, num_workers: int) -> DataLoader:
    """A stock ``DataLoader`` that keeps the contract.

    Args:
        split: What to read.
        sampler: Which samples, in which order.
        batch_size: Batch size of this rank.
        num_workers: Worker processes; 0 reads in the main process.
    """
    return DataLoader(
        split,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=split.collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_begin,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # or iterating would draw from the main generator
    )


def _begin(worker: int) -> None:
    """Leave the other cores to the other workers, and Ctrl-C, which a terminal sends to all, to the main process."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
