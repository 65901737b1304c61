"""How many channels have to go until a network costs as little as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from blockyard.compression.criteria import Criterion, Scores, compared
from blockyard.compression.groups import Group
from blockyard.compression.surgery import measured
from blockyard.costs import count_macs, count_parameters, measure_throughput

Measure = Literal["parameters", "macs", "latency"]
Scope = Literal["global", "layer"]
LEAST = 0.1
"""The share of each group's channels that stays in any case, at least one."""


def cost(network: nn.Module, measure: Measure, shape: tuple[int, ...]) -> float:
    """What a network costs.

    Args:
        network: Left as it was.
        measure: ``parameters``, ``macs`` of one sample, or ``latency``, seconds of one sample alone on its device.
        shape: ``(C, *S)`` of one sample.
    """
    if measure == "parameters":
        return count_parameters(network)
    return count_macs(network, shape) if measure == "macs" else 1 / measure_throughput(network, shape, repeats=50)


def order(criterion: Criterion, scores: Scores, groups: Sequence[Group], scope: Scope) -> list[tuple[str, int]]:
    """The channels that may go, group and number, the first first.

    Args:
        criterion: Whose the scores are.
        scores: One tensor a group.
        groups: All of a network; of closed ones none may go.
        scope: Whether scores compare across groups, or an equal share of each group goes.
    """
    values = compared(criterion, scores) if scope == "global" else [_ranks(one) for one in scores]
    waiting: list[tuple[float, int, str, int]] = []
    for number, (group, value) in enumerate(zip(groups, values, strict=True)):
        stay = max(1, round(LEAST * group.size))
        lowest = value.argsort(stable=True)[: group.size - stay].tolist()
        if not group.closed:
            waiting += [(float(value[channel]), number, group.name, channel) for channel in lowest]
    return [(name, channel) for _, _, name, channel in sorted(waiting)]


def _ranks(scores: Tensor) -> Tensor:
    """Shares of the channels that are no better, ``(size,)``."""
    return (scores.argsort(stable=True).argsort(stable=True).double() + 1) / len(scores)


def chosen(ordered: Sequence[tuple[str, int]], count: int) -> dict[str, list[int]]:
    """The first so many channels, by group."""
    found: dict[str, list[int]] = {}
    for name, channel in ordered[:count]:
        found.setdefault(name, []).append(channel)
    return found


def fewest(
    network: nn.Module,
    groups: Sequence[Group],
    ordered: Sequence[tuple[str, int]],
    example: Tensor,
    measure: Measure,
    most: float,
) -> dict[str, list[int]]:
    """The fewest channels without which a network costs no more than asked, in their order.

    Raises:
        ValueError: If it costs more even when all that may go are gone; one line.
    """
    shape = tuple(example.shape[1:])

    def costs(count: int) -> float:
        return cost(measured(network, groups, chosen(ordered, count), example), measure, shape)

    if (least := costs(len(ordered))) > most:
        raise ValueError(
            f"prune: {most:.4g} {measure} can't be reached: {least:.4g} are left when each of "
            f"{sum(not group.closed for group in groups)} groups keeps a tenth of its channels; --keep more"
        )
    return chosen(ordered, _first(lambda count: costs(count) <= most, len(ordered)))


def _first(holds: Callable[[int], bool], last: int) -> int:
    """The smallest number at which something holds that then goes on to hold, as it does at the last."""
    low = 0
    while low < last:
        middle = (low + last) // 2
        if holds(middle):
            last = middle
        else:
            low = middle + 1
    return last
