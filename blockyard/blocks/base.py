"""The contract that every block keeps."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from fnmatch import fnmatchcase
from typing import ClassVar, Literal, TypeVar

from torch import Tensor, nn

Kind = TypeVar("Kind")
Slot = Literal["after", "convolution", "activation", "mixer", "stage", "units"]
"""Where it belongs: after any module, in place of a convolution, an activation or a mixer, around a whole stage, or in
place of one's units."""


class Mergeable(nn.Module, ABC):
    """What can be a smaller module when its training is over; by its class, as others call flags and tensors so."""

    @abstractmethod
    def merged(self) -> nn.Module:
        """What it is where statistics stand still, with the same outputs but for rounding; it is not changed itself."""


class Pluggable(nn.Module, ABC):
    """What can be plugged in where feature maps of rank 1 (audio), 2 (images) or 3 (video) pass.

    The first two arguments of every subclass are ``channels`` and ``spatial_dims``, so that a class, or a
    ``functools.partial`` of it, can be handed to :func:`blockyard.plug`.

    Args:
        channels: Channels C of the feature map.
        spatial_dims: Rank of S in ``(B, C, *S)``: 1, 2 or 3.

    Raises:
        ValueError: If ``channels`` is not positive or there is none for ``spatial_dims``.
    """

    identity_at_init: bool = True
    """Whether a fresh one changes nothing, bit for bit."""
    own_init: ClassVar[bool] = False
    """Whether its first weights are a part of the method, which a network that it is made for leaves as they are."""
    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """The values of ``spatial_dims`` that it exists for."""
    whole_unit: ClassVar[bool] = False
    """Whether it is a unit of a network by itself, with its own norms, and nothing stands around it in a skeleton."""
    paper: ClassVar[str] = ""
    """First author, title, venue and year."""
    slot: ClassVar[Slot] = "after"
    """Where the paper puts it."""
    without_effect: tuple[str, ...] = ()
    """Globs of parameters whose gradient in training is zero by mathematics: what follows does not see them."""
    without_scale: tuple[str, ...] = ()
    """Globs of parameters that a norm cancels but for its ε, which is all that their gradient comes from."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        """A configuration may name any module that can be called like one, such as one from another package."""
        if cls is not Pluggable or not issubclass(other, nn.Module):
            return NotImplemented
        names = list(inspect.signature(other).parameters)[:2]
        return True if names == ["channels", "spatial_dims"] else NotImplemented

    def __init__(self, channels: int, spatial_dims: int = 2) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"{type(self).__name__}: channels must be at least 1, got {channels}")
        if spatial_dims not in self.ranks:
            raise ValueError(f"{type(self).__name__}: spatial_dims must be one of {self.ranks}, got {spatial_dims}")
        self.channels = channels
        self.spatial_dims = spatial_dims


class Block(Pluggable):
    """A shape-preserving module.

    A subclass implements :meth:`transform`; calling the block checks the input first.

    Args:
        channels: Channels C of the feature map.
        spatial_dims: Rank of S in ``(B, C, *S)``: 1, 2 or 3.

    Raises:
        ValueError: If ``channels`` is not positive or the block does not exist for ``spatial_dims``.
    """

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


class Wrapper(Pluggable):
    """Runs a module of the stock network, its host, in another way than the network does: ``wrapper(host, x)``.

    A wrapper owns what it adds and nothing of the host. The network keeps the host as ``host`` and the wrapper as
    ``block`` side by side, so that stock checkpoints load and the host's inner paths go on naming what they named. The
    constructor may look at the host, such as to count its units, but must neither keep nor change it: what is plugged
    into it later would be missed.

    Args:
        channels: Channels C of the map that the host gives.
        spatial_dims: Rank of S in ``(B, C, *S)``: 1, 2 or 3.
        host: The module that it goes around; ``plug`` hands it over in mode "around".

    Raises:
        ValueError: If there is no host, or none that the wrapper knows how to run.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "stage"

    def __init__(self, channels: int, spatial_dims: int = 2, *, host: nn.Module | None = None) -> None:
        super().__init__(channels, spatial_dims)
        if host is None:  # the command line asks for all that has no default
            raise ValueError(f"{type(self).__name__} needs the module that it goes around; use mode='around'")

    @abstractmethod
    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        """Run the host in the wrapper's way.

        Args:
            host: The module that the wrapper was made for, with all that was plugged into it.
            x: What the network hands the host, ``(B, C_in, *S_in)``.

        Returns:
            A map of the shape of ``host(x)``, ``(B, C, *S)``, safe to modify in place.
        """

    def check(self, host: nn.Module, x: Tensor) -> None:
        """Refuse a host that runs otherwise than the wrapper takes it to; ``plug`` asks once, with a real map.

        Args:
            host: The module that the wrapper was made for.
            x: What the network hands the host, ``(B, C_in, *S_in)``.

        Raises:
            ValueError: If the host is refused; none is by default.
        """


def divide(channels: int, divisor: int, block: str, option: str = "reduction") -> int:
    """Return ``channels / divisor``.

    Raises:
        ValueError: If the option does not divide the channels.
    """
    if divisor < 1 or channels % divisor:
        raise ValueError(f"{block}: {channels} channels are not divisible by {option}={divisor}")
    return channels // divisor


def positions(size: tuple[int, ...] | None, spatial_dims: int, block: str) -> tuple[int, ...]:
    """Positions along each axis that something is made for; None is 14 along each.

    Raises:
        ValueError: If they do not fit the rank.
    """
    size = (14,) * spatial_dims if size is None else tuple(size)
    if len(size) != spatial_dims or min(size) < 1:
        raise ValueError(f"{block}: size must be {spatial_dims} positive numbers, got {size}")
    return size


def concrete_subclasses(base: type[Kind], pattern: str) -> list[type[Kind]]:
    """Return all that can be made of a class and its subclasses whose names match a glob, in alphabetical order."""
    found: set[type[Kind]] = set()
    waiting = [base]
    while waiting:
        found.add(cls := waiting.pop())
        waiting += cls.__subclasses__()
    fitting = [cls for cls in found if fnmatchcase(cls.__name__, pattern) and not inspect.isabstract(cls)]
    return sorted(fitting, key=lambda cls: cls.__name__)
