"""Scores of a segmentation are those of mmsegmentation, and exact."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from blockyard.tasks.segmentation.metrics import PixelConfusion, class_scores, confusion_of, mean_scores

CLASSES = 7


def masks(pictures: int = 5, absent: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Predictions and truths of several sizes; class ``absent`` is nowhere, and class 5 only predicted."""
    found = []
    for k in range(pictures):
        truth = torch.randint(0, 5, (11 + k, 13))
        truth[torch.rand(truth.shape) < 0.2] = 255
        predicted = torch.where(
            torch.rand(truth.shape) < 0.6, truth.clamp(max=absent - 1), torch.randint_like(truth, absent)
        )
        found.append((predicted.to(torch.uint8), truth))
    return found


def total(pairs) -> torch.Tensor:
    metric = PixelConfusion(CLASSES)
    for predicted, truth in pairs:
        metric.update(confusion_of(predicted, truth, CLASSES))
    return metric.compute()


@pytest.fixture(scope="module")
def iou_metric():
    import blockyard.backbones.adapters.mmseg_import  # noqa: F401, I001  before mmseg
    from mmseg.evaluation import IoUMetric

    return IoUMetric


class TestAgainstMMSegmentation:
    def test_every_score(self, iou_metric):
        """To 1e-6: its counts are float32, exact in pictures this small, and so are its quotients."""
        pairs = masks()
        areas = [iou_metric.intersect_and_union(predicted.long(), truth, CLASSES, 255) for predicted, truth in pairs]
        sums = [sum(column) for column in zip(*areas, strict=True)]
        expected = iou_metric.total_area_to_metrics(*sums, metrics=["mIoU", "mDice"])
        by_class, means = class_scores(total(pairs)), mean_scores(total(pairs))
        for ours, theirs in (("IoU", "IoU"), ("accuracy", "Acc"), ("Dice", "Dice")):
            wanted = torch.from_numpy(expected[theirs]).double()
            torch.testing.assert_close(by_class[ours], wanted, atol=1e-6, rtol=0, equal_nan=True)
            mean = means["mAcc" if theirs == "Acc" else f"m{theirs}"]
            assert mean.item() == pytest.approx(wanted.nanmean().item(), abs=1e-6)
        assert means["aAcc"].item() == pytest.approx(float(expected["aAcc"]), abs=1e-6)

    def test_what_it_reports(self, iou_metric):
        """Its result is in per cent, of two digits."""
        metric = iou_metric(iou_metrics=["mIoU", "mDice"])
        metric.dataset_meta = {"classes": [str(k) for k in range(CLASSES)]}
        pairs = masks()
        samples = [
            {"pred_sem_seg": {"data": predicted.long()[None]}, "gt_sem_seg": {"data": truth[None]}}
            for predicted, truth in pairs
        ]
        metric.process({}, samples)
        reported = metric.compute_metrics(metric.results)
        for name, value in mean_scores(total(pairs)).items():
            assert reported[name] == pytest.approx(100 * value.item(), abs=0.005001)  # rounded to two digits


def test_agrees_with_torchmetrics_where_a_class_occurs():
    pairs = masks()
    other = MulticlassJaccardIndex(CLASSES, average="none", ignore_index=255)
    for predicted, truth in pairs:
        other.update(predicted.long().flatten(), truth.flatten())
    ours = class_scores(total(pairs))["IoU"]
    torch.testing.assert_close(ours[:6].float(), other.compute()[:6])
    assert ours[6].isnan()  # torchmetrics says 0


def test_by_hand():
    truth = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 255]])
    predicted = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 2]])
    confusion = confusion_of(predicted, truth, 3)
    assert confusion.tolist() == [[3, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert class_scores(confusion)["IoU"][:2].tolist() == [3 / 5, 2 / 4]
    scores = {name: value.item() for name, value in mean_scores(confusion).items()}
    assert scores == pytest.approx(
        {"mIoU": 0.55, "aAcc": 5 / 7, "mAcc": (3 / 4 + 2 / 3) / 2, "mDice": (6 / 8 + 4 / 6) / 2}
    )


def test_a_class_that_is_only_predicted_counts_as_zero_and_an_absent_one_not_at_all():
    confusion = confusion_of(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), 3)
    assert class_scores(confusion)["IoU"].tolist()[:2] == [0.5, 0.0]
    assert mean_scores(confusion)["mIoU"] == 0.25


def test_counts_are_exact_beyond_what_floats_hold():
    metric = PixelConfusion(2)
    for _ in range(3):
        metric.update(torch.tensor([[2**53, 1], [0, 1]]))
    assert metric.compute().tolist() == [[3 * 2**53, 3], [0, 3]]


@pytest.mark.parametrize("value", [7, 254, -1])
def test_a_value_that_is_no_class_is_named(value):
    with pytest.raises(ValueError, match=rf"^a mask holds the value {value}, .* 0 to 6, and 255 for pixels to ignore$"):
        confusion_of(torch.zeros(2, 2), torch.tensor([[0, 1], [value, 255]]), CLASSES)
