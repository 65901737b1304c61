"""A channel mixer whose hidden channels compete by how strong they are over the whole map."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from blockyard.blocks.base import Block, Mergeable, Slot, divide
from blockyard.blocks.channels.squeeze_excitation import SqueezeExcitation
from blockyard.blocks.convolutions.convolution import BATCH_NORMS
from blockyard.blocks.mixers.pointwise import Pointwise


class ResponseNorm(nn.Module):
    """Y = (1 + γ n) X + β, n = ‖X‖ / mean ‖X‖: of each channel its length over the map beside that of the others (GRN).

    Args:
        channels: C of ``(B, C, *S)``.
        bias: Whether there is β.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        each = (-1, *(1,) * (x.dim() - 2))
        length = x.flatten(2).norm(dim=2)
        factor = 1 + self.weight * (length / (length.mean(1, keepdim=True) + 1e-6))
        y = x * factor.unflatten(1, each)
        return y if self.bias is None else y + self.bias.view(each)


class ResponseNormMLP(Block, Mergeable):
    """Y = BN(W₂ GRN(gelu(W₁ SE(X)))), position by position but for the gates: the channel mixer of UniRepLKNet.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        ratio: Hidden channels / C.
        reduction: C over the channels of the hidden layer of the squeeze-and-excitation.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``, or there is no hidden channel.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    without_effect = ("response.bias",)  # which the last norm takes away again
    paper: ClassVar[str] = (
        "Woo et al., ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders, CVPR 2023"
    )

    def __init__(self, channels: int, spatial_dims: int = 2, *, ratio: float = 4.0, reduction: int = 4) -> None:
        super().__init__(channels, spatial_dims)
        if (hidden := int(ratio * channels)) < 1:
            raise ValueError(f"ResponseNormMLP: ratio={ratio} leaves no channel of {channels}")
        divide(channels, reduction, "ResponseNormMLP")
        self.gate = SqueezeExcitation(channels, spatial_dims, reduction=reduction)
        self.fc1 = Pointwise(channels, hidden)
        self.act = nn.GELU()
        self.response = ResponseNorm(hidden)
        self.fc2 = Pointwise(hidden, channels, bias=False)
        self.norm = BATCH_NORMS[spatial_dims](channels)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return self.norm(self.fc2(self.response(self.act(self.fc1(self.gate(x))))))

    @torch.no_grad()
    def merged(self) -> nn.Sequential:
        """The same where statistics stand still: the norm and β are parts of the last linear map."""
        block = copy.deepcopy(self).eval()
        last, response = block.fc2, block.response
        last.bias = nn.Parameter(last.weight @ response.get_parameter("bias"))
        response.bias = None
        return nn.Sequential(block.gate, block.fc1, block.act, response, fuse_linear_bn_eval(last, block.norm))
