"""``LearningRateFinder`` and ``BatchSizeFinder``: a search before the run, whose value becomes the run's option.

So the run is the one that ``--model.optimizer.lr 0.012`` would have been, bit for bit: it has that identity, goes on
without another search, and is compared with others of that rate. Lightning's own would search within the run, and leave
a configuration that says something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonargparse import Namespace

from blockyard.composing.composition import flatten
from blockyard.leaderboard.identity import FOUND
from blockyard.progress import is_first_process
from blockyard.training.searches import find_batch_size, find_learning_rate

OPTIONS = {"BatchSizeFinder": "data.batch_size", "LearningRateFinder": "model.optimizer.lr"}
"""What each finds, in the order in which they search."""
ELSEWHERE = ("update_attr", "attr_name", "batch_arg_name")
"""Arguments of Lightning's that say where the value goes."""


def taken_out(trainer: Any) -> dict[str, dict[str, Any]]:
    """Take the finders out of a parsed ``trainer`` section: what they have been told, by name."""
    callbacks: list[Any] = trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks]
    finders = {_name(one): one for one in callbacks if _name(one) in OPTIONS}
    if finders:
        trainer.callbacks = [one for one in callbacks if one and _name(one) not in OPTIONS] or None
    told = {name: vars(one.get("init_args") or Namespace()) for name, one in finders.items()}
    return {name: {key: value for key, value in said.items() if key not in ELSEWHERE} for name, said in told.items()}


def _name(callback: Any) -> str:
    """The name of Lightning's class that a parsed callback is; of another's, none."""
    module, _, name = str(callback.get("class_path", "") if isinstance(callback, Namespace) else "").rpartition(".")
    return name if f"{module}.".startswith("lightning.pytorch.callbacks.") else ""


def find(
    finders: Mapping[str, dict[str, Any]], task: Any, data: Any, trainer: Mapping[str, Any], world: int
) -> dict[str, Any]:
    """Search, give task and data what was found, and say so in a line each.

    Args:
        finders: What :func:`taken_out` gave.
        task: What will be trained; it has the learning rate from now on.
        data: What on; it has the batch size.
        trainer: Options of the trainer, instantiated.
        world: Processes of the run.

    Returns:
        The value of each option of :data:`OPTIONS` that was found.

    Raises:
        ValueError: If the run has several processes, nothing is found, or the optimiser has no learning rate.
    """
    if finders and (world > 1 or not is_first_process()):
        name = next(iter(finders))
        raise ValueError(
            f"trainer.callbacks: {name} searches in one process, and this run has more: find it without them, then set "
            f"--{OPTIONS[name]}"
        )
    found: dict[str, Any] = {}
    for name in (name for name in OPTIONS if name in finders):
        if name == "BatchSizeFinder":
            size = find_batch_size(task, data, trainer, **finders[name])
            data.batch_size = data.hparams["batch_size"] = found[OPTIONS[name]] = size
            print(f"batch size found: {size}, the largest tried that fits into memory (BatchSizeFinder)")
        else:
            _insist_on_rate(task)
            rate = found[OPTIONS[name]] = find_learning_rate(task, data, trainer, **finders[name])
            task.optimizer = _with_rate(task.optimizer, rate)
            print(f"learning rate found: {rate:g}, chosen with LearningRateFinder: there the loss falls fastest")
    return found


def _insist_on_rate(task: Any) -> None:
    made = task.optimizer(task.parameter_groups.of(task.named_parameters()))
    if not made.defaults.get("lr"):
        raise ValueError(f"LearningRateFinder: {type(made).__name__} has no learning rate to find, or one of 0")


def _with_rate(optimizer: Callable[..., Any], rate: float) -> Callable[..., Any]:
    """An optimiser's constructor with another learning rate."""

    def made(parameters: Any) -> Any:
        one = optimizer(parameters)
        one.defaults["lr"] = rate
        for group in one.param_groups:
            group["lr"] = rate
        return one

    return made


def enter(config: dict[str, Any], found: Mapping[str, Any]) -> None:
    """Write into a resolved configuration what was found, and that it was."""
    for option, value in found.items():
        section, *path = option.split(".")
        node = config[section]
        for name in path[:-1]:
            node = node["init_args"][name]
        node.setdefault("init_args", {})[path[-1]] = value
    if found:
        by = {option: name for name, option in OPTIONS.items()}
        config[FOUND] = {option: {"by": by[option], "value": value} for option, value in found.items()}


def still_found(saved: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Of what a checkpoint's configuration says was found, that which has its value still."""
    values = flatten(dict(now))
    for option, told in (saved.get(FOUND) or {}).items():
        if isinstance(told, Mapping) and values.get(option) == told.get("value"):
            yield option, told
