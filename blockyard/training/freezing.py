"""What of a plugged network stays as it is while the rest is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from blockyard.plugging import Plugged, Replaced
from blockyard.training.parameter_groups import fits, near

PLUGS = (Plugged, Replaced)


@dataclass(frozen=True)
class Frozen:
    """The frozen parts of a network, by name: strategies and callbacks exchange modules for others of their name.

    Attributes:
        parameters: Names of the parameters without a gradient.
        modules: Names of the modules that stay in evaluation mode, each for itself.
    """

    parameters: frozenset[str] = frozenset()
    modules: tuple[str, ...] = ()

    def hold(self, network: nn.Module) -> None:
        """Take the gradient from the parameters, and put the modules in evaluation mode."""
        for name, parameter in network.named_parameters():
            if name in self.parameters:
                parameter.requires_grad_(False)
        self.rest(network)

    def line(self, network: nn.Module) -> str:
        """How much of a network that is."""
        sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
        frozen = sum(size for name, size in sizes.items() if name in self.parameters)
        return f"freeze: {frozen:,} of {sum(sizes.values()):,} parameters, {len(self.modules)} modules"

    def rest(self, network: nn.Module) -> None:
        """Put the modules in evaluation mode again, after somebody put the whole network in training mode."""
        for name in self.modules:
            network.get_submodule(name).training = False

    def tensors(self, network: nn.Module) -> Iterator[Tensor]:
        """The frozen parameters and what the frozen modules have for buffers, of any shape."""
        yield from (parameter for name, parameter in network.named_parameters() if name in self.parameters)
        for name in self.modules:
            yield from network.get_submodule(name).buffers(recurse=False)


def find_frozen(network: nn.Module, patterns: Sequence[str]) -> Frozen:
    """What patterns name in a plugged network.

    A name is that of a module, with all that it holds, or of a parameter, and may hold globs. A module is frozen too
    if all of its parameters are. A plugged block is no part of the stock network: it trains unless a pattern leads to
    it by its own segment, ``layer3.1.block`` or ``*.block``; ``layer*`` names only what was there before the plug.

    Args:
        network: The network, with its plugs.
        patterns: The names.

    Raises:
        ValueError: If a pattern fits nothing, or nothing is left to train.
    """
    if not patterns:
        return Frozen()
    parameters = dict(network.named_parameters(remove_duplicate=False))
    modules = [name for name, _ in network.named_modules(remove_duplicate=False) if name]
    blocks = [f"{path}.block".removeprefix(".") for path, m in network.named_modules() if isinstance(m, PLUGS)]
    block_of = {name: _block_of(name, blocks) for name in (*parameters, *modules)}
    named: set[str] = set()
    for pattern in patterns:
        found = {name for name, block in block_of.items() if _names(pattern, name, block)}
        if not found:
            raise ValueError(f"freeze: {pattern} fits no module and no parameter; {near(pattern, parameters)}")
        named |= found
    shared = {id(parameters[name]) for name in named & parameters.keys()}  # a weight may have two names
    frozen = {name for name, parameter in parameters.items() if id(parameter) in shared}
    if not any(p.requires_grad for name, p in parameters.items() if name not in frozen):
        raise ValueError(f"freeze: nothing is left to train: {', '.join(patterns)} freezes every parameter")
    whole = _without_trained(parameters, frozen, block_of)
    return Frozen(frozenset(frozen), tuple(_at_rest(modules, named | whole, block_of)))


def _block_of(name: str, blocks: Sequence[str]) -> str | None:
    """The innermost plugged block that a name lies in."""
    return max((block for block in blocks if f"{name}.".startswith(f"{block}.")), key=len, default=None)


def _names(pattern: str, name: str, block: str | None) -> bool:
    """Whether a pattern fits a name; of what is in a plugged block, segment ``block`` on segment ``block``."""
    if block is None:
        return fits(name, pattern)
    place, inside = block.rpartition(".")[0], name[len(block) + 1 :]
    parts = pattern.split(".")
    ways = [(".".join(parts[:i]), ".".join(parts[i + 1 :])) for i, part in enumerate(parts) if part == "block"]
    return any(fits(place, before, whole=True) and (not after or fits(inside, after)) for before, after in ways)


def _without_trained(parameters: Iterable[str], frozen: set[str], block_of: dict[str, str | None]) -> set[str]:
    """Modules that have parameters, all of them frozen; a plugged block's are not those of the network around it."""
    lost: set[str] = set()
    trained: set[str] = set()
    for name in parameters:
        outermost = block_of[name] or ""
        parts = name.split(".")
        above = (".".join(parts[:i]) for i in range(1, len(parts)))
        (lost if name in frozen else trained).update(path for path in above if len(path) >= len(outermost))
    return lost - trained


def _at_rest(modules: Sequence[str], frozen: set[str], block_of: dict[str, str | None]) -> Iterator[str]:
    """Frozen modules and what lies in them, plugged blocks apart."""
    found: set[str] = set()
    for name in modules:
        inherited = name.rpartition(".")[0] in found and block_of[name] != name
        if name in frozen or inherited:
            found.add(name)
            yield name
