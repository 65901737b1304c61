"""What the small network of the diagnostics can see: where a derivative may differ from zero; and reading files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from blockyard.backbones import PreResNet

Mask = NDArray[np.bool_]


def maps(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A canvas of noise ``(1, 3, H, W)`` that wants a gradient, and the last map of it.

    In evaluation, for batch norms over a batch let every pixel see all others; activations are left out, which could
    hide a path by chance.
    """
    torch.manual_seed(0)
    network = PreResNet(0, 3, depth=8, linear=True).double().eval()
    canvas = torch.randn(1, 3, height, width, dtype=torch.float64, requires_grad=True)
    return canvas, network.features(canvas)[-1]


def seen_by(asked: Mask) -> Mask:
    """Pixels ``(H, W)`` that the answers at ``asked`` pixels ``(H, W)`` depend on, the map enlarged as heads do."""
    canvas, last = maps(*asked.shape)
    answers = F.interpolate(last, asked.shape, mode="bilinear", align_corners=False)
    (slope,) = torch.autograd.grad(answers[..., torch.from_numpy(np.ascontiguousarray(asked))].sum(), canvas)
    return (slope[0] != 0).any(0).numpy()


def fields_of(height: int, width: int) -> Mask:
    """For each position of the last map, the pixels ``(positions, H, W)`` that it depends on."""
    canvas, last = maps(height, width)
    at = [torch.autograd.grad(one.sum(), canvas, retain_graph=True)[0] for one in last[0].flatten(1).T]
    return torch.stack([(slope[0] != 0).any(0) for slope in at]).numpy()


@pytest.fixture(scope="session")
def seen() -> Callable[[Mask], Mask]:
    return seen_by


@pytest.fixture(scope="session")
def fields() -> Callable[[int, int], Mask]:
    return fields_of


@pytest.fixture(scope="session")
def read() -> Callable[[Path], NDArray[np.uint8]]:
    """The pictures or masks below a folder, sorted by path."""

    def pictures(folder: Path) -> NDArray[np.uint8]:
        return np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.rglob("*.png"))])

    return pictures
