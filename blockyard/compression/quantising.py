"""Weights and maps on few levels, after training: what a checkpoint of a quantised network says, and its rebuilding.

Ranges come of torch's own observers. Numbers stay floats that lie on the levels, so that a quantised network runs, and
is exported, wherever the network does; what integers would take is counted by :func:`bytes_of`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver
from torch.nn.modules.conv import _ConvTransposeNd

from blockyard.mistakes import nearest
from blockyard.plugging import undisturbed

Bits = Mapping[str, int]
"""By the path of a layer how many bits each of its weights takes."""
WHOLE = 32
"""Bits that leave a layer as it is."""
LEVELS = range(2, 9)
"""Bits that a weight may take."""
KINDS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)


@dataclass
class Quantised:
    """What ``blockyard search`` has made of the numbers of a network.

    Args:
        bits: By the path of a layer in the network, bits of its weights, 2 to 8; what it takes and gives has 8. Layers
            that are not named, and all else, are floats.
        calibration: How many training samples the ranges are of.
    """

    bits: dict[str, int]
    calibration: int | None = None

    def bytes_of(self, network: nn.Module) -> int:
        """What all that the quantised network holds takes."""
        return bytes_of(network, self.bits)


class Rounding(nn.Module):
    """Rounds a map to the nearest of 256 levels, as torch's fake quantisation does, by plain operations.

    Gradients pass as if nothing was rounded, where the map is within the levels.

    Attributes:
        scale: Between levels, a scalar.
        zero_point: The level of 0, likewise.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("zero_point", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """A map ``(B, C, *S)``, or rows ``(B, ..., D)``, on the levels."""
        steps = x * (1 / self.scale)
        whole = steps.round()
        if x.requires_grad:
            whole = steps + (whole - steps).detach()
        return ((whole + self.zero_point).clamp(0, 255) - self.zero_point) * self.scale


def quantisable(network: nn.Module, example: Tensor) -> list[str]:
    """The paths of the layers that can be quantised: convolutions and linear layers that are called, in order of calls.

    One whose weights another shares, or that computes them, stays as it is.

    Args:
        network: Left as it is.
        example: ``(B, C, *S)``.
    """
    uses = Counter(id(weight) for _, weight in network.named_parameters(remove_duplicate=False))
    layers = [(path, module) for path, module in network.named_modules() if _is_plain(module)]
    seen: dict[str, None] = {}
    with _called(layers, lambda path, _, __: seen.setdefault(path)), undisturbed(network):
        network(example)
    modules = dict(layers)
    return [path for path in seen if uses[id(modules[path].weight)] == 1]


def quantise(network: nn.Module, bits: Bits, inputs: Iterable[Tensor]) -> None:
    """Put weights, and what layers take and give, on levels, in place.

    Weights lie symmetrically about 0, each output channel by its own largest, as in torch's symmetric configurations;
    maps are within the smallest and the largest number of what the floats made of these inputs.

    Args:
        network: Trained.
        bits: Of layers; 32 leaves one as it is.
        inputs: Batches ``(B, C, *S)`` of training samples.

    Raises:
        ValueError: If there is no such layer, or it is not called; one line.
    """
    chosen = {path: number for path, number in bits.items() if number != WHOLE}
    layers = _layers(network, chosen)
    ranges = {(path, side): MinMaxObserver(dtype=torch.quint8) for path in chosen for side in ("input", "output")}

    def see(path: str, given: Tensor, made: Tensor) -> None:
        ranges[path, "input"](given.detach().cpu())
        ranges[path, "output"](made.detach().cpu())

    with _called(list(layers.items()), see), undisturbed(network):
        for x in inputs if chosen else ():
            network(x)
    prepare(network, chosen)
    for path, layer in layers.items():
        for side in ("input", "output"):
            observer = ranges[path, side]
            if observer.min_val > observer.max_val:
                raise ValueError(f"quantised: {path} saw no sample")
            scale, zero_point = observer.calculate_qparams()
            layer.get_submodule(f"{side}_rounding").scale.fill_(scale.item())
            layer.get_submodule(f"{side}_rounding").zero_point.fill_(zero_point.item())
        layer.weight.data.copy_(on_levels(layer.weight.detach(), chosen[path], _axis(layer)))


def prepare(network: nn.Module, bits: Bits) -> None:
    """Let layers round what they take and give, by ranges that a checkpoint has; its weights lie on levels already.

    Raises:
        ValueError: If there is no such layer, or no such number of bits; one line.
    """
    for layer in _layers(network, bits).values():
        layer.input_rounding, layer.output_rounding = (Rounding().to(layer.weight.device) for _ in range(2))
        layer.register_forward_pre_hook(_round_input)
        layer.register_forward_hook(_round_output)


def on_levels(weight: Tensor, bits: int, axis: int = 0) -> Tensor:
    """A weight on 2^bits - 1 levels of each channel.

    Args:
        weight: ``(out, in, *K)``.
        bits: 2 to 8.
        axis: That of the channels.
    """
    most = 2 ** (bits - 1) - 1
    observer = PerChannelMinMaxObserver(axis, torch.qint8, torch.per_channel_symmetric, quant_min=-most, quant_max=most)
    observer(weight.cpu())
    scale, zero_point = observer.calculate_qparams()
    return torch.fake_quantize_per_channel_affine(weight.cpu(), scale, zero_point.int(), axis, -most, most).to(weight)


def bytes_of(network: nn.Module, bits: Bits) -> int:
    """What all that a network holds takes: weights their bits, and four bytes of scale a channel; all else as it is.

    Args:
        network: Quantised or not.
        bits: Of its quantised layers.
    """
    total = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    for path, layer in _layers(network, {path: number for path, number in bits.items() if number != WHOLE}).items():
        weight = layer.weight
        total += math.ceil(weight.numel() * bits[path] / 8) + 4 * weight.shape[_axis(layer)]
        total -= weight.numel() * weight.element_size()
    return total


def _is_plain(module: nn.Module) -> bool:
    """Whether a layer multiplies by the weight that it holds, and does nothing else."""
    return any(type(module).forward is kind.forward for kind in KINDS) and "weight" in module._parameters


def _layers(network: nn.Module, bits: Bits) -> dict[str, Any]:
    known = {path: module for path, module in network.named_modules() if _is_plain(module)}
    for path, number in bits.items():
        if path not in known:
            raise ValueError(f"quantised: no layer {path} has weights to be quantised; {nearest(path, known)}")
        if number not in LEVELS:
            raise ValueError(f"quantised: {path} can't have {number} bits; allowed: {', '.join(map(str, LEVELS))}")
    return {path: known[path] for path in bits}


def _axis(layer: nn.Module) -> int:
    return int(isinstance(layer, _ConvTransposeNd))


def _round_input(layer: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (layer.input_rounding(given[0]), *given[1:])


def _round_output(layer: Any, _: Any, made: Tensor) -> Tensor:
    rounded: Tensor = layer.output_rounding(made)
    return rounded


@contextmanager
def _called(layers: list[tuple[str, Any]], see: Any) -> Iterator[None]:
    """Let something see what layers take and give, by their paths."""

    def hook(path: str) -> Any:
        return lambda _, given, made: see(path, given[0], made) if given else None

    handles = [module.register_forward_hook(hook(path)) for path, module in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
