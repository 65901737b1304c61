"""What a search may choose: named choices of a few values each, and candidates as tuples of numbers; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import nearest

Code = tuple[int, ...]
"""A candidate: of every choice the position of its value."""


@dataclass(frozen=True)
class Choice:
    """One thing to choose.

    Attributes:
        name: What is chosen, such as ``bits:layer1.0.conv1``.
        values: In their order, from which neighbours are known; plain ones, each once.
    """

    name: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) < len(self.values):
            raise ValueError(f"{self.name}: {list(self.values)} must be values that differ, at least one")


@dataclass(frozen=True)
class Space:
    """All that is chosen together.

    Attributes:
        choices: In order, each name once.
    """

    choices: tuple[Choice, ...]

    def __post_init__(self) -> None:
        names = [choice.name for choice in self.choices]
        if not names or len(set(names)) < len(names):
            raise ValueError("a space has choices, and no two of one name")

    def __add__(self, other: Space) -> Space:
        """Both, chosen jointly."""
        return Space(self.choices + other.choices)

    def __len__(self) -> int:
        return len(self.choices)

    @property
    def sizes(self) -> list[int]:
        """How many values each choice has."""
        return [len(choice.values) for choice in self.choices]

    @property
    def candidates(self) -> int:
        """How many there are."""
        return math.prod(self.sizes)

    def encode(self, values: Mapping[str, Any]) -> Code:
        """The numbers of a candidate.

        Args:
            values: One of every choice, by its name.

        Raises:
            ValueError: If a name or a value is none of the space's, or one is missing; one line.
        """
        known = [choice.name for choice in self.choices]
        for name in values:
            if name not in known:
                raise ValueError(f"search: there is no choice {name}; {nearest(name, known)}")
        for choice in self.choices:
            if choice.name not in values:
                raise ValueError(f"search: {choice.name} is not chosen")
            if values[choice.name] not in choice.values:
                allowed = ", ".join(map(str, choice.values))
                raise ValueError(f"search: {choice.name} can't be {values[choice.name]}; allowed: {allowed}")
        return tuple(choice.values.index(values[choice.name]) for choice in self.choices)

    def decode(self, code: Sequence[int]) -> dict[str, Any]:
        """The values of a candidate, by name."""
        pairs = zip(self.choices, code, strict=True)
        return {choice.name: choice.values[position] for choice, position in pairs}

    def draw(self, draws: np.random.Generator) -> Code:
        """A candidate, each as likely as any other."""
        return tuple(int(draws.integers(size)) for size in self.sizes)

    def every(self) -> Iterator[Code]:
        """All candidates; few enough to be gone through are those of small spaces alone."""
        return product(*map(range, self.sizes))

    def one_hot(self, codes: Sequence[Code]) -> NDArray[np.float64]:
        """Candidates as rows of zeros and ones, ``(n, values of all choices)``: one 1 a choice."""
        starts = np.cumsum([0, *self.sizes[:-1]])
        rows = np.zeros((len(codes), sum(self.sizes)))
        for row, code in zip(rows, codes, strict=True):
            row[starts + np.array(code, int)] = 1
        return rows

    def told(self) -> list[dict[str, Any]]:
        """As a file has it."""
        return [{"name": choice.name, "values": list(choice.values)} for choice in self.choices]
