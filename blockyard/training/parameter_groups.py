"""Which learning rate and which weight decay each parameter gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import inf
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import nn

from blockyard.mistakes import nearest
from blockyard.plugging import Plugged, Replaced, stage_paths

Named = Iterable[tuple[str, nn.Parameter]]


@dataclass(frozen=True)
class ParameterGroups:
    """Parts of a plugged network that are trained differently.

    Args:
        network: The network.
        multipliers: Factors of the learning rate, by the beginning of a parameter's name; of several, the first. At 0
            weights stay, and all else that training changes goes on, such as batch-norm statistics.
        layer_decay: Factor from one layer of the network to the one before it, beginning with 1 at the head.
        no_weight_decay: Whether biases, norms and all else of one axis at most, and what the network itself says, are
            left without weight decay; or names of further parameters, with all of these.
        frozen: Names of parameters that no optimiser holds.

    Raises:
        ValueError: If a name fits no parameter, a multiplier is negative, ``layer_decay`` is out of range, or the
            network has no known layers.
    """

    network: nn.Module
    multipliers: dict[str, float] = field(default_factory=dict)
    layer_decay: float | None = None
    no_weight_decay: bool | list[str] | None = None
    frozen: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _check(self.network, self.multipliers, "lr_multipliers")
        for pattern, factor in self.multipliers.items():
            if not 0 <= factor < inf:
                raise ValueError(f"lr_multipliers: {pattern}={factor} must be a finite factor of at least 0")
            if factor == 0:
                rank_zero_warn(
                    f"lr_multipliers: {pattern} at 0 keeps its weights, but its batch-norm statistics go on moving and "
                    "its dropout goes on dropping; freeze leaves it as it is"
                )
        if isinstance(self.no_weight_decay, list):
            _check(self.network, self.no_weight_decay, "no_weight_decay")
        if self.layer_decay is not None:
            if not 0 < self.layer_decay <= 1:
                raise ValueError(f"layer_decay={self.layer_decay} must be above 0 and at most 1; null leaves it out")
            layers(self.network)

    def of(self, parameters: Named) -> Any:
        """What an optimiser is called with; the option ``multiplier`` of a group is for the caller to apply.

        Args:
            parameters: Of the task, those of the network under ``network.``; the rest counts as the head.
        """
        parameters = [(name, one) for name, one in parameters if name.removeprefix("network.") not in self.frozen]
        if not (self.multipliers or self.layer_decay or self.no_weight_decay):
            return [parameter for _, parameter in parameters]
        scales = self._scales()
        undecayed = set(_undecayed(self.network, self.no_weight_decay)) if self.no_weight_decay else set()
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for full, parameter in parameters:
            name = full.removeprefix("network.")
            factor = _multiplier(name, self.multipliers) * scales.get(name, 1.0)
            decayed = not (self.no_weight_decay and (parameter.dim() <= 1 or name in undecayed))
            groups.setdefault((factor, decayed), []).append(parameter)
        return [
            {"params": members, "multiplier": factor} | ({} if decayed else {"weight_decay": 0.0})
            for (factor, decayed), members in groups.items()
        ]

    def _scales(self) -> dict[str, float]:
        if self.layer_decay is None:
            return {}
        found = layers(self.network)
        return {name: self.layer_decay ** (max(found.values()) - layer) for name, layer in found.items()}


def layers(network: nn.Module) -> dict[str, int]:
    """The layer of each parameter, counted from the input; the last one is the head.

    Networks of timm say themselves what their layers are. Of others, a layer is a unit of a stage, such as ResNet's
    ``layer3.4``; what comes before the stages is the first one. A plugged block belongs to the layer of its host.

    Raises:
        ValueError: If the network has neither.
    """
    from timm.models._manipulate import group_with_matcher

    stock = stock_names(network)
    prefix, matcher = _timm_layers(network) or ("", _stage_layers(network, list(dict.fromkeys(stock.values()))))
    # What lies outside timm's network, such as a head of ours, must not be taken for a part of it.
    local = {of: of.removeprefix(prefix) if of.startswith(prefix) else f"outside {of}" for of in stock.values()}
    found = group_with_matcher(((name, None) for name in local.values()), matcher, reverse=True)
    return {name: found[local[of]] for name, of in stock.items()}


def stock_names(network: nn.Module) -> dict[str, str]:
    """Under which name the stock network has each parameter; one of a block has that of its host's last.

    A block after a place without parameters, or instead of it, has names below that place.
    """
    existing = {name for name, _ in network.named_parameters()}
    return {name: stock for name, stock in _named(network, "", "") if name in existing}


def _named(module: nn.Module, path: str, stock: str) -> Iterator[tuple[str, str]]:
    if isinstance(module, Plugged):
        host = list(_named(module.host, f"{path}host.", stock))
        yield from host
        for name, _ in module.block.named_parameters():
            yield f"{path}block.{name}", host[-1][1] if host else stock + name
        return
    if isinstance(module, Replaced):
        yield from ((path + name, stock + name.removeprefix("block.")) for name, _ in module.named_parameters())
        return
    yield from ((path + name, stock + name) for name, _ in module.named_parameters(recurse=False))
    for name, child in module.named_children():
        yield from _named(child, f"{path}{name}.", f"{stock}{name}.")


def _timm_layers(network: nn.Module) -> tuple[str, Any] | None:
    for path, module in network.named_modules():
        if hasattr(type(module), "group_matcher"):
            return f"{path}." if path else "", module.group_matcher(coarse=False)
    return None


def _stage_layers(network: nn.Module, names: list[str]) -> Callable[[str], tuple[float, ...]]:
    """Sorts stock names by stage and unit; names between two stages go with the former, later ones to the head."""
    inside = getattr(network, "stock_path", "")
    stages = [f"{inside}.{path}." if inside else f"{path}." for path in stage_paths(network).values()]
    if not stages:
        raise ValueError(f"layer_decay: {type(network).__name__} has no known layers; give lr_multipliers instead")
    places = [_place(name, stages) for name in names]
    last = max(i for i, place in enumerate(places) if place is not None)
    found: dict[str, tuple[float, ...]] = {}
    current: tuple[float, ...] = (-1.0, -1.0)
    for i, (name, place) in enumerate(zip(names, places, strict=True)):
        current = (inf,) if i > last else place or current
        found[name] = current
    return found.__getitem__


def _place(name: str, stages: list[str]) -> tuple[float, ...] | None:
    for i, stage in enumerate(stages):
        if name.startswith(stage):
            unit = next((part for part in name.removeprefix(stage).split(".") if part.isdigit()), -1)
            return float(i), float(unit)
    return None


def _undecayed(network: nn.Module, no_weight_decay: bool | list[str] | None) -> Iterator[str]:
    """Names of parameters that the network, or the configuration, leaves without weight decay."""
    patterns = list(no_weight_decay) if isinstance(no_weight_decay, list) else []
    for path, module in network.named_modules():
        if hasattr(type(module), "no_weight_decay"):
            patterns += [f"{path}.{name}" if path else name for name in module.no_weight_decay()]
    for name, _ in network.named_parameters():
        if any(fits(name, pattern) for pattern in patterns):
            yield name


def _multiplier(name: str, multipliers: dict[str, float]) -> float:
    return next((factor for pattern, factor in multipliers.items() if fits(name, pattern)), 1.0)


def fits(name: str, pattern: str, whole: bool = False) -> bool:
    """Whether a pattern fits a name, or, unless it must be the ``whole`` one, the beginning of it up to a dot."""
    patterns = (pattern,) if whole else (pattern, f"{pattern}.*")
    return any(fnmatchcase(one, of) for one in (name, plain(name)) for of in patterns)


def near(pattern: str, names: Iterable[str]) -> str:
    """A hint: which parts of a network, of those that hold the named parameters, a pattern may have meant."""
    parts = [plain(name).split(".") for name in names]
    return nearest(pattern, {".".join(path[:i]) for path in parts for i in range(1, len(path))})


def plain(name: str) -> str:
    """A name as it is without plugs, so that patterns mean the same with and without them."""
    return ".".join(part for part in name.split(".") if part != "host")


def _check(network: nn.Module, patterns: Iterable[str], option: str) -> None:
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fits(name, pattern) for name in names):
            raise ValueError(f"{option}: {pattern} fits no parameter; {near(pattern, names)}")
