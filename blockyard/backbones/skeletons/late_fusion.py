"""A network for each stream of a series, whose scores are averaged.

After Ensemble One-Dimensional Convolution Neural Networks for Skeleton-Based Action Recognition, SPL 2018: residual
convolutions over time with the coordinates of joints as channels, of all joints, of parts of the body, with attention
to channels and frames, and of differences between frames. Of the published networks' sizes nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from blockyard.backbones.base import Backbone

Stream = Literal["all", "differences", "attention"] | list[int]
NAMED = ("all", "differences", "attention")


class LateFusion(Backbone):
    """Networks of one kind, each with a stream of its own; the logits are ln of the mean of their probabilities.

    A stream is ``all`` channels; their ``differences`` from frame to frame, 0 at the first; all with ``attention``, a
    gate for each channel and one for each frame; or a part, the positions of its channels from 0. Frames are the first
    axis of S: of series and of clips, time. The networks learn together, from the mean that is tested. Stages are those
    of the first stream's network, then those of the second, and so on, at ``streams.0.``, ``streams.1.``….

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        network: Called with the classes and the channels of a stream, once for each.
        streams: Which there are.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If there is no stream, or no such one, or the weights are not the network's.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        network: Callable[[int, int], Backbone],
        streams: Sequence[Stream] = ("all", "differences"),
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(streams, in_channels)
        self.kinds = list(streams)
        parts = [in_channels if isinstance(stream, str) else len(stream) for stream in streams]
        self.streams = nn.ModuleList(network(num_classes, channels) for channels in parts)
        gated = [number for number, stream in enumerate(streams) if stream == "attention"]
        self.gates = nn.ModuleDict({str(number): ChannelFrameGate(in_channels) for number in gated})
        networks = self._networks()
        self.rank, paths = networks[0].rank, [f"streams.{number}." for number in range(len(streams))]
        self.stages = tuple(
            replace(stage, path=".".join(filter(None, (f"{path}{one.stock_path}".rstrip("."), stage.path))))
            for path, one in zip(paths, networks, strict=True)
            for stage in one.stages
        )
        self.first_convolutions = tuple(
            path + name for path, one in zip(paths, networks, strict=True) for name in one.first_convolutions
        )
        self.classifiers = tuple(
            path + name for path, one in zip(paths, networks, strict=True) for name in one.classifiers
        )
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of all networks' stages, ``(B, stage.channels, *S / stage.stride)`` each."""
        return [y for one, part in zip(self._networks(), self.parts(x), strict=True) for y in one.features(part)]

    def last_map(self, x: Tensor) -> Tensor:
        """What the networks' heads see, one after another along the channels."""
        maps = [one.last_map(part) for one, part in zip(self._networks(), self.parts(x), strict=True)]
        return torch.cat(maps, 1)

    def classify(self, last: Tensor) -> Tensor:
        """Ln of the mean of the networks' probabilities ``(B, num_classes)``, of what :meth:`last_map` gave."""
        maps = last.chunk(len(self.streams), 1)
        scores = [one.classify(part).log_softmax(1) for one, part in zip(self._networks(), maps, strict=True)]
        return torch.stack(scores).logsumexp(0) - math.log(len(scores))

    def parts(self, x: Tensor) -> list[Tensor]:
        """The streams of ``(B, in_channels, *S)``, ``(B, channels of the stream, *S)`` each."""
        found = []
        for number, kind in enumerate(self.kinds):
            if isinstance(kind, str):
                gate = self.gates[str(number)] if kind == "attention" else nn.Identity()
                found.append(differences(x) if kind == "differences" else gate(x))
            else:
                found.append(x[:, kind])
        return found

    def leave_head(self) -> None:
        """Take away the networks' heads."""
        for one in self._networks():
            one.trunk()

    def _networks(self) -> list[Backbone]:
        return [one for one in self.streams if isinstance(one, Backbone)]


class ChannelFrameGate(nn.Module):
    """x · σ(g) · σ(h), g a number for each channel of its mean over time, h one for each frame of its channels.

    Args:
        channels: Channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_channels = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
        self.of_frames = nn.Conv1d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Gated ``(B, C, T, ...)``, of the same shape."""
        frames = x.flatten(3).mean(3) if x.ndim > 3 else x
        gates = self.of_channels(frames.mean(2)).sigmoid()[:, :, None] * self.of_frames(frames).sigmoid()
        return x * gates[(...,) + (None,) * (x.ndim - 3)]


def differences(x: Tensor) -> Tensor:
    """Each frame of ``(B, C, T, ...)`` less the one before, the first 0."""
    return torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:] - x[:, :, :-1]], 2)


def _check(streams: Sequence[Stream], in_channels: int) -> None:
    if not streams:
        raise ValueError(f"LateFusion: a stream at least: {', '.join(NAMED)}, or a list of positions of channels")
    for stream in streams:
        if isinstance(stream, str) and stream not in NAMED:
            raise ValueError(f"LateFusion: no stream {stream!r}; it is {', '.join(NAMED)}, or a list of positions")
        if not isinstance(stream, str) and (
            not stream or len(set(stream)) < len(stream) or not 0 <= min(stream) <= max(stream) < in_channels
        ):
            raise ValueError(f"LateFusion: part {list(stream)} has channels once each, from 0 to {in_channels - 1}")
