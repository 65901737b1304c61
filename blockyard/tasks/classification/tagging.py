"""Audio tagging: any number of labels a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.analysis.probe import Probe
from blockyard.tasks.classification.audio import AudioClassification
from blockyard.tasks.classification.contact_sheet import ContactSheet
from blockyard.tasks.classification.predictions import PredictionsCSV
from blockyard.tasks.classification.probe import TAGS
from blockyard.tasks.classification.tag_report import TagReport
from blockyard.tasks.classification.tag_scores import ranking_precision, scores_of


class SmoothedBCE(nn.Module):
    """Binary cross-entropy of logits ``(B, K)``, mean over samples and classes.

    Args:
        smoothing: Targets are drawn towards a half by this share.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss for targets ``(B, K)`` from 0 to 1."""
        return F.binary_cross_entropy_with_logits(logits, target.to(logits) * (1 - self.smoothing) + self.smoothing / 2)


class AudioTagging(AudioClassification):
    """Finds all that is heard in each recording; the arguments are those of :class:`AudioClassification`.

    Every class has a probability of its own; targets are ``(B, K)``, zeros and ones; ``class_weights`` are refused, for
    labels here do not exclude each other. A test gives mAP, the mean of the classes' average precision; ``macro_f1``,
    where what has half a probability or more counts as heard; and ``lrap``, the mean of the samples' average precision
    (label ranking), which ``sample_scores`` holds as ``AP``.

    Every process scores all files, so that a metric that is no mean over samples does not depend on their number.
    """

    primary_metric: ClassVar[str] = "mAP"
    output: ClassVar[str] = "logits (B, K); their sigmoid is each class's probability"
    reports: ClassVar[tuple[Callable[[Path], Callback], ...]] = (TagReport, ContactSheet, PredictionsCSV)
    probe: ClassVar[Probe | None] = TAGS
    multi_label: ClassVar[bool] = True

    def make_criteria(self, label_smoothing: float, loss: Callable[[], nn.Module] | None) -> None:
        """Make ``loss``; the metrics are functions of all samples at once."""
        if loss is not None:
            raise ValueError("AudioTagging learns each label by a cross entropy of its own: leave loss away")
        if self.class_weights is not None:
            raise ValueError("AudioTagging has labels that exclude no other: class_weights are for one label a sample")
        self.loss = SmoothedBCE(label_smoothing)
        self.class_scores: dict[str, Tensor] = {}

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities ``(B, K)`` of logits ``(B, K)``, in float32."""
        return logits.float().sigmoid()

    def shares(self, target: Tensor) -> Tensor:
        """Labels as shares ``(B, K)``: they are already."""
        return target.float()

    def on_validation_epoch_end(self) -> None:
        """Score the files, and log."""
        _, target, logits = self.finish_views("validation")
        metrics, _ = scores_of(self.probabilities(logits), target)
        self.log("val/mAP", metrics.pop("mAP"), prog_bar=True)
        loss = losses(logits, target).mean()
        self.log_dict({f"val/{name}": value for name, value in metrics.items()} | {"val/loss": loss})

    def on_test_epoch_start(self) -> None:
        """Make room for the files of the split."""
        self.start_views(self.trainer.test_dataloaders)

    def on_test_epoch_end(self) -> None:
        """Score the files; keep ``sample_scores``, ``class_scores`` ``(K,)`` and ``outcomes``.

        ``outcomes`` holds ``index`` and ``loss`` ``(n,)``, ``target`` and ``probability`` ``(n, K)``.
        """
        index, target, logits = self.finish_views("test")
        probabilities = self.probabilities(logits)
        metrics, self.class_scores = scores_of(probabilities, target)
        loss = losses(logits, target)
        self.outcomes = {"index": index, "loss": loss, "target": target, "probability": probabilities}
        self.sample_scores = {"AP": ranking_precision(probabilities, target), "loss": loss}
        metrics["lrap"], metrics["loss"] = self.sample_scores["AP"].mean(), loss.mean()
        self.log_dict({f"test/{name}": value for name, value in metrics.items()})
        self.log_missing()


def losses(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of each sample ``(n,)``, mean over classes, by logits and targets ``(n, K)``."""
    return F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none").mean(1)
