"""From pictures of any size to a label a pixel: whole or by a sliding window, at several scales, mirrored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

Size = tuple[int, int]
"""Height and width."""
Network = Callable[[Tensor], Tensor]
"""From pictures ``(B, C, h, w)`` to logits ``(B, K, h, w)``."""
CLASSES_AT_ONCE = 16
"""So many maps are enlarged at a time: 150 classes of a picture of 12 megapixels would take 7 GB."""


@dataclass(frozen=True)
class Inference:
    """How a network labels pictures ``(C, h, w)``.

    With several views, which is to say scales or mirroring, their class probabilities are averaged at the size of the
    labels; with one, its logits decide.

    Args:
        window: Height and width of the sliding window; None shows the network the whole picture.
        stride: Rows and columns from one window to the next.
        scales: Factors of the picture's height and width.
        flip: Whether each scale is also seen mirrored left to right.
        align_corners: How logits are resized.
        confidence: Whether the probabilities of the labels are given too.
    """

    window: Size | None = None
    stride: Size = (1, 1)
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    align_corners: bool = False
    confidence: bool = False

    def __call__(self, network: Network, pictures: Sequence[Tensor], sizes: Sequence[Size]) -> list[Tensor]:
        """Label pictures; those of one size run through the network together, if it sees each once.

        Args:
            network: Makes logits of a batch.
            pictures: ``(C, h, w)`` each.
            sizes: Height and width ``(H, W)`` of the labels of each.

        Returns:
            Labels, uint8 ``(H, W)`` each, in the order of the pictures; with ``confidence`` ``(2, H, W)``, the second
            their probabilities in 255ths.

        Raises:
            FloatingPointError: If the network's output is not finite.
        """
        if self.scales != (1.0,) or self.flip:
            # One by one: the probabilities of a picture fill more memory than anything in the network.
            return [self._label_views(network, *pair) for pair in zip(pictures, sizes, strict=True)]
        groups: dict[torch.Size, list[int]] = {}
        for position, picture in enumerate(pictures):
            groups.setdefault(picture.shape, []).append(position)
        found: dict[int, Tensor] = {}
        for members in groups.values():
            logits = self.logits(network, torch.stack([pictures[position] for position in members]))
            for maps, position in zip(logits, members, strict=True):
                label = largest(maps, sizes[position], self.align_corners)
                found[position] = self._with(label, maps, sizes[position])
        return [found[position] for position in range(len(pictures))]

    def _label_views(self, network: Network, picture: Tensor, size: Size) -> Tensor:
        total, views = torch.zeros(()), 0
        for views, logits in enumerate(self._views(network, picture[None]), 1):
            probabilities = resize(logits[0], size, self.align_corners).softmax(0)
            total = probabilities if views == 1 else total.add_(probabilities)
        label = largest(total, size, self.align_corners)
        return torch.stack([label, in_bytes(total.amax(0) / views)]) if self.confidence else label

    def _with(self, label: Tensor, maps: Tensor, size: Size) -> Tensor:
        """Labels ``(H, W)`` beside their probabilities by logits ``(K, h, w)``, if these are asked for."""
        if not self.confidence:
            return label
        return torch.stack([label, in_bytes(highest_probability(maps, size, self.align_corners))])

    def _views(self, network: Network, x: Tensor) -> Iterator[Tensor]:
        """Logits ``(1, K, ·, ·)`` of each scale, and of its mirror image turned back."""
        for scale in self.scales:
            size = tuple(max(1, round(scale * length)) for length in x.shape[-2:])
            scaled = x if scale == 1 else interpolate(x, size, mode="bilinear", align_corners=False)
            yield self.logits(network, scaled)
            if self.flip:
                yield self.logits(network, scaled.flip(-1)).flip(-1)

    def logits(self, network: Network, x: Tensor) -> Tensor:
        """Logits ``(B, K, h, w)`` in single precision at least of pictures ``(B, C, h, w)``, whole or by windows.

        Raises:
            FloatingPointError: If one is not finite.
        """
        logits = _float(network(x)) if self.window is None else sliding(network, x, self.window, self.stride)
        if not torch.isfinite(logits).all():
            raise FloatingPointError("the network's output is not finite: its weights have diverged")
        return logits


def sliding(network: Network, x: Tensor, window: Size, stride: Size) -> Tensor:
    """Mean logits ``(B, K, h, w)`` of the windows that see a pixel.

    The last window of a row or column is shifted inside, and a window larger than the picture is the picture.

    Args:
        network: Makes logits of a batch of windows.
        x: Pictures ``(B, C, h, w)``.
        window: Height and width of a window.
        stride: Rows and columns from one to the next.
    """
    height, width = x.shape[-2:]
    total: Tensor | None = None
    seen = x.new_zeros(height, width, dtype=torch.float32)
    for rows in spans(height, window[0], stride[0]):
        for columns in spans(width, window[1], stride[1]):
            logits = _float(network(x[..., rows, columns]))
            if total is None:
                total = logits.new_zeros(*logits.shape[:2], height, width)
            total[..., rows, columns] += logits
            seen[rows, columns] += 1
    assert total is not None
    return total.div_(seen)


def spans(length: int, window: int, stride: int) -> list[slice]:
    """Where windows lie along an axis: every pixel is in one of them."""
    last = max(0, length - window)
    return [slice(start, min(start + window, length)) for start in (*range(0, last, stride), last)]


def largest(maps: Tensor, size: Size, align_corners: bool) -> Tensor:
    """Index, uint8 ``(H, W)``, of the largest of K maps ``(K, h, w)`` once they are resized to ``size``."""
    best, label = maps.new_zeros(()), maps.new_zeros((), dtype=torch.int64)
    for start in range(0, len(maps), CLASSES_AT_ONCE):
        values, where = resize(maps[start : start + CLASSES_AT_ONCE], size, align_corners).max(0)
        better = values > best if start else torch.ones_like(values, dtype=torch.bool)
        best, label = torch.where(better, values, best), torch.where(better, where + start, label)
    return label.to(torch.uint8)


def highest_probability(maps: Tensor, size: Size, align_corners: bool) -> Tensor:
    """The largest probability ``(H, W)`` by K maps of logits ``(K, h, w)`` once they are resized to ``size``."""
    best, total = maps.new_full((), -torch.inf), maps.new_zeros(())
    for start in range(0, len(maps), CLASSES_AT_ONCE):
        logits = resize(maps[start : start + CLASSES_AT_ONCE], size, align_corners)
        higher = torch.maximum(best, logits.amax(0))
        total = total * (best - higher).exp() + (logits - higher).exp().sum(0)
        best = higher
    return 1 / total


def in_bytes(probabilities: Tensor) -> Tensor:
    """Probabilities in 255ths, uint8."""
    return (255 * probabilities).round().to(torch.uint8)


def resize(maps: Tensor, size: Size, align_corners: bool) -> Tensor:
    """Maps ``(K, h, w)``, bilinearly, to ``(K, *size)``."""
    if maps.shape[-2:] == torch.Size(size):
        return maps
    return interpolate(maps[None], size, mode="bilinear", align_corners=align_corners)[0]


def _float(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
