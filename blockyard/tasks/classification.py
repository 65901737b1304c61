"""What every task with one label a sample shares: the network, its plugs, the optimiser, the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.aggregation import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from blockyard.backbones import Backbone
from blockyard.blocks import Block
from blockyard.plugging import Plug, apply_plugs
from blockyard.tasks.schedules import schedule

Batch = dict[str, Tensor]
OUTCOME = ("top1", "loss", "target", "predicted", "probability")
"""What a test keeps of a sample; ``probability`` is that of the predicted class."""


class SampleScores(Metric):
    """Named values of every sample, complete on every rank whatever rank saw which sample.

    Args:
        samples: Size of the split.
        names: What is kept of a sample.
    """

    full_state_update = False
    values: Tensor
    seen: Tensor

    def __init__(self, samples: int, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.add_state("values", torch.zeros(samples, len(self.names)), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(samples, dtype=torch.uint8), dist_reduce_fx="sum")

    def update(self, index: Tensor, **values: Tensor) -> None:
        """Store values ``(B,)`` of each name at the positions ``index`` ``(B,)`` of the split."""
        self.values[index] = torch.stack([values[name].to(self.values) for name in self.names], 1)
        self.seen[index] = 1

    def compute(self) -> dict[str, Tensor]:
        """Each name's values ``(n,)`` of the samples seen, and their positions as ``index``, ascending."""
        index = self.seen.nonzero().flatten()
        return {"index": index, **dict(zip(self.names, self.values[index].T, strict=True))}


class Classification(LightningModule):
    """Trains a backbone with blocks plugged in to name the class of each sample.

    ``self.network`` is the plugged backbone; it maps ``(B, C, *S)`` to logits ``(B, K)``. The blocks draw their
    initial weights from streams of their own, so backbone, head and data order equal those of the same task
    without plugs. A batch is a mapping of ``input`` ``(B, C, *S)``, ``target`` ``(B,)`` and ``index`` ``(B,)``,
    the position of each sample in its split.

    Args:
        backbone: Called with ``(num_classes, in_channels)``.
        optimizer: Called with the parameters.
        num_classes: Classes K; the command line takes it from the data.
        input_shape: Shape ``(C, *S)`` of one sample; the command line takes it from the data.
        block: The block of a single plug, called with ``(channels, spatial_dims)``.
        at: Where the single plug goes: a dotted path with globs, or several.
        plugs: Several plugs, in place of ``block`` and ``at``.
        lr_scheduler: Called with the optimiser; ``"cosine"`` decays to zero over the whole run, step by step.
        lr_interval: How often a scheduler given as a class advances.
        warmup_epochs: Epochs of linear warm-up before the schedule starts.
        warmup_factor: The warm-up starts at this fraction of the learning rate.
        label_smoothing: Mass of the target that is spread over all classes, in training only.

    Raises:
        ValueError: If ``block``, ``at`` and ``plugs`` do not fit together, or a plug is refused.
    """

    primary_metric: ClassVar[str] = "top1"

    def __init__(
        self,
        backbone: Callable[[int, int], Backbone],
        optimizer: OptimizerCallable,
        num_classes: int,
        input_shape: tuple[int, ...],
        block: Callable[[int, int], Block] | None = None,
        at: str | list[str] | None = None,
        plugs: list[Plug] | None = None,
        lr_scheduler: Literal["cosine"] | LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        warmup_epochs: int = 0,
        warmup_factor: float = 0.01,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.plugs = _plugs(block, at, plugs)
        self.network: nn.Module = backbone(num_classes, input_shape[0])
        apply_plugs(self.network, self.plugs, example=torch.zeros(1, *input_shape))
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_interval = lr_interval
        self.warmup_epochs, self.warmup_factor = warmup_epochs, warmup_factor
        self.num_classes = num_classes
        self.loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        self.val_loss = MeanMetric()
        self.val_metrics = _metrics(num_classes, "val/")
        self.test_metrics = _metrics(num_classes, "test/")
        self.confusion_metric = MulticlassConfusionMatrix(num_classes)
        self.sample_scores: dict[str, Tensor] = {}
        self.outcomes: dict[str, Tensor] = {}
        self.confusion: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, K)`` of a batch ``(B, C, *S)``."""
        return self.network(x)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch.

        Raises:
            FloatingPointError: If the loss is not finite; the weights are still those of the step before.
        """
        loss = self.loss(self(batch["input"]), batch["target"])
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} at epoch {self.current_epoch}, step {self.global_step}: "
                "stopped before the optimiser step; a lower learning rate or a warm-up may help"
            )
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["target"]))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the validation metrics; a rank without a sample gets an empty batch."""
        if len(batch["target"]):
            self.update_validation(self(batch["input"]), batch["target"])

    def update_validation(self, logits: Tensor, target: Tensor) -> None:
        """Update the validation metrics by logits ``(B, K)`` and labels ``(B,)``."""
        self.val_metrics.update(logits, target)
        self.val_loss.update(nn.functional.cross_entropy(logits, target), weight=len(logits))

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics; every rank takes part, also one that had no sample."""
        metrics = self.val_metrics.compute()
        self.log("val/top1", metrics.pop("val/top1"), prog_bar=True)
        self.log_dict(metrics | {"val/loss": self.val_loss.compute()})
        self.val_metrics.reset()
        self.val_loss.reset()

    def on_test_epoch_start(self) -> None:
        """Make room for the outcome of each test sample."""
        self._outcomes = SampleScores(self.test_samples(), OUTCOME).to(self.device)

    def test_samples(self) -> int:
        """How many samples the test scores: one an item of the split."""
        return len(self.trainer.test_dataloaders.dataset)  # type: ignore[union-attr]

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the test metrics and the outcome of each sample; a rank without a sample gets an empty batch."""
        if len(batch["target"]):
            self.update_test(self(batch["input"]), batch["target"], batch["index"])

    def update_test(self, logits: Tensor, target: Tensor, index: Tensor) -> None:
        """Update all that a test keeps by logits ``(B, K)``, labels ``(B,)`` and positions in the split ``(B,)``."""
        self.test_metrics.update(logits, target)
        self.confusion_metric.update(logits, target)
        probability, predicted = logits.float().softmax(1).max(1)
        self._outcomes.update(
            index,
            top1=logits.argmax(1) == target,
            loss=nn.functional.cross_entropy(logits.float(), target, reduction="none"),
            target=target,
            predicted=predicted,
            probability=probability,
        )

    def on_test_epoch_end(self) -> None:
        """Log the test metrics; keep ``outcomes``, ``sample_scores`` and ``confusion`` ``(K, K)``, rows the true class.

        ``outcomes`` holds ``index``, the positions of the samples in their split, and the names of :data:`OUTCOME`.
        """
        # torchmetrics makes a scalar of a single value.
        self.outcomes = scores = {name: values.reshape(-1) for name, values in self._outcomes.compute().items()}
        self.sample_scores = {"top1": scores["top1"].to(torch.uint8), "loss": scores["loss"]}
        self.confusion = self.confusion_metric.compute()
        metrics = self.test_metrics.compute()
        # The mean of the ordered losses, not of the ranks' means: the same sum however many processes share the work.
        self.log_dict(metrics | {"test/loss": scores["loss"].double().mean().float()})
        self.test_metrics.reset()
        self.confusion_metric.reset()

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Probabilities ``(B, K)`` and the index ``(B,)`` of their samples."""
        return self(batch["input"]).float().softmax(1), batch["index"]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and the schedule with its warm-up."""
        optimizer = self.optimizer(self.parameters())
        return schedule(
            self.trainer, optimizer, self.lr_scheduler, self.lr_interval, self.warmup_epochs, self.warmup_factor
        )


def _plugs(
    block: Callable[[int, int], Block] | None, at: str | list[str] | None, plugs: list[Plug] | None
) -> list[Plug]:
    if (block is None) != (at is None):
        missing, given = ("at", "block") if at is None else ("block", "at")
        raise ValueError(f"{given} is given without {missing}; a plug needs both: block SpectralNonlocal, at stage2.1")

    if block is not None and plugs:
        raise ValueError("give either block and at, or plugs, not both")
    return [Plug(block, at)] if block is not None and at is not None else list(plugs or [])


def _metrics(num_classes: int, prefix: str) -> MetricCollection:
    return MetricCollection(
        {
            "top1": MulticlassAccuracy(num_classes, average="micro"),
            "top5": MulticlassAccuracy(num_classes, average="micro", top_k=min(5, num_classes)),
            "macro_accuracy": MulticlassAccuracy(num_classes, average="macro"),
        },
        prefix=prefix,
        compute_groups=False,
    )
