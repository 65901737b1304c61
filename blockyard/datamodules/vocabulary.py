"""What inputs and outputs of a trained network mean, without the data that it was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Vocabulary:
    """The classes that a network tells apart, and the channels that it sees, as they travel in its checkpoint.

    Args:
        num_classes: How many, K; 0 for a network whose outputs are no classes.
        classes: Their names, in the order of the outputs; empty where they tell people nothing, as identities do.
        palette: A colour for each class of a pixel, red, green and blue from 0 to 255; empty where none is drawn.
        labels: From the values in mask files to classes, and 255 for what is ignored; empty where there are no masks.
        channels: Names of the channels of an input, in order, where files tell them by name.
        mean: Mean of each of these channels over the training data, where inputs are normalised by it.
        std: Standard deviation of each, likewise.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    num_classes: int
    classes: tuple[str, ...] = ()
    palette: tuple[Colour, ...] = ()
    labels: Mapping[int, int] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        bytes_ = [value for colour in self.palette for value in colour] + [*self.labels.values()]
        fits = (
            self.num_classes >= 0
            and len(self.classes) in (0, self.num_classes)
            and len(self.palette) in (0, self.num_classes)
            and all(len(colour) == 3 for colour in self.palette)
            and all(0 <= value <= 255 for value in bytes_)
            and all(0 <= value <= 65_535 for value in self.labels)
        )
        if not fits:
            raise ValueError(f"the names or colours of {self.num_classes} classes do not fit their number")
        numbers = len(self.mean) == len(self.std) in (0, len(self.channels))
        if not numbers or not all(map(math.isfinite, self.mean + self.std)) or not all(value > 0 for value in self.std):
            raise ValueError(f"mean and deviation of {len(self.channels)} channels do not fit them")

    def items(self) -> dict[str, Any]:
        """All of it as plain data, which a checkpoint can hold."""
        return {
            "num_classes": self.num_classes,
            "classes": list(self.classes),
            "palette": [list(colour) for colour in self.palette],
            "labels": dict(self.labels),
            "channels": list(self.channels),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def of(cls, items: Any) -> Vocabulary:
        """The vocabulary of plain data, such as :meth:`items` gives.

        Raises:
            ValueError: If they are not what they should be, one line.
        """
        try:
            return cls(
                int(items["num_classes"]),
                tuple(str(name) for name in items["classes"]),
                tuple((int(red), int(green), int(blue)) for red, green, blue in items["palette"]),
                {int(value): int(label) for value, label in items["labels"].items()},
                tuple(str(name) for name in items.get("channels", ())),  # which older checkpoints don't say
                tuple(float(value) for value in items.get("mean", ())),
                tuple(float(value) for value in items.get("std", ())),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"the checkpoint's classes are damaged: {' '.join(str(error).split())[:200]}") from error

    def difference(self, data: Vocabulary) -> str | None:
        """How the classes of ``data`` are others than these of a checkpoint, in one line; None if they are the same."""
        if self.classes and data.classes:
            for label, (then, now) in enumerate(zip_longest(self.classes, data.classes)):
                if then != now:
                    said = ("none" if name is None else repr(name) for name in (now, then))
                    return "class {} of the data is {}, the checkpoint's is {}".format(label, *said)
        if self.num_classes != data.num_classes:
            return f"the data have {data.num_classes} classes, the checkpoint {self.num_classes}"
        return None
