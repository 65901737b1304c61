"""RelationNet++: torchvision's heads of detectors, whose positions ask the corners and centres of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.heads.bridging import BridgingAttention, Keys

KINDS = 3
"""Points of a box: its first corner (left, top), its last one (right, bottom), and its centre."""
CORNERS, CENTRES = (0, 1), (2,)
LEVEL_KEYS = 20
"""Keys of a kind that one level proposes."""
WEIGHT = 0.25
"""Of the scores' loss beside the detector's own."""


class PointHead(nn.Module):
    """Where corners and centres of boxes are on each map ``(B, C, H, W)``: a score of each cell, and where within it.

    One pair of convolutions for all levels, which all learn every box. Scores are learned as CornerNet's are (Law and
    Deng, CornerNet, ECCV 2018): the cell of a point is one, cells near by are hardly blamed. Here points have no class,
    and σ is a sixth of a box's shorter side, a sixth of a cell at least; the released code scores them by class, and
    takes σ from the shift that leaves boxes an overlap of 0.7.

    Args:
        channels: Channels C of the maps.
        strides: Input pixels per cell, by level.
    """

    def __init__(self, channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = list(strides)
        groups = next(n for n in (32, 16, 8, 4, 2, 1) if channels % n == 0)
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(groups, channels), nn.ReLU()]
        self.tower = nn.Sequential(*layers)
        self.points = nn.Conv2d(channels, 3 * KINDS, 3, padding=1)
        nn.init.normal_(self.points.weight, std=0.01)
        assert self.points.bias is not None
        nn.init.constant_(self.points.bias[:KINDS].detach(), -4.595)  # a score of 0.01
        nn.init.constant_(self.points.bias[KINDS:].detach(), 0.5)  # the middle of a cell

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Of maps ``(B, C, H, W)``: ``(B, KINDS, 3, H, W)`` each: logit, and x and y within the cell."""
        found = [self.points(self.tower(x)).float() for x in maps]
        return [torch.cat([x[:, :KINDS, None], x[:, KINDS:].unflatten(1, (KINDS, 2))], 2) for x in found]

    def losses(self, points: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """``points`` and ``point_offsets``, one number each.

        Args:
            points: As they are found.
            targets: Of each picture ``boxes`` ``(n, 4)``.
        """
        scores, offsets, count = points[0].new_zeros(()), points[0].new_zeros(()), 0
        for level, stride in zip(points, self.strides, strict=True):
            for found, target in zip(level, targets, strict=True):
                score, offset = self._picture(found, target["boxes"].float() / stride)
                scores, offsets, count = scores + score, offsets + offset, count + KINDS * len(target["boxes"])
        return {"points": WEIGHT * scores / max(1, count), "point_offsets": offsets / max(1, count)}

    @staticmethod
    def _picture(found: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over one picture's points ``(KINDS, 3, H, W)``, of boxes ``(n, 4)`` in cells."""
        height, width = found.shape[2:]
        places = torch.stack([boxes[:, :2], boxes[:, 2:], (boxes[:, :2] + boxes[:, 2:]) / 2])  # (KINDS, n, 2)
        limit = places.new_tensor([width - 1, height - 1])
        cells = places.floor().clamp(min=0).minimum(limit)
        wanted = nearness(cells, (boxes[:, 2:] - boxes[:, :2]).amin(1).clamp(min=1) / 6, height, width)
        logit = found[:, 0]
        p = logit.sigmoid()
        hit = wanted == 1
        right = F.logsigmoid(logit) * (1 - p) ** 2 * hit
        wrong = F.logsigmoid(-logit) * p**2 * (1 - wanted) ** 4 * ~hit
        kind = torch.arange(KINDS, device=found.device)[:, None].expand(-1, len(boxes))
        x, y = cells.long().unbind(2)
        offset = F.smooth_l1_loss(found[kind, 1:, y, x], places - cells, reduction="sum")
        return -(right + wrong).sum(), offset

    @torch.no_grad()
    def places(self, points: Sequence[Tensor], kind: int, count: int) -> tuple[Tensor, Tensor]:
        """The cells that most look like points of a kind, each the best of the 3×3 around it.

        Returns:
            Their positions in the row of all cells of all levels, ``(B, K)``, and x and y ``(B, K, 2)`` in cells of the
            finest map.
        """
        scores, cells, places, before = [], [], [], 0
        for level, stride in zip(points, self.strides, strict=True):
            logit = level[:, kind, 0]
            best = logit.where(F.max_pool2d(logit[:, None], 3, 1, 1)[:, 0] == logit, -1e4).flatten(1)
            score, cell = best.topk(min(LEVEL_KEYS, best.shape[1]))
            within = level[:, kind, 1:].flatten(2).gather(2, cell[:, None].expand(-1, 2, -1)).transpose(1, 2)
            corner = torch.stack([cell % logit.shape[2], cell.div(logit.shape[2], rounding_mode="floor")], 2)
            places.append((corner + within) * (stride / self.strides[0]))
            scores.append(score)
            cells.append(cell + before)
            before += best.shape[1]
        score, cell, place = (torch.cat(parts, 1) for parts in (scores, cells, places))
        chosen = score.topk(min(count, score.shape[1])).indices
        return cell.gather(1, chosen), place.gather(1, chosen[..., None].expand(-1, -1, 2))


class BridgedHead(nn.Module):
    """A head of torchvision's RetinaNet or FCOS, with attention to points behind its two towers.

    On maps ``(B, C, H, W)``, what tells classes asks centres, what tells boxes asks corners (see
    :class:`BridgingAttention`); the detector's own losses stay, those of the points are added. A fresh one finds what
    the stock head finds.

    Args:
        head: The stock head; its towers are taken over.
        channels: Channels C of its maps.
        strides: Input pixels per cell, by level.
        heads: Heads of the attention.
        keys: Points of a kind that are asked, of all levels together.

    Raises:
        ValueError: If the head is another's, there is no key, or ``heads`` does not divide ``channels``.
    """

    def __init__(self, head: nn.Module, channels: int, strides: Sequence[int], heads: int = 8, keys: int = 50) -> None:
        super().__init__()
        parts: list[Any] = [getattr(head, f"{name}_head", None) for name in ("classification", "regression")]
        if not all(hasattr(part, "conv") for part in parts):
            raise ValueError(f"bridging goes into the heads of FCOS and RetinaNet, not into {type(head).__name__}")
        if keys < 1:
            raise ValueError(f"BridgedHead: keys must be at least 1, got {keys}")
        self.head, self.keys = head, keys
        self.towers = nn.ModuleList(part.conv for part in parts)
        for part in parts:
            part.conv = nn.Identity()
        self.points = PointHead(channels, strides)
        self.attention = nn.ModuleList(BridgingAttention(channels, len(kinds), heads) for kinds in (CENTRES, CORNERS))

    def forward(self, maps: list[Tensor]) -> dict[str, Any]:
        """What the stock head gives for maps ``(B, C, H, W)``; in training also ``points`` of each level."""
        points = self.points(maps)
        seen = []
        for tower, attention, kinds in zip(self.towers, self.attention, (CENTRES, CORNERS), strict=True):
            towered = [tower(x) for x in maps]
            keys = [self._keys(towered, points, kind) for kind in kinds]
            cells = [stride / self.points.strides[0] for stride in self.points.strides]
            seen.append([attention(x, ratio, keys) for x, ratio in zip(towered, cells, strict=True)])
        outputs = self._predicted(*seen)
        return outputs | {"points": points} if self.training else outputs

    def compute_loss(
        self, targets: list[dict[str, Tensor]], head_outputs: dict[str, Any], *matched: Any
    ) -> dict[str, Tensor]:
        """The stock head's losses and those of the points; the arguments are torchvision's."""
        stock: Any = self.head
        losses: dict[str, Tensor] = stock.compute_loss(targets, head_outputs, *matched)
        return losses | self.points.losses(head_outputs["points"], targets)

    def _predicted(self, for_classes: list[Tensor], for_boxes: list[Tensor]) -> dict[str, Any]:
        """What the stock head's last convolutions give, by torchvision's names."""
        stock: Any = self.head
        boxes = stock.regression_head(for_boxes)
        named = {"cls_logits": stock.classification_head(for_classes)}
        if isinstance(boxes, Tensor):
            return named | {"bbox_regression": boxes}
        return named | {"bbox_regression": boxes[0], "bbox_ctrness": boxes[1]}

    def _keys(self, maps: list[Tensor], points: list[Tensor], kind: int) -> Keys:
        """The points of a kind with what the maps say there."""
        cell, place = self.points.places(points, kind, self.keys)
        rows = torch.cat([x.flatten(2) for x in maps], 2)
        features = rows.gather(2, cell[:, None].expand(-1, rows.shape[1], -1)).transpose(1, 2)
        return Keys(features, place)


def nearness(cells: Tensor, sigma: Tensor, height: int, width: int) -> Tensor:
    """How near each cell ``(KINDS, H, W)`` is to the nearest of points: a Gaussian, one at a point's own cell.

    Args:
        cells: x and y of the points' cells, ``(KINDS, n, 2)``.
        sigma: Of each Gaussian, ``(n,)``, in cells.
        height: H.
        width: W.
    """
    if not len(sigma):
        return cells.new_zeros(len(cells), height, width)
    axes = [torch.arange(size, device=cells.device) for size in (width, height)]
    x, y = ((axis - cells[..., place, None]) ** 2 for place, axis in enumerate(axes))  # (KINDS, n, size)
    return (-(y[..., None] + x[..., None, :]) / (2 * sigma[:, None, None] ** 2)).exp().amax(1)
