"""Channels that can only go together: what torch-pruning's dependency graph says, in words of our own.

Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from blockyard.backbones import Backbone
from blockyard.blocks.base import Block
from blockyard.compression.sizes import depthwise, sizes_of

PATIENCE = 3_000
"""Nodes that the library may visit for one group; DenseNet-121 takes 1,296."""
SECONDS = 10.0
"""Of this process, that it may take for it; where it comes to an end at all, a fraction of one."""
Side = Literal["out", "in", "both"]


@dataclass(frozen=True)
class Part:
    """Where the channels of a group lie in one layer.

    Attributes:
        path: Of the layer.
        side: Whether they are what it gives or what it takes, or ``both``, as of norms and depthwise convolutions.
        index: Positions among the layer's channels, ``(n,)``: more than one a channel behind a flattened map.
        channel: Which of the group's channels each belongs to, ``(n,)``.
    """

    path: str
    side: Side
    index: Tensor
    channel: Tensor


@dataclass(frozen=True)
class Group:
    """Channels of several layers of which each goes with those that are added to it, scaled by it or read from it.

    Attributes:
        name: Path of a layer that makes them.
        size: How many there are.
        parts: Where they lie.
        closed: Why none of them may go, if so.
    """

    name: str
    size: int
    parts: tuple[Part, ...]
    closed: str = ""

    def writers(self, network: nn.Module) -> list[tuple[Part, nn.Module]]:
        """The convolutions and linear layers that make them, those of one channel each left out."""
        return [(part, module) for part, module in self._given(network) if part.side == "out"]

    def norms(self, network: nn.Module) -> list[tuple[Part, _BatchNorm]]:
        """The batch norms that scale them."""
        return [(part, module) for part, module in self._given(network) if isinstance(module, _BatchNorm)]

    def readers(self, network: nn.Module) -> list[tuple[Part, nn.Module]]:
        """The convolutions and linear layers that take them."""
        return [(part, network.get_submodule(part.path)) for part in self.parts if part.side == "in"]

    def _given(self, network: nn.Module) -> list[tuple[Part, nn.Module]]:
        return [(part, network.get_submodule(part.path)) for part in self.parts if part.side != "in"]

    def sums(self, part: Part, values: Tensor) -> Tensor:
        """Values of a layer's channels ``(N,)``, summed over those of each of the group's, ``(size,)``."""
        found = values.new_zeros(self.size)
        return found.index_add(0, part.channel.to(values.device), values[part.index.to(values.device)])


class _Visited(list[Any]):
    """Dependencies that count how often they are looked at, as the library may follow a circle for ever."""

    looks, since = 0, 0.0

    @classmethod
    def begin(cls) -> None:
        """Begin with a group."""
        cls.looks, cls.since = 0, time.process_time()

    def __iter__(self) -> Iterator[Any]:
        """One more look.

        Raises:
            ValueError: If there are too many, or they take too long: positions may become more with every round.
        """
        _Visited.looks += 1
        if _Visited.looks > PATIENCE or time.process_time() - _Visited.since > SECONDS:
            raise ValueError("its graph has too many ways")
        return super().__iter__()


class Coupling:
    """The groups of a network, and the surgery that torch-pruning does by them.

    Args:
        network: To be traced; what is cut later is this one.
        example: ``(B, C, *S)``.

    Raises:
        ValueError: If torch-pruning is not installed, or can't trace the network; one line.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        library = _library()
        self.network = network
        network.eval().requires_grad_(True)
        try:
            with warnings.catch_warnings(), torch.enable_grad():
                warnings.simplefilter("ignore")
                self.graph = library.DependencyGraph().build_dependency(network, example, verbose=False)
        except Exception as error:  # it raises what it likes of a network that it can't read
            said = str(error).splitlines()[:1] or [type(error).__name__]
            raise ValueError(f"prune: torch-pruning can't trace {_named(network)}: {said[0]}") from error
        for node in self.graph.module2node.values():
            node.dependencies = _Visited(node.dependencies)
        self._paths = {module: path for path, module in network.named_modules()}
        self._roots: dict[str, tuple[nn.Module, Any]] = {}

    def groups(self) -> list[Group]:
        """All groups but those of the network's output, in the order in which the network makes them."""
        kept = _last(self.network)
        found = []
        for group in self._patiently(self.graph.get_all_groups(ignored_layers=kept)):
            root, cut = group[0].dep.target.module, group[0].dep.handler
            name = self._paths[root]
            self._roots[name] = root, cut
            found.append(self._translated(name, group))
        order = {path: number for number, path in enumerate(self._paths.values())}
        return sorted(found, key=lambda group: order[group.name])

    def _patiently(self, groups: Iterator[Any]) -> Iterator[Any]:
        while True:
            _Visited.begin()
            try:
                yield next(groups)
            except StopIteration:
                return
            except Exception as error:  # as above
                raise ValueError(f"prune: torch-pruning can't follow {_named(self.network)}: {error}") from error

    def cut(self, group: Group, channels: Sequence[int]) -> None:
        """Take channels out of all layers of a group."""
        _Visited.begin()
        root, function = self._roots[group.name]
        self.graph.get_pruning_group(root, function, sorted(channels)).prune()

    def _translated(self, name: str, group: Any) -> Group:
        parts, closed = {}, ""
        for item in group:
            module, handler = item.dep.target.module, item.dep.handler
            if isinstance(module, nn.Parameter):
                closed = closed or "a parameter that no layer holds depends on them"
                continue
            if module not in self._paths or not list(module.parameters(recurse=False)):
                continue
            path = self._paths[module]
            if refusal := _refusal(module, path):
                closed = closed or refusal
                continue
            both = isinstance(module, _BatchNorm | nn.PReLU) or depthwise(module)
            out = self.graph.is_out_channel_pruning_fn(handler)
            side: Side = "both" if both else "out" if out else "in"
            index, channel = torch.tensor(item.idxs), torch.tensor(item.root_idxs)
            parts[path, side] = Part(path, side, index, channel)
        size = len(group[0].idxs)
        for part in parts.values():  # such as queries, keys and values that one layer gives
            if not _even(part, size, self.network.get_submodule(part.path)):
                closed = closed or f"{part.path} has others than {name}"
        return Group(name, size, tuple(parts.values()), closed)


def _named(network: nn.Module) -> str:
    blocks = {type(module).__name__ for module in network.modules() if isinstance(module, Block)}
    return f"{type(network).__name__} with {', '.join(sorted(blocks))}" if blocks else type(network).__name__


def _even(part: Part, size: int, module: nn.Module) -> bool:
    """Whether each channel of a group has as many in a layer, all of them others."""
    counts = torch.bincount(part.channel, minlength=size)
    width = sizes_of(module)[""][1 if part.side == "in" else 0]
    return bool(
        (counts == counts[0]).all() and part.index.max() < width and len(part.index.unique()) == len(part.index)
    )


def _refusal(module: nn.Module, path: str) -> str:
    """Why channels of a layer can't go by themselves, if so."""
    if isinstance(module, _ConvNd) and module.groups > 1 and not depthwise(module):
        return f"{path} is a convolution in {module.groups} groups"
    known = isinstance(module, _ConvNd | nn.Linear | _BatchNorm | nn.PReLU)
    return "" if known else f"{type(module).__name__} at {path} sees all of them at once"


def _last(network: nn.Module) -> list[nn.Module]:
    """The layers that give the network's output."""
    backbones = [module for module in network.modules() if isinstance(module, Backbone)]
    paths = {name for backbone in backbones for name in backbone.classifiers}
    modules = dict(network.named_modules())
    found = [module for path, one in modules.items() if path in paths for module in one.modules()]
    linear: list[nn.Module] = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return found or linear[-1:]


def _library() -> Any:
    try:
        logging.getLogger("torch_pruning").setLevel(logging.ERROR)
        import torch_pruning
    except ImportError as error:
        raise ValueError("prune: torch-pruning is not installed: pip install 'blockyard[prune]'") from error
    return torch_pruning
