"""Any backbone of mmsegmentation, from its config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.backbones.adapters.mmseg_config import build, plain
from blockyard.backbones.base import Backbone, Stage
from blockyard.plugging import undisturbed

RESNET50_D8: Mapping[str, Any] = {
    "type": "ResNetV1c",
    "depth": 50,
    "num_stages": 4,
    "out_indices": (0, 1, 2, 3),
    "dilations": (1, 1, 2, 4),
    "strides": (1, 2, 1, 1),
    "norm_cfg": {"type": "BN", "requires_grad": True},
    "norm_eval": False,
    "style": "pytorch",
    "contract_dilation": True,
}
"""The dilated ResNet-50 of mmsegmentation's ``r50-d8`` configs: strides 4, 8, 8, 8."""
_SIDE = 64
_SEGMENTOR = "backbone."


class MMSegBackbone(Backbone):
    """A backbone of mmsegmentation as a pyramid of feature maps.

    Nothing is ever downloaded, or read but ``weights``: a config with ``pretrained``, or an ``init_cfg`` of type
    Pretrained, is refused. Synchronised norms become plain ones, as Lightning's ``sync_batchnorm`` converts.

    Args:
        num_classes: 0: mmsegmentation's backbones have no head.
        in_channels: Channels of the images.
        config: The backbone's config, a mapping with ``type``; ``RESNET50_D8`` if None.
        weights: Weights from a file: in the backbone's own layout, in that of a whole segmentor, or a checkpoint of a
            training with this backbone in it.
        strict: Whether what does not match in the file of weights is a mistake; if not, it is printed.

    Raises:
        ValueError: If mmsegmentation has no such backbone, it refuses an option or gives other things than maps, or
            the weights are not the backbone's.
    """

    rank = 2
    stock_path = "net"
    first_convolutions = ()
    classifiers = ()

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        config: dict[str, Any] | None = None,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if num_classes:
            raise ValueError(
                f"MMSegBackbone has no head for {num_classes} classes; it gives maps to heads that are put on"
            )
        options = plain(RESNET50_D8 if config is None else config)
        if in_channels != 3 or "in_channels" in options:  # some take three channels only, and have no such option
            options.setdefault("in_channels", in_channels)
        given = options.get("in_channels", in_channels)
        if given != in_channels:
            raise ValueError(f"MMSegBackbone: the config is for {given} channels, the images have {in_channels}")
        self.net = build(options, "backbone")
        self.net.register_load_state_dict_pre_hook(_keep_backbone)
        self.stages = _stages(self.net, in_channels)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of ``(B, in_channels, H, W)``, ``(B, stage.channels, H', W')`` each, plugs included."""
        return list(self.net(x))


def _keep_backbone(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Of a whole segmentor's checkpoint keep the backbone; of an image classifier's drop the classifier."""
    start = prefix + _SEGMENTOR
    if any(key.startswith(start) for key in state):
        for key in [key for key in state if key.startswith(prefix)]:
            value = state.pop(key)
            if key.startswith(start):
                state[prefix + key[len(start) :]] = value
    if "fc" not in module._modules:
        for name in ("fc.weight", "fc.bias"):
            state.pop(prefix + name, None)


def _stages(net: nn.Module, in_channels: int) -> tuple[Stage, ...]:
    """Path, channels and stride of every map: the outermost module that gives it, as one small forward shows."""
    given: dict[int, str] = {}
    outputs: list[Tensor] = []  # held, so that no id is used twice

    def hook(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs.append(output)
            given[id(output)] = names[module]  # the outermost comes last

    names = {module: name for name, module in net.named_modules() if name}
    handles = [module.register_forward_hook(hook) for module in names]
    try:
        with undisturbed(net):
            maps = net(torch.zeros(1, in_channels, _SIDE, _SIDE))
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(maps, list | tuple) or not all(isinstance(x, Tensor) and x.dim() == 4 for x in maps):
        raise ValueError(f"MMSegBackbone: {type(net).__name__} gives no list of maps (B, C, H, W)")
    return tuple(Stage(given.get(id(x), ""), x.shape[1], round(_SIDE / x.shape[3])) for x in maps)
