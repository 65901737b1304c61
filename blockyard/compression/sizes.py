"""How many channels a layer has, and giving it fewer: what a checkpoint of a pruned network says, and its rebuilding.

No library is needed here, so that a pruned checkpoint loads wherever its blocks do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from blockyard.backbones import Backbone
from blockyard.blocks.base import Block
from blockyard.mistakes import nearest
from blockyard.plugging import undisturbed
from blockyard.plugging.places import stock_network

Sizes = dict[str, list[int]]
"""By the path of a layer its sizes: channels out and in of a convolution or a linear layer, those of a norm or block.
"""


@dataclass
class Pruned:
    """What ``blockyard prune`` has left of a network, and how.

    Args:
        sizes: By the path of a layer in the network, how many channels it has: ``[out, in]`` of convolutions and linear
            layers, ``[channels]`` of norms and blocks. The others have those that they are built with.
        criterion: By what it was pruned; None is no training but these sizes, to be trained from the start.
        keep: Which share was to be kept; None where ``blockyard search`` chose the sizes.
        measure: Of what.
        scope: Whether channels were compared within layers or across.
        steps: In how many steps.
        samples: How many training samples the criterion saw.
        calibration: From how many training samples batch norms took their statistics anew after each step.
        epochs: How many epochs were trained after each step.
        lr_factor: Of the learning rate of these.
        after: What it had been pruned by before.
        removed: The paths of units in whose place nothing is.
    """

    sizes: dict[str, list[int]]
    criterion: str | None = None
    keep: float | None = None
    measure: str | None = None
    scope: str | None = None
    steps: int | None = None
    samples: int | None = None
    calibration: int | None = None
    epochs: int | None = None
    lr_factor: float | None = None
    after: str | None = None
    removed: list[str] | None = None

    def told(self) -> str:
        """By what it was pruned, and how far, in a few words."""
        how_far = f"{100 * self.keep:.3g} % of {self.measure or 'nothing'}" if self.keep else "what a search chose"
        words = f"{self.criterion or 'nothing'} to {how_far}"
        words += ", statistics anew" if self.calibration else ""
        return f"{self.after}, {words}" if self.after else words


def sizes_of(network: nn.Module) -> Sizes:
    """The sizes of all layers that can be given others."""
    found = {path: _size(module) for path, module in network.named_modules()}
    return {path: size for path, size in found.items() if size}


def smaller(before: Sizes, after: Sizes) -> Sizes:
    """The sizes that have changed."""
    return {path: size for path, size in after.items() if before.get(path) != size}


def resize(network: nn.Module, sizes: Sizes) -> None:
    """Give layers other sizes, in place, with the first channels of their weights: a checkpoint has the right ones.

    Raises:
        ValueError: If there is no such layer, or it would grow; one line.
    """
    layers = {path: module for path, module in network.named_modules() if _size(module)}
    for path, size in sizes.items():
        if path not in layers:
            raise ValueError(f"pruned: the network has no layer {path}; {nearest(path, layers)}")
        module, now = layers[path], _size(layers[path])
        if len(size) != len(now) or not all(0 < new <= old for new, old in zip(size, now, strict=True)):
            raise ValueError(f"pruned: {path} is a {type(module).__name__} of {now}, and can't become one of {size}")
        _cut(module, size)


def rebuild(network: nn.Module, sizes: Sizes, example: Tensor) -> None:
    """Give a network the sizes of a pruned one, and say so in its stages.

    Args:
        network: As it was before it was pruned.
        sizes: Of :class:`Pruned`.
        example: ``(1, C, *S)``, which has to pass.

    Raises:
        ValueError: If the sizes are not of this network, or do not go together; one line.
    """
    whole = stage_shapes(network, example)
    resize(network, sizes)
    try:
        tell_stages(network, example, whole)
    except (RuntimeError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"pruned: layers of these sizes do not go together: {said}") from error


Shapes = list[dict[str, tuple[int, ...]]]


def stage_shapes(network: nn.Module, example: Tensor) -> Shapes:
    """The shapes of the maps of each stage, by path, of each backbone in a network."""
    found: Shapes = []
    handles = []
    for backbone in _backbones(network):
        found.append({})
        stock = stock_network(backbone)
        for stage in backbone.stages:
            handles.append(stock.get_submodule(stage.path).register_forward_hook(_noting(found[-1], stage.path)))
    try:
        with undisturbed(network):
            network(example.to(next(network.parameters(), example)))
    finally:
        for handle in handles:
            handle.remove()
    return found


def tell_stages(network: nn.Module, example: Tensor, whole: Shapes) -> None:
    """Let the stages of backbones say how many channels they have now.

    Args:
        network: Already cut.
        example: ``(B, C, *S)``.
        whole: The shapes that there were.
    """
    shapes = stage_shapes(network, example)
    for backbone, before, now in zip(_backbones(network), whole, shapes, strict=True):
        stages = []
        for stage in backbone.stages:
            old, new = before.get(stage.path, ()), now.get(stage.path, ())
            axis = old.index(stage.channels, 1) if stage.channels in old[1:] else None
            stages.append(stage if axis is None else replace(stage, channels=new[axis]))
        backbone.stages = tuple(stages)


def _backbones(network: nn.Module) -> list[Backbone]:
    return [module for module in network.modules() if isinstance(module, Backbone)]


def _noting(seen: dict[str, tuple[int, ...]], path: str) -> Any:
    def note(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen[path] = tuple(output.shape)

    return note


def depthwise(module: nn.Module) -> bool:
    """Whether each channel of a convolution sees one."""
    return isinstance(module, _ConvNd) and module.groups == module.in_channels == module.out_channels > 1


def _size(module: nn.Module) -> list[int]:
    if isinstance(module, _ConvNd):
        return [module.out_channels, module.in_channels]
    if isinstance(module, nn.Linear):
        return [module.out_features, module.in_features]
    if isinstance(module, _BatchNorm):
        return [module.num_features]
    if isinstance(module, nn.PReLU):
        return [module.num_parameters]
    return [module.channels] if isinstance(module, Block) else []


def _cut(module: nn.Module, size: list[int]) -> None:
    alone = depthwise(module)
    set_sizes(module, size)
    if isinstance(module, Block):
        return
    for name, weight in list(module.named_parameters(recurse=False)):
        cut = _first(weight.detach(), _shape(module, size, alone)).clone()
        setattr(module, name, nn.Parameter(cut, weight.requires_grad))
    for name, statistic in list(module.named_buffers(recurse=False)):
        setattr(module, name, _first(statistic, size).clone())


def set_sizes(module: Any, size: list[int]) -> None:
    """Let a layer say other sizes, its weights left as they are."""
    if isinstance(module, _ConvNd):
        module.groups = size[0] if depthwise(module) else module.groups
        module.out_channels, module.in_channels = size
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = size
    elif isinstance(module, _BatchNorm):
        (module.num_features,) = size
    elif isinstance(module, nn.PReLU):
        (module.num_parameters,) = size
    else:
        (module.channels,) = size


def _shape(module: nn.Module, size: list[int], alone: bool) -> list[int]:
    """The first axes of a weight."""
    if not isinstance(module, _ConvNd):
        return size
    each = 1 if alone else size[1] // module.groups
    return [size[1], size[0] // module.groups] if module.transposed else [size[0], each]


def _first(x: Tensor, shape: list[int]) -> Tensor:
    return x[tuple(map(slice, shape[: x.dim()]))]
