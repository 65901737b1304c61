"""Weights from a local file into a stock network, and what is said about those that do not match."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timm.models import adapt_input_conv, clean_state_dict, load_state_dict
from torch import Tensor, nn

State = dict[str, Tensor]


def load_weights(
    network: nn.Module,
    path: str | Path,
    *,
    in_channels: int,
    first_convolutions: Sequence[str] = (),
    classifiers: Sequence[str] = (),
    strict: bool = True,
) -> None:
    """Load a file of weights that has the stock network's own layout.

    A first convolution of another number of channels is adapted (summed, or repeated and scaled). A classifier of
    other classes is left out, said in one line, and starts anew.

    Args:
        network: The stock network, without plugs.
        path: ``.safetensors``, or what ``torch.save`` wrote: tensors by name, alone or in a training checkpoint.
        in_channels: Channels of the network's input.
        first_convolutions: Names of the modules that see the input.
        classifiers: Names of the last layers.
        strict: Whether anything else that does not match is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If the file cannot be read as weights, or does not match, or not at all.
    """
    path = Path(path)
    state, own = _read(path), network.state_dict()
    for name in first_convolutions:
        _adapt(state, own, f"{name}.weight", in_channels)
    anew = _leave_out_classifiers(path, state, own, classifiers)
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    kept = {key: value for key, value in state.items() if key not in shapes}
    result = network.load_state_dict(kept, strict=False)
    missing = [key for key in result.missing_keys if key not in anew and key not in shapes]
    unexpected = result.unexpected_keys
    complaints = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": [f"{key} {_show(state[key])} for {_show(own[key])}" for key in shapes],
    }
    _report(path, {what: names for what, names in complaints.items() if names}, len(kept) - len(unexpected), strict)


def _read(path: Path) -> State:
    if not path.is_file():
        raise ValueError(f"there is no file of weights {path}")
    try:
        state = load_state_dict(str(path), weights_only=True)
        state = clean_state_dict(state.get("model_state", state))  # pytorchvideo's checkpoints
    except Exception as error:
        raise ValueError(f"{path} cannot be read as weights: {first_line(error)}") from error
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f"{path} cannot be read as weights: it holds {', '.join(sorted(state)[:4])}, not tensors by name"
        )
    return state


def _adapt(state: State, own: State, key: str, in_channels: int) -> None:
    """Give a convolution's kernel ``(O, I, *K)`` in the file the network's I; 3-D kernels as tall 2-D ones."""
    if key not in state or key not in own or state[key].shape[1] == own[key].shape[1] or state[key].dim() < 4:
        return
    kernel = state[key].flatten(2, -2)
    state[key] = adapt_input_conv(in_channels, kernel).unflatten(2, state[key].shape[2:-1])


def _leave_out_classifiers(path: Path, state: State, own: State, classifiers: Sequence[str]) -> set[str]:
    """Take classifiers of other classes out of ``state``; the keys that start anew."""
    keys = [f"{name}.{part}" for name in classifiers for part in ("weight", "bias")]
    dropped = [key for key in keys if key in state and key in own and state[key].shape != own[key].shape]
    if dropped:
        theirs, ours = state[dropped[0]].shape[0], own[dropped[0]].shape[0]
        print(f"{path.name}: classifier of {theirs} classes left out, the one of {ours} classes starts anew")
    for key in dropped:
        del state[key]
    return set(dropped)


def _report(path: Path, complaints: dict[str, list[str]], loaded: int, strict: bool) -> None:
    if not complaints:
        return
    if strict or not loaded:
        parts = "; ".join(f"{len(names)} {what} ({_some(names, 2)})" for what, names in complaints.items())
        hint = "; strict=False loads the rest" if loaded else ""
        raise ValueError(f"{path} holds other weights than the network's: {parts}{hint}")
    print(f"{path.name}: {loaded} tensors loaded")
    for what, names in complaints.items():
        print(f"  {len(names)} {what}: {_some(names, 8)}")


def _some(names: list[str], most: int) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _show(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def first_line(error: BaseException) -> str:
    """The first line of an error, for a message of one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
