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
        otherwise: What the network that they are of computes otherwise; None if nothing that is known.
    """

    target: nn.Module
    inside: str
    state: State
    blocks: State = field(default_factory=dict)
    places: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    in_order: bool = False
    otherwise: str | None = None


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
    file = respelt(file, {name for part in targets for name in network.get_submodule(part.rstrip(".")).state_dict()})
    fits: Counter[tuple[str, str]] = Counter()
    for inside in targets:
        names = network.get_submodule(inside.rstrip(".")).state_dict().keys()
        fits.update((inside, prefix) for key in file for prefix in _prefixes(key, names))
    (inside, prefix), count = fits.most_common(1)[0] if fits else ((next(iter(targets)), ""), 0)
    target = network.get_submodule(inside.rstrip("."))
    own = target.state_dict()
    few = count < len(own) and (not prefix or 2 * count < len(own))  # a prefix that is one by chance, as "heads."
    if few and (named := in_turn(file, own, [path.removeprefix(inside) for path in free])):
        return Layout(target, inside, named, in_order=True, otherwise=computed_otherwise(file, target))
    return _seen(file, target, inside, prefix)


def _prefixes(key: str, names: Collection[str]) -> list[str]:
    """What may stand before a name in a key."""
    ends = [0, *(i + 1 for i, letter in enumerate(key) if letter == ".")]
    return [key[:end] for end in ends if key[end:] in names or plain(key[end:]) in names]


def respelt(file: State, names: Collection[str]) -> State:
    """A file's tensors with dots where timm's features-only networks have underscores, as in ``stem_0.weight``.

    Args:
        file: The tensors of the file by name.
        names: Those of the network; what fits one of them as it is, or several once it is respelt, stays.
    """
    spelt: dict[str, str | None] = {}
    for name in names:
        flat = name.replace(".", "_")
        spelt[flat] = None if flat in spelt else name
    found = State()
    for key, value in file.items():
        ends = [] if _prefixes(key, names) else [0, *(i + 1 for i, letter in enumerate(key) if letter == ".")]
        fits = [key[:end] + own for end in ends if (own := spelt.get(key[end:].replace(".", "_")))]
        found[fits[0] if fits and fits[0] not in file else key] = value
    return found


def in_turn(file: State, own: State, free: Collection[str] = ()) -> State | None:
    """Tensors of a file by a network's names, where the file holds the same network by others.

    Both list their tensors in the order in which the network was made, but for torchvision's ViT, whose positions stand
    behind its patches. If each in turn is as large as the other, and
    is called alike where both say what it is (``weight``, ``bias``, ``running_mean``…), they are the same ones. A 1×1
    convolution may be a linear layer there.

    Args:
        file: The tensors of the file by name.
        own: Those of the network; it may lack a head that the file has.
        free: Paths of modules whose tensors may have another shape in the file.

    Returns:
        None if they are not the same.
    """
    if CLASS_TOKEN in file and POSITIONS in file:
        file = {CLASS_TOKEN: file[CLASS_TOKEN], POSITIONS: file[POSITIONS]} | file
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


CLASS_TOKEN, POSITIONS = "class_token", "encoder.pos_embedding"
EPSILON = 1e-5
"""Of a batch norm, torch's own and that of most of torchvision's networks."""


def computed_otherwise(file: State, network: nn.Module) -> str | None:
    """What a network of torchvision computes otherwise than one of timm with the same tensors, which do not show it.

    Its MobileNetV3, EfficientNetV2, and EfficientNet from b5 on have batch norms with an ε of 0.001, and none of its
    convolutions pads as TensorFlow does, more on one side than on the other.

    Args:
        file: The tensors of the file by torchvision's names.
        network: The network that takes them.
    """
    fused, plain_v3 = file.get("features.1.0.block.0.0.weight"), "features.1.block.0.0.weight" in file
    if fused is None and not plain_v3:
        return None
    deep = "features.1.2.block.0.0.weight" in file  # b5 has three units there
    epsilon = 1e-3 if plain_v3 or deep or (fused is not None and fused.shape[1] > 1) else EPSILON
    own = {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    if own - {epsilon}:
        return f"its batch norms have an ε of {epsilon:g}, the network's one of {', '.join(f'{one:g}' for one in own)}"
    if any(type(module).__name__ == "Conv2dSame" for module in network.modules()):
        return "its convolutions pad alike on both sides, the network's as TensorFlow does"
    return None


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
