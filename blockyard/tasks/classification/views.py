"""Classification of samples that evaluation reads in several views: clips of a video, windows of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from torchmetrics import Metric

from blockyard.tasks.base import Batch
from blockyard.tasks.classification.base import Classification

UNIT = 2**48
"""Probabilities are summed in whole multiples of 1 / UNIT: sums of integers do not depend on their order."""
LEAST = 2.0**-25
"""What a float32 probability next to one leaves for all else: log-odds beyond it would be rounding."""
NAMED = 5
"""Of the samples that a result lacks, so many are named."""


class ViewMean(Metric):
    """Mean class probabilities ``(n, K)`` of each sample over its views, whatever rank saw which view.

    Probabilities are added up as integers, so that the means are the same to the last bit in whatever order the views
    come, and on any number of processes. Up to 2¹⁵ views a sample.

    Args:
        samples: Samples in the split, n.
        num_classes: Classes K.
        multi_label: Whether a target is a vector of K zeros and ones, and each class has a probability of its own.
    """

    full_state_update = False
    total: Tensor
    views: Tensor
    seen: Tensor
    target: Tensor

    def __init__(self, samples: int, num_classes: int, multi_label: bool = False) -> None:
        super().__init__()
        self.multi_label = multi_label
        labels = (samples, num_classes) if multi_label else (samples,)
        self.add_state("total", torch.zeros(samples, num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("views", torch.zeros(samples, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(samples, dtype=torch.int64), dist_reduce_fx="max")
        self.add_state("target", torch.zeros(labels, dtype=torch.int64), dist_reduce_fx="max")

    def update(self, sample: Tensor, target: Tensor, valid: Tensor, probabilities: Tensor) -> None:
        """Add views.

        Args:
            sample: Positions of their samples in the split ``(B,)``.
            target: Labels ``(B,)``, or ``(B, K)``.
            valid: Which of the views could be decoded ``(B,)``.
            probabilities: Class probabilities ``(B, K)``.

        Raises:
            FloatingPointError: If a probability of a valid view is not a number.
        """
        sample_of, probabilities = sample[valid], probabilities[valid]
        if probabilities.isnan().any():
            raise FloatingPointError("the network's output is not a number: its weights have diverged")
        self.seen[sample] = 1
        self.target[sample] = target.long()
        # Scaling by a power of two is exact, so nothing is lost but what lies below 1 / UNIT.
        self.total.index_add_(0, sample_of, (probabilities * float(UNIT)).long())
        self.views.index_add_(0, sample_of, torch.ones_like(sample_of))

    def compute(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positions ``(m,)``, labels ``(m,)`` or ``(m, K)`` and logits ``(m, K)`` of the samples with a valid view.

        The logits are those of the mean probabilities: their logarithm, or with several labels their log-odds. Last
        come the positions of the samples that were met and have no valid view.
        """
        index = self.views.nonzero().flatten()
        missing = ((self.seen > 0) & (self.views == 0)).nonzero().flatten()
        total, whole = self.total[index], UNIT * self.views[index, None]
        # A class that got nothing at all has less than half a unit: its logarithm stays finite.
        logits = (total.clamp(min=0.5) / whole).log()
        if self.multi_label:
            logits = logits - ((whole - total) / whole).clamp(min=LEAST).log()
        return index, self.target[index], logits, missing


class ViewClassification(Classification):
    """Names the class of samples read in views; the arguments are those of :class:`Classification`.

    In evaluation ``index`` counts views, the items of the split, and the split says whose they are (``sample_of``). The
    class probabilities of a sample's views are averaged, and every metric and score is one of *samples*: the logarithm
    of the mean is taken for a sample's logits.

    ``valid`` ``(B,)`` in a batch is False for a view that could not be decoded. It is left out; a sample without any
    valid view is missing from the result, which says so by name, and ``test/missing_<samples>`` counts them.
    """

    called: ClassVar[str] = "samples"
    """What people call the samples."""
    multi_label: ClassVar[bool] = False
    """Whether a sample has any number of labels."""

    def on_validation_epoch_start(self) -> None:
        """Make room for the samples of the split."""
        super().on_validation_epoch_start()
        self.start_views(self.trainer.val_dataloaders)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the views of a batch."""
        self._add_views(batch)

    def on_validation_epoch_end(self) -> None:
        """Score the samples, and log."""
        _, target, logits = self._share(*self.finish_views("validation"))
        if len(target):
            self.update_validation(logits, target)
        super().on_validation_epoch_end()

    def on_test_epoch_start(self) -> None:
        """Make room for the samples of the split."""
        self.start_views(self.trainer.test_dataloaders)
        super().on_test_epoch_start()

    def test_samples(self) -> int:
        """The samples of the split."""
        return len(self._views.seen)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add up the views of a batch."""
        self._add_views(batch)

    def on_test_epoch_end(self) -> None:
        """Score the samples; keep what :class:`Classification` keeps, and ``missing``, positions of samples."""
        index, target, logits = self._share(*self.finish_views("test"))
        if len(target):
            self.update_test(logits, target, index)
        super().on_test_epoch_end()
        self.log_missing()

    def start_views(self, loader: Any) -> None:
        """Make room for the samples of a loader's split."""
        split = loader.dataset.split
        self._names: Sequence[str] = split.names
        self._sample_of = torch.tensor([split.sample_of(item) for item in range(len(split))], device=self.device)
        self._views = ViewMean(len(split.names), self.num_classes, self.multi_label).to(self.device)

    def finish_views(self, what: str) -> tuple[Tensor, Tensor, Tensor]:
        """Positions ``(n,)``, labels ``(n,)`` or ``(n, K)`` and logits ``(n, K)`` of all samples on every rank.

        Those that are missing are named.

        Raises:
            ValueError: If no sample at all could be decoded.
        """
        # torchmetrics makes a scalar of a single value.
        index, target, logits, missing = (value.flatten() for value in self._views.compute())
        self.missing = missing
        if not len(index):
            raise ValueError(f"{what}: none of the {len(missing)} {self.called} could be decoded")
        if len(missing):
            named = ", ".join(self._names[sample] for sample in missing[:NAMED].tolist())
            more = ", …" if len(missing) > NAMED else ""
            lacks = f"lacks {len(missing)} of {len(index) + len(missing)} {self.called}"
            rank_zero_warn(f"the {what} result {lacks}, which could not be decoded: {named}{more}")
        return index, target.view(len(index), -1) if self.multi_label else target, logits.view(len(index), -1)

    def log_missing(self) -> None:
        """Log how many samples of the test have no valid view."""
        self.log(f"test/missing_{self.called}", float(len(self.missing)))

    def _add_views(self, batch: Batch) -> None:
        if not len(batch["target"]):
            return  # of a rank that has none left
        # The network sees the whole batch: left-out views would give compiled networks batches of many sizes.
        probabilities = self.probabilities(self(batch["input"]))
        self._views.update(self._sample_of[batch["index"]], batch["target"], batch["valid"], probabilities)

    def _share(self, *values: Tensor) -> list[Tensor]:
        """This rank's share of what lies on all of them."""
        return [value[self.global_rank :: self.trainer.world_size] for value in values]
