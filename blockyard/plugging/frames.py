"""Clips and frames: 2-D blocks in networks of clips, 3-D blocks in networks that see one frame at a time."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from blockyard.plugging.places import PlugError

Span = Literal["per-frame", "space-time"]
"""What one graph of a block spans where that is not the map as the network holds it."""

Shape = tuple[int, ...]


def fold_frames(clips: Tensor) -> Tensor:
    """Clips ``(B, C, T, H, W)`` to frames ``(B·T, C, H, W)``, those of one clip in a row."""
    return clips.transpose(1, 2).flatten(0, 1)


def unfold_frames(frames: Tensor, length: int) -> Tensor:
    """Frames ``(B·T, C, H, W)`` back to clips ``(B, C, T, H, W)`` of ``length`` T."""
    return frames.unflatten(0, (-1, length)).transpose(1, 2)


class PerFrame(nn.Module):
    """A 2-D block on each frame of clips ``(B, C, T, H, W)``.

    Args:
        block: Shape-preserving module for ``(B·T, C, H, W)``.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, T, H, W)`` to the same shape."""
        return unfold_frames(self.block(fold_frames(x)), x.shape[2])


class SpaceTime(nn.Module):
    """A 3-D block on whole clips in a network that sees frames ``(B·T, C, H, W)``.

    Args:
        block: Shape-preserving module for ``(B, C, T, H, W)``.
    """

    frames: int | None = None
    """T; the network sets it with :func:`tell_frames` in every forward."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B·T, C, H, W)`` to the same shape.

        Raises:
            ValueError: If the network does not say how many frames a clip has.
        """
        if self.frames is None:
            raise ValueError("space-time needs clips seen frame by frame, as in Framewise; here is one image a sample")
        return fold_frames(self.block(unfold_frames(x, self.frames)))


def tell_frames(network: nn.Module, frames: int) -> None:
    """Say to every :class:`SpaceTime` of a network how many frames the clips of the next forward have."""
    for module in network.modules():
        if isinstance(module, SpaceTime):
            module.frames = frames


def wrap(block: nn.Module, span: Span | None) -> nn.Module:
    """The block for maps as the network holds them; the block itself without a span."""
    return {"per-frame": PerFrame, "space-time": SpaceTime}[span](block) if span else block


def block_shape(shape: Shape, span: Span | None, path: str) -> Shape:
    """``(C, *S)`` for the block at a place that gives ``shape``; under space-time the number of frames is open, 0.

    Raises:
        PlugError: If the map has frames in its shape already, or has none, whichever does not fit.
    """
    if span is None:
        return shape
    rank, wanted = len(shape) - 1, 3 if span == "per-frame" else 2
    if rank != wanted:
        why = "maps of clips (C, T, H, W)" if wanted == 3 else "maps of frames (C, H, W)"
        raise PlugError(f"cannot plug {span} at {path}: {span} is for {why}, and this place gives {rank} spatial axes")
    channels, *size = shape
    return (channels, *size[1:]) if span == "per-frame" else (channels, 0, *size)
