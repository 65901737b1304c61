"""How well a segmentation finds the boundaries of its classes."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from blockyard.tasks.segmentation.metrics import IGNORED

Labels = NDArray[np.uint8]
Places = NDArray[np.bool_]


def boundary_f1(predicted: Tensor, target: Tensor, share: float) -> float:
    """The boundary F1 of a picture, the mean over its classes; NaN where no class has a boundary.

    After Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013. A pixel is on the
    boundary of its class where one of its four neighbours is of another. Precision is the share of a class's predicted
    boundary that is no further from its true one than a tolerance, recall the reverse, F1 their harmonic mean; it is
    0 where only one of the two has a boundary, and a class where neither has one is left out. Pixels that are ignored
    are in no boundary and make none, in the prediction either; nor does the edge of the picture.

    Args:
        predicted: Predicted labels ``(H, W)``.
        target: True labels ``(H, W)``, 255 where nothing is asked.
        share: The tolerance as a share of the picture's diagonal.
    """
    true = target.cpu().numpy().astype(np.uint8)
    found = np.where(true == IGNORED, np.uint8(IGNORED), predicted.cpu().numpy().astype(np.uint8))
    tolerance = share * math.hypot(*true.shape)
    edges = [(_boundary(true, k), _boundary(found, k)) for k in np.union1d(true, found) if k != IGNORED]
    scores = [_f1(*pair, tolerance) for pair in edges if pair[0].any() or pair[1].any()]
    return float(np.mean(scores)) if scores else math.nan


def _boundary(labels: Labels, k: int) -> Places:
    """Where pixels of a class lie beside one of another, ``(H, W)``."""
    inside = labels == k
    others = np.pad(~inside & (labels != IGNORED), 1)
    return np.asarray(inside & (others[:-2, 1:-1] | others[2:, 1:-1] | others[1:-1, :-2] | others[1:-1, 2:]))


def _f1(true: Places, found: Places, tolerance: float) -> float:
    if not (true.any() and found.any()):
        return 0.0
    precision, recall = (float((_distance(to)[of] <= tolerance).mean()) for of, to in ((found, true), (true, found)))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _distance(places: Places) -> NDArray[np.float32]:
    """From every pixel to the nearest of some, in pixels, ``(H, W)``."""
    return np.asarray(cv2.distanceTransform((~places).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
