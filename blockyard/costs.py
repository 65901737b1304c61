"""What a network or a block costs, by one definition for the whole suite.

MACs are the multiply–accumulates of convolutions and matrix products (linear and recurrent layers and fused attention
included) for one sample; norms, activations and other element-wise work are not counted, as in the papers on small
networks. docs/costs.md has the closed form of every layer.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from blockyard.plugging import (
    PlugError,
    Site,
    Span,
    Wrapped,
    block_shape,
    make_block,
    tell_frames,
    undisturbed,
    wrap,
)

Shape = tuple[int, ...]
Result = TypeVar("Result")
aten = torch.ops.aten


@dataclass(frozen=True)
class Cost:
    """What a plug adds to a network, per sample where that matters."""

    parameters: int
    macs: int


def count_parameters(module: nn.Module) -> int:
    """Parameters, each counted once, trainable or not; buffers are not parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, shape: Shape, maps: int = 1) -> int:
    """Multiply–accumulates of one inference forward.

    Args:
        module: A network or a block; left as it was.
        shape: ``(C, *S)`` of one map.
        maps: Maps B that it gets at once: more than one where a sample of the network's makes several.
    """
    with undisturbed(module):
        return macs_in(lambda: module(_sample(module, (maps, *shape))))[1]


def macs_in(function: Callable[[], Result]) -> tuple[Result, int]:
    """What a function gives, and the multiply–accumulates that it took.

    Args:
        function: Computes something without gradients.
    """
    counter, padding = FlopCounterMode(display=False, custom_mapping=_UNCOUNTED), _PaddedHeads()
    counter.mod_tracker = _Anywhere()  # type: ignore[assignment]
    with counter, padding:
        result = function()
    return result, counter.get_total_flops() // 2 - padding.macs


class _Anywhere(nullcontext[None]):
    """Where operations happen, for torch's counter: in all of it.

    Its own ends in an error where a module hands a parameter, or a view of one, to a module within it.
    """

    parents = frozenset({"Global"})


def added_cost(site: Site, block: Callable[..., nn.Module], span: Span | None = None) -> Cost:
    """What a block would add after a site, or, as the site's mode says, in place of its module or around it.

    Of a module that runs several times the MACs are those of all its calls.

    Args:
        site: From :func:`blockyard.plugging.sites`.
        block: ``(channels, spatial_dims) -> module``.
        span: What the block spans, where that is not the map as the network holds it.

    Raises:
        ValueError: If the site takes no block, or the block does not exist for its channels or rank.
    """
    shapes = [shape for shape in (site.inputs if site.mode == "replace" else site.outputs) if shape]
    if site.refusal or not shapes:
        raise PlugError(str(site.refusal))
    shape = shapes[0]
    host = None if site.mode == "after" else site.module
    module = wrap(make_block(block, block_shape(shape, span, site.path), site.path, host, site.mode), span)
    if site.mode == "around":
        wrapper: Any = module
        module, shapes = Wrapped(site.module, wrapper), [given for given in site.inputs if given]
        with undisturbed(module):
            wrapper.check(site.module, _sample(module, (site.maps, *shapes[0])))
    tell_frames(module, site.maps)
    parameters, macs = count_parameters(module), sum(count_macs(module, given, site.maps) for given in shapes)
    if site.mode != "after":
        parameters -= count_parameters(site.module)
        macs -= sum(count_macs(site.module, given, site.maps) for given in shapes)
    return Cost(parameters, macs)


def measure_throughput(
    module: nn.Module, shape: Shape, batch_size: int = 1, *, repeats: int = 10, warm_up: int = 3
) -> float:
    """Samples per second in inference: median over repeats, after a warm-up, with the device waited for.

    Args:
        module: A network or a block; left as it was.
        shape: ``(C, *S)`` of one sample.
        batch_size: Samples per forward.
        repeats: Forwards timed.
        warm_up: Forwards before, not timed.
    """
    x = _sample(module, (batch_size, *shape))
    seconds = []
    with undisturbed(module):
        for i in range(warm_up + repeats):
            _wait(x.device)
            start = time.perf_counter()
            module(x)
            _wait(x.device)
            if i >= warm_up:
                seconds.append(time.perf_counter() - start)
    return batch_size / statistics.median(seconds)


def saved_activation_bytes(function: Callable[[], Any]) -> int:
    """Bytes that autograd keeps for the backward of what a function computes, on any device.

    A storage counts once, however many tensors share it; parameters, which exist anyway, do not count.

    Args:
        function: Computes something with gradients; what it returns is kept alive while the bytes are counted.
    """
    storages: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        base = tensor if tensor._base is None else tensor._base
        if not isinstance(base, nn.Parameter):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()
    del result
    return sum(storage.nbytes() for storage in storages.values())


def _sample(module: nn.Module, shape: Shape) -> Tensor:
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return torch.zeros(shape, device=like.device, dtype=like.dtype)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _PaddedHeads(TorchFunctionMode):
    """Counts the MACs of fused attention on zeros that were appended to its heads because a kernel wants equal ones.

    Only some devices have such kernels: with these products, the MACs of a network would depend on where it is counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self._padded: list[tuple[Tensor, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is F.pad and result.shape[:-1] == args[0].shape[:-1]:
            self._padded.append((result, result.shape[-1] - args[0].shape[-1]))  # held, so that no other tensor is it
        elif func is F.scaled_dot_product_attention and self._padded:
            query, key, value = (*args, *(kwargs[name] for name in ("query", "key", "value") if name in kwargs))[:3]
            pairs = query.shape[:-1].numel() * key.shape[-2]
            self.macs += pairs * (self._zeros(query) + self._zeros(value))
            self._padded.clear()
        return result

    def _zeros(self, tensor: Tensor) -> int:
        return next((zeros for padded, zeros in self._padded if padded is tensor), 0)


def _attention_flops(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    *batch, n, c = query
    pairs = torch.Size(batch).numel() * n * key[-2]
    return 2 * pairs * (c + value[-1])


def _dot_flops(a: Shape, *_: Any, **__: Any) -> int:
    return 2 * torch.Size(a).numel()


def _addmv_flops(_bias: Shape, matrix: Shape, *_: Any, **__: Any) -> int:
    return 2 * torch.Size(matrix).numel()


def _addbmm_flops(_bias: Shape, a: Shape, b: Shape, *_: Any, **__: Any) -> int:
    return 2 * torch.Size(a).numel() * b[-1]


def _bilinear_flops(left: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    return 2 * left[0] * torch.Size(weight).numel()


def _recurrent_flops(x: Shape, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    # Each matrix meets every step of every sequence once, whatever the cell, the direction and the padding.
    steps = torch.Size(x[:-1]).numel()
    return 2 * steps * sum(torch.Size(weight).numel() for weight in weights if len(weight) == 2)


def _mkldnn_flops(x: Shape, *tensors: Any, **_: Any) -> int:
    return _recurrent_flops(x, tensors[:2])


def _mps_flops(x: Shape, _state: Any, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    return _recurrent_flops(x, weights)


_UNCOUNTED: dict[Any, Any] = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    aten._scaled_dot_product_fused_attention_overrideable: _attention_flops,
    aten._scaled_dot_product_attention_math_for_mps: _attention_flops,
    aten.mv: _dot_flops,
    aten.dot: _dot_flops,
    aten.addmv: _addmv_flops,
    aten.addbmm: _addbmm_flops,
    aten._trilinear: _bilinear_flops,
    aten.mkldnn_rnn_layer: _mkldnn_flops,
    aten._cudnn_rnn: _recurrent_flops,
    aten.miopen_rnn: _recurrent_flops,
    aten._lstm_mps: _mps_flops,
}
"""Products that torch's counter passes over. Where a device has no kernel of its own for a recurrent layer, torch takes
it apart into products that are counted one by one."""
