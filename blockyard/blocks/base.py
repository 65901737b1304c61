"""The contract that every block keeps."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from fnmatch import fnmatchcase
from typing import ClassVar, Literal, TypeVar

from torch import Tensor, nn

Kind = TypeVar("Kind")
Slot = Literal["after", "convolution", "activation"]
"""Where a block belongs: after any module, or in place of a convolution or an activation."""


class Block(nn.Module, ABC):
    """A shape-preserving module for feature maps of rank 1 (audio), 2 (images) or 3 (video).

    A subclass implements :meth:`transform`; calling the block checks the input first. The first two
    arguments of every block are ``channels`` and ``spatial_dims``, so that a class, or a
    ``functools.partial`` of it, can be handed to :func:`blockyard.plug`.

    Args:
        channels: Channels C of the feature map.
        spatial_dims: Rank of S in ``(B, C, *S)``: 1, 2 or 3.

    Raises:
        ValueError: If ``channels`` is not positive or the block does not exist for ``spatial_dims``.
    """

    identity_at_init: bool = True
    """Whether a fresh block returns its input bit for bit."""
    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """The values of ``spatial_dims`` that the block exists for."""
    paper: ClassVar[str] = ""
    """First author, title, venue and year."""
    slot: ClassVar[Slot] = "after"
    """Where the paper puts it."""
    without_effect: tuple[str, ...] = ()
    """Globs of parameters whose gradient in training is zero by mathematics: what follows does not see them."""
    without_scale: tuple[str, ...] = ()
    """Globs of parameters that a norm cancels but for its ε, which is all that their gradient comes from."""

    def __init__(self, channels: int, spatial_dims: int = 2) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"{type(self).__name__}: channels must be at least 1, got {channels}")
        if spatial_dims not in self.ranks:
            raise ValueError(f"{type(self).__name__}: spatial_dims must be one of {self.ranks}, got {spatial_dims}")
        self.channels = channels
        self.spatial_dims = spatial_dims

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: Feature map, ``(B, C, *S)``.

        Returns:
            A map of the same shape (of the replaced module's, where the block was made for a host), safe to modify in
            place.

        Raises:
            ValueError: If the rank or the channels differ from what the block was made for.
        """
        if x.dim() != self.spatial_dims + 2:
            raise ValueError(
                f"{type(self).__name__} expects (B, C, *S) with {self.spatial_dims} spatial dimensions, "
                f"got shape {tuple(x.shape)}"
            )
        if x.shape[1] != self.channels:
            raise ValueError(f"{type(self).__name__} expects {self.channels} channels, got shape {tuple(x.shape)}")
        return self.transform(x)

    @abstractmethod
    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape; the input is already checked."""


def divide(channels: int, divisor: int, block: str, option: str = "reduction") -> int:
    """Return ``channels / divisor``.

    Raises:
        ValueError: If the option does not divide the channels.
    """
    if divisor < 1 or channels % divisor:
        raise ValueError(f"{block}: {channels} channels are not divisible by {option}={divisor}")
    return channels // divisor


def concrete_subclasses(base: type[Kind], pattern: str) -> list[type[Kind]]:
    """Return all that can be made of a class and its subclasses whose names match a glob, in alphabetical order."""
    found: set[type[Kind]] = set()
    waiting = [base]
    while waiting:
        found.add(cls := waiting.pop())
        waiting += cls.__subclasses__()
    fitting = [cls for cls in found if fnmatchcase(cls.__name__, pattern) and not inspect.isabstract(cls)]
    return sorted(fitting, key=lambda cls: cls.__name__)
