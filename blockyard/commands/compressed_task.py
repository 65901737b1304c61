"""The task of a checkpoint whose network becomes another, and the few samples that decide which."""

from __future__ import annotations

import copy
from argparse import Namespace
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.composing.composition import Composed, compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.tasks.classification.base import Classification

State = dict[str, Tensor]
Pairs = list[tuple[Tensor, Tensor]]
"""Batches of inputs ``(B, C, *S)`` with classes ``(B,)``, or labels ``(B, K)``."""


def composed_of(options: Namespace, rest: list[str], verb: str) -> Composed:
    """What a command line says of a checkpoint and its data.

    Args:
        options: ``ckpt_path``.
        rest: The other command line tokens.
        verb: Which asks.

    Raises:
        ValueError: If they say to take a prefix of the network; one line.
    """
    prepare()
    composed = compose(["--ckpt_path", str(options.ckpt_path), *rest], keep_trainer=False)
    if composed.asks("model.prefix"):
        raise ValueError(f"{verb}: leave --model.prefix away: the whole network is taken")
    composed.config["trainer"] = {"devices": 1, **composed.config.get("trainer", {}), "logger": False}
    return composed


def weights_of(options: Namespace) -> State:
    """The weights of the task in a checkpoint."""
    state: State = torch.load(options.ckpt_path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    return state


def built(composed: Composed, saved: dict[str, Any], state: State, needs_data: bool) -> SuiteCLI:
    """The task that a checkpoint's configuration describes, in evaluation on its device.

    Args:
        composed: What the command line says.
        saved: The configuration of the checkpoint, or what has become of it.
        state: The weights of the task.
        needs_data: Whether it will be trained.
    """
    config = copy.deepcopy(composed.config)
    config["model"] = copy.deepcopy(saved["model"])
    cli = SuiteCLI(None, replace(composed, config=config, saved=saved), needs_data=needs_data)
    cli.model.load_state_dict(state, strict=cli.model.strict_loading)
    cli.model.eval().to(cli.trainer.strategy.root_device)
    return cli


def refuse_others(task: Any, verb: str) -> None:
    """Refuse what is no classifier.

    Raises:
        ValueError: One line.
    """
    if not isinstance(task, Classification) or task.objective.primary_metric:
        raise ValueError(f"{verb}: it takes a classifier, and this is {type(task).__name__}")


def with_network(task: nn.Module, network: nn.Module) -> State:
    """The weights of a task, of another network than its own, as copies."""
    mine = {name: value for name, value in task.state_dict().items() if not name.startswith("network.")}
    theirs = {f"network.{name}": value for name, value in network.state_dict().items()}
    return {name: value.detach().cpu().clone() for name, value in {**mine, **theirs}.items()}


def insist_on_same(found: nn.Module, expected: nn.Module, example: Tensor, verb: str) -> None:
    """See that a network which was built anew does what the one did that was written.

    Args:
        found: Built from a configuration.
        expected: What it should be.
        example: ``(B, C, *S)``.
        verb: Which asks.

    Raises:
        ValueError: If it does something else; one line.
    """
    inputs = torch.rand(example.shape, generator=torch.Generator().manual_seed(1)).to(example)
    with torch.no_grad():
        if not torch.allclose(found.eval()(inputs), expected.eval()(inputs), rtol=1e-4, atol=1e-5):
            raise ValueError(f"{verb}: the network that its configuration builds is another than what was left")


def few_samples(cli: SuiteCLI, split: str, count: int, seed: int) -> Pairs:
    """Some samples of a split, as validation reads its own; which, the seed decides."""
    data, task = cli.datamodule, cli.model
    loader: Any = data.plain_dataloader(split)
    rows = loader.sampler.rows
    rows = torch.arange(len(loader.dataset.split)) if rows is None else torch.as_tensor(rows)
    generator = torch.Generator().manual_seed(seed)
    few = rows[torch.randperm(len(rows), generator=generator)[:count]].sort().values
    loader.sampler.rows, loader.sampler.samples = few.numpy(), len(few)
    batches = [data.on_before_batch_transfer(batch, 0) for batch in loader]
    return [(batch["input"].to(task.device), batch["target"].to(task.device)) for batch in batches]
