"""The modules that hold a block inside a network, and how they take checkpoints of the stock network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class Plugged(nn.Module):
    """A stock module followed by a block: ``block(host(x))``.

    Checkpoints of the stock network load as they are: the host takes their keys and the block keeps its
    values. Attributes of the host can be read and set through this module, because stock code does so.

    Args:
        host: The stock module, or an earlier ``Plugged`` at the same place.
        block: A shape-preserving module for the host's output, ``(B, C, *S)``.
    """

    def __init__(self, host: nn.Module, block: nn.Module) -> None:
        super().__init__()
        self.host = host
        self.block = block
        self.register_load_state_dict_pre_hook(_adopt_keys_of_host)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Run the host on whatever the network hands it, then the block; ``(B, C, *S)`` out."""
        return self.block(self.host(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            host = self.__dict__.get("_modules", {}).get("host")
            if host is None or name.startswith("__"):
                raise
            return getattr(host, name)

    def __setattr__(self, name: str, value: Any) -> None:
        host = self.__dict__.get("_modules", {}).get("host")
        own = name in ("host", "block", "training") or name.startswith("_") or hasattr(type(self), name)
        if own or host is None or not hasattr(host, name):
            super().__setattr__(name, value)
        else:
            setattr(host, name, value)

    def __iter__(self) -> Iterator[nn.Module]:
        """Host's children, then the block.

        Code that walks an ``nn.Sequential`` stage instead of calling it, as timm's gradient checkpointing does, must
        not miss the block.
        """
        if not isinstance(bare(self), nn.Sequential):
            raise TypeError(f"'{type(bare(self)).__name__}' object is not iterable")
        yield from self.host  # type: ignore[misc]
        yield self.block


class Wrapped(Plugged):
    """A stock module that a wrapper runs: ``block(host, x)``.

    Args:
        host: The stock module.
        block: A :class:`blockyard.blocks.Wrapper` that was made for it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Run the host in the wrapper's way; ``(B, C, *S)`` out."""
        return self.block(self.host, x)

    def __iter__(self) -> Iterator[nn.Module]:
        """This module alone: code that walks an ``nn.Sequential`` stage must not run its units past the wrapper."""
        if not isinstance(bare(self), nn.Sequential):
            raise TypeError(f"'{type(bare(self)).__name__}' object is not iterable")
        yield self


class Replaced(nn.Module):
    """A block in place of a stock module, followed by average pooling where that module was strided.

    In checkpoints of the stock network there is nothing for the block, which keeps its values. What they have for the
    replaced module finds no place, and ``load_state_dict`` says so: these keys are unexpected.

    Args:
        block: Module for the replaced module's input, ``(B, C, *S)``.
        pool: What brings the block's output to the replaced module's output size.
    """

    def __init__(self, block: nn.Module, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.block = block
        self.pool = pool or nn.Identity()
        self.register_load_state_dict_pre_hook(_keep_values_of_block)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to what the replaced module gave, ``(B, C, *S / stride)``."""
        return self.pool(self.block(x))


class Gated(nn.Module):
    """``x + γ (block(x) − x)`` with γ = 0 at first: the identity at init, whatever the block.

    Args:
        block: A module that keeps the shape of a map ``(B, C, *S)``.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return x + self.gamma * (self.block(x) - x)


def bare(module: nn.Module) -> nn.Module:
    """The stock module (or its replacement) under any number of plugs."""
    while isinstance(module, Plugged):
        module = module.host
    return module


def plugs(module: nn.Module) -> Iterator[Plugged]:
    """What was plugged after or around a stock module, from the outside in."""
    while isinstance(module, Plugged):
        yield module
        module = module.host


def _key_depth(key: str) -> int:
    """Plugs that a key has passed through: ``host.host.weight`` and ``host.block.weight`` are both 2."""
    segments = key.split(".")
    hosts = next(i for i, segment in enumerate([*segments, ""]) if segment != "host")
    return hosts + (segments[hosts : hosts + 1] == ["block"])


def _keep_values(block: nn.Module, state: dict[str, Any], prefix: str) -> None:
    state.update(block.state_dict(prefix=prefix, keep_vars=True))


def _adopt_keys_of_host(module: Plugged, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Where the checkpoint has fewer plugs here than the network, hand its keys on to the host.

    The stock module may itself have children called ``host`` or ``block``, so its own depth is subtracted.
    """
    stock = max((_key_depth(key) for key in bare(module).state_dict()), default=0)
    keys = [key for key in state if key.startswith(prefix)]
    depth = max((_key_depth(key[len(prefix) :]) for key in keys), default=0) - stock
    if depth >= len(list(plugs(module))):
        return
    renamed = {f"{prefix}host.{key[len(prefix) :]}": state.pop(key) for key in keys}
    state.update(renamed)
    _keep_values(module.block, state, f"{prefix}block.")


def _keep_values_of_block(module: Replaced, state: dict[str, Any], prefix: str, *_: Any) -> None:
    if not any(key.startswith(f"{prefix}block.") for key in state):
        _keep_values(module.block, state, f"{prefix}block.")
