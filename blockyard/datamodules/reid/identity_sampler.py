"""Batches of P identities with K instances each, as losses that compare the samples of a batch need them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.loading import TrainSampler


class IdentitySampler(TrainSampler):
    """Makes *global* batches of P identities with K samples each; rank r takes P / world whole identities of them.

    The batches are a function of (seed, epoch) and the same whatever the number of ranks. The identities take turns,
    and so do the samples of each: none comes a second time before all the others have come once, and no batch holds
    one twice, except for an identity that has fewer than K samples.

    An epoch is as many batches as the split fills, ``samples // batch_size``, but at least as many as it takes until
    every identity has had a turn.

    Args:
        identities: Identity of each sample ``(n,)``.
        instances: K, samples of an identity in a batch.
        batch_size: Global batch size, P · K.
        seed: Seed of the run.
        rank: This process.
        world: Number of processes.
        position: ``epoch`` and ``start``, as of :class:`~blockyard.datamodules.loading.TrainSampler`.

    Raises:
        ValueError: If ``instances`` and the ranks do not divide the batch, or it takes more identities than there are.
    """

    repeats = True

    def __init__(
        self,
        identities: NDArray[np.integer[Any]],
        instances: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        **position: int,
    ) -> None:
        if instances < 1 or batch_size % (instances * world):
            raise ValueError(
                f"batch_size={batch_size} must be a multiple of instances={instances} times the {world} processes: "
                "each gets whole identities"
            )
        super().__init__(len(identities), batch_size, seed, rank, world, **position)
        self.members = [np.flatnonzero(identities == identity) for identity in np.unique(identities)]
        self.instances = instances
        self.per_batch = batch_size // instances
        if self.per_batch > len(self.members):
            raise ValueError(
                f"batch_size={batch_size} with instances={instances} takes {self.per_batch} identities, "
                f"but the training split has {len(self.members)}: {len(self.members) * instances} is the largest batch"
            )
        self.batches = max(self.samples // batch_size, -(-len(self.members) // self.per_batch))

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The samples of an epoch's global batches, identity by identity."""
        turns = take_turns(len(self.members), self.per_batch, self.batches, rng)
        order = np.empty((*turns.shape, self.instances), dtype=np.int64)
        for identity, members in enumerate(self.members):
            mine = turns == identity
            order[mine] = members[take_turns(len(members), self.instances, int(mine.sum()), rng)]
        return order.ravel()


def take_turns(count: int, size: int, groups: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Groups of different numbers below ``count``, in random order; a number's turn comes after all others'.

    At any time no number has been drawn more than once oftener than another. If there are fewer than ``size``, numbers
    repeat within a group, and one may be ahead by two.

    Args:
        count: How many numbers there are.
        size: Numbers of a group.
        groups: How many groups.
        rng: Where the randomness comes from.

    Returns:
        ``(groups, size)``.
    """
    waiting: list[int] = []
    drawn = np.empty((groups, size), dtype=np.int64)
    for group in drawn:
        taken: list[int] = []
        while len(taken) < size:
            waiting = waiting or rng.permutation(count).tolist()
            barred = set(taken) if len(set(taken)) < count else set()
            place = next(place for place, number in enumerate(waiting) if number not in barred)
            taken.append(waiting.pop(place))
        group[:] = taken
    return drawn
