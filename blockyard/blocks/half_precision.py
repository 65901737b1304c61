"""float16 has eleven bits like few others have, and a range that ends at 65,504: products that need more range.

bfloat16 has the range of float32. All here does nothing but under autocast to float16, and in modules made float16.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
MAX = torch.finfo(torch.float16).max


def ranged(product: Callable[..., Tensor], *factors: Tensor, terms: int) -> Tensor:
    """A product in the precision of autocast, but with the range of float32.

    Where float16 is that precision, each sample's factors are divided by what makes sure that no sum overflows, and the
    product is multiplied by it in float32. Factors that are small enough stay as they are.

    Args:
        product: Linear in each factor, sample by sample, without bias: a product of matrices or a convolution.
        factors: ``(B, ...)`` each.
        terms: Number of products that are summed up.

    Returns:
        ``product(*factors)``; under autocast to float16 in float32.
    """
    if not computes_in_float16(*factors):
        return product(*factors)
    # So many products of factors that are at most this add up to MAX at most.
    limit = (MAX / terms) ** (1 / len(factors))
    divisors = [(x.detach().flatten(1).abs().amax(1).float() / limit).clamp_min(1) for x in factors]
    small = [(x / _over(d, x)).to(torch.float16) for x, d in zip(factors, divisors, strict=True)]
    result = product(*small).float()
    for divisor in divisors:
        result = result * _over(divisor, result)
    return result.to(roomy(factors[0]))


def ranged_layer(layer: Layer, x: Tensor) -> Tensor:
    """A linear map or a convolution whose input may leave the range of float16; otherwise as :func:`ranged`."""
    if not computes_in_float16(x) or layer.bias is None:
        return ranged(layer, x, terms=layer.weight[0].numel())
    bias = layer.bias if isinstance(layer, nn.Linear) else layer.bias.view(-1, *(1,) * (layer.weight.dim() - 2))
    return ranged(lambda x: layer(x) - bias, x, terms=layer.weight[0].numel()) + bias


def computes_in_float16(*tensors: Tensor) -> bool:
    """Whether a product of matrices ``(..., n, m)`` would be computed in float16."""
    if any(x.is_meta or x.dtype == torch.float64 for x in tensors):
        return False  # autocast leaves float64 alone, and knows no tensors that are shapes only
    kind = tensors[0].device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind) == torch.float16
    return any(x.dtype == torch.float16 for x in tensors)


def roomy(x: Tensor) -> torch.dtype:
    """The dtype for what may outgrow x, of any shape: float32 under autocast to float16, otherwise that of x."""
    under_autocast = computes_in_float16(x) and torch.is_autocast_enabled(x.device.type)
    return torch.float32 if under_autocast else x.dtype


def _over(divisor: Tensor, x: Tensor) -> Tensor:
    """``(B,)`` in the shape that stretches over ``(B, ...)``."""
    return divisor[(...,) + (None,) * (x.dim() - 1)]
