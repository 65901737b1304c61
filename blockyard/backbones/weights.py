"""Weights from a local file into a network, and what is said about those that do not match."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.backbones.layouts import Layout, State, find_layout, plain
from blockyard.mistakes import printable
from blockyard.plugging.plugged import Plugged, Replaced

_FOLLOW: ContextVar[bool] = ContextVar("weights follow", default=False)


@contextmanager
def weights_follow() -> Iterator[None]:
    """Inside, networks are made for a checkpoint to fill: files of weights, which may be gone by now, stay unread."""
    token = _FOLLOW.set(True)
    try:
        yield
    finally:
        _FOLLOW.reset(token)


def following() -> bool:
    """Whether a checkpoint is going to fill the networks that are made now."""
    return _FOLLOW.get()


@dataclass(frozen=True)
class Parts:
    """What is to know of a network to load it, by paths in it.

    Attributes:
        in_channels: Channels of its input.
        stock: The stock network inside an adapter, whose keys a stock file has.
        first_convolutions: The modules that see the input.
        classifiers: The last layers.
        head: Gives the keys of all that stands behind the maps.
        renamed: Gives a file's tensors by the names that they have in the network, where it knows the file's.
    """

    in_channels: int
    stock: str = ""
    first_convolutions: Sequence[str] = ()
    classifiers: Sequence[str] = ()
    head: Callable[[], set[str]] = set
    renamed: Callable[[State], State] | None = None


def load_weights(network: nn.Module, path: str | Path, parts: Parts, strict: bool = True) -> Layout:
    """Load a file of weights: of the stock network, or of a training of any task whose network holds the same parts.

    The keys are found wherever they lie in the file, such as below ``network.backbone.``, and torchvision's are taken
    for those of timm where both have the network, whatever they are called. A first convolution of another number of
    channels is adapted (summed, or repeated and scaled). Kernels of pictures are inflated where the network's are of
    videos: each frame gets the same part of them. One line says so, what is left out, such as a classifier of other
    classes, blocks, or heads of another task, and what starts anew, such as a classifier that the file does not have.

    Args:
        network: The network, without plugs.
        path: ``.safetensors``, or what ``torch.save`` wrote: tensors by name, alone or in a training checkpoint.
        parts: What is to know of the network.
        strict: Whether anything else that does not match is a mistake; if not, it is printed and starts anew.

    Returns:
        What the file holds.

    Raises:
        ValueError: If the file cannot be read as weights, or does not match, or not at all.
    """
    path = Path(path)
    file = _read(path)
    free = (*parts.first_convolutions, *parts.classifiers)
    found = find_layout(file if parts.renamed is None else parts.renamed(file), network, parts.stock, free)
    state, own = found.state, found.target.state_dict()
    inflated = _inflate(state, own)
    for name in parts.first_convolutions:
        _adapt(state, own, f"{name}.weight".removeprefix(found.inside), parts.in_channels)
    said, anew = _leave_out_classifiers(state, own, [name.removeprefix(found.inside) for name in parts.classifiers])
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    kept = {key: value for key, value in state.items() if key not in shapes}
    result = found.target.load_state_dict(kept, strict=False)
    missing = [key for key in result.missing_keys if key not in anew and key not in shapes]
    lacking = _without_mistake(missing, found, parts)
    complaints = {
        "missing": [key for key in missing if key not in lacking],
        "unexpected": result.unexpected_keys,
        "of another shape": [f"{key} {_show(state[key])} for {_show(own[key])}" for key in shapes],
    }
    if found.otherwise and strict:
        _refuse_other_function(path, found.otherwise, len(kept))
    complaints = {what: names for what, names in complaints.items() if names}
    loaded = len(kept) - len(result.unexpected_keys)
    if complaints and (strict or not loaded):
        _refuse(path, complaints, loaded)
    _say(path, [*inflated, *said, *_left_out(found), *_starting(lacking)], complaints, loaded)
    return found


def load_blocks(found: Layout, name: str) -> None:
    """Once blocks are plugged in, load those that a file holds at the same places; the others start anew.

    Args:
        found: What :func:`load_weights` found in the file.
        name: What the file is called.
    """
    own, loaded, anew = found.target.state_dict(), list[str](), list[str]()
    for path, module in found.target.named_modules():
        keys = [key for key in own if key.startswith(f"{path}.block.")]
        if not isinstance(module, Plugged | Replaced) or not keys:
            continue
        fits = all(key in found.blocks and found.blocks[key].shape == own[key].shape for key in keys)
        (loaded if fits else anew).append(plain(path))
        with torch.no_grad():
            for key in keys if fits else ():
                own[key].copy_(found.blocks[key])
    parts = [f"block at {', '.join(at)} {what}" for at, what in ((loaded, "loaded"), (anew, "starts anew")) if at]
    if parts:
        print(printable(f"{name}: {'; '.join(parts)}"))


def _read(path: Path) -> State:
    if not path.is_file():
        raise ValueError(f"there is no file of weights {path}")
    from timm.models import clean_state_dict, load_state_dict  # which few runs need

    try:
        state = load_state_dict(str(path), weights_only=True)
        state = _unfolded(clean_state_dict(state))
    except Exception as error:
        raise ValueError(f"{path} cannot be read as weights: {first_line(error)}") from error
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f"{path} cannot be read as weights: it holds {', '.join(sorted(state)[:4])}, not tensors by name"
        )
    return state


NESTED = ("model_state", "teacher", "student", "network", "net", "backbone", "encoder", "model", "module", "state_dict")
"""What holds a network in checkpoints of other programs: of several that fit alike, the first is taken."""


def _unfolded(state: dict[str, Any]) -> dict[str, Any]:
    """The tensors of networks that are kept in mappings of their own, by names that begin with the mapping's."""
    nested = [name for name in NESTED if isinstance(state.get(name), dict)]
    if not nested:
        return state
    parts = {name: _unfolded(state[name]) for name in nested}
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}


def _inflate(state: State, own: State) -> list[str]:
    """Spread kernels ``(O, I, *K)`` of pictures evenly over the frames of a network of videos; what is to say of it."""
    shapes = {key: own[key].shape for key, value in state.items() if value.dim() == 4 and key in own}
    flat = {key: shape for key, shape in shapes.items() if len(shape) == 5 and shape[3:] == state[key].shape[2:]}
    for key, shape in flat.items():
        state[key] = (state[key] / shape[2]).unsqueeze(2).expand(-1, -1, shape[2], -1, -1)
    return ["kernels of pictures inflated to videos"] if flat else []


def _adapt(state: State, own: State, key: str, in_channels: int) -> None:
    """Give a convolution's kernel ``(O, I, *K)`` in the file the network's I; 3-D kernels as tall 2-D ones."""
    if key not in state or key not in own or state[key].shape[1] == own[key].shape[1] or state[key].dim() < 4:
        return
    kernel, theirs = state[key].flatten(2, -2), state[key].shape[1]
    if theirs != 3 and own[key].shape[1] == in_channels:  # timm's rule, which begins with colours, for any channels
        kernel = kernel.repeat(1, -(-in_channels // theirs), 1, 1)[:, :in_channels] * (theirs / in_channels)
    else:
        from timm.models import adapt_input_conv

        kernel = adapt_input_conv(in_channels, kernel)
    state[key] = kernel.unflatten(2, state[key].shape[2:-1])


def _leave_out_classifiers(state: State, own: State, classifiers: Sequence[str]) -> tuple[list[str], set[str]]:
    """Take classifiers of other classes out of ``state``; what is to say of it, and the keys that start anew."""
    keys = [f"{name}.{part}" for name in classifiers for part in ("weight", "bias") if f"{name}.{part}" in state]
    dropped = [key for key in keys if key not in own or state[key].shape != own[key].shape]
    if not dropped:
        return [], set()
    theirs, ours = state[dropped[0]], own.get(dropped[0])
    said = f"classifier of {len(theirs)} classes left out"
    if ours is not None and len(ours) != len(theirs):
        said += f", the one of {len(ours)} classes starts anew"
    elif ours is not None:  # behind another pooling, say
        said = f"classifier {_show(theirs)} left out, the one of {_show(ours)} starts anew"
    for key in dropped:
        del state[key]
    return [said], {key for key in dropped if key in own}


def _without_mistake(missing: list[str], found: Layout, parts: Parts) -> list[str]:
    """Which missing keys a file need not have: those of a head, and of what its blocks stood in for."""
    if not missing:
        return []
    head = {key.removeprefix(found.inside) for key in parts.head()}
    return [key for key in missing if key in head or any(key.startswith(f"{place}.") for place in found.places)]


def _left_out(found: Layout) -> list[str]:
    blocks = [f"block at {', '.join(found.places)} left out unless it is plugged in again"] if found.places else []
    others = [f"{', '.join(found.others)} left out"] if found.others else []
    turn = ["its names are others: tensors taken in their order"] if found.in_order else []
    turn += [found.otherwise] if found.otherwise else []
    return [*turn, *blocks, *others]


def _starting(keys: list[str]) -> list[str]:
    modules = dict.fromkeys(key.rpartition(".")[0] or key for key in keys)
    return [f"{_some(list(modules), 4)} {'starts' if len(modules) == 1 else 'start'} anew"] if modules else []


def _refuse_other_function(path: Path, otherwise: str, tensors: int) -> None:
    raise ValueError(
        f"{path}: all {tensors} tensors match in their order, but {otherwise}, so outputs would not be the same;"
        " strict=False takes them all the same"
    )


def _refuse(path: Path, complaints: dict[str, list[str]], loaded: int) -> None:
    parts = "; ".join(f"{len(names)} {what} ({_some(names, 2)})" for what, names in complaints.items())
    hint = "; strict=False loads the rest" if loaded else ""
    raise ValueError(f"{path} holds other weights than the network's: {parts}{hint}")


def _say(path: Path, said: list[str], complaints: dict[str, list[str]], loaded: int) -> None:
    lines = [f"{path.name}: {'; '.join(said)}"] if said else []
    if complaints:
        lines.append(f"{path.name}: {loaded} tensors loaded")
    lines += [f"  {len(names)} {what}: {_some(names, 8)}" for what, names in complaints.items()]
    for line in lines:
        print(printable(line))  # the names are the file's to choose


def _some(names: list[str], most: int) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _show(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def first_line(error: BaseException) -> str:
    """The first line of an error, for a message of one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
