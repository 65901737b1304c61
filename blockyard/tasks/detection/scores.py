"""How well boxes are found: mean average precision as COCO has it, and the average precision of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

Found = dict[str, Tensor]
"""``boxes`` ``(n, 4)``, ``labels`` ``(n,)``, and ``scores`` or, of the truth, ``iscrowd`` and ``area`` ``(n,)``."""
SIZES = ("small", "medium", "large")
NAMES = {"map": "mAP", "map_50": "mAP50", "map_75": "mAP75"}
"""What torchmetrics calls them, and what they are called here."""
NEEDED = 0.5
"""Intersection over union by which a box is found, in the average precision of a picture."""
RECALLS = 101
"""Points of recall that COCO averages precision over."""


def require() -> None:
    """See that pycocotools is there, before anything is trained.

    Raises:
        ValueError: If it is not installed; one line.
    """
    if find_spec("pycocotools") is None:
        raise ValueError(
            "ObjectDetection is scored by pycocotools, which is not installed: pip install 'blockyard[detection]'"
        )


def mean_precisions(found: Sequence[Found], true: Sequence[Found], by_size: bool = False) -> dict[str, float]:
    """``mAP`` over intersections from 0.5 to 0.95 in steps of 0.05, ``mAP50`` and ``mAP75``, means over classes.

    By pycocotools, over the 100 best boxes of each class in each picture. Zero where there is nothing to find.

    Args:
        found: Of each picture, what was found.
        true: Of each picture, what is there.
        by_size: Whether ``mAP_small``, ``mAP_medium`` and ``mAP_large`` are told too, of the sizes that there are: up
            to 32² pixels, up to 96², and above.
    """
    require()
    from torchmetrics.detection import MeanAveragePrecision

    # its own thresholds are float32's: a recall of 1/5 is below a fifth of those, and means are lower by a thousandth
    metric = MeanAveragePrecision(
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0, 1, RECALLS).tolist(),
        backend="pycocotools",
        sync_on_compute=False,
    )
    metric.warn_on_many_detections = False
    metric.update(list(found), list(true))
    values = {name: float(value) for name, value in metric.compute().items() if value.numel() == 1}
    scores = {ours: max(0.0, values[theirs]) for theirs, ours in NAMES.items()}
    if by_size:
        scores |= {f"mAP_{size}": values[f"map_{size}"] for size in SIZES if values[f"map_{size}"] >= 0}
    return scores


def picture_precision(found: Found, true: Found) -> float | None:
    """Average precision of one picture at an intersection over union of 0.5, all classes in one ranking.

    Boxes are gone through by falling score; each finds the box of its class that it overlaps most among those not
    found yet. Precision, at each recall the largest of that recall or more, is averaged over 101 points of recall as
    COCO does. What finds no object and lies in a crowd of its class, with half of its own area or more, counts as
    nothing.

    Args:
        found: What was found.
        true: What is there.

    Returns:
        None if there is nothing to find.
    """
    asked = true["iscrowd"] == 0
    if not asked.any():
        return None
    order = found["scores"].argsort(descending=True, stable=True)
    boxes, labels = found["boxes"][order], found["labels"][order]
    alike = labels[:, None] == true["labels"]
    overlap = box_iou(boxes, true["boxes"]) * alike
    in_crowds = ((shares(boxes, true["boxes"]) >= NEEDED) & alike & ~asked).any(1)
    left, right = asked.clone(), []
    for row, in_a_crowd in zip(overlap, in_crowds.tolist(), strict=True):
        best, place = torch.where(left, row, row.new_zeros(())).max(0)
        hit = bool(best >= NEEDED)
        if hit:
            left[place] = False
        elif in_a_crowd:
            continue
        right.append(hit)
    return _averaged(torch.tensor(right, dtype=torch.float64), int(asked.sum()))


def shares(boxes: Tensor, crowds: Tensor) -> Tensor:
    """Which part of the area of each of boxes ``(n, 4)`` lies in each of crowds ``(m, 4)``: ``(n, m)``."""
    first, last = boxes[:, None, :2].maximum(crowds[:, :2]), boxes[:, None, 2:].minimum(crowds[:, 2:])
    return (last - first).clamp(min=0).prod(2) / (boxes[:, 2:] - boxes[:, :2]).prod(1)[:, None]


def _averaged(right: Tensor, asked: int) -> float:
    """Precision averaged over recall, of hits ``(n,)`` by falling score, of so many that could be hit."""
    hits = right.cumsum(0)
    recall, precision = hits / asked, hits / torch.arange(1, len(right) + 1)
    envelope = precision.flip(0).cummax(0).values.flip(0)
    places = torch.searchsorted(recall, torch.linspace(0, 1, RECALLS, dtype=torch.float64))
    padded = torch.cat([envelope, envelope.new_zeros(1)])
    return float(padded[places].mean())
