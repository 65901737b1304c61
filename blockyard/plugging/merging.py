"""What a network is when its training is over: parts that are one linear map together become one."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from blockyard.blocks.base import Mergeable

Network = TypeVar("Network", bound=nn.Module)


def merge(network: Network) -> Network:
    """Copy a network for inference, each module that can be a smaller one in its place.

    What is :class:`~blockyard.blocks.base.Mergeable` says what it is then: re-parameterised convolutions, units with a
    norm behind a linear map. Inner modules come first. The outputs stay the same but for rounding; names and numbers of
    parameters do not, so that the copy is for inference and export, not for training on.

    Args:
        network: Any network; it is not changed.

    Returns:
        The copy, in evaluation mode.
    """
    copied = copy.deepcopy(network).eval()
    for name, module in reversed(list(copied.named_modules())):
        if isinstance(module, Mergeable) and name:
            copied.set_submodule(name, module.merged().eval())
    return copied
