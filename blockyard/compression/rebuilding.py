"""A network as it was built, made what a checkpoint of a compressed one holds."""

from __future__ import annotations

import torch
from torch import nn

from blockyard.compression.quantising import Quantised, prepare
from blockyard.compression.sizes import Pruned, rebuild
from blockyard.compression.units import remove


def compress(
    network: nn.Module, pruned: Pruned | None, quantised: Quantised | None, input_shape: tuple[int, ...]
) -> None:
    """Give a network the units and sizes of a pruned one, then the roundings of a quantised one, in place.

    Args:
        network: As it was before.
        pruned: None leaves its sizes.
        quantised: None leaves its numbers.
        input_shape: ``(C, *S)`` of one sample.

    Raises:
        ValueError: If what is said is not of this network; one line.
    """
    if pruned is not None:
        remove(network, pruned.removed or ())
        rebuild(network, pruned.sizes, torch.zeros(1, *input_shape))
    if quantised is not None:
        prepare(network, quantised.bits)
