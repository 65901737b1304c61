"""The contract that every pooling keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn


class Pooling(nn.Module, ABC):
    """A module from a feature map ``(B, C, *S)`` to one vector a sample, ``(B, D)``, for a classifier to see.

    A subclass implements :meth:`pool` and says in ``out_features`` how long its vectors are. The first argument of
    every pooling is ``channels``, so that a class, or a ``functools.partial`` of it, can be handed to a backbone. The
    positions are a set: no pooling depends on their order.

    Args:
        channels: Channels C of the feature map.
        out_features: Length D of the vector.

    Raises:
        ValueError: If ``channels`` is not positive.
    """

    paper: ClassVar[str] = ""
    """First author, title, venue and year."""
    slot: ClassVar[Literal["pooling"]] = "pooling"
    """Where the paper puts it."""
    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """The ranks of S that it exists for."""
    without_effect: tuple[str, ...] = ()
    """As of a :class:`blockyard.blocks.Block`."""
    without_scale: tuple[str, ...] = ()
    """As of a :class:`blockyard.blocks.Block`."""

    def __init__(self, channels: int, out_features: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"{type(self).__name__}: channels must be at least 1, got {channels}")
        self.channels = channels
        self.out_features = out_features

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``(B, C, *S)`` to ``(B, D)``.

        Raises:
            ValueError: If there is no position, or the channels differ from what the pooling was made for.
        """
        if x.dim() < 3 or x.shape[1] != self.channels:
            raise ValueError(f"{type(self).__name__} expects (B, {self.channels}, *S), got shape {tuple(x.shape)}")
        return self.pool(x.flatten(2))

    @abstractmethod
    def pool(self, signal: Tensor) -> Tensor:
        """Pool a signal over N positions, ``(B, C, N)``, to ``(B, D)``; the input is already checked."""
