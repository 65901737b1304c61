"""``blockyard suggest``: read a folder of one's own, and write the configuration that it asks for."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

from blockyard import files
from blockyard.blocks.base import concrete_subclasses
from blockyard.commands.commented import commented
from blockyard.composing.composition import read_checkpoint
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI  # noqa: F401 - which imports every task
from blockyard.datamodules import DataModule
from blockyard.datamodules.suggesting import Choice
from blockyard.mistakes import DataError, nearest, printable
from blockyard.tasks import Task

FEW_TO_JUDGE = 100
"""Of fewer validation samples, which of many epochs was best is chance."""
VALIDATIONS = 20
"""Of a run, where there are enough samples for them."""


class Match(NamedTuple):
    """A layout that a folder has, and a task that can learn from it.

    Attributes:
        parts: What in the folder shows it.
        opening: The options that it takes to read them.
        data: The data, with no other options.
        task: The task.
    """

    parts: tuple[str, ...]
    opening: dict[str, Any]
    data: DataModule
    task: type[Task]


def main(options: Namespace, _: list[str]) -> int:
    """Write the configuration that a folder asks for.

    Args:
        options: What :func:`~blockyard.commands.options.suggest` reads.

    Returns:
        0.

    Raises:
        ValueError: If the folder has no layout that is known, or several, a file is there already, or the weights are
            of no network that is known; one line.
    """
    prepare()
    output: Path = options.output
    trained = backbone(options.weights, options.network)
    match = find(options.root, options.task)
    said, config = configuration(match, trained, options.steps)
    lines = [
        f"# What blockyard suggest makes of {printable(str(options.root))}: {said}.",
        "# A place to start from: every line may be changed.",
        *commented(config),
    ]
    files.create(output, "".join(f"{line}\n" for line in lines).encode())
    data, name = type(match.data).__name__, match.task.__name__
    print(f"{printable(str(options.root))}: {data}, by {printable(', '.join(match.parts))}; {said}")
    print(f"{output}: {name}, {config['trainer']['max_epochs'].value} epochs of {options.steps:,} steps in all")
    print(f"train: blockyard fit --config {output}")
    return 0


def find(root: Path, name: str | None) -> Match:
    """The layout of a folder, and the task that learns from it.

    Args:
        root: The folder.
        name: Of the task; None takes that which the folder speaks for.

    Raises:
        ValueError: If there is no such task or folder, or it has no layout that is known, or two.
    """
    kinds = [kind for kind in own(DataModule, "datamodules") if kind.laid_out]
    samples = {kind.samples_are for kind in kinds}
    tasks = {task.__name__: task for task in own(Task, "tasks") if not samples.isdisjoint(task.learns_from)}
    if name is not None and name not in tasks:
        raise ValueError(f"no task {name} that can be suggested; {nearest(name, tasks)}")
    matches = [
        Match(tuple(parts), opening, data, task)
        for kind in kinds
        if (parts := kind.parts(root))
        for opening in [kind.opening(root)]
        for data in [kind(**opening)]
        for task in tasks.values()
        if task.suits(data) and name in (None, task.__name__)
    ]
    if not matches:
        allowed = "; ".join(sorted(dict.fromkeys(kind.laid_out for kind in kinds)))
        said = f"no layout that is known{f' of {name}' if name else ''}{_without_splits(root)}"
        raise DataError(f"{root}: {said}; allowed: {allowed}")
    most = max(len(match.parts) for match in matches)
    best = [match for match in matches if len(match.parts) == most]
    if len(best) > 1:
        several = ", ".join(f"{type(match.data).__name__} of {match.task.__name__}" for match in best)
        raise DataError(f"{root}: {several}: --task says which")
    return best[0]


def _without_splits(root: Path) -> str:
    """What is missing where folders with files lie there, which may be classes."""
    filled = sorted(
        one.name for one in root.iterdir() if one.is_dir() and any(file.is_file() for file in one.iterdir())
    )
    if len(filled) < 2 or "train" in filled:
        return ""
    some, train = printable(", ".join(filled[:2])), printable(str(root / "train"))
    return f" (if {some} … are classes, they belong into {train})"


def configuration(match: Match, trained: Choice | None, steps: int) -> tuple[str, dict[str, Any]]:
    """What was read of the data, and a configuration whose leaves may be choices.

    Args:
        match: Data and task.
        trained: A backbone with trained weights, or None.
        steps: Optimiser steps of the run, about.

    Raises:
        DataError: If files are missing or damaged.
    """
    suggestion = match.data.suggest(weights=trained is not None)
    chosen = match.opening | suggestion.options
    data = type(match.data)(**{key: plain(value) for key, value in chosen.items()})
    samples = len(data.split("train"))
    a_epoch = max(1, samples // data.batch_size)
    epochs = max(1, round(steps / a_epoch))
    held = len(data.split("val").names)
    interval, judged = max(1, epochs // VALIDATIONS), f"best.ckpt is the best of {VALIDATIONS} validations"
    if held < FEW_TO_JUDGE:
        interval, judged = epochs, "which epoch they like best is chance: validated once, so best.ckpt is the end"
    trainer = {
        "max_epochs": Choice(epochs, f"{epochs * a_epoch:,} steps, {a_epoch} an epoch; --steps was {steps:,}"),
        "check_val_every_n_epoch": Choice(interval, f"{held} samples are held out: {judged}"),
        "log_every_n_steps": min(50, a_epoch),
    }
    model = match.task.suggest(data, trained, epochs)
    config = {
        "model": {"class_path": match.task.__name__, "init_args": model},
        "data": {"class_path": type(data).__name__, "init_args": chosen},
        "trainer": trainer,
    }
    return suggestion.said, config


def backbone(weights: Path | None, network: str | None) -> Choice | None:
    """The network that a file of weights is of, starting from it; None without a file.

    Args:
        weights: A checkpoint of a training, or a file of a network of timm.
        network: Its name in timm; None takes it from the checkpoint, or from the beginning of the file's name.

    Raises:
        ValueError: If the file is missing, or of no network that is known.
    """
    if weights is None:
        if network is not None:
            raise ValueError(f"suggest: --network {network} says what --weights FILE are of, which is missing")
        return None
    if weights.suffix == ".ckpt" and network is None:
        found = dict(read_checkpoint(weights)["model"]["init_args"]["backbone"])
        found["init_args"] = {**(found.get("init_args") or {}), "weights": str(weights)}
        found["init_args"].pop("pretrained", None)
        return Choice(found, f"the network of {weights.name}, from its weights")
    import timm

    names = timm.list_models()
    if network is None:
        network = max((name for name in names if weights.name.startswith(name)), key=len, default=None)
        if network is None:
            raise ValueError(f"--weights {weights}: its name begins with no network of timm's: add --network NAME")
    elif network.partition(".")[0] not in names:
        raise ValueError(f"no network {network} in timm; {nearest(network, names)}")
    chosen = {"class_path": "TimmBackbone", "init_args": {"name": network, "weights": str(weights)}}
    return Choice(chosen, f"{network} from the weights given, as features of many pictures serve few")


def plain(value: Any) -> Any:
    """The value of a choice, or what is none as it is."""
    return value.value if isinstance(value, Choice) else value


def own(base: Any, room: str) -> list[Any]:
    """The classes of a room of this package that something can be made of."""
    return [kind for kind in concrete_subclasses(base, "*") if kind.__module__.startswith(f"blockyard.{room}.")]
