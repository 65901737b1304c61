"""Prefixes of residual networks: the first channels of every layer, and the first units of every stage."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from blockyard.backbones import Backbone, FrontEnded, PreResNet, TimmBackbone
from blockyard.plugging import Gated, Plugged, Replaced, Wrapped, named_places
from blockyard.plugging.places import stock_network

Prefix = tuple[float, float]
"""Width and depth, fractions above 0 and up to 1: of the channels of each layer, and of the units of each stage."""
WHOLE: Prefix = (1.0, 1.0)


def prefix_of(network: Backbone, prefix: Prefix) -> Backbone:
    """A network of its own that is a prefix of another, with copies of its weights and statistics.

    Every stage keeps at least its first unit, every layer at least one channel; fractions are rounded. Channels of the
    input and classes stay. The weights of a layer are a corner of the other's (:func:`corner`), under the same name.

    Args:
        network: A PreResNet, or a ResNet of timm, also behind a front end; left as it was.
        prefix: Its width and depth. With a width of 1 the network may hold blocks, which stay or go with their unit.

    Raises:
        ValueError: If the network is another one, or has a layer whose channels can't be cut, or the prefix is no
            such pair; one line.
    """
    width, depth = _checked(prefix)
    if isinstance(network, FrontEnded):
        return _behind_front_end(network, prefix)
    _refuse_others(network)
    part = copy.deepcopy(network)
    for number, _ in enumerate(part.stages, 1):
        units = [place.path for place in named_places(part, f"stage{number}.*")]
        for path in units[_share(depth, len(units)) :]:
            stock_network(part).set_submodule(path, nn.Identity())
    if width < 1:
        _refuse_uncut(part)
        for path, module in part.named_modules():
            _narrow(module, width, path in part.first_convolutions, path in part.classifiers)
        part.stages = tuple(replace(stage, channels=_share(width, stage.channels)) for stage in part.stages)
    return part


def _behind_front_end(network: FrontEnded, prefix: Prefix) -> Backbone:
    part = copy.deepcopy(network)
    part.backbone = prefix_of(network.backbone, prefix)
    part.stages = part.backbone.stages
    return part


def corner(x: Tensor, shape: torch.Size) -> Tensor:
    """The first elements of ``x``, such as ``(C_out, C_in, *S)``, along each axis, as many as ``shape`` says."""
    return x[tuple(map(slice, shape))]


def _share(fraction: float, count: int) -> int:
    return max(1, round(fraction * count))


def _checked(prefix: Prefix) -> Prefix:
    if len(prefix) != 2 or not all(0 < fraction <= 1 for fraction in prefix):
        raise ValueError(f"prefix must be a width and a depth, each above 0 and up to 1, got {list(prefix)}")
    return prefix


def _refuse_others(network: nn.Module) -> None:
    stock: Any = network.net if isinstance(network, TimmBackbone) else network
    kind = type(stock)
    if any(isinstance(module, Wrapped) for module in network.modules()):
        raise ValueError("prefix: a wrapper around a stage or unit needs all of it: leave mode around away")
    if isinstance(network, PreResNet) or (kind.__module__, kind.__name__) == ("timm.models.resnet", "ResNet"):
        return
    raise ValueError(f"prefix: {kind.__name__} has none: take PreResNet, or a ResNet of TimmBackbone")


def _refuse_uncut(network: nn.Module) -> None:
    """See that every layer with weights is one whose channels can be cut."""
    for path, module in network.named_modules():
        if isinstance(module, Plugged | Gated | Replaced):
            raise ValueError(f"prefix: the block at {path} can't be narrowed: leave it away, or all widths at 1")
        weights = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        plain = isinstance(module, _BatchNorm | nn.Linear) or (isinstance(module, _ConvNd) and module.groups == 1)
        if weights and not plain:
            raise ValueError(f"prefix: {type(module).__name__} at {path} can't be narrowed: leave all widths at 1")


def _narrow(module: nn.Module, width: float, sees_input: bool, classifies: bool) -> None:
    """Cut the channels of one layer."""
    if isinstance(module, _BatchNorm):
        module.num_features = _share(width, module.num_features)
        sizes: tuple[int, ...] = (module.num_features,)
    elif isinstance(module, _ConvNd):
        module.in_channels = module.in_channels if sees_input else _share(width, module.in_channels)
        module.out_channels = _share(width, module.out_channels)
        sizes = (module.out_channels, module.in_channels)
    elif isinstance(module, nn.Linear):
        module.in_features = _share(width, module.in_features)
        module.out_features = module.out_features if classifies else _share(width, module.out_features)
        sizes = (module.out_features, module.in_features)
    else:
        return
    for name, weight in list(module.named_parameters(recurse=False)):
        cut = corner(weight.detach(), torch.Size(sizes[: weight.dim()])).clone()
        setattr(module, name, nn.Parameter(cut, weight.requires_grad))
    for name, statistic in list(module.named_buffers(recurse=False)):
        setattr(module, name, corner(statistic, torch.Size(sizes[: statistic.dim()])).clone())
