"""Any network of timm as a backbone."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import timm
from timm.models import adapt_input_conv, load_state_dict
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.plugging import stage_paths


class TimmBackbone(Backbone):
    """Adapter over a network of timm; plugs take the network's own paths, such as ``layer3.4``.

    Its stages are those of stride 4 and more, so that ``stage3`` of every family has stride 16.

    Args:
        num_classes: Number of classes K.
        in_channels: Channels of the images.
        name: Name in timm, with or without a weight tag, such as ``resnet50`` or ``resnet50.a1_in1k``.
        pretrained: Download timm's weights.
        weights: Weights from a file instead, ``.safetensors`` or ``.pth``, in timm's own layout. A classifier of
            other classes is left out, said in one line, and starts anew.
        output_stride: Stride of the last stage, 8, 16 or 32, where the family supports it.

    Raises:
        ValueError: If timm has no such network or refuses an option, or if the weights are not the network's.
    """

    stock_path = "net"

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        name: str = "resnet18",
        pretrained: bool = False,
        weights: str | Path | None = None,
        output_stride: int | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if pretrained and weights is not None:
            raise ValueError("TimmBackbone: give pretrained=True or a file of weights, not both")
        options: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
        self.net = _create(name, pretrained, num_classes=num_classes, in_chans=in_channels, **options)
        if weights is not None:
            _load(self.net, Path(weights), in_channels)
        info: Any = self.net.feature_info
        entries = [(i, entry) for i, entry in enumerate(getattr(info, "info", info)) if entry.get("reduction", 0) >= 4]
        self._indices = [i for i, _ in entries]
        paths = stage_paths(self.net).values()
        self.stages = tuple(
            Stage(path, entry["num_chs"], entry["reduction"]) for path, (_, entry) in zip(paths, entries, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Classify ``(B, in_channels, H, W)``; logits ``(B, num_classes)``."""
        return self.net(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, H / stage.stride, W / stage.stride)`` each, plugs included.

        Raises:
            ValueError: If timm gives no intermediate maps of this family.
        """
        net: Any = self.net
        if not hasattr(net, "forward_intermediates"):
            raise ValueError(f"TimmBackbone: timm gives no intermediate maps of {type(net).__name__}")
        return net.forward_intermediates(x, indices=self._indices, intermediates_only=True)


def _create(name: str, pretrained: bool, **options: Any) -> nn.Module:
    if not timm.is_model(name):
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=4) or ["none"]
        raise ValueError(f"TimmBackbone: timm has no network {name!r}; near: {', '.join(near)}")
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except (TypeError, AssertionError, NotImplementedError) as error:
        suspects = ("output_stride",) if "output_stride" in options else tuple(options)
        given = ", ".join(f"{key}={options[key]}" for key in suspects)
        raise ValueError(f"TimmBackbone: {name} does not take {given}: {_line(error)}") from error
    except Exception as error:
        if not pretrained:
            raise
        raise ValueError(
            f"TimmBackbone: no pretrained weights of {name} could be fetched ({_line(error)}); give weights=FILE"
        ) from error


def _load(net: nn.Module, path: Path, in_channels: int) -> None:
    """Strict, but for a classifier of another number of classes and a first convolution of another input."""
    if not path.is_file():
        raise ValueError(f"TimmBackbone: there is no file of weights {path}")
    try:
        state = load_state_dict(str(path), weights_only=True)
    except Exception as error:
        raise ValueError(f"TimmBackbone: {path} cannot be read as weights: {_line(error)}") from error
    config: Any = net.pretrained_cfg
    own = net.state_dict()
    for conv in _names(config.get("first_conv")):
        key = f"{conv}.weight"
        if key in state and key in own and state[key].shape[1] != own[key].shape[1]:
            state[key] = adapt_input_conv(in_channels, state[key])
    dropped = [
        key
        for name in _names(config.get("classifier"))
        for key in (f"{name}.weight", f"{name}.bias")
        if key in state and key in own and state[key].shape != own[key].shape
    ]
    if dropped:
        theirs, ours = state[dropped[0]].shape[0], own[dropped[0]].shape[0]
        print(f"{path.name}: classifier of {theirs} classes left out, the one of {ours} classes starts anew")
    kept = {key: own[key] if key in dropped else value for key, value in state.items()}
    try:
        net.load_state_dict(kept)
    except RuntimeError as error:
        raise ValueError(f"TimmBackbone: {path} holds other weights than the network's: {_summary(error)}") from error


def _names(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _summary(error: RuntimeError) -> str:
    """The first complaint of ``load_state_dict``, which comes as many lines."""
    lines = str(error).splitlines()
    text = lines[1].strip() if len(lines) > 1 else lines[0]
    return text if len(text) < 160 else f"{text[:160]}…"
