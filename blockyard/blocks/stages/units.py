"""The units of a stage, which a network runs one after another and a wrapper in a way of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def units(host: nn.Module, wrapper: str) -> list[nn.Module]:
    """The modules that a host runs one after another, with all that is plugged into them.

    Args:
        host: An ``nn.Sequential``, such as a stage of a ResNet.
        wrapper: Who asks, for the message.

    Raises:
        ValueError: If the host is anything else, whose forward pass only itself knows, or an empty sequence.
    """
    if type(host).forward is not nn.Sequential.forward:
        inner = [name for name, module in host.named_children() if isinstance(module, nn.Sequential) and _alike(module)]
        where = f"; what runs units in it is {' and '.join(inner)}" if inner else ""
        raise ValueError(f"{wrapper} runs an nn.Sequential unit by unit, and {type(host).__name__} is none{where}")
    found = list(host.children())
    if not found:
        raise ValueError(f"{wrapper} runs an nn.Sequential unit by unit, and this one is empty")
    return found


def _alike(sequence: nn.Sequential) -> bool:
    return len(sequence) > 1 and len({type(unit) for unit in sequence}) == 1


def run(unit: nn.Module, x: Tensor, wrapper: str) -> Tensor:
    """What a unit makes of ``(B, C, *S)``, which must be left as it is: others read it too.

    Raises:
        ValueError: If the unit changes its input in place.
    """
    if torch.compiler.is_compiling() or x.is_inference():  # no versions there; the plug has run it before
        return unit(x)
    version = x._version
    y: Tensor = unit(x)
    if x._version != version:
        raise ValueError(f"{wrapper} hands one map to several readers, and {type(unit).__name__} changes it in place")
    return y
