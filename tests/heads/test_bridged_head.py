"""RelationNet++'s head: torchvision's at first; its points are found where they are drawn."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssdlite import SSDLiteHead

from blockyard.heads.bridged_head import KINDS, BridgedHead, PointHead, nearness

STRIDES = [4, 8, 16]


def retinanet() -> RetinaNetHead:
    return RetinaNetHead(8, 2, 3)


def fcos() -> FCOSHead:
    return FCOSHead(32, 1, 3, 1)


def maps(channels: int) -> list[Tensor]:
    return [torch.randn(2, channels, n, n + 2) for n in (8, 4, 2)]


@pytest.mark.parametrize(("stock", "channels"), [(retinanet, 8), (fcos, 32)])
def test_a_fresh_one_finds_what_the_stock_head_finds(stock: Callable[[], nn.Module], channels: int):
    head, given = stock(), maps(channels)
    expected = head(given)
    bridged = BridgedHead(copy.deepcopy(head), channels, STRIDES, heads=4).eval()
    found = bridged(given)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    more = {name for name, _ in bridged.named_parameters() if name.startswith(("points", "attention"))}
    assert sum(p.numel() for n, p in bridged.named_parameters() if n not in more) == sum(
        p.numel() for p in head.parameters()
    )


def test_points_that_are_scored_are_found():
    head = PointHead(4, STRIDES)
    points = [torch.zeros(1, KINDS, 3, n, n) for n in (8, 4, 2)]
    for level, row, column, score in ((0, 1, 2, 5.0), (1, 3, 0, 4.0), (0, 1, 3, 4.5)):  # the last beside the first
        points[level][0, 2, 0, row, column] = score
        points[level][0, 2, 1:, row, column] = torch.tensor([0.25, 0.5])
    cell, place = head.places(points, kind=2, count=2)
    assert cell.tolist() == [[8 * 1 + 2, 64 + 4 * 3 + 0]]
    torch.testing.assert_close(place, torch.tensor([[[2.25, 1.5], [0.5, 7.0]]]))


def test_few_cells_give_few_keys():
    cell, place = PointHead(4, [4]).places([torch.randn(2, KINDS, 3, 1, 3)], kind=0, count=50)
    assert cell.shape == (2, 3)
    assert place.shape == (2, 3, 2)


def test_the_loss_is_least_where_points_are_named():
    head, boxes = PointHead(4, [4]), torch.tensor([[4.0, 8.0, 18.0, 30.0], [1.0, 1.0, 9.0, 5.0]])
    cells = torch.stack([boxes[:, :2], boxes[:, 2:], (boxes[:, :2] + boxes[:, 2:]) / 2]) / 4
    points = torch.full((1, KINDS, 3, 8, 8), -12.0)
    for kind in range(KINDS):
        for x, y in cells[kind].tolist():
            points[0, kind, :, int(y), int(x)] = torch.tensor([12.0, x % 1, y % 1])
    target = [{"boxes": boxes}]
    best = head.losses([points], target)
    assert max(float(value) for value in best.values()) < 1e-6
    points[0, 1, 0, 7, 4] *= -1  # the last corner of the first box, missed
    torch.testing.assert_close(head.losses([points], target)["points"], torch.tensor(0.25 * 12 / 6))
    none = head.losses([torch.full_like(points, -12.0)], [{"boxes": boxes[:0]}])
    assert float(none["points"]) < 1e-6


def test_nearness_is_one_at_points_and_falls_off():
    cells = torch.tensor([[[2.0, 1.0], [5.0, 3.0]]])
    near = nearness(cells, torch.tensor([1.0, 0.5]), 4, 7)
    assert near.shape == (1, 4, 7)
    assert near[0, 1, 2] == near[0, 3, 5] == 1
    torch.testing.assert_close(near[0, 1, 3], torch.tensor(-0.5).exp())
    assert (near == 1).sum() == 2


def test_all_learn_and_a_picture_without_objects_does_too():
    head, given = BridgedHead(retinanet(), 8, STRIDES, heads=2, keys=5), maps(8)
    outputs = head(given)
    targets = [{"boxes": torch.tensor([[3.0, 3.0, 20.0, 17.0]])}, {"boxes": torch.zeros(0, 4)}]
    losses = head.points.losses(outputs["points"], targets)
    sum([*losses.values(), outputs["cls_logits"].sum(), outputs["bbox_regression"].sum()]).backward()
    assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_mistakes_are_one_line(one_line: Callable[..., None]):
    with pytest.raises(ValueError, match="FCOS") as error:
        BridgedHead(SSDLiteHead([8], [6], 3, nn.BatchNorm2d), 8, [16])
    one_line(error, "bridging goes into the heads of FCOS and RetinaNet, not into SSDLiteHead")
    with pytest.raises(ValueError, match="keys") as error:
        BridgedHead(retinanet(), 8, STRIDES, keys=0)
    one_line(error, "keys must be at least 1, got 0")
