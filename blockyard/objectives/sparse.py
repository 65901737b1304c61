"""A convolutional network run as if masked positions were not there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from blockyard.objectives.intermediate_supervision import cropped

Read = Callable[[Tensor], list[Tensor]]
STATISTICS = (_NormBase, nn.GroupNorm)
"""Norms whose statistics are over positions."""
_LARGEST = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_MEANS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


class Visible:
    """Which patches of each sample are seen, as a mask for maps of any resolution.

    Args:
        patches: Bool ``(B, 1, *G)``, with as many of each sample.
        channels_last: Paths of modules that give maps with their channels last.
    """

    def __init__(self, patches: Tensor, channels_last: frozenset[str] = frozenset()) -> None:
        self.patches, self.channels_last = patches, channels_last
        self._at = dict[tuple[int, ...], Tensor]()

    def at(self, size: Sequence[int]) -> Tensor | None:
        """Bool ``(B, 1, *S)`` for maps of size S; None if that is no multiple of the patches' number along an axis."""
        grid = self.patches.shape[2:]
        if len(size) != len(grid) or any(n % g for n, g in zip(size, grid, strict=True)):
            return None
        key = tuple(size)
        if key not in self._at:
            mask = self.patches
            for axis, (n, g) in enumerate(zip(size, grid, strict=True), 2):
                mask = mask.repeat_interleave(n // g, axis)
            self._at[key] = mask
        return self._at[key]

    def of(self, x: Any, path: str = "") -> Tensor | None:
        """The mask for a map ``(B, C, *S)`` that the module at the path gives, or ``(B, *S, C)``; None for others."""
        if not isinstance(x, Tensor) or x.dim() != self.patches.dim() or len(x) != len(self.patches):
            return None
        if path not in self.channels_last:
            return self.at(x.shape[2:])
        mask = self.at(x.shape[1:-1])
        return None if mask is None else mask.movedim(1, -1)


@contextmanager
def sparsely(network: nn.Module, visible: Visible) -> Iterator[None]:
    """Inside, what modules of the network give is zero at masked positions.

    So a convolution is what a sparse one is, the mask keeps its shape from layer to layer, and norms over positions see
    the visible ones alone, as pools do. With everything visible it is the network as ever.

    Args:
        network: Of the modules that run.
        visible: Which patches are; the batch is theirs.
    """
    handles = []
    for path, module in network.named_modules():
        if isinstance(module, STATISTICS):
            norm = _OverVisible(visible)
            handles += [module.register_forward_pre_hook(norm.gather), module.register_forward_hook(norm.scatter)]
        elif not isinstance(module, nn.Sequential | nn.Identity):
            if isinstance(module, _LARGEST):
                handles.append(module.register_forward_pre_hook(_lowest(visible)))
            if isinstance(module, _MEANS) and not module.count_include_pad:
                handles.append(module.register_forward_hook(_mean(visible)))
            handles.append(module.register_forward_hook(_masked(visible, path)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def refuse_mixing(network: nn.Module, read: Callable[[nn.Module], Read], shape: tuple[int, ...]) -> frozenset[str]:
    """See that a network can be run sparsely: what it makes of a picture is the same within a larger, empty one.

    Means over all positions and attention to them are not, and neither is a network of one size. It is asked of a copy
    in double precision whose weights are drawn, so that nothing hides behind one that begins with zero.

    Args:
        network: The network.
        read: Gives what makes the maps ``(B, C, *S)`` of a network.
        shape: ``(C, *S)`` of two patches along each axis.

    Returns:
        Paths of modules that give maps with their channels last.

    Raises:
        ValueError: If it can't, by the name of the part that mixes positions.
    """
    twin = _drawn(network)
    picture = torch.randn(1, *shape, dtype=torch.float64)
    larger = picture.new_zeros(1, shape[0], *(2 * n for n in shape[1:]))
    cropped(larger, shape[1:]).copy_(picture)
    patches = torch.zeros(1, 1, *(4 for _ in shape[1:]), dtype=torch.bool)
    cropped(patches, [2 for _ in shape[1:]]).fill_(True)
    try:
        alone, plain = _watched(twin, lambda: read(twin)(picture)), _watched(twin, lambda: read(twin)(larger))
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"objective: SparK: {type(network).__name__} does not run on other sizes: {said}") from error
    channels_last = frozenset(path for path, _, given in plain if _ends(alone, path, given))
    with sparsely(twin, Visible(patches, channels_last)):
        within = _watched(twin, lambda: read(twin)(larger))
    if all(_same(one, other) for one, other in zip(alone[-1][2], within[-1][2], strict=True)):
        return channels_last
    pairs = [(a, b) for a, b in zip(alone[:-1], within[:-1], strict=False) if a[0] == b[0]]
    found = next((a[0] for a, b in pairs if _same(a[1], b[1]) and _same(a[2], b[2]) is False), "")
    part = f"{found} ({type(network.get_submodule(found)).__name__})" if found else type(network).__name__
    raise ValueError(f"objective: SparK: {part} mixes positions that masked ones can't be kept out of")


def _drawn(network: nn.Module) -> nn.Module:
    """A copy in double precision with weights that are drawn, norms by the batch, and nothing that drops."""
    twin = copy.deepcopy(network).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        draw = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
        many = parameter.dim() > 1
        with torch.no_grad():
            parameter.copy_((2 * draw - 1) * (3 / parameter[0].numel()) ** 0.5 if many else draw + 0.5)
    for module in twin.modules():
        module.training = isinstance(module, STATISTICS)
    return twin


def _watched(network: nn.Module, run: Callable[[], list[Tensor]]) -> list[tuple[str, Any, Any]]:
    """Path, input and output of each module, the innermost first, and at the end what the run gave."""
    seen = list[tuple[str, Any, Any]]()

    def kept(x: Any) -> Any:
        return x.clone() if isinstance(x, Tensor) else None

    def note(path: str) -> Any:
        return lambda _, args, output: seen.append((path, kept(args[0] if args else None), kept(output)))

    handles = [module.register_forward_hook(note(path)) for path, module in network.named_modules()]
    try:
        with torch.no_grad():
            maps = run()
    finally:
        for handle in handles:
            handle.remove()
    return [*seen, ("", None, maps)]


def _ends(small: list[tuple[str, Any, Any]], path: str, given: Any) -> bool:
    """Whether what a module gave for a picture twice as large has grown along all axes but the first and the last."""
    first = next((one for at, _, one in small if at == path), None)
    if not isinstance(first, Tensor) or not isinstance(given, Tensor) or first.dim() != given.dim() or given.dim() < 3:
        return False
    grown = [n != m for n, m in zip(first.shape, given.shape, strict=True)]
    return all(grown[1:-1]) and not grown[-1]


def _same(small: Any, large: Any) -> bool | None:
    """Whether a map is the part of a larger one that begins as it does; None for what can't be compared."""
    if not isinstance(small, Tensor) or not isinstance(large, Tensor) or small.dim() != large.dim():
        return None
    if small.dim() < 3 or any(m not in (n, 2 * n) for n, m in zip(small.shape, large.shape, strict=True)):
        return None
    part = large[tuple(slice(n) for n in small.shape)]
    # float64 through a network; what mixes positions is off by far more than what float32 in between would round
    return bool((part - small).abs().max() <= 1e-5 * small.abs().max().clamp_min(1e-30))


class _OverVisible:
    """Hands a norm the visible positions of each sample in one row, and puts what comes of them back."""

    def __init__(self, visible: Visible) -> None:
        self.visible = visible
        self.like: list[Tensor | None] = []

    def gather(self, _: nn.Module, args: tuple[Any, ...]) -> Any:
        """Rows ``(B, C, V, 1, …)`` of a map ``(B, C, *S)``."""
        (x, *others), mask = args, self.visible.of(args[0])
        self.like.append(None if mask is None else x)
        if mask is None:
            return None
        rows = x.flatten(2).transpose(1, 2)[mask.flatten(1)].unflatten(0, (len(x), -1)).transpose(1, 2)
        return rows.reshape(*rows.shape, *(1,) * (x.dim() - 3)), *others

    def scatter(self, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """The map of the rows, zero at masked positions."""
        if (x := self.like.pop()) is None:
            return None
        mask = cast(Tensor, self.visible.of(x))
        rows = output.flatten(2).transpose(1, 2).flatten(0, 1)
        made = rows.new_zeros(len(x), mask[0].numel(), rows.shape[1])
        made[mask.flatten(1)] = rows
        return made.transpose(1, 2).unflatten(2, x.shape[2:])


def _masked(visible: Visible, path: str) -> Any:
    def hook(_: nn.Module, __: tuple[Any, ...], output: Any) -> Tensor | None:
        mask = visible.of(output, path)
        return None if mask is None else output.masked_fill(~mask, 0)

    return hook


def _lowest(visible: Visible) -> Any:
    """What a maximum is taken over is visible."""

    def hook(_: nn.Module, args: tuple[Any, ...]) -> Any:
        mask = visible.of(args[0])
        return None if mask is None else (args[0].masked_fill(~mask, float("-inf")), *args[1:])

    return hook


def _mean(visible: Visible) -> Any:
    """A mean without padding is one of the visible positions."""

    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        mask = visible.of(args[0])
        if mask is None:
            return None
        share: Tensor = type(module).forward(module, mask.to(output.dtype))
        return output / share.where(share > 0, 1)

    return hook
