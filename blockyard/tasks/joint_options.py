"""What can't be asked of several tasks that are learned at once, a line each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from blockyard.blocks.mixers.routing import routers
from blockyard.datamodules.several import Member
from blockyard.mistakes import nearest
from blockyard.tasks.base import Task

_GIVEN = ("self", "backbone", "num_classes", "input_shape")


def check_members(members: Sequence[Member]) -> None:
    """Refuse sets that one trunk can't see, and names that no part of a network may have."""
    first = members[0]
    for member in members:
        if hasattr(nn.ModuleDict(), member.name):
            raise ValueError(f"MultiTask: {member.name!r} is what torch calls something else: name that set otherwise")
        if (member.input_shape[0], len(member.input_shape)) != (first.input_shape[0], len(first.input_shape)):
            raise ValueError(
                f"MultiTask: samples of {first.name} are {first.input_shape}, those of {member.name} "
                f"{member.input_shape}: one trunk needs as many channels and axes of all"
            )


def check_weights(weights: Mapping[str, float], balance: float) -> None:
    """Refuse factors by which a training would unlearn."""
    if negative := [name for name, weight in weights.items() if weight < 0]:
        raise ValueError(f"weights: {negative[0]}: {weights[negative[0]]:g} is below 0: a loss would be made large")
    if balance < 0:
        raise ValueError(f"balance={balance:g} is below 0: the routers would learn to know nothing of the tasks")


def check_routers(network: nn.Module, tasks: int, balance: float, least_use: float | None) -> None:
    """Refuse mixtures of experts that are not made for so many tasks, and what is asked of none."""
    found = routers(network)
    for router in found:
        if router.tasks != tasks:
            raise ValueError(f"a mixture of experts has routers for tasks={router.tasks}: set its tasks to {tasks}")
    for option, asked in (("balance", balance), ("least_use", least_use)):
        if asked and not found:
            raise ValueError(f"{option}={asked:g}: there is no mixture of experts in the network: leave it away")
    if least_use is not None and not 0 <= least_use <= 1:
        raise ValueError(f"least_use={least_use:g}: needed is a share of positions, from 0 to 1")


def check_own(name: str, kind: type[Task], options: Mapping[str, Any]) -> None:
    """Refuse options of one task that it doesn't have, or that are for the training of all."""
    of_all = inspect.signature(Task.__init__).parameters
    own = [option for option in _named(kind) if option not in (*_GIVEN, *of_all)]
    for option, value in options.items():
        place = f"task_options: {name}: {option}"
        if option in of_all and option != "network":
            raise ValueError(f"{place} is for all tasks together: --model.{option}")
        if option not in own:
            raise ValueError(f"{place} is no option of {kind.__name__} here; {nearest(option, own)}")
        if isinstance(value, Mapping) and "class_path" in value:
            raise ValueError(f"{place}: plain values are allowed here, and no class such as {value['class_path']}")


def _named(kind: type) -> list[str]:
    """Arguments that a class and those that it hands ``**options`` on to name."""
    makers = [
        vars(one)["__init__"] for one in inspect.getmro(kind) if issubclass(one, Task) and "__init__" in vars(one)
    ]
    return [name for maker in makers for name in inspect.signature(maker).parameters if name != "options"]
