"""Masks: channels set to zero wherever surgery would cut them, and back again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from blockyard.compression.groups import Group, Part

Channels = Mapping[str, Sequence[int]]
"""Which channels of which group, by its name."""


@contextmanager
def masked(network: nn.Module, groups: Sequence[Group], channels: Channels) -> Iterator[None]:
    """A network some of whose channels give and take zeros; afterwards it is what it was, bit for bit.

    Args:
        network: What the groups are of.
        groups: Its groups.
        channels: Which of them are to be zero.
    """
    before: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad():
        for group in groups:
            chosen = torch.tensor(sorted(channels.get(group.name, ())), dtype=torch.long)
            for part in group.parts if len(chosen) else ():
                _hide(network.get_submodule(part.path), part, chosen, before)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in reversed(before):
                tensor.copy_(value)


def _hide(module: nn.Module, part: Part, channels: Tensor, before: list[tuple[Tensor, Tensor]]) -> None:
    index = part.index[torch.isin(part.channel, channels)]
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        if name in ("num_batches_tracked", "running_var"):
            continue
        swapped = isinstance(module, _ConvNd) and module.transposed
        axis = 1 if (part.side == "in") != swapped and tensor.dim() > 1 else 0
        if part.side == "in" and tensor.dim() == 1:
            continue  # a bias, of what the layer gives
        before.append((tensor, tensor.detach().clone()))
        tensor.index_fill_(axis, index.to(tensor.device), 0)
