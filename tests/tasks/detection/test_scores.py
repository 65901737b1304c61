"""Scores of detection against pycocotools' own evaluation, and by hand."""

from __future__ import annotations

import contextlib
import io

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from blockyard.tasks.detection import scores
from blockyard.tasks.detection.scores import mean_precisions, picture_precision


def drawn(seed, pictures=12, classes=3):
    """Boxes of all sizes; what is found is some of them moved, and some that are nowhere; a crowd now and then."""
    g = torch.Generator().manual_seed(seed)
    true, found = [], []
    for number in range(pictures):
        n = int(torch.randint(0 if number else 1, 6, (), generator=g))
        corner, sides = torch.rand(n, 2, generator=g) * 200, 4 + torch.rand(n, 2, generator=g) ** 3 * 180
        labels, crowd = torch.randint(classes, (n,), generator=g), (torch.rand(n, generator=g) < 0.15).long()
        boxes = torch.cat([corner, corner + sides], 1)
        true.append({"boxes": boxes, "labels": labels, "iscrowd": crowd, "area": sides.prod(1) * 0.8})
        moved = boxes + torch.randn(n, 4, generator=g) * 0.06 * sides.repeat(1, 2)
        wild = torch.rand(3, 2, generator=g) * 200
        boxes = torch.cat([moved, torch.cat([wild, wild + 30], 1)])
        labels = torch.cat([labels, torch.randint(classes, (3,), generator=g)])
        found.append({"boxes": boxes, "scores": torch.rand(n + 3, generator=g), "labels": labels})
    return found, true


def by_pycocotools(found, true):
    """COCOeval's twelve numbers, from dictionaries as COCO's files hold them."""
    images = [{"id": number} for number in range(len(true))]
    ground = [
        {"image_id": number, "category_id": int(label), "bbox": xywh(box), "area": float(area), "iscrowd": int(crowd)}
        for number, one in enumerate(true)
        for box, label, crowd, area in zip(one["boxes"], one["labels"], one["iscrowd"], one["area"], strict=True)
    ]
    ground = [{"id": place, **row} for place, row in enumerate(ground, 1)]
    results = [
        {"image_id": number, "category_id": int(label), "bbox": xywh(box), "score": float(score)}
        for number, one in enumerate(found)
        for box, label, score in zip(one["boxes"], one["labels"], one["scores"], strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": images, "annotations": ground, "categories": [{"id": k} for k in range(3)]}
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats


def xywh(box):
    left, top, right, bottom = box.tolist()
    return [left, top, right - left, bottom - top]


@pytest.mark.parametrize("seed", range(4))
def test_means_equal_pycocotools(seed):
    found, true = drawn(seed)
    names = ("mAP", "mAP50", "mAP75", "mAP_small", "mAP_medium", "mAP_large")
    expected = {name: value for name, value in zip(names, by_pycocotools(found, true), strict=False) if value >= 0}
    assert mean_precisions(found, true, by_size=True) == pytest.approx(expected, abs=1e-6)
    assert mean_precisions(found, true).keys() == {"mAP", "mAP50", "mAP75"}


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_s_precision_is_pycocotools_of_a_single_class(seed):
    """One class, so that its ranking is that of all classes; crowds, whose overlap COCO measures otherwise, aside."""
    found, true = drawn(seed, classes=1)
    for one, truth in zip(found, true, strict=True):
        truth["iscrowd"].zero_()
        if len(truth["labels"]):
            expected = mean_precisions([one], [truth])["mAP50"]
            assert picture_precision(one, truth) == pytest.approx(expected, abs=1e-6)
        else:
            assert picture_precision(one, truth) is None


def test_a_picture_s_precision_by_hand():
    """Of two boxes the first is found at rank one, the second not; a crowd's and another class's are neither."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 60, 20]])
    true = {"boxes": boxes, "labels": torch.tensor([0, 1, 0]), "iscrowd": torch.tensor([0, 0, 1])}
    found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7]), "labels": torch.tensor([0, 0, 0])}
    assert picture_precision(found, true) == pytest.approx(51 / 101)  # recalls of 0 to 0.5 of 101
    nothing = {"boxes": boxes[:0], "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.long)}
    assert picture_precision(nothing, true) == 0


def test_nothing_to_find_is_zero():
    found, true = drawn(0, pictures=2)
    empty = [{name: value[:0] for name, value in one.items()} for one in true]
    assert mean_precisions(found, empty, by_size=True) == {"mAP": 0, "mAP50": 0, "mAP75": 0}


def test_says_which_extra_brings_pycocotools(monkeypatch):
    monkeypatch.setattr(scores, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'blockyard\[detection\]'$"):
        mean_precisions([], [])
