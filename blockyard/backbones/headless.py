"""A backbone without what comes after its last map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blockyard.backbones.base import Backbone


def behead(backbone: Backbone, example: Tensor) -> None:
    """Take away what the last map does not pass, such as the classifier, so that every parameter left gets a gradient.

    ``features`` gives what it gave; ``forward`` can't be used any more.

    Args:
        backbone: Changed in place.
        example: Input ``(1, C, *S)`` of a size that the backbone takes.

    Raises:
        ValueError: If a parameter that no gradient reaches shares its module with one that is needed.
    """
    training = backbone.training
    names, parameters = zip(*backbone.named_parameters(), strict=True)
    with torch.enable_grad():
        last = backbone.eval().features(example)[-1]
        gradients = torch.autograd.grad(last.sum(), parameters, allow_unused=True)
    backbone.train(training)
    dead = {name for name, gradient in zip(names, gradients, strict=True) if gradient is None}
    for path, module in list(backbone.named_modules()):
        inside = {f"{path}.{name}" for name, _ in module.named_parameters()}
        if path and inside and inside <= dead:
            backbone.set_submodule(path, nn.Identity())
            dead -= inside
    if dead:
        raise ValueError(f"{type(backbone).__name__}: {min(dead)} does not reach the last map, yet can't be taken away")
