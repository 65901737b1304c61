"""The contract that every backbone keeps."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

from torch import Tensor, nn

from blockyard.backbones.layouts import Layout, State
from blockyard.backbones.weights import Parts, following, load_blocks, load_weights
from blockyard.plugging.places import stock_network
from blockyard.poolings import Pooling


@dataclass(frozen=True)
class Stage:
    """A part of a backbone that keeps one resolution.

    Args:
        path: Dotted path of the module whose output is the stage's map, in the stock network.
        channels: Channels of that map.
        stride: Input pixels per pixel of that map.
    """

    path: str
    channels: int
    stride: int


class Backbone(nn.Module, ABC):
    """A trunk: from ``(B, in_channels, *S)`` to the maps of its stages.

    As in timm, one made for 0 classes is the trunk alone and gives the maps; one made for K classes has a head behind
    its last map and gives logits ``(B, K)``. Which it is to be, the task says, which calls every backbone alike, with
    ``(num_classes, in_channels)``: these are its first two arguments, so that a class, or a ``functools.partial`` of
    it, is a factory.

    A network of one's own has ``stages`` and :meth:`features`, and ends its constructor with :meth:`make_head`. Stage
    k, counted from 1, is ``stages[k - 1]``; as a plug's place it is called ``stage1``, ``stage2``…, and its units
    ``stage1.0``, ``stage1.-1``.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.

    Raises:
        ValueError: If the classes are fewer than 0, or there is no channel.
    """

    stages: tuple[Stage, ...]
    before_stages: tuple[Stage, ...] = ()
    """Where maps come from that :meth:`features` gives before those of the stages, if any."""
    rank: int | None = None
    """Rank of S in the inputs that it was built for; None if it does not say."""
    stock_path: str = ""
    """Path of the stock network inside an adapter; paths of plugs begin there."""
    head_parts: tuple[str, ...] = ("pooling", "neck", "dropout", "fc")
    """Paths of what stands behind the maps, of those that there are."""
    first_convolutions: tuple[str, ...] = ("conv1",)
    """Paths of what sees the input, and takes weights for other numbers of channels."""
    classifiers: tuple[str, ...] = ("fc",)
    """Paths of the last layers, where a file may be for other classes."""

    def __init__(self, num_classes: int = 0, in_channels: int = 3) -> None:
        super().__init__()
        for name, value, least in (("num_classes", num_classes, 0), ("in_channels", in_channels, 1)):
            if value < least:
                raise ValueError(f"{type(self).__name__}: {name} must be at least {least}, got {value}")
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.pooling: nn.Module | None = None
        self.neck: nn.Module | None = None
        self.dropout: nn.Module | None = None
        self.fc: nn.Module | None = None
        self._file: tuple[str, Layout] | None = None

    @abstractmethod
    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, *S / stage.stride)`` each, plugs included.

        Those of ``before_stages`` come first.
        """

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """The :meth:`features` of ``(B, in_channels, *S)``; with a head, the logits ``(B, num_classes)``."""
        return self.map_and_logits(x)[1] if self.num_classes else self.features(x)

    def map_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the head sees, and the logits ``(B, num_classes)`` that it makes of it, by one pass.

        The first is the map before it is pooled, ``(B, C, *S')``, or tokens ``(B, N, C)``.
        """
        last = self.last_map(x)
        return last, self.classify(last)

    def last_map(self, x: Tensor) -> Tensor:
        """What the head sees of ``(B, in_channels, *S)``: the map of the last stage, unless more stands behind it."""
        return self.features(x)[-1]

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of what :meth:`last_map` gave.

        Raises:
            ValueError: If the network has no head.
        """
        if self.fc is None:
            raise ValueError(f"{type(self).__name__} has no head that classifies its last map")
        vector = last.flatten(2).mean(2) if self.pooling is None else self.pooling(last)
        vector = vector if self.neck is None else self.neck(vector)
        return self.fc(vector if self.dropout is None else self.dropout(vector))

    def made_dropout(self, probability: float) -> nn.Dropout:
        """What drops before a classifier.

        Raises:
            ValueError: If that is no probability, or nothing would be left.
        """
        if not 0 <= probability < 1:
            raise ValueError(f"{type(self).__name__}: dropout={probability:g} must be at least 0 and below 1")
        return nn.Dropout(probability)

    def make_head(
        self,
        channels: int,
        pooling: Callable[[int], Pooling] | None = None,
        dropout: float | None = None,
        neck: Callable[[int], nn.Module] | None = None,
    ) -> None:
        """Put a pooling and a linear classifier behind the last map; after all else, so that it draws last.

        Args:
            channels: Channels of what :meth:`last_map` gives.
            pooling: In place of the mean over positions; called with the channels.
            dropout: Probability of dropping what is pooled.
            neck: Called with the channels of what is pooled, makes what stands before the dropout; its
                ``out_features`` says how many come out.

        Raises:
            ValueError: If ``dropout`` is no probability.
        """
        if dropout is not None:
            self.dropout = self.made_dropout(dropout)
        if pooling is not None:
            self.pooling = of = pooling(channels)
            channels = of.out_features
        if neck is not None:
            self.neck = neck(channels)
            channels = cast("int", self.neck.out_features)
        self.fc = nn.Linear(channels, max(self.num_classes, 1))
        if not self.num_classes:
            self.trunk()

    def trunk(self) -> Self:
        """Leave away what the maps do not pass, so that every parameter left gets a gradient.

        Returns:
            The same network, which gives its maps from now on.

        Raises:
            ValueError: If a pooling was asked for, which would go too.
        """
        if any(isinstance(module, Pooling) for module in self.modules()):
            raise ValueError(f"{type(self).__name__}: pooling is for classification; here its last map itself is used")
        with leaving_out(stock_network(self)):
            self.leave_head()
        self.num_classes, self.classifiers = 0, ()
        return self

    def leave_head(self) -> None:
        """Take away the parts behind the maps."""
        parts = {path for path, _ in self.named_modules()}
        for path in self.head_parts:
            if path in parts:
                self.set_submodule(path, nn.Identity())

    def load_weights(self, path: str | Path | None, strict: bool = True) -> None:
        """Load a file of weights, if one is given, by the rules of :func:`blockyard.backbones.weights.load_weights`.

        Args:
            path: A file of the stock network's, or a checkpoint of a training of any task.
            strict: Whether what does not match is a mistake; if not, it is printed and starts anew.

        Raises:
            ValueError: If the file cannot be read as weights, or does not match.
        """
        if path is None or following():
            return
        parts = Parts(
            self.in_channels, self.stock_path, self.first_convolutions, self.classifiers, self._head_keys, self.renamed
        )
        self._file = Path(path).name, replace(load_weights(self, path, parts, strict), state={})

    def renamed(self, file: State) -> State:
        """The tensors of a file of weights by the names that this network has for them, where it knows the file's."""
        return file

    def load_blocks(self) -> None:
        """Take from the file of weights the blocks that are plugged in where it has them; say which start anew."""
        if self._file is not None:
            name, found = self._file
            load_blocks(found, name)
            self._file = None

    def _head_keys(self) -> set[str]:
        alone = copy.deepcopy(self)
        alone.leave_head()
        return self.state_dict().keys() - alone.state_dict().keys()


@contextmanager
def leaving_out(network: nn.Module) -> Iterator[None]:
    """Let checkpoints that still hold what is taken away inside load later too."""
    whole = set(network.state_dict())
    yield
    gone = frozenset(whole - set(network.state_dict()))
    network.register_load_state_dict_pre_hook(partial(_drop_keys, gone=gone))


def _drop_keys(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any, gone: frozenset[str]) -> None:
    for key in gone:
        state.pop(prefix + key, None)
