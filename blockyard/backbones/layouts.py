"""Where in a file of weights the tensors of a network lie, and what else is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

State = dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """What a file holds, seen from a network.

    Attributes:
        target: What is loaded: the network, or the stock network inside an adapter.
        inside: Where that lies in the network: "" or a path that ends in a dot.
        state: The file's tensors by the names that the target has for them.
        blocks: Tensors of blocks plugged into it, by the names that they have where they are plugged in.
        places: Where those blocks are, in the stock network.
        others: What the file holds besides.
    """

    target: nn.Module
    inside: str
    state: State
    blocks: State = field(default_factory=dict)
    places: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def find_layout(file: State, network: nn.Module, stock: str) -> Layout:
    """Find the part of a file that fits a network best, or the stock network in it.

    A training's checkpoint has it below ``network.`` or ``network.backbone.net.``, say, a stock file has it bare.

    Args:
        file: The tensors of the file by name.
        network: The network, without plugs.
        stock: Path of the stock network in it.
    """
    targets = dict.fromkeys((f"{stock}." if stock else "", ""))
    fits: Counter[tuple[str, str]] = Counter()
    for inside in targets:
        names = network.get_submodule(inside.rstrip(".")).state_dict().keys()
        fits.update((inside, prefix) for key in file for prefix in _prefixes(key, names))
    (inside, prefix), _ = fits.most_common(1)[0] if fits else ((next(iter(targets)), ""), 0)
    return _seen(file, network.get_submodule(inside.rstrip(".")), inside, prefix)


def _prefixes(key: str, names: Iterable[str]) -> list[str]:
    """What may stand before a name in a key."""
    ends = [0, *(i + 1 for i, letter in enumerate(key) if letter == ".")]
    return [key[:end] for end in ends if key[end:] in names or plain(key[end:]) in names]


def _seen(file: State, target: nn.Module, inside: str, prefix: str) -> Layout:
    names, modules = target.state_dict().keys(), dict(target.named_modules())
    state, blocks, places, others = State(), State(), dict[str, None](), dict[str, None]()
    for key, value in file.items():
        if not key.startswith(prefix):
            others[key.removeprefix("network.").split(".")[0]] = None
            continue
        name = key.removeprefix(prefix)
        place, plugged, _ = name.partition(".block.")
        if name in names or plain(name) in names:
            state[name if name in names else plain(name)] = value
        elif plugged and plain(place) in modules:
            blocks[name], places[plain(place)] = value, None
        else:
            state[name] = value
    return Layout(target, inside, state, blocks, tuple(places), tuple(others))


def plain(name: str) -> str:
    """A name as it is without plugs."""
    return ".".join(part for part in name.split(".") if part != "host")
