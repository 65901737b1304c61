"""Where in a file of weights the tensors of a network lie, and what else is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
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
        in_order: Whether the file names its tensors otherwise, so that they were taken one after the other.
    """

    target: nn.Module
    inside: str
    state: State
    blocks: State = field(default_factory=dict)
    places: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    in_order: bool = False


def find_layout(file: State, network: nn.Module, stock: str, free: Collection[str] = ()) -> Layout:
    """Find the part of a file that fits a network best, or the stock network in it.

    A training's checkpoint has it below ``network.`` or ``network.backbone.net.``, say, a stock file has it bare.
    Another library's file, torchvision's as a rule, may hold the same network by other names: see :func:`in_turn`.

    Args:
        file: The tensors of the file by name.
        network: The network, without plugs.
        stock: Path of the stock network in it.
        free: Paths of modules that may be of another shape in the file.
    """
    targets = dict.fromkeys((f"{stock}." if stock else "", ""))
    fits: Counter[tuple[str, str]] = Counter()
    for inside in targets:
        names = network.get_submodule(inside.rstrip(".")).state_dict().keys()
        fits.update((inside, prefix) for key in file for prefix in _prefixes(key, names))
    (inside, prefix), count = fits.most_common(1)[0] if fits else ((next(iter(targets)), ""), 0)
    target = network.get_submodule(inside.rstrip("."))
    own = target.state_dict()
    if count < len(own) and not prefix and (named := in_turn(file, own, [path.removeprefix(inside) for path in free])):
        return Layout(target, inside, named, in_order=True)
    return _seen(file, target, inside, prefix)


def _prefixes(key: str, names: Collection[str]) -> list[str]:
    """What may stand before a name in a key."""
    ends = [0, *(i + 1 for i, letter in enumerate(key) if letter == ".")]
    return [key[:end] for end in ends if key[end:] in names or plain(key[end:]) in names]


def in_turn(file: State, own: State, free: Collection[str] = ()) -> State | None:
    """Tensors of a file by a network's names, where the file holds the same network by others.

    Both list their tensors in the order in which the network was made. If each in turn is as large as the other, and
    is called alike where both say what it is (``weight``, ``bias``, ``running_mean``…), they are the same ones. A 1×1
    convolution may be a linear layer there.

    Args:
        file: The tensors of the file by name.
        own: Those of the network; it may lack a head that the file has.
        free: Paths of modules whose tensors may have another shape in the file.

    Returns:
        None if they are not the same.
    """
    # what is no weight, such as the positions in a window, others need not keep
    theirs = {key: value for key, value in file.items() if value.is_floating_point() or value.numel() == 1}
    if len(theirs) < len(own):
        return None
    found = State()
    for (key, value), (name, mine) in zip(theirs.items(), own.items(), strict=False):
        module, _, kind = name.rpartition(".")
        said = {key.rpartition(".")[2], kind}
        if module not in free and (value.numel() != mine.numel() or (len(said) > 1 and said <= _KINDS)):
            return None
        found[name] = value.reshape(mine.shape) if value.numel() == mine.numel() else value
    return found


_KINDS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


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
