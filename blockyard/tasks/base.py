"""What every task shares: the network with its plugs, the optimiser, the schedule."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from lightning.pytorch import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric as Accumulated

from blockyard.analysis.probe import Probe
from blockyard.backbones import Backbone
from blockyard.compression.quantising import Quantised
from blockyard.compression.rebuilding import compress
from blockyard.compression.sizes import Pruned
from blockyard.metrics import Metric, metric_named, primary_of
from blockyard.objectives import Default, Objective
from blockyard.plugging import BlockFactory, Plug, PlugError, apply_plugs
from blockyard.runs.position import share_of_step
from blockyard.tasks.finite_losses import FiniteLosses
from blockyard.tasks.pretext import VALIDATION, Means, unless_pretext
from blockyard.tasks.recipe import Recipe
from blockyard.tasks.single_values import naming_layers
from blockyard.training.freezing import find_frozen
from blockyard.training.memory_format import put_channels_last, with_channels_last
from blockyard.training.parameter_groups import ParameterGroups
from blockyard.training.schedules import schedule

Batch = dict[str, Tensor]
STEPS = {"training_step", "validation_step", "test_step", "predict_step"}


class Task(Recipe, FiniteLosses):
    """Trains a network with blocks plugged in.

    ``self.network`` is the plugged network. The blocks draw their initial weights from streams of their own, so that
    everything else in it, and the data order, equal those of the same task without plugs. A subclass logs its metrics
    as ``val/<name>`` and ``test/<name>`` and, after a test, holds ``sample_scores``: name to ``(n,)``, a number a test
    sample, complete on every rank.

    Args:
        network: The stock network.
        input_shape: Shape ``(C, *S)`` of one sample.
        optimizer: Called with the parameters.
        block: The block of a single plug, called with ``(channels, spatial_dims)``.
        at: Where the single plug goes: a dotted path with globs, or several.
        plugs: Several plugs, in place of ``block`` and ``at``.
        lr_scheduler: Called with the optimiser; ``"cosine"`` and ``"poly"`` (power 0.9) decay to zero over the whole
            run, step by step.
        lr_interval: How often a scheduler given as a class advances.
        warmup_epochs: Epochs of linear warm-up before the schedule starts.
        warmup_factor: The warm-up starts at this fraction of the learning rate.
        lr_multipliers: Factors of the learning rate by the beginning of a parameter's name in the network, which may
            hold globs: ``{decode_head: 10, backbone.layer*: 0.1}``; of several that fit, the first. A factor of 0 keeps
            weights, but not batch-norm statistics: that is what ``freeze`` does.
        layer_decay: Factor of the learning rate from each layer to the one before it, with 1 at the head (Clark et al.,
            ELECTRA, ICLR 2020); a layer is a unit such as ResNet's ``layer3.4`` with the blocks plugged in there.
            ``lr_multipliers`` come on top.
        no_weight_decay: Whether biases, norms and all else of one axis at most, and what the network itself lists, are
            left without weight decay; or names of further parameters, which may hold globs, that are too.
        channels_last: Whether weights of convolutions, and inputs, lie in memory with the channels of a position
            beside each other, which is what tensor cores want; the mathematics is the same, the rounding is not.
        freeze: Names of modules or parameters of the network, matched as those of ``lr_multipliers``, that training
            leaves as they are, bit for bit: no gradient, optimiser state or weight decay, no moving statistics, and
            evaluation mode, so that nothing drops. Gradients pass through. A block plugged in there trains all the
            same, unless a pattern names it by its own segment: ``[layer*]`` is all of the stock stages and none of the
            blocks, ``[layer*, "*.block"]`` these too.
        objective: What a training step minimises in place of the task's own loss. Of a pretext, which learns no
            labels, a validation shows how well that is learned, and nothing can be predicted.
        pruned: What ``blockyard prune`` has left of the network; a training by it starts from nothing.
        quantised: How many bits ``blockyard search`` has left the weights of its layers; nothing trains that.

    Raises:
        ValueError: If ``block``, ``at`` and ``plugs`` do not fit together, a plug is refused, a name fits no
            parameter, nothing is left to train, the network's layers are not known, ``channels_last`` is given for a
            network without convolutions of rank 2 or 3, the objective makes no sense here, or ``pruned`` or
            ``quantised`` is not of this network.
    """

    primary_metric: ClassVar[str]
    """The metric that the leaderboard ranks by, that ``best.ckpt`` is chosen by and early stopping looks at."""
    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """Ranks of S in samples ``(C, *S)`` that it can learn from."""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    """Unit, bounds and direction of what is logged, or kept of samples, and is no fraction of which more is better; a
    loss, called ``loss`` or ``…_loss``, and a count, ``missing_…``, need not be stated."""
    output: ClassVar[str] = "what the network gives"
    """What an exported network gives, and how it is read, for whoever runs it elsewhere."""
    pipeline: ClassVar[str] = ""
    """What the Hugging Face hub calls what the task does; empty where it has no word."""
    named: ClassVar[bool] = False
    """Whether the outputs are classes, so that an exported network carries their names."""
    reports: ClassVar[tuple[Callable[[Path], Callback], ...]] = ()
    """What is written and drawn after a test or a prediction: callbacks, each made with the folder of the run."""
    probe: ClassVar[Probe | None] = None
    """How ``blockyard off-the-shelf`` judges what the frozen network gives; None where nothing says how."""
    evaluation_options: ClassVar[tuple[str, ...]] = ()
    """Arguments that only evaluation looks at: a test may set them otherwise than the training did."""
    default_objective: ClassVar[type[Default]] = Default
    """What a training step minimises unless told otherwise."""

    def __init__(
        self,
        network: nn.Module,
        input_shape: tuple[int, ...],
        optimizer: OptimizerCallable,
        block: BlockFactory | None = None,
        at: str | list[str] | None = None,
        plugs: list[Plug] | None = None,
        lr_scheduler: Literal["cosine", "poly"] | LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        warmup_epochs: int = 0,
        warmup_factor: float = 0.01,
        lr_multipliers: dict[str, float] | None = None,
        layer_decay: float | None = None,
        no_weight_decay: bool | list[str] | None = None,
        channels_last: bool | None = None,
        freeze: list[str] | None = None,
        objective: Objective | None = None,
        pruned: Pruned | None = None,
        quantised: Quantised | None = None,
    ) -> None:
        super().__init__()
        self.plugs = _plugs(block, at, plugs)
        self.network = network
        self.found_options: dict[str, Any] = {}  # option to what was counted for it as training starts, for the record
        _plug_in(network, self.plugs, input_shape)
        for module in network.modules():
            if isinstance(module, Backbone):
                module.load_blocks()
        compress(network, pruned, quantised, input_shape)
        self.quantised = quantised
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_interval = lr_interval
        self.warmup_epochs, self.warmup_factor = warmup_epochs, warmup_factor
        self.frozen = find_frozen(network, freeze or [])
        self.frozen.hold(network)
        if freeze:
            print(self.frozen.line(network))
            warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")  # Lightning thinks them forgotten
        groups = ParameterGroups(network, lr_multipliers or {}, layer_decay, no_weight_decay, self.frozen.parameters)
        self.parameter_groups = groups
        self.channels_last = bool(channels_last)
        if self.channels_last:
            put_channels_last(network)
        self.sample_scores: dict[str, Tensor] = {}
        self._minimise(objective, input_shape)

    def __init_subclass__(cls, **options: Any) -> None:
        """Give a pretext the validation, and make every step name the layer where a norm gets a single value."""
        super().__init_subclass__(**options)
        for name in VALIDATION.keys() & vars(cls).keys():
            setattr(cls, name, unless_pretext(name, vars(cls)[name]))
        for name in STEPS & vars(cls).keys():
            setattr(cls, name, naming_layers(vars(cls)[name]))

    def _minimise(self, objective: Objective | None, input_shape: tuple[int, ...]) -> None:
        """Take an objective, which is a part of the task from now on, or the task's own."""
        self.objective = self.default_objective() if objective is None else objective
        self.validation_means = Means(self.objective)
        self.automatic_optimization = not self.objective.steps_itself
        if objective is not None:
            objective.attach(self, input_shape)

    @property
    def validated_metric(self) -> Metric:
        """What a validation ranks by: the primary metric of a pretext, or the task's own."""
        pretext = self.objective.primary_metric
        return metric_named(pretext) if pretext else primary_of(self)

    def train(self, mode: bool = True) -> Self:
        """Put everything in training mode that is not frozen."""
        super().train(mode)
        self.frozen.rest(self.network)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """What the network makes of a batch ``(B, C, *S)``; in evaluation B may be 0, on a process without a sample."""
        if not self.training and not len(x):  # which many published networks cannot take
            return self(x.new_zeros(1, *x.shape[1:]))[:0]
        return self.network(with_channels_last(x) if self.channels_last else x)

    def vectors(self, x: Tensor) -> Tensor:
        """One vector a sample ``(B, D)`` of ``(B, C, *S)``, which a head of an objective's own may see.

        Raises:
            ValueError: If this kind of task has none.
        """
        raise ValueError(f"{type(self).__name__} gives no vector of each sample, which this objective needs")

    @naming_layers
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """What the objective says of one batch.

        Raises:
            FloatingPointError: If the loss is not finite; the weights are still those of the step before, unless the
                objective makes its own steps.
        """
        if self.automatic_optimization:
            loss, logged = self.objective.loss(self, batch)
            self.check_finite(loss)
        else:
            loss, logged = self._own_step(batch, batch_idx)
        size = self.samples_in(batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        self.log_dict({f"train/{name}": value.detach() for name, value in logged.items()}, batch_size=size)
        return loss

    def samples_in(self, batch: Any) -> int:
        """How many samples a training batch has."""
        return len(batch["input"])

    def _own_step(self, batch: Any, batch_idx: int) -> tuple[Tensor, dict[str, Tensor]]:
        """A step that the objective makes itself, and what Lightning leaves to whoever does: the schedule."""
        before = self.global_step
        loss, logged = self.objective.step(self, batch, batch_idx)
        if (made := self.global_step - before) != 1:
            name = type(self.objective).__name__
            raise ValueError(f"{name} made {made} optimiser steps of a batch: schedules and records count on one")
        self.check_finite(loss, "after")
        epoch_ends = self.trainer.fit_loop.epoch_loop._num_ready_batches_reached()
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == "step" or epoch_ends:
                self.lr_scheduler_step(config.scheduler, None)
        return loss.detach(), logged

    def on_validation_epoch_start(self) -> None:
        """Validate the first process's statistics on all, which are what a checkpoint holds, not each its own."""
        for metric in self.modules():
            if isinstance(metric, Accumulated):
                metric.reset()  # one before this training left tensors of inference mode, which nothing may add to
        if self.trainer.world_size > 1:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Measure what a pretext has learned, beside the task's own metrics; a rank without a sample takes part."""
        if name := self.objective.primary_metric:
            VALIDATION["validation_step"](self, batch, batch_idx)
            mean: Any = self.validation_means[name]
            self.log(f"test/{name}", mean, on_step=False, on_epoch=True)

    def on_predict_start(self) -> None:
        """Refuse what would come of outputs that nobody trained.

        Raises:
            ValueError: If the training was a pretext.
        """
        if self.objective.primary_metric:
            name = type(self.objective).__name__
            raise ValueError(f"nothing to predict: this network was trained by {name}, which learns no labels")

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of one batch; where an epoch ends with fewer batches than are accumulated, they share the step."""
        share = share_of_step(self.trainer)
        super().backward(loss if share == 1 else loss * share, *args, **kwargs)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and the schedule with its warm-up.

        Raises:
            ValueError: If the network is quantised, or the schedule is none of such steps.
        """
        if self.quantised is not None:
            raise ValueError("quantised is of what has been trained: leave --model.quantised at null to train")
        optimizer = self.optimizer(self.parameter_groups.of(self.named_parameters()))
        # Only the optimiser knows the learning rate that a group's multiplier belongs to.
        for group in optimizer.param_groups:
            group["lr"] *= group.pop("multiplier", 1.0)
        trial = bool(getattr(self.trainer, "fast_dev_run", False))  # a few batches, which no warm-up fits into
        warmup = 0 if trial else self.warmup_epochs
        chosen: Any = schedule(self.trainer, optimizer, self.lr_scheduler, self.lr_interval, warmup, self.warmup_factor)
        if not self.automatic_optimization and isinstance(chosen, dict) and "monitor" in chosen["lr_scheduler"]:
            name = type(self.objective).__name__
            raise ValueError(f"ReduceLROnPlateau does not go with {name}, which makes its own steps")
        return chosen


def refuse_beside(objective: Objective | None, kind: type[Task], given: dict[str, Any]) -> None:
    """Refuse options that nobody would look at.

    Args:
        objective: What a training step minimises; None is the task's own.
        kind: The class of a constructor with these options.
        given: Options that the task's own objective alone looks at, with their values.

    Raises:
        ValueError: If there is an objective, and an option is not at its default.
    """
    defaults = inspect.signature(kind.__init__).parameters
    changed = [name for name, value in given.items() if value != defaults[name].default]
    if objective is not None and not objective.adds and changed:
        usual = defaults[changed[0]].default
        raise ValueError(
            f"objective: {type(objective).__name__} takes the place of the loss that {changed[0]} is for: leave "
            f"{changed[0]} at {'null' if usual is None else usual}, or objective away"
        )


def _plug_in(network: nn.Module, plugs: list[Plug], input_shape: tuple[int, ...]) -> None:
    try:
        apply_plugs(network, plugs, example=torch.zeros(1, *input_shape))
    except PlugError as error:
        found = [module for module in network.modules() if isinstance(module, Backbone)]  # and those within it
        rank = len(input_shape) - 1
        if not found or found[0].rank in (None, rank):
            raise
        settable = "spatial_dims" in inspect.signature(type(found[-1]).__init__).parameters
        advice = f"spatial_dims={rank}" if settable else "another backbone"
        raise ValueError(
            f"{type(found[0]).__name__} is for samples (C, *S) with S of rank {found[0].rank}, and the data's are "
            f"{tuple(input_shape)}: {advice}"
        ) from error


def _plugs(block: BlockFactory | None, at: str | list[str] | None, plugs: list[Plug] | None) -> list[Plug]:
    if (block is None) != (at is None):
        missing, given = ("at", "block") if at is None else ("block", "at")
        raise ValueError(f"{given} is given without {missing}; a plug needs both: block SpectralNonlocal, at stage2.1")
    if block is not None and plugs:
        raise ValueError("give either block and at, or plugs, not both")
    return [Plug(block, at)] if block is not None and at is not None else list(plugs or [])
