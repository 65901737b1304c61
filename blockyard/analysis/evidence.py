"""What each channel adds to a logit at each time, of a network of two convolutions and one rectifier.

A logit is a weighted sum of what the rectifier lets through, a batch norm's shift and the classifier's bias. What it
lets through is drawn back by the two convolutions: to each channel and time what it has put in, and their biases in
equal parts to all channels and times that a kernel sees. So the evidence sums to the logit less a constant of the
network, the logit of a series of which the rectifier lets nothing through (after Cui et al., TNNLS 2022, whose drawings
mark the most discriminative positions; here every position keeps its amount).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.backbones import InterpretableCNN

OWN = (nn.Conv1d, nn.ReLU, nn.BatchNorm1d, nn.Linear)
"""What the network is made of, if nothing is plugged in."""


@dataclass(frozen=True)
class Evidence:
    """Where logits come from.

    Attributes:
        logits: The network's, ``(B, K)``, float64.
        bias: What they are of a series of which nothing passes the rectifier, ``(K,)``.
        values: What each channel adds at each time, ``(B, K, C, L)``; their sum is ``logits - bias``.
    """

    logits: Tensor
    bias: Tensor
    values: Tensor


def evidence(network: nn.Module, x: Tensor) -> Evidence:
    """What each channel adds to each logit at each time, in evaluation.

    Args:
        network: A classifier; left as it is.
        x: Series ``(B, C, L)``.

    Raises:
        ValueError: If it is no such network, or has a block in it; one line.
    """
    _insist_on_kind(network)
    alone = copy.deepcopy(network).double().eval()
    assert isinstance(alone, InterpretableCNN)
    assert isinstance(alone.fc, nn.Linear)
    classes, x = alone.fc, x.double()
    with torch.no_grad():
        filtered = alone.filtered(x)
        logits = alone(x)
        nothing = alone.batchnorm(torch.zeros_like(filtered[:1, :, :1]))
        factor = (alone.batchnorm(torch.ones_like(nothing)) - nothing)[0, :, 0]
        bias = classes(nothing[0, :, 0])
        passed = (classes.weight * factor)[None, :, :, None] * (filtered > 0)[:, None] / filtered.shape[-1]
        values = torch.stack([_drawn_back(alone, x, passed[:, k]) for k in range(len(bias))], 1)
    return Evidence(logits, bias, values)


def _drawn_back(network: InterpretableCNN, x: Tensor, weight: Tensor) -> Tensor:
    """What weighs each filter's output, ``(B, F, T)``, by what has made it, ``(B, C, L)``."""
    mixing, taps = network.pointwise, network.depthwise
    assert mixing.bias is not None
    assert taps.bias is not None
    of_mixtures = F.conv_transpose1d(weight, taps.weight, groups=taps.groups)
    of_values = F.conv_transpose1d(of_mixtures, mixing.weight) * x
    shared = (of_mixtures * mixing.bias[:, None]).sum(1, keepdim=True)
    window = torch.full((1, 1, taps.kernel_size[0]), 1 / taps.kernel_size[0], dtype=x.dtype, device=x.device)
    shared = shared + F.conv_transpose1d((weight * taps.bias[:, None]).sum(1, keepdim=True), window)
    return of_values + shared / x.shape[1]


def _insist_on_kind(network: nn.Module) -> None:
    name = type(network).__name__
    if not isinstance(network, InterpretableCNN):
        raise ValueError(f"evidence: {name} can't be drawn back exactly; InterpretableCNN can")
    for path, module in network.named_modules():
        if path and type(module) not in OWN:
            raise ValueError(f"evidence: {type(module).__name__} at {path} is not drawn back")
