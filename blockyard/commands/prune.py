"""``blockyard prune``: a smaller network out of a trained one, as a checkpoint that every other verb takes."""

from __future__ import annotations

import copy
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.commands.compressed_task import (
    built,
    composed_of,
    few_samples,
    insist_on_same,
    refuse_others,
    weights_of,
    with_network,
)
from blockyard.commands.pruned_checkpoint import write_checkpoint
from blockyard.commands.pruned_training import Cost, train
from blockyard.composing.composition import Composed
from blockyard.composing.suite import SuiteCLI
from blockyard.compression.blend import Blend
from blockyard.compression.criteria import FPGM, L1, L2, BatchNormScale, Criterion, Random, Samples
from blockyard.compression.groups import Group
from blockyard.compression.seeing import Activation, Relevance, Taylor
from blockyard.compression.sizes import Pruned, Sizes, sizes_of, smaller
from blockyard.compression.statistics import recalibrate
from blockyard.compression.surgery import prunable
from blockyard.compression.surgery import prune as cut
from blockyard.compression.target import cost, fewest, order
from blockyard.leaderboard.identity import SEED
from blockyard.metrics import counted
from blockyard.progress import at_work

CRITERIA: dict[str, type[Criterion]] = {
    kind.__name__: kind for kind in (L1, L2, FPGM, BatchNormScale, Taylor, Activation, Relevance, Random, Blend)
}


def main(options: Namespace, rest: list[str]) -> int:
    """Run the verb.

    Args:
        options: What :func:`~blockyard.commands.prune_options.prune` reads.
        rest: The other command line tokens, as for ``test``.

    Returns:
        0.

    Raises:
        ValueError: If the arguments are wrong, or the network can't be pruned so; one line.
    """
    _refuse(options)
    composed = composed_of(options, rest, "prune")
    run = Run(options, composed)
    for step in range(1, options.steps + 1):
        run.step(options.keep ** (step / options.steps))
    run.say()
    place = write_checkpoint(options, run.config, run.state, run.trained)
    print(f"test it: blockyard test --ckpt_path {place}")
    return 0


def _refuse(options: Namespace) -> None:
    if not 0 < options.keep < 1:
        raise ValueError(f"prune: --keep {options.keep:g} must be between 0 and 1")
    for name, least in (("steps", 1), ("samples", 1), ("calibration", 0), ("epochs", 0)):
        if getattr(options, name) < least:
            raise ValueError(f"prune: --{name} {getattr(options, name)} must be at least {least}")
    if options.lr_factor <= 0:
        raise ValueError(f"prune: --lr_factor {options.lr_factor:g} must be positive")


class Run:
    """A network on its way down.

    Attributes:
        config: That of the checkpoint, and what is left of the network.
        state: The weights of the task.
        trained: What training between has cost.
    """

    def __init__(self, options: Namespace, composed: Composed) -> None:
        self.options, self.composed = options, composed
        self.config: dict[str, Any] = copy.deepcopy(composed.saved or {})
        self.state = weights_of(options)
        self.trained = Cost()
        self.cli = self._built()
        task: Any = self.cli.model
        refuse_others(task, "prune")
        self.shape = tuple(self.cli.datamodule.input_shape)
        self.criterion = self.made_criterion()
        self.whole = cost(task.network, options.measure, self.shape)
        said = self.config["model"]["init_args"].get("pruned")
        self.before = Pruned(**said) if said else None

    def step(self, keep: float) -> None:
        """Score, and cut down to a share of the first network's cost; train."""
        network = self.cli.model.network
        example = torch.zeros(2, *self.shape, device=self.cli.model.device)
        with at_work("finding channels that go together"):
            groups = prunable(network, example)
        self._say_closed(groups)
        samples = self.samples(self.options.samples) if self.criterion.needs_samples else Samples()
        with at_work(f"scoring by {type(self.criterion).__name__}"):
            scores = self.criterion.scores(network, _open(groups), samples)
        ordered = order(self.criterion, scores, _open(groups), self.options.scope)
        with at_work(f"cutting down {self.options.measure}"):
            gone = fewest(network, groups, ordered, example, self.options.measure, keep * self.whole)
            part = cut(network, groups, gone, example)
        if self.options.calibration:
            recalibrate(part, [x for x, _ in self.samples(self.options.calibration).batches])
        self._take(part, smaller(sizes_of(network), sizes_of(part)), example)
        if self.options.epochs:
            self.trained += train(self.cli, self.options.epochs, self.options.lr_factor)
            self.state = with_network(self.cli.model, self.cli.model.network)

    def say(self) -> None:
        """Say what it cost and what it costs."""
        network = self.cli.model.network
        now = cost(network, self.options.measure, self.shape)
        said = {"parameters": "{:,.0f} parameters", "macs": "{:,.0f} MACs", "latency": "{:.3g} s a sample"}
        text = said[self.options.measure].format
        print(f"{type(self.criterion).__name__}: {text(self.whole)} → {text(now)}, {now / self.whole:.1%}")

    def _take(self, part: nn.Module, sizes: Sizes, example: Tensor) -> None:
        """Build the task anew with a smaller network, and see that it does what that does."""
        self.state = with_network(self.cli.model, part)
        self.config["model"]["init_args"]["pruned"] = self._pruned(sizes)
        self.cli = self._built()
        insist_on_same(self.cli.model.network, part, example, "prune")

    def _pruned(self, sizes: Sizes) -> dict[str, Any]:
        options, rule = self.options, self.options.rule
        said = self.config["model"]["init_args"].get("pruned") or {}
        name = type(self.criterion).__name__
        found = Pruned(
            {**said.get("sizes", {}), **sizes},
            f"{name}({rule})" if name == "Relevance" and rule != "z_plus" else name,
            options.keep,
            options.measure,
            options.scope,
            options.steps,
            options.samples if self.criterion.needs_samples else None,
            options.calibration or None,
            options.epochs or None,
            options.lr_factor if options.epochs else None,
            self.before.told() if self.before else None,
        )
        return {key: value for key, value in asdict(found).items() if value is not None}

    def _built(self) -> SuiteCLI:
        """The task that the configuration describes, with the weights there are now."""
        return built(self.composed, self.config, self.state, needs_data=bool(self.options.epochs))

    def made_criterion(self) -> Criterion:
        """What the options say that channels are scored by."""
        kind, seed = CRITERIA[self.options.criterion], self.config.get(SEED) or 0
        if kind is Relevance:
            return Relevance(self.options.rule)
        made: dict[type[Criterion], Any] = {Random: partial(Random, seed), Blend: partial(Blend, seed=seed)}
        return made.get(kind, kind)()

    def samples(self, count: int) -> Samples:
        """Some training samples, as validation reads its own; which, the seed decides."""
        pairs = few_samples(self.cli, "train", count, self.config.get(SEED) or 0)
        tags = pairs[0][1].dim() == 2
        return Samples(pairs, _of_tags if tags else nn.functional.cross_entropy)

    def _say_closed(self, groups: list[Group]) -> None:
        if closed := [group for group in groups if group.closed]:
            told = f"{counted(len(closed), 'group')} of {len(groups)}"
            print(f"{told} stay as they are, the first since {closed[0].closed}")


def _open(groups: list[Group]) -> list[Group]:
    return [group for group in groups if not group.closed]


def _of_tags(logits: Tensor, target: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, target.float())
