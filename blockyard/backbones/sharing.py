"""Several networks with one trunk: the same modules, not copies, but for what stands behind the maps."""

from __future__ import annotations

from torch import nn

from blockyard.backbones.base import Backbone


def share_trunk(network: Backbone, trunk: Backbone) -> None:
    """Put the modules of a trunk, with the blocks plugged into it, in the place of a network's own.

    Args:
        network: Built as the trunk was, but for other classes; keeps its head alone.
        trunk: What both run from now on.
    """
    _share(network, trunk, tuple(network.head_parts))


def _share(own: nn.Module, given: nn.Module, heads: tuple[str, ...]) -> None:
    """Share what is below a module but for the parts at some paths."""
    for name, child in given.named_children():
        below = tuple(part.removeprefix(f"{name}.") for part in heads if part.startswith(f"{name}."))
        if below:
            _share(own.get_submodule(name), child, below)
        elif name not in heads:
            setattr(own, name, child)
    for name, parameter in given.named_parameters(recurse=False):
        setattr(own, name, parameter)
    for name, buffer in given.named_buffers(recurse=False):
        setattr(own, name, buffer)
