"""Choices of how many channels each group of a network keeps: its sub-networks, by what weights are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from blockyard.compression.criteria import Criterion
from blockyard.compression.groups import Group
from blockyard.compression.masking import Channels
from blockyard.compression.searching.space import Choice, Space
from blockyard.compression.surgery import prunable, prune
from blockyard.mistakes import nearest

CHANNELS = "channels:"
"""What the names of these choices begin with; the name of a group follows."""


class SubNetworks:
    """The networks that are left of one when groups keep shares of their channels, those that are worth most.

    Args:
        network: Trained; left as it is.
        example: ``(B, C, *S)``.
        criterion: What channels are worth, by weights alone.
        shares: What a group may keep, each above 0 and at most 1.

    Attributes:
        space: A choice for each group of which channels may go.

    Raises:
        ValueError: If a share is out of range, or no channel may go; one line.
    """

    def __init__(self, network: nn.Module, example: Tensor, criterion: Criterion, shares: Sequence[float]) -> None:
        if not all(0 < share <= 1 for share in shares):
            raise ValueError(
                f"search: --shares {' '.join(f'{share:g}' for share in shares)} must be above 0, at most 1"
            )
        self.network, self.example = network, example
        self.groups = prunable(network, example)
        scored = [group for group in self.groups if not group.closed]
        scores = criterion.scores(network, scored, _no_samples(criterion))
        self._orders = {
            group.name: one.argsort(stable=True).tolist() for group, one in zip(scored, scores, strict=True)
        }
        values = tuple(sorted(set(shares)))
        self.space = Space(tuple(Choice(f"{CHANNELS}{group.name}", _that_differ(group, values)) for group in scored))

    def gone(self, chosen: Mapping[str, Any]) -> Channels:
        """The channels that go, by group.

        Args:
            chosen: Shares by the names of choices; others are not looked at.

        Raises:
            ValueError: If there is no such group; one line.
        """
        shares = {name.removeprefix(CHANNELS): share for name, share in chosen.items() if name.startswith(CHANNELS)}
        for name in shares:
            if name not in self._orders:
                raise ValueError(f"search: no group {name} has channels that may go; {nearest(name, self._orders)}")
        lost = {name: len(self._orders[name]) - kept(len(self._orders[name]), share) for name, share in shares.items()}
        return {name: self._orders[name][:count] for name, count in lost.items() if count}

    def is_whole(self, chosen: Mapping[str, Any]) -> bool:
        """Whether a candidate leaves the network as it is."""
        return not self.gone(chosen)

    def of(self, chosen: Mapping[str, Any]) -> nn.Module:
        """The network of a candidate, whose batch norms still have the statistics of the whole."""
        return prune(self.network, self.groups, self.gone(chosen), self.example)


def kept(size: int, share: float) -> int:
    """How many of a group's channels a share of them is: at least one."""
    return max(1, round(size * share))


def _that_differ(group: Group, shares: Sequence[float]) -> tuple[float, ...]:
    """Of shares that keep equally many of a group's channels the first."""
    found: dict[int, float] = {}
    for share in shares:
        found.setdefault(kept(group.size, share), share)
    return tuple(found.values())


def _no_samples(criterion: Criterion) -> Any:
    if criterion.needs_samples:
        raise ValueError(f"search: {type(criterion).__name__} looks at samples; what does not: L1, L2, FPGM")
    return None
