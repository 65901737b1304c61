"""Statistics of batch norms taken anew, as those of a larger network do not hold in a part of it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def recalibrate(network: nn.Module, inputs: Iterable[Tensor]) -> int:
    """Take the running means and variances of all batch norms from these inputs alone, in place.

    Every batch counts once, and each norm sees what the norms before it make of that batch by its own statistics, as in
    training; all else, dropout among it, is in evaluation, and no weight changes.

    Args:
        network: Its modes are what they were afterwards.
        inputs: Batches ``(B, C, *S)`` of training samples, several positions each.

    Returns:
        How many norms there are; inputs are not read where it is 0.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        return 0
    modes = {module: module.training for module in network.modules()}
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # the mean over all batches
    try:
        with torch.no_grad():
            for x in inputs:
                network(x)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training
    return len(norms)
