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


def drawn_with_crowds(seed):
    """One class; in every other picture a crowd, with people in it and at its border who are found."""
    found, true = drawn(seed, classes=1)
    g = torch.Generator().manual_seed(seed)
    for one, truth in zip(found[::2], true[::2], strict=True):
        corner = torch.rand(4, 2, generator=g) * 150
        people = torch.cat([corner, corner + 20 + torch.rand(4, 2, generator=g) * 20], 1)
        crowd = torch.tensor([[40.0, 30, 170, 140]])
        rest = {"labels": torch.zeros(1, dtype=torch.long), "iscrowd": torch.ones(1, dtype=torch.long)}
        truth |= {name: torch.cat([truth[name], value]) for name, value in ({"boxes": crowd} | rest).items()}
        truth["area"] = torch.cat([truth["area"], torch.tensor([130 * 110.0])])
        one["boxes"] = torch.cat([one["boxes"], people])
        one["scores"] = torch.cat([one["scores"], torch.rand(4, generator=g)])
        one["labels"] = torch.cat([one["labels"], torch.zeros(4, dtype=torch.long)])
    return found, true


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_s_precision_is_pycocotools_of_a_single_class(seed):
    """One class, so that its ranking is that of all classes."""
    for one, truth in zip(*drawn_with_crowds(seed), strict=True):
        if (truth["iscrowd"] == 0).any():
            expected = mean_precisions([one], [truth])["mAP50"]
            assert picture_precision(one, truth) == pytest.approx(expected, abs=1e-6)
        else:
            assert picture_precision(one, truth) is None


def test_a_person_found_in_a_large_crowd_is_nothing():
    """COCO divides by the found box's own area: over the union with the crowd it is a hundredth."""
    boxes = torch.tensor([[0.0, 0, 100, 100], [200, 0, 210, 10]])
    true = {"boxes": boxes, "labels": torch.tensor([0, 0]), "iscrowd": torch.tensor([1, 0])}
    within = torch.cat([boxes[1:], torch.tensor([[5.0, 5, 15, 15]])])
    found = {"boxes": within, "scores": torch.tensor([0.8, 0.9]), "labels": torch.tensor([0, 0])}
    assert picture_precision(found, true) == 1
    assert picture_precision(found | {"boxes": within + torch.tensor([[0.0], [94]])}, true) == 0.5  # 1 % in it


def test_a_picture_s_precision_by_hand():
    """Of two boxes the first is found at rank one, the second not; a crowd's and another class's are neither."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 60, 20]])
    true = {"boxes": boxes, "labels": torch.tensor([0, 1, 0]), "iscrowd": torch.tensor([0, 0, 1])}
    found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7]), "labels": torch.tensor([0, 0, 0])}
    assert picture_precision(found, true) == pytest.approx(51 / 101)  # recalls of 0 to 0.5 of 101
    nothing = {"boxes": boxes[:0], "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.long)}
    assert picture_precision(nothing, true) == 0


@pytest.mark.parametrize(("classes", "expected"), [(1, 0.0), (2, 1 / 51)])
def test_the_hundred_best_are_each_class_s(classes, expected):
    """Of 102 boxes the two worst are right: beyond the hundred of one class, at rank 51 of each of two."""
    labels = torch.arange(102) % classes
    boxes = torch.tensor([[50.0, 50, 60, 60]]).repeat(102, 1)
    boxes[100:] -= 50
    found = {"boxes": boxes, "scores": torch.arange(102, 0, -1) / 102, "labels": labels}
    nothing = torch.zeros(2, dtype=torch.long)
    true = {"boxes": boxes[100:], "labels": labels[100:], "iscrowd": nothing, "area": nothing + 100.0}
    assert mean_precisions([found], [true])["mAP"] == pytest.approx(expected)


def test_nothing_to_find_is_zero():
    found, true = drawn(0, pictures=2)
    empty = [{name: value[:0] for name, value in one.items()} for one in true]
    assert mean_precisions(found, empty, by_size=True) == {"mAP": 0, "mAP50": 0, "mAP75": 0}


def test_says_which_extra_brings_pycocotools(monkeypatch):
    monkeypatch.setattr(scores, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'blockyard\[detection\]'$"):
        mean_precisions([], [])
