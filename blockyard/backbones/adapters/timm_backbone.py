"""Any network of timm as a backbone."""

from __future__ import annotations

import difflib
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import Tensor, nn

from blockyard.backbones.adapters.timm_head import TimmHead
from blockyard.backbones.base import Backbone, Stage, leaving_out
from blockyard.backbones.weights import first_line, following
from blockyard.plugging import stage_paths
from blockyard.poolings import Pooling

FILES = ("model.safetensors", "pytorch_model.bin")
"""What weights are called on the hub."""


class TimmBackbone(Backbone):
    """Adapter over a network of timm; plugs take the network's own paths, such as ``layer3.4``.

    Its stages are those of stride 4 and more, so that ``stage3`` of every family has stride 16.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the images.
        name: Name in timm, with or without a weight tag, such as ``resnet50`` or ``resnet50.a1_in1k``.
        pretrained: Download timm's weights.
        weights: Weights from a file instead: ``.safetensors`` or ``.pth`` in the layout of timm or torchvision, or a
            checkpoint of a training of any task with this network in it. One line says what is left out, such as a
            classifier of other classes, and what starts anew.
        output_stride: Stride of the last stage, 8, 16 or 32, where the family supports it.
        strict: Whether anything else in the file that does not match is a mistake; if not, it is printed.
        last_stride: 1 lets the last stage keep the resolution of the one before, without dilation, as person
            re-identification does and BoTNet-S1; None is the network's own.
        pooling: Replaces the network's pooling, and all that stands behind it, by this pooling and a new classifier;
            called with the channels of the last map. A class token joins the pooled vector. None is the network's own.
        drop_path_rate: Probability of dropping the last residual path in training, where the family supports it; most
            families let it grow from 0 with depth. None is the network's own, mostly 0.
        stem: Whether maps of strides 1 and 2, where the family has them, come before those of the stages, as decoders
            to full size want; None means no. ``stage1`` stays what it is.
        layers: Units of each stage in place of the network's own, where the family takes them, as ResNet does.

    Raises:
        ValueError: If timm has no such network or refuses an option, or if the weights are not the network's.
    """

    rank = 2
    stock_path = "net"

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        name: str = "resnet18",
        pretrained: bool = False,
        weights: str | Path | None = None,
        output_stride: int | None = None,
        strict: bool = True,
        last_stride: Literal[1] | None = None,
        pooling: Callable[[int], Pooling] | None = None,
        drop_path_rate: float | None = None,
        stem: bool | None = None,
        layers: Sequence[int] | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if pretrained and weights is not None:
            raise ValueError(f"{type(self).__name__}: give pretrained=True or a file of weights, not both")
        asked = {"output_stride": output_stride, "drop_path_rate": drop_path_rate, "layers": layers}
        options = {key: value for key, value in asked.items() if value is not None}
        fetched = pretrained and not following()
        self.net = _create(name, fetched, num_classes=max(num_classes, 1), in_chans=in_channels, **options)
        info: Any = self.net.feature_info
        entries = list(enumerate(getattr(info, "info", info)))
        first = [each for each in entries if stem and 0 < each[1].get("reduction", 0) < 4]
        later = [each for each in entries if each[1].get("reduction", 0) >= 4]
        if stem and not first:
            raise ValueError(f"TimmBackbone: {name} has no map of stride 1 or 2; leave stem away")
        self._indices = [i for i, _ in (*first, *later)]
        paths = stage_paths(self.net).values()
        stages = [Stage(at, entry["num_chs"], entry["reduction"]) for at, (_, entry) in zip(paths, later, strict=True)]
        self.before_stages = tuple(Stage(e["module"], e["num_chs"], e["reduction"]) for _, e in first)
        if last_stride is not None:
            _keep_resolution(self.net.get_submodule(stages[-1].path), name)
            stages[-1] = replace(stages[-1], stride=stages[-2].stride)
        self.stages = tuple(stages)
        config: Any = self.net.pretrained_cfg
        self.first_convolutions = _paths(config.get("first_conv"))
        self.classifiers = (*_paths(config.get("classifier")), "head.classifier")
        self.head: TimmHead | None = None
        if pooling is not None:
            with leaving_out(self.net):
                self.head = TimmHead(self.net, max(num_classes, 1), in_channels, pooling)
        if not num_classes:
            self.trunk()
        self.load_weights(weights, strict)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """The maps of ``(B, in_channels, H, W)``; with a head, logits ``(B, num_classes)`` as timm has them."""
        return self.net(x) if self.num_classes and self.head is None else super().forward(x)

    def last_map(self, x: Tensor) -> Tensor:
        """What timm's ``forward_features`` gives, a map or tokens."""
        net: Any = self.net
        return net.forward_features(x)

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` by timm's own head, or by the pooling's."""
        net: Any = self.net
        return (net.forward_head if self.head is None else self.head)(last)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, H / stage.stride, W / stage.stride)`` each, plugs included.

        Raises:
            ValueError: If timm gives no intermediate maps of this family.
        """
        net: Any = self.net
        if not hasattr(net, "forward_intermediates"):
            raise ValueError(f"TimmBackbone: timm gives no intermediate maps of {type(net).__name__}")
        return net.forward_intermediates(x, indices=self._indices, intermediates_only=True)

    def leave_head(self) -> None:
        """Take away what the maps do not pass, such as classifier and last norm, as timm does.

        Raises:
            ValueError: If timm gives no intermediate maps of this family.
        """
        net: Any = self.net
        if not hasattr(net, "prune_intermediate_layers"):
            raise ValueError(f"TimmBackbone: timm gives no intermediate maps of {type(net).__name__}")
        net.prune_intermediate_layers(self._indices, prune_norm=True, prune_head=True)
        self.head = None


def _create(name: str, pretrained: bool, **options: Any) -> nn.Module:
    import timm  # which only its own networks need

    if not timm.is_model(name):
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=4) or ["none"]
        raise ValueError(f"TimmBackbone: timm has no network {name!r}; near: {', '.join(near)}")
    if pretrained and not _hub_is_reached():
        options["pretrained_cfg_overlay"] = {"file": _cached(name)}
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except (TypeError, AssertionError, NotImplementedError) as error:
        suspects = [key for key in options if key in ("output_stride", "drop_path_rate", "layers")] or list(options)
        given = ", ".join(f"{key}={options[key]}" for key in suspects)
        raise ValueError(f"TimmBackbone: {name} does not take {given}: {first_line(error)}") from error
    except Exception as error:
        if not pretrained:
            raise
        raise ValueError(
            f"TimmBackbone: no pretrained weights of {name} could be fetched ({first_line(error)}); give weights=FILE"
        ) from error


def _hub_is_reached() -> bool:
    """Whether the Hugging Face hub has an address here; unknown behind a proxy, which looks it up itself."""
    from huggingface_hub import constants  # comes with timm

    if getproxies() or constants.HF_HUB_OFFLINE:  # then nothing is tried
        return True
    host = urlsplit(constants.ENDPOINT)
    try:
        socket.getaddrinfo(host.hostname, host.port or 443)
    except OSError:
        return False
    return True


def _cached(name: str) -> str:
    """The file of a network's pretrained weights that was fetched before.

    Its library would try again for more than a minute before it took that.

    Raises:
        ValueError: If there is none.
    """
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    try:
        config: Any = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise ValueError(f"TimmBackbone: {first_line(error)}") from error
    for file in FILES if config.hf_hub_id and not config.custom_load else ():
        if isinstance(found := try_to_load_from_cache(config.hf_hub_id, file), str):
            return found
    raise ValueError(
        f"TimmBackbone: {constants.ENDPOINT}, which has the pretrained weights of {name}, can't be reached from here; "
        "give weights=FILE"
    )


def _keep_resolution(stage: nn.Module, name: str) -> None:
    """Take the stride out of a stage: that of its convolutions, and its pools altogether, as timm at stride 1.

    Raises:
        ValueError: If it has none.
    """
    kinds = (nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d)
    strided = [(path, m) for path, m in stage.named_modules() if isinstance(m, kinds) and m.stride in (2, (2, 2))]
    if not strided:
        raise ValueError(f"TimmBackbone: the last stage of {name} has no stride to take out; leave last_stride away")
    for path, module in strided:
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            stage.set_submodule(path, nn.Identity())


def _paths(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Timm's name of a module, or its names, as paths in the adapter."""
    return tuple(f"net.{name}" for name in ((names,) if isinstance(names, str) else names or ()))
