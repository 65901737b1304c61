"""The units of a stage, which a network runs one after another and a wrapper in a way of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Wrapper


class UnitWrapper(Wrapper):
    """A wrapper around what runs its units one after another, such as a stage of a ResNet.

    Args:
        channels: Channels C of the map that the stage gives.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        host: The stage; ``plug`` hands it over.

    Raises:
        ValueError: If the host has no units, or what runs them is a part of it.
    """

    def __init__(self, channels: int, spatial_dims: int = 2, *, host: nn.Module | None = None) -> None:
        super().__init__(channels, spatial_dims, host=host)
        assert host is not None
        self.units(host)

    def units(self, host: nn.Module) -> list[nn.Module]:
        """The units of a host in their order, with all that is plugged into them.

        Raises:
            ValueError: If there are none.
        """
        return units_of(host, type(self).__name__)

    def run(self, unit: nn.Module, x: Tensor) -> Tensor:
        """What a unit makes of ``(B, C, *S)``, which must be left as it is: others read it too.

        Raises:
            ValueError: If the unit changes its input in place.
        """
        if torch.compiler.is_compiling() or x.is_inference():  # no versions there; the plug has run it before
            return unit(x)
        version = x._version
        y: Tensor = unit(x)
        if x._version != version:
            raise ValueError(
                f"{type(self).__name__} hands one map to several readers, and {type(unit).__name__} changes it in place"
            )
        return y

    def check(self, host: nn.Module, x: Tensor) -> None:
        """Refuse a host that does anything else with ``(B, C_in, *S_in)`` than hand it from unit to unit.

        Raises:
            ValueError: If it does.
        """
        passed: list[Any] = [x]
        order: list[nn.Module] = []

        def enter(unit: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
            if len(arguments) == 1 and not options and arguments[0] is passed[-1]:
                order.append(unit)

        found = self.units(host)
        handles = [unit.register_forward_pre_hook(enter, with_kwargs=True) for unit in found]
        handles += [unit.register_forward_hook(lambda _, __, output: passed.append(output)) for unit in found]
        try:
            last = host(x)
        finally:
            for handle in handles:
                handle.remove()
        if order != found or last is not passed[-1]:
            raise ValueError(
                f"{type(self).__name__} needs units that hand the map on to the next and do no more; in "
                f"{type(host).__name__} they do"
            )


def units_of(host: nn.Module, name: str) -> list[nn.Module]:
    """The units of a stage in their order, with all that is plugged into them.

    They are the children of an ``nn.Sequential``. Of any other module they are those of a list that is its only child,
    or its own if their names count them (``b1``, ``b2``…): whether it runs them in this order, only a run finds out.
    Types tell nothing: what is plugged in changes them.

    Args:
        host: The stage.
        name: Who asks.

    Raises:
        ValueError: If there are none.
    """
    children = list(host.children())
    if type(host).forward is nn.Sequential.forward or _counted([child for child, _ in host.named_children()]):
        found = children
    else:
        found = list(children[0]) if len(children) == 1 and isinstance(children[0], nn.ModuleList) else []
    if not found:
        parts = [child for child, part in host.named_children() if isinstance(part, nn.Sequential) and _alike(part)]
        where = f"; what runs units in it is {' and '.join(parts)}" if parts else ""
        raise ValueError(
            f"{name} needs units that run one after another, as in an nn.Sequential; {type(host).__name__} has none"
            f"{where}"
        )
    return found


def channels_into(unit: nn.Module, name: str) -> int:
    """Channels of the map that a unit takes: those of the first module that has a number of them.

    Args:
        unit: A unit of a stage.
        name: Who asks.

    Raises:
        ValueError: If none has.
    """
    for module in unit.modules():
        for attribute in ("in_channels", "num_features", "num_channels", "channels"):
            if isinstance(channels := getattr(module, attribute, None), int):
                return channels
    raise ValueError(f"{name} needs units that say how many channels they take, and {type(unit).__name__} does not")


def _counted(names: Sequence[str]) -> bool:
    """Whether names are one word with 1, 2, 3… or 0, 1, 2… behind it."""
    word = names[0].rstrip("0123456789") if names else ""
    return any(list(names) == [f"{word}{i}" for i in range(start, len(names) + start)] for start in (0, 1))


def _alike(units: nn.Sequential) -> bool:
    return len(units) > 1 and len({type(unit) for unit in units}) == 1
