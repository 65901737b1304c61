"""True masks by task, and segments found."""

from __future__ import annotations

import torch
from torch import Tensor

from blockyard.heads.oneformer.segments import instance_segments, panoptic_segments
from blockyard.heads.oneformer.targets import masks_of
from blockyard.heads.oneformer.transformer_decoder import Prediction

SCENE = torch.tensor([[0, 0, 2, 255, 2], [0, 0, 2, 255, 2], [1, 1, 1, 255, 0], [1, 1, 1, 0, 255]])
"""Two objects of class 2, one of 1, and class 0 in two places."""


def test_semantic_masks_are_one_a_class():
    labels, masks, known = masks_of(SCENE, "semantic", [1, 2])
    assert labels.tolist() == [0, 1, 2]
    assert torch.equal(masks, torch.stack([label == SCENE for label in (0, 1, 2)]).float())
    assert torch.equal(known, (SCENE != 255).float())


def test_instances_are_the_connected_components_of_things():
    labels, masks, _ = masks_of(SCENE, "instance", [0, 2])
    assert labels.tolist() == [0, 0, 2, 2]  # diagonals connect
    assert [int(mask.sum()) for mask in masks] == [4, 2, 2, 2]
    assert masks_of(SCENE, "instance", []).masks.shape == (0, 4, 5)


def test_panoptic_masks_are_both_and_cover_what_is_known_once():
    labels, masks, known = masks_of(SCENE, "panoptic", [2])
    assert labels.tolist() == [0, 1, 2, 2]
    assert torch.equal(masks.sum(0), known)


def test_a_picture_without_a_label_has_no_mask():
    labels, masks, known = masks_of(torch.full((4, 5), 255), "semantic", [])
    assert (labels.shape, masks.shape, int(known.sum())) == ((0,), (0, 4, 5), 0)


def sure(labels: list[int], scores: list[float], masks: Tensor) -> Prediction:
    """Queries whose classes have these probabilities; the masks' logits are 8 inside, -8 outside."""
    classes = torch.full((len(labels), 4), 1e-9)
    for row, label, score in zip(classes, labels, scores, strict=True):
        row[label], row[(label + 1) % 4] = score, 1 - score + 1e-9
    return Prediction(classes.log(), 16 * masks.float() - 8)


def masks(*columns: slice) -> Tensor:
    found = torch.zeros(len(columns), 4, 10)
    for mask, where in zip(found, columns, strict=True):
        mask[:, where] = 1
    return found


def test_panoptic_segments_share_the_picture():
    """A mask that is mostly another's goes, and so does what is nothing or unsure; of what is no thing there is one."""
    where = masks(slice(0, 4), slice(0, 3), slice(4, 6), slice(7, 9), slice(9, 10), slice(6, 7))
    prediction = sure([1, 2, 0, 0, 3, 1], [0.99, 0.9, 0.95, 0.97, 0.99, 0.6], where)
    found = panoptic_segments(prediction, things=[1, 2])
    assert found.labels.tolist() == [1, 0]
    torch.testing.assert_close(found.scores, torch.tensor([0.99, 0.97]))
    assert torch.equal(found.masks, torch.stack([where[0], where[2] + where[3]]).bool())
    assert found.masks.sum(0).max() == 1
    apart = panoptic_segments(prediction, things=[0, 1, 2])
    assert apart.labels.tolist() == [1, 0, 0]


def test_no_query_is_sure_of_anything():
    found = panoptic_segments(sure([3, 0], [0.9, 0.5], masks(slice(0, 4), slice(4, 9))), [0])
    assert (found.masks.shape, found.labels.shape, found.scores.shape) == ((0, 4, 10), (0,), (0,))


def test_instances_may_overlap_and_are_scored_by_class_and_mask():
    where = masks(slice(0, 4), slice(2, 6))
    prediction = sure([1, 2], [0.9, 0.8], where)
    found = instance_segments(prediction, things=[1, 2], most=2)
    assert found.labels.tolist() == [1, 2]
    assert torch.equal(found.masks, where.bool())
    inside = torch.tensor(8.0).sigmoid()
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.8]) * inside)
    assert instance_segments(prediction, things=[2]).labels.unique().tolist() == [2]
