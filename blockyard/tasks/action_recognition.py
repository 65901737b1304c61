"""Action recognition: one label a video, read in several views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from torchmetrics import Metric

from blockyard.tasks.base import Batch
from blockyard.tasks.classification import Classification

UNIT = 2.0**48
"""Probabilities are summed in whole multiples of 1 / UNIT: sums of integers do not depend on their order."""
NAMED = 5
"""Of the videos that a result lacks, so many are named."""


class ViewMean(Metric):
    """Mean class probabilities of each video over its views, whatever rank saw which view.

    Probabilities are added up as integers, so that the means are the same to the last bit in whatever order the views
    come, and on any number of processes. Up to 2¹⁵ views a video.

    Args:
        videos: Videos in the split, n.
        num_classes: Classes K.
    """

    full_state_update = False
    total: Tensor
    views: Tensor
    seen: Tensor
    target: Tensor

    def __init__(self, videos: int, num_classes: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(videos, num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("views", torch.zeros(videos, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(videos, dtype=torch.int64), dist_reduce_fx="max")
        self.add_state("target", torch.zeros(videos, dtype=torch.int64), dist_reduce_fx="max")

    def update(self, video: Tensor, target: Tensor, valid: Tensor, probabilities: Tensor) -> None:
        """Add views.

        Args:
            video: Positions of their videos in the split ``(B,)``.
            target: Labels ``(B,)``.
            valid: Which of the views could be decoded ``(B,)``.
            probabilities: Class probabilities ``(B, K)``.

        Raises:
            FloatingPointError: If a probability of a valid view is not a number.
        """
        video_of, probabilities = video[valid], probabilities[valid]
        if probabilities.isnan().any():
            raise FloatingPointError("the network's output is not a number: its weights have diverged")
        self.seen[video] = 1
        self.target[video] = target
        # Scaling by a power of two is exact, so nothing is lost but what lies below 1 / UNIT.
        self.total.index_add_(0, video_of, (probabilities * UNIT).long())
        self.views.index_add_(0, video_of, torch.ones_like(video_of))

    def compute(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positions ``(m,)``, labels ``(m,)`` and log-probabilities ``(m, K)`` of the videos with a valid view.

        Last come the positions of the videos that were met and have none.
        """
        index = self.views.nonzero().flatten()
        missing = ((self.seen > 0) & (self.views == 0)).nonzero().flatten()
        # A class that got nothing at all has less than half a unit: its logarithm stays finite.
        mean = self.total[index].clamp(min=0.5) / (UNIT * self.views[index, None])
        return index, self.target[index], mean.log(), missing


class ActionRecognition(Classification):
    """Names the action in each video; the arguments are those of :class:`Classification`.

    The network sees clips ``(B, C, T, H, W)``. In evaluation a video is read in several views, clips times crops;
    ``index`` counts views, those of one video being neighbours, and the split says how many ``views`` there are. The
    class probabilities of the views are averaged, and every metric and score is one of *videos*: the logarithm of the
    mean is taken for a video's logits.

    ``valid`` ``(B,)`` in a batch is False for a view that could not be decoded. It is left out; a video without any
    valid view is missing from the result, which says so by name, and ``test/missing_videos`` counts them.
    """

    def on_validation_epoch_start(self) -> None:
        """Make room for the videos of the split."""
        self._start_views(self.trainer.val_dataloaders)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the views of a batch."""
        self._add_views(batch)

    def on_validation_epoch_end(self) -> None:
        """Score the videos, and log."""
        _, target, logits = self._finish_views("validation")
        if len(target):
            self.update_validation(logits, target)
        super().on_validation_epoch_end()

    def on_test_epoch_start(self) -> None:
        """Make room for the videos of the split."""
        self._start_views(self.trainer.test_dataloaders)
        super().on_test_epoch_start()

    def test_samples(self) -> int:
        """The videos of the split."""
        return len(self._views.seen)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the views of a batch."""
        self._add_views(batch)

    def on_test_epoch_end(self) -> None:
        """Score the videos; keep what :class:`Classification` keeps, and ``missing``, positions of videos."""
        index, target, logits = self._finish_views("test")
        if len(target):
            self.update_test(logits, target, index)
        super().on_test_epoch_end()
        self.log("test/missing_videos", float(len(self.missing)))

    def _start_views(self, loader: Any) -> None:
        split = loader.dataset.split
        self._names: Sequence[str] = split.names
        self._per_video: int = split.views
        self._views = ViewMean(len(split) // split.views, self.num_classes).to(self.device)

    def _add_views(self, batch: Batch) -> None:
        if not len(batch["target"]):
            return  # of a rank that has none left
        # The network sees the whole batch: left-out views would give compiled networks batches of many sizes.
        probabilities = self(batch["input"]).float().softmax(1)
        self._views.update(batch["index"] // self._per_video, batch["target"], batch["valid"], probabilities)

    def _finish_views(self, what: str) -> tuple[Tensor, Tensor, Tensor]:
        """Positions, labels and logits of this rank's share of the videos, after naming those that are missing.

        Raises:
            ValueError: If no video at all could be decoded.
        """
        index, target, logits, missing = self._views.compute()
        # torchmetrics makes a scalar of a single value.
        index, target, self.missing = index.reshape(-1), target.reshape(-1), missing.reshape(-1)
        if not len(index):
            raise ValueError(f"{what}: none of the {len(self.missing)} videos could be decoded")
        if len(self.missing):
            named = ", ".join(self._names[video] for video in self.missing[:NAMED].tolist())
            more = ", …" if len(self.missing) > NAMED else ""
            lacks = f"lacks {len(self.missing)} of {len(index) + len(self.missing)} videos"
            rank_zero_warn(f"the {what} result {lacks}, which could not be decoded: {named}{more}")
        rank, world = self.global_rank, self.trainer.world_size
        return index[rank::world], target[rank::world], logits[rank::world]
