"""What every task with one label a sample shares: the network, its plugs, the optimiser, the metrics."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.aggregation import MeanMetric

import blockyard.training  # noqa: F401 - the command line finds imported classes by their name alone
from blockyard.analysis.probe import Probe
from blockyard.backbones import Backbone
from blockyard.backbones.prefixes import WHOLE, Prefix, prefix_of
from blockyard.datamodules import DataModule
from blockyard.datamodules.suggesting import Choice
from blockyard.mistakes import nearest
from blockyard.objectives import Default, SortedNet
from blockyard.plugging.probe import undisturbed
from blockyard.tasks.base import Batch, Task, refuse_beside
from blockyard.tasks.classification.class_means import MacroAccuracy, MacroF1, TopAccuracy
from blockyard.tasks.classification.class_report import ClassReport
from blockyard.tasks.classification.contact_sheet import ContactSheet
from blockyard.tasks.classification.objective import FromLabels
from blockyard.tasks.classification.predictions import PredictionsCSV
from blockyard.tasks.classification.probe import CLASSES
from blockyard.tasks.sample_scores import SampleScores
from blockyard.training.class_weights import WeightedCrossEntropy, balanced_weights, checked, give_weights
from blockyard.training.mixing import Mixing
from blockyard.training.trial import try_out

OUTCOME = ("top1", "loss", "target", "predicted", "probability")
"""What a test keeps of a sample; ``probability`` is that of the predicted class."""
CALIBRATION_BINS = 15
RARE = 3
"""A class is rare of which another one has so many times the samples."""


class Classification(Task):
    """Trains a backbone with blocks plugged in to name the class of each sample.

    ``self.network`` is the plugged backbone; it maps ``(B, C, *S)`` to logits ``(B, K)``. A batch is a mapping of
    ``input`` ``(B, C, *S)``, ``target`` ``(B,)`` and ``index`` ``(B,)``, the position of each sample in its split.

    Args:
        backbone: Called with ``(num_classes, in_channels)``.
        num_classes: Classes K; the command line takes it from the data.
        input_shape: Shape ``(C, *S)`` of one sample; the command line takes it from the data.
        label_smoothing: Mass of the target that is spread over all classes, in training only.
        mixing: mixup and CutMix of the training batches; their labels are smoothed after they are mixed.
        loss: What trains, called with logits and target, such as a class of :mod:`blockyard.training`; one that has an
            argument ``features`` also gets the last map before it is pooled. None is the cross entropy. Evaluation
            keeps the cross entropy.
        class_weights: A factor for each class in the training loss; ``balanced`` is n / (K n_k), where n_k of the n
            training samples are of class k. See
            :class:`~blockyard.training.class_weights.WeightedCrossEntropy` for what is divided by, and for smoothed and
            mixed labels. Another ``loss`` has to have a ``weight``, and uses it in
            its own way. Metrics and the losses of evaluation know no weights.
        compile: Whether to run the network through ``torch.compile``, from the start of a run on; or the name of
            another backend of it than its own. Weights, checkpoints and costs are those of the network as it is.
        prefix: Of a network that :class:`~blockyard.objectives.SortedNet` trained, which prefix to test, to predict
            with or to export, its width and depth; None is the whole network. Costs are those of the prefix.
        options: Those of :class:`~blockyard.tasks.base.Task`.

    Raises:
        ValueError: If ``label_smoothing`` is out of range or given to another loss than the cross entropy,
            ``class_weights`` do not fit classes or loss, the loss does not take such targets, ``compile`` names no
            backend of torch's, or as :class:`~blockyard.tasks.base.Task`; when training starts, if ``balanced`` finds a
            class without a sample.
    """

    primary_metric: ClassVar[str] = "top1"
    output: ClassVar[str] = "logits (B, K); their softmax is the classes' probabilities"
    named: ClassVar[bool] = True
    reports: ClassVar[tuple[Callable[[Path], Callback], ...]] = (ClassReport, ContactSheet, PredictionsCSV)
    probe: ClassVar[Probe | None] = CLASSES
    default_objective: ClassVar[type[Default]] = FromLabels
    evaluation_options: ClassVar[tuple[str, ...]] = ("prefix",)
    _both: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def __init__(
        self,
        backbone: Callable[[int, int], Backbone],
        num_classes: int,
        input_shape: tuple[int, ...],
        label_smoothing: float = 0.0,
        mixing: Mixing | None = None,
        loss: Callable[[], nn.Module] | None = None,
        compile: bool | str | None = None,
        class_weights: list[float] | Literal["balanced"] | None = None,
        prefix: list[float] | None = None,
        **options: Any,
    ) -> None:
        beside = {"label_smoothing": label_smoothing, "mixing": mixing, "loss": loss, "class_weights": class_weights}
        refuse_beside(options.get("objective"), Classification, beside)
        super().__init__(backbone(num_classes, input_shape[0]), input_shape, **options)
        self.num_classes = num_classes
        self.mixing = mixing
        self.outcomes: dict[str, Tensor] = {}
        self.confusion: Tensor | None = None
        self.class_weights = class_weights
        self.make_criteria(label_smoothing, loss)
        self.loss_takes_features = "features" in inspect.signature(self.loss.forward).parameters
        if loss is not None:
            like = self._last_map(input_shape) if self.loss_takes_features else None
            try_out(self.loss, num_classes, mixing is not None, like)
        self.compiler = _compiler(compile)
        self.prefix = None if prefix is None else self._cut(tuple(prefix))

    @classmethod
    def suggest(cls, data: DataModule, trained: Choice | None, epochs: int) -> dict[str, Choice]:
        """Also smoothed labels; of classes that are rare it says how they would weigh as much as others."""
        options = super().suggest(data, trained, epochs)
        options["label_smoothing"] = Choice(0.1, "few samples are soon known by heart, and this much doubt stays")
        counts: list[int] = [] if getattr(data, "multi_label", False) else getattr(data, "class_counts", list)()
        if counts and max(counts) >= RARE * min(counts):
            why = f"classes have {min(counts):,} to {max(counts):,} samples; balanced for the best mean over classes"
            options["class_weights"] = Choice(None, why)
        return options

    def _cut(self, prefix: Any) -> Prefix:
        """Keep a prefix of the network alone, which finds its weights in a checkpoint of the whole."""
        if prefix == WHOLE:
            raise ValueError("prefix [1, 1] is the whole network: leave prefix at null")
        network: Any = self.network
        self.network = prefix_of(network, prefix)
        if isinstance(objective := self.objective, SortedNet):
            objective.refuse_untrained(prefix)
            self.register_load_state_dict_pre_hook(lambda _, state, *__: objective.take(prefix, self.network, state))
        return prefix

    def _last_map(self, input_shape: tuple[int, ...]) -> Tensor:
        """The last map of a sample of zeros, ``(1, C, *S)``."""
        network: Any = self.network
        with undisturbed(network):
            features: Tensor = network.map_and_logits(torch.zeros(1, *input_shape))[0]
        return features

    def setup(self, stage: str) -> None:
        """Count the classes, if they are to be balanced; compile the network, in place: its weights keep their names.

        Raises:
            ValueError: If the classes can't be balanced, or there is a prefix that was not trained by SortedNet.
        """
        if self.prefix and (stage == "fit" or not isinstance(self.objective, SortedNet)):
            raise ValueError("prefix is for tests and predictions of what --model.objective SortedNet trained")
        if stage == "fit" and self.class_weights == "balanced":
            weights = balanced_weights(self.trainer.datamodule)  # type: ignore[attr-defined]
            self.loss.get_buffer("weight").copy_(torch.tensor(weights))
            self.found_options["model.class_weights"] = {"by": "balanced", "value": weights}
        if self.compiler:
            self.network.compile(backend=self.compiler)
        if self.compiler:
            network: Any = self.network
            self._both = torch.compile(network.map_and_logits, backend=self.compiler)

    def make_criteria(self, label_smoothing: float, loss: Callable[[], nn.Module] | None) -> None:
        """Make ``loss``, which trains, and the metrics."""
        if loss is not None and label_smoothing:
            raise ValueError("label_smoothing is the cross entropy's: set the loss's own instead, if it has one")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing={label_smoothing} must be from 0 to 1")
        cross_entropy = nn.CrossEntropyLoss if self.class_weights is None else WeightedCrossEntropy
        self.loss: nn.Module = cross_entropy(label_smoothing=label_smoothing) if loss is None else loss()
        if self.class_weights is not None:
            # those that balance are known from the data, when training starts
            weights = [1.0] * self.num_classes if self.class_weights == "balanced" else self.class_weights
            give_weights(self.loss, checked(weights, self.num_classes))
        self.val_loss = MeanMetric()
        self.val_metrics = _metrics(self.num_classes, "val/")
        self.test_metrics = _metrics(self.num_classes, "test/")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities ``(B, K)`` of logits ``(B, K)``, in float32."""
        return logits.float().softmax(1)

    def shares(self, target: Tensor) -> Tensor:
        """Labels ``(B,)`` as shares of the classes ``(B, K)``."""
        return nn.functional.one_hot(target, self.num_classes).float()

    def mixed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Samples and labels of a batch, or, if they are to be mixed, shares of the classes ``(B, K)``."""
        x, target = batch["input"], batch["target"]
        return (x, target) if self.mixing is None else self.mixing(x, self.shares(target))

    def vectors(self, x: Tensor) -> Tensor:
        """The last map of ``(B, C, *S)`` before it is pooled, or its tokens, averaged over positions: ``(B, D)``."""
        network: Any = self.network
        last: Tensor = (self._both or network.map_and_logits)(x)[0]
        channels = network.stages[-1].channels if network.stages else None
        # networks of tokens give (B, N, D), and some of windows (B, H, W, D)
        ends = last.ndim < x.ndim or (last.shape[-1] == channels and last.shape[1] != channels)
        return last.movedim(-1 if ends else 1, 1).flatten(2).mean(2)

    def training_loss(self, x: Tensor, target: Tensor) -> Tensor:
        """Loss of samples ``(B, C, *S)`` with classes ``(B,)``, or shares of them ``(B, K)``, by one forward pass."""
        if not self.loss_takes_features:
            return self.loss(self(x), target)
        network: Any = self.network
        features, logits = (self._both or network.map_and_logits)(x)
        return self.loss_of(features, logits, target)

    def loss_of(self, features: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits ``(B, K)`` that were made of a map ``(B, C, *S)``, which some losses look at."""
        return self.loss(logits, target, features=features) if self.loss_takes_features else self.loss(logits, target)

    def evaluate(self, x: Tensor) -> Tensor:
        """Logits ``(B, K)`` of an evaluation batch ``(B, C, *S)``; a subclass may look at a sample more than once."""
        logits: Tensor = self(x)
        return logits

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the validation metrics; a rank without a sample gets an empty batch."""
        if len(batch["target"]):
            self.update_validation(self.evaluate(batch["input"]), batch["target"])

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
            self.update_test(self.evaluate(batch["input"]), batch["target"], batch["index"])

    def update_test(self, logits: Tensor, target: Tensor, index: Tensor) -> None:
        """Update all that a test keeps by logits ``(B, K)``, labels ``(B,)`` and positions in the split ``(B,)``."""
        self.test_metrics.update(logits, target)
        predicted = logits.argmax(1)
        self._outcomes.update(
            index,
            top1=predicted == target,
            loss=nn.functional.cross_entropy(logits.float(), target, reduction="none"),
            target=target,
            predicted=predicted,
            probability=self.probabilities(logits).amax(1),
        )

    def on_test_epoch_end(self) -> None:
        """Log the test metrics; keep ``outcomes``, ``sample_scores`` and ``confusion``.

        The last is of counts ``(K, K)``, sparse, rows the true class. ``outcomes`` holds ``index``, the positions of
        the samples in their split, and the names of :data:`OUTCOME`.
        """
        # torchmetrics makes a scalar of a single value.
        self.outcomes = scores = {name: values.reshape(-1) for name, values in self._outcomes.compute().items()}
        self.sample_scores = {"top1": scores["top1"].to(torch.uint8), "loss": scores["loss"]}
        pairs = torch.stack([scores["target"], scores["predicted"]]).long()
        size, once = 2 * (self.num_classes,), torch.ones_like(pairs[0])
        self.confusion = torch.sparse_coo_tensor(pairs, once, size, check_invariants=True).coalesce()
        metrics = self.test_metrics.compute()
        # The mean of the ordered losses, not of the ranks' means: the same sum however many processes share the work.
        loss, ece = scores["loss"].double().mean().float(), calibration_error(scores)
        self.log_dict(metrics | {"test/loss": loss, "test/ece": ece})
        self.test_metrics.reset()

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Probabilities ``(B, K)`` and the index ``(B,)`` of their samples."""
        return self.probabilities(self.evaluate(batch["input"])), batch["index"]


def calibration_error(outcomes: dict[str, Tensor]) -> Tensor:
    """Expected calibration error: how far confidence and accuracy are apart in 15 equal bins of confidence, on average.

    Confidence is the probability of the predicted class: Guo et al., On Calibration of Modern Neural Networks, 2017. A
    bin begins with its lower end; the last one holds a confidence of 1 too.

    Args:
        outcomes: ``probability``, ``predicted`` and ``target``, each ``(n,)``.
    """
    confidence = outcomes["probability"].double()
    bins = (confidence * CALIBRATION_BINS).long().clamp(0, CALIBRATION_BINS - 1)
    # a bin's share of the samples times its gap is the sum of (right − confidence) over its samples, by n
    off = (outcomes["predicted"] == outcomes["target"]).double() - confidence
    gaps = confidence.new_zeros(CALIBRATION_BINS).index_add(0, bins, off)
    return (gaps.abs().sum() / len(bins)).float()


def _compiler(chosen: bool | str | None) -> str | None:
    """Name of the backend of ``torch.compile``, if it is to be used."""
    if not chosen:
        return None
    name = "inductor" if chosen is True else chosen
    if name not in (backends := torch.compiler.list_backends(exclude_tags=())):
        raise ValueError(f"compile: torch has no backend {name}; {nearest(name, backends)}")
    # inductor's cache on disk would hand this processor what it compiled for the vectors of another
    torch.compiler.config.cache_key_tag = torch.backends.cpu.get_cpu_capability()
    return name


def _metrics(num_classes: int, prefix: str) -> MetricCollection:
    """The metrics of a split; of five classes or fewer, the first five are always right."""
    first_five = {"top5": TopAccuracy(5)} if num_classes > 5 else {}
    return MetricCollection(
        {
            "top1": TopAccuracy(),
            **first_five,
            "macro_accuracy": MacroAccuracy(num_classes),
            "macro_f1": MacroF1(num_classes),
        },
        prefix=prefix,
        compute_groups=False,
    )
