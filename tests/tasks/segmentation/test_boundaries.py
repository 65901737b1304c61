"""Boundaries: by hand, by brute force, and where there are none."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from blockyard.tasks.segmentation.boundaries import boundary_f1

SPEC = importlib.util.spec_from_file_location("few_pictures", Path(__file__).parents[1] / "few_pictures.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)


def halves(edge: int, height: int = 6, width: int = 8) -> Tensor:
    """Class 1 from column ``edge`` on, 0 before."""
    return (torch.arange(width) >= edge).long().expand(height, width).clone()


def pixels(count: float) -> float:
    """A tolerance in pixels, of 6×8, whose diagonal is 10."""
    return count / 10


def test_a_boundary_that_is_off_by_a_pixel():
    """Of both classes every boundary pixel is 1 from the other's."""
    assert boundary_f1(halves(4), halves(3), pixels(0.99)) == 0
    assert boundary_f1(halves(4), halves(3), pixels(1)) == 1
    assert boundary_f1(halves(4), halves(4), 0) == 1


def test_by_hand():
    """True: a pixel of 1 in the corner. Predicted: 1 in two columns below it, too.

    Class 1 has the boundary {(0, 0)}; predicted is all of columns 0 and 1, of which column 1 alone has neighbours of 0.
    From (0, 0) the nearest of it is (0, 1), at 1, and this one of six is within 1. P = 1/6, R = 1, F1 = 2/7.
    Class 0 has {(0, 1), (1, 0)}; predicted column 2. (0, 2) is 1 from (0, 1), (1, 2) is √2, the others are further:
    P = 1/6. (0, 1) is 1 from column 2, (1, 0) is 2: R = 1/2, F1 = 1/4.
    """
    target, predicted = torch.zeros(6, 8), torch.zeros(6, 8)
    target[0, 0] = predicted[:, :2] = 1
    assert boundary_f1(predicted, target, pixels(1)) == pytest.approx((2 / 7 + 1 / 4) / 2)


def test_a_class_that_is_missing_has_none_of_its_boundary():
    target = halves(4)
    target[:, 6:] = 2
    assert boundary_f1(halves(4), target, 0) == pytest.approx((1 + 2 / 3 + 0) / 3)  # of class 1 half is found


def test_what_is_ignored_is_no_boundary_and_makes_none():
    target, predicted = halves(4), halves(2)
    target[:, 2:6] = 255  # between the classes
    assert math.isnan(boundary_f1(predicted, target, pixels(1)))
    assert math.isnan(boundary_f1(halves(4), torch.full((6, 8), 255), pixels(1)))
    target = halves(4)
    target[3:] = 255
    assert boundary_f1(halves(4), target, 0) == 1
    assert math.isnan(boundary_f1(torch.zeros(6, 8), torch.zeros(6, 8), pixels(1)))


@pytest.mark.parametrize("seed", range(5))
def test_equals_brute_force(seed):
    generator = torch.Generator().manual_seed(seed)
    target, predicted = (torch.randint(0, 4, (3, 4), generator=generator).repeat_interleave(3, 0) for _ in range(2))
    target, predicted = target.repeat_interleave(3, 1), predicted.repeat_interleave(3, 1)
    target[2:4, 5:] = 255
    share, scores = 0.15, []
    hidden = torch.where(target == 255, 255, predicted)

    def boundary(labels: Tensor, k: int) -> list[tuple[int, int]]:
        height, width = labels.shape
        return [
            (row, column)
            for row, column in (labels == k).nonzero().tolist()
            if any(
                0 <= row + down < height and 0 <= column + right < width
                and int(labels[row + down, column + right]) not in (k, 255)
                for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1))
            )
        ]  # fmt: skip

    for k in range(4):
        true, found = boundary(target, k), boundary(hidden, k)
        if not true and not found:
            continue
        near = [[math.dist(a, b) <= share * math.hypot(9, 12) for b in true] for a in found]
        right, hit = sum(map(any, near)), sum(map(any, zip(*near, strict=True)))
        precision, recall = right / max(len(found), 1), hit / max(len(true), 1)
        scores.append(2 * precision * recall / (precision + recall) if right and hit else 0.0)
    assert boundary_f1(predicted, target, share) == pytest.approx(sum(scores) / len(scores))


def test_a_test_logs_the_mean_over_pictures():
    module, data = few.task(boundary_tolerance=0.05).double(), few.FewPictures(5)
    (metrics,) = few.trainer().test(module, data, verbose=False)
    labels = few.trainer().predict(module, data)[0][0]
    truth = [torch.from_numpy(data.split("test")[k]["target"]) for k in range(4)]
    expected = [boundary_f1(*pair, 0.05) for pair in zip(labels, truth, strict=True)]
    found = dict(zip(module.pictures["index"].tolist(), module.pictures["boundaryF1"].tolist(), strict=True))
    assert found.keys() == {0, 1, 2, 4}  # one has no labelled pixel
    assert [found[k] for k in range(3)] == pytest.approx(expected[:3])
    assert metrics["test/boundaryF1"] == pytest.approx(sum(found.values()) / 4)
    assert len(module.sample_scores["boundaryF1"]) == 4
    (metrics,) = few.trainer().test(few.task().double(), data, verbose=False)
    assert "test/boundaryF1" not in metrics
