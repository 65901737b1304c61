"""Taking away the parts of a network that what is made of it does not depend on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def keep_only(network: nn.Module, run: Callable[[], Tensor]) -> Tensor:
    """Take away the modules whose parameters a result does not depend on, so that every one left gets a gradient.

    Args:
        network: Changed in place: they become ``nn.Identity``.
        run: Gives the result, of any shape, by a pass through the network in evaluation mode.

    Returns:
        The result.

    Raises:
        ValueError: If a parameter that no gradient reaches shares its module with one that is needed.
    """
    training = network.training
    network.eval()
    with torch.enable_grad():
        result = run()
    network.train(training)
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(result.sum(), parameters, allow_unused=True)
    dead = {name for name, gradient in zip(names, gradients, strict=True) if gradient is None}
    for path, module in list(network.named_modules()):
        inside = {f"{path}.{name}" for name, _ in module.named_parameters()}
        if path and inside and inside <= dead:
            network.set_submodule(path, nn.Identity())
            dead -= inside
    if dead:
        raise ValueError(f"{type(network).__name__}: {min(dead)} does not reach the last map, yet can't be taken away")
    return result
