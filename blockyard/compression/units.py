"""Units of a network that can be taken away, as what they give has the shape of what they are given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from blockyard.backbones import Backbone, FrontEnded
from blockyard.mistakes import nearest
from blockyard.plugging import named_places, undisturbed


def units(network: nn.Module) -> list[str]:
    """The paths of all units of the stages of a network's backbones."""
    names = {module: path for path, module in network.named_modules()}
    found = []
    for backbone in network.modules():
        if isinstance(backbone, Backbone) and not isinstance(backbone, FrontEnded):
            for number, _ in enumerate(backbone.stages, 1):
                found += [names[place.module] for place in named_places(backbone, f"stage{number}.*")]
    return found


def removable(network: nn.Module, example: Tensor) -> list[str]:
    """The paths of units without which a network runs: one that gives another shape than it is given stays.

    Args:
        network: Left as it is.
        example: ``(B, C, *S)``.
    """
    shapes: dict[str, bool] = {}

    def note(path: str) -> Any:
        def take(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            tensors = [*given, output]
            alone = len(given) == 1 and all(isinstance(one, Tensor) for one in tensors)
            shapes[path] = alone and given[0].shape == output.shape

        return take

    handles = [network.get_submodule(path).register_forward_hook(note(path)) for path in units(network)]
    try:
        with undisturbed(network):
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    return [path for path, same in shapes.items() if same]


def remove(network: nn.Module, paths: Iterable[str]) -> None:
    """Put nothing in the place of units, in place.

    Raises:
        ValueError: If there is no such unit; one line.
    """
    known = units(network)
    for path in paths:
        if path not in known:
            raise ValueError(f"pruned: the network has no unit {path}; {nearest(path, known)}")
        network.set_submodule(path, nn.Identity())
