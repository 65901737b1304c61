"""Cutting channels out of a network, after a look at whether it then does what it did with them at zero."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block
from blockyard.compression.groups import Coupling, Group
from blockyard.compression.masking import Channels, masked
from blockyard.compression.sizes import Shapes, Sizes, resize, sizes_of, stage_shapes, tell_stages
from blockyard.plugging import Gated, Plugged, Replaced, Wrapped, undisturbed

SIDES = ("out", "in")
EXACT = 1e-5
"""How much a pruned network's outputs may differ from the masked one's, in units of the largest."""


def prunable(network: nn.Module, example: Tensor) -> list[Group]:
    """The groups of a network, those closed without which it does something else than with their channels at zero.

    Half of every open group is cut on trial; where that goes wrong, of one after the other.

    Args:
        network: Left as it is.
        example: ``(B, C, *S)``.

    Raises:
        ValueError: If no channel of it may go, or torch-pruning is missing or can't trace it; one line.
    """
    groups = Coupling(copy.deepcopy(network), example).groups()
    groups = [group if group.size > 1 else replace(group, closed=group.closed or "there is one") for group in groups]
    alive = _stirred(network)
    if problem := _trial(alive, groups, [group for group in groups if not group.closed], example):
        found = [group.closed or _trial(alive, groups, [group], example) for group in groups]
        groups = [replace(group, closed=why) for group, why in zip(groups, found, strict=True)]
    if all(group.closed for group in groups):
        first = next((f"{group.name}: {group.closed}" for group in groups), "it has no such layers")
        raise ValueError(f"prune: no channels of {_kind(network)} can go: {problem or first}")
    return groups


def _stirred(network: nn.Module) -> nn.Module:
    """The network with noise on all that is learnt: what begins at zero would hide what is wrong behind it."""
    stirred, generator = copy.deepcopy(network), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in stirred.parameters():
            size = parameter.abs().mean().clamp_min(0.05) / 4
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter) * size)
    return stirred


def _trial(network: nn.Module, groups: Sequence[Group], chosen: Sequence[Group], example: Tensor) -> str:
    """What is wrong when every other channel of some groups goes, if something is."""
    try:
        prune(network, groups, {group.name: range(0, group.size - 1, 2) for group in chosen}, example)
    except ValueError as error:
        return str(error).removeprefix("prune: ")
    return ""


def prune(network: nn.Module, groups: Sequence[Group], channels: Channels, example: Tensor) -> nn.Module:
    """A network without some channels.

    Args:
        network: Left as it is.
        groups: Its groups.
        channels: Which of their channels go; at least one of each stays.
        example: ``(B, C, *S)``, on which it is compared.

    Returns:
        Another network, in evaluation, whose backbone says its channels.

    Raises:
        ValueError: If it does not run any more, or does something else than with these channels at zero; one line,
            with the block that is to blame where one is.
    """
    inputs = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    part = copy.deepcopy(network)
    with undisturbed(part), masked(part, groups, channels):
        expected = part(inputs)
    coupling = Coupling(part, example)
    known = {group.name: group for group in coupling.groups()}
    for group in groups:
        if gone := sorted(channels.get(group.name, ())):
            if len(gone) >= group.size:
                raise ValueError(f"prune: all {group.size} channels of {group.name} would go")
            coupling.cut(known[group.name], gone)
    _insist_on_sizes(network, part, groups, channels)
    try:
        settle_blocks(part, example, stage_shapes(network, example))
        with undisturbed(part):
            found = part(inputs)
    except (RuntimeError, ValueError, AssertionError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"prune: {_blamed(network, groups, channels)} does not run with fewer: {said}") from error
    if found.shape != expected.shape or not _near(found, expected):
        blamed = _blamed(network, groups, channels)
        raise ValueError(f"prune: {blamed} does something else with fewer channels than with these at zero")
    return part


def measured(network: nn.Module, groups: Sequence[Group], channels: Channels, example: Tensor) -> nn.Module:
    """A network of the sizes that :func:`prune` would leave, with other weights: for counting and timing, untraced."""
    part = copy.deepcopy(network)
    resize(part, left(sizes_of(network), groups, channels))
    settle_blocks(part, example, stage_shapes(network, example))
    return part


def left(before: Sizes, groups: Sequence[Group], channels: Channels) -> Sizes:
    """The sizes of the layers that lose channels."""
    sizes: Sizes = {}
    for group in groups:
        chosen = torch.tensor(sorted(channels.get(group.name, ())), dtype=torch.long)
        for part in group.parts if len(chosen) else ():
            gone = int(torch.isin(part.channel, chosen).sum())
            size = sizes.setdefault(part.path, list(before[part.path]))
            for axis in range(len(size)) if part.side == "both" else (SIDES.index(part.side),):
                size[axis] -= gone
    return sizes


def settle_blocks(network: nn.Module, example: Tensor, whole: Shapes) -> None:
    """Let blocks and stages say how many channels they get now, by one forward of ``(B, C, *S)``."""

    def tell(block: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(block, Block) and given and given[0].dim() == block.spatial_dims + 2:
            block.channels = given[0].shape[1]

    blocks = [module for module in network.modules() if isinstance(module, Block)]
    handles = [block.register_forward_pre_hook(tell) for block in blocks]
    try:
        tell_stages(network, example, whole)
    finally:
        for handle in handles:
            handle.remove()


def _insist_on_sizes(network: nn.Module, part: nn.Module, groups: Sequence[Group], channels: Channels) -> None:
    """See that the library has cut what the groups say, and no more."""
    before = sizes_of(network)
    expected, found = {**before, **left(before, groups, channels)}, sizes_of(part)
    for path, module in part.named_modules():
        if not isinstance(module, Block) and expected.get(path) != found.get(path):
            blamed = _blamed(network, groups, channels)
            raise ValueError(f"prune: {blamed}: {path} became one of {found[path]}, not of {expected[path]}")


def _near(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= EXACT * expected.abs().max().clamp_min(1e-12))


def _blamed(network: nn.Module, groups: Sequence[Group], channels: Channels) -> str:
    """The first block that channels to be cut pass, or else the network."""
    places = {path: m for path, m in network.named_modules() if isinstance(m, Plugged | Replaced | Gated | Wrapped)}
    touched = {part.path for group in groups if channels.get(group.name) for part in group.parts}
    for path, module in places.items():
        if any(layer.startswith(f"{path}.") for layer in touched):
            return f"the block {_kind(module)} at {path}"
    return _kind(network)


def _kind(network: Any) -> str:
    inner = getattr(network, "block", None) or getattr(network, "net", None) or network
    return type(inner).__name__
