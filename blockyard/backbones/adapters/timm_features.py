"""Any network of timm as a pyramid of feature maps, without its classifier."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from blockyard.backbones.adapters.timm_backbone import TimmBackbone
from blockyard.backbones.adapters.weights import load_weights


class TimmFeatures(nn.Module):
    """The stages of stride 4 and more of a network of timm, for heads that predict densely.

    What the maps do not pass, such as classifier and last norm, is taken away, so that every parameter gets a
    gradient. All other keys are the stock network's: its checkpoints load, also later, by ``load_state_dict``.

    Args:
        in_channels: Channels of the images.
        name: Name in timm, with or without a weight tag, such as ``resnet50`` or ``resnet50.a1_in1k``.
        pretrained: Download timm's weights.
        weights: Weights from a file instead, ``.safetensors`` or ``.pth``, in timm's own layout.
        output_stride: Stride of the last stage, 8, 16 or 32, where the family supports it.
        strict: Whether what does not match in the file of weights is a mistake; if not, it is printed.

    Raises:
        ValueError: If timm has no such network, gives no intermediate maps of it or refuses an option, or if the
            weights are not the network's.
    """

    stock_path = "net"

    def __init__(
        self,
        in_channels: int = 3,
        name: str = "resnet18",
        pretrained: bool = False,
        weights: str | Path | None = None,
        output_stride: int | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__()
        if pretrained and weights is not None:
            raise ValueError("TimmFeatures: give pretrained=True or a file of weights, not both")
        stock = TimmBackbone(1, in_channels, name, pretrained, output_stride=output_stride)
        self.in_channels = in_channels
        self.stages = stock.stages
        self.net = stock.net
        indices = _indices(self.net)
        first = _names(getattr(self.net, "pretrained_cfg", {}).get("first_conv"))
        _prune(self.net, name, indices)
        self.read = partial(_maps, indices=indices)
        if weights is not None:
            load_weights(self.net, weights, in_channels=in_channels, first_convolutions=first, strict=strict)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages of ``(B, in_channels, H, W)``, ``(B, stage.channels, H', W')`` each.

        H' = ⌈H / stage.stride⌉ in most families; plugs included.
        """
        return self.read(self.net, x)


def _maps(net: Any, x: Tensor, indices: list[int]) -> list[Tensor]:
    return net.forward_intermediates(x, indices=indices, intermediates_only=True)


def _indices(net: Any) -> list[int]:
    """Which of timm's feature maps have stride 4 and more, as :attr:`TimmBackbone.stages` has them."""
    info = net.feature_info
    return [i for i, entry in enumerate(getattr(info, "info", info)) if entry.get("reduction", 0) >= 4]


def _prune(net: Any, name: str, indices: list[int]) -> None:
    """Take away what the maps do not pass, and let checkpoints that still hold it load."""
    if not hasattr(net, "prune_intermediate_layers"):
        raise ValueError(f"TimmFeatures: timm gives no intermediate maps of {name} ({type(net).__name__})")
    whole = set(net.state_dict())
    net.prune_intermediate_layers(indices, prune_norm=True, prune_head=True)
    net.register_load_state_dict_pre_hook(partial(_drop_keys, pruned=frozenset(whole - set(net.state_dict()))))


def _drop_keys(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any, pruned: frozenset[str]) -> None:
    for key in pruned:
        state.pop(prefix + key, None)


def _names(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())
