"""A trained network that can leave: its normalisation inside, and a card that says what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

AXES = {1: ("length",), 2: ("height", "width"), 3: ("frames", "height", "width")}
"""What the axes S of an input ``(B, C, *S)`` are called."""


@dataclass(frozen=True)
class Card:
    """What people need to know to use a network, and a program to build it again.

    Args:
        task: Name of the task that trained it.
        num_classes: Classes K, or identities, of the training; 0 where it had none.
        input_shape: ``(C, *S)`` of a sample as in training.
        output: What the network gives, in words.
        model: ``class_path`` and ``init_args`` of the task, which build the network.
        classes: Names of the classes, in the order of the outputs; empty where they do not name outputs.
        mean: Mean of each channel, of pixels from 0 to 1; empty if nothing is subtracted.
        std: Standard deviation of each channel, likewise.
        sample_rate: Samples a second of a waveform or series.
        pipeline: What the hub calls what the task does, ``image-classification``; empty where it has no word.
        values: What the values of an input are, in words; empty for pixels and waveforms.
        seed: Seed of the run that trained it.
        experiment: Identity of its experiment.
        run: Identity of the run.
        data: What the data of the training are called.
        fingerprints: Of their splits, by name, where the run says them.
        backbone: The network that blocks are plugged into, in words.
        block: What is plugged in where, in words.
        blockyard: Version that wrote this.

    Raises:
        ValueError: If a value is not what it should be, one line.
    """

    task: str
    num_classes: int
    input_shape: tuple[int, ...]
    output: str
    model: dict[str, Any]
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    sample_rate: float | None = None
    pipeline: str = ""
    values: str = ""
    seed: int | None = None
    experiment: str = ""
    run: str = ""
    data: str = ""
    fingerprints: dict[str, str] = field(default_factory=dict)
    backbone: str = ""
    block: str = ""
    blockyard: str = field(default="")

    def __post_init__(self) -> None:
        shape = self.input_shape
        expected = {
            "num_classes": _is_whole(self.num_classes, 0),
            "input_shape": 2 <= len(shape) <= 4 and all(map(_is_whole, shape)),
            "classes": len(self.classes) in (0, self.num_classes) and all(isinstance(n, str) for n in self.classes),
            "mean": len(self.mean) in (0, shape[0] if shape else 0) and all(map(_is_number, self.mean)),
            "std": len(self.std) == len(self.mean) and all(_is_number(value) and value > 0 for value in self.std),
            "model": isinstance(self.model, dict) and isinstance(self.model.get("class_path"), str),
            "sample_rate": self.sample_rate is None or (_is_number(self.sample_rate) and self.sample_rate > 0),
            "values": isinstance(self.values, str),
            "pipeline": isinstance(self.pipeline, str),
            "fingerprints": isinstance(self.fingerprints, dict),
        }
        for name, right in expected.items():
            if not right:
                raise ValueError(f"card: {name} is {_short(getattr(self, name))}, which can't be")

    @property
    def takes(self) -> str:
        """What the values of an input are, in words."""
        if self.values:
            return self.values
        if self.mean:
            colour = "RGB pixels" if self.input_shape[0] == 3 else "pixels"
            return f"{colour} from 0 to 1; the network normalises them itself"
        rate = f" of {self.sample_rate} samples a second" if self.sample_rate else ""
        return f"waveforms from -1 to 1{rate}" if len(self.input_shape) == 2 else "values as in training"

    def items(self) -> dict[str, Any]:
        """All of it as plain data that JSON knows."""
        return {"takes": self.takes, **json.loads(json.dumps(asdict(self)))}

    @classmethod
    def of(cls, items: Any) -> Card:
        """The card of plain data, such as :meth:`items` gives; what it does not know is passed over.

        Raises:
            ValueError: If something is missing or not what it should be, one line.
        """
        if not isinstance(items, dict):
            raise ValueError(f"card: a mapping was expected, not {_short(items)}")
        known = {one.name: items[one.name] for one in fields(cls) if one.name in items}
        if missing := [name for name in REQUIRED if name not in known]:
            raise ValueError(f"card: {missing[0]} is missing")
        for name in ("input_shape", "classes", "mean", "std"):
            if not isinstance(known.get(name, []), Sequence) or isinstance(known.get(name), str):
                raise ValueError(f"card: {name} is {_short(known[name])}, and no list")
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


REQUIRED = ("task", "num_classes", "input_shape", "output", "model")


class Portable(nn.Module):
    """A network behind its normalisation.

    Pixels go in as they come out of a file divided by 255, not normalised; waveforms as they are. So nobody has to know
    mean and standard deviation to use it.

    Args:
        network: The plugged network, for normalised ``(B, C, *S)``.
        card: What it is.
        training: The configuration of its training, without paths and machine; empty where that is not known.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: Card, training: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.network = network
        self.training_config = training or {}
        self.card = card
        view = (-1, *[1] * (len(card.input_shape) - 1))
        for name, values, neutral in (("mean", card.mean, 0.0), ("std", card.std, 1.0)):
            numbers = torch.tensor(values or [neutral], dtype=torch.float32).view(view)
            self.register_buffer(name, numbers, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """What the network says of raw ``(B, C, *S)``."""
        return self.network((x - self.mean) / self.std if self.card.mean else x)


def _is_whole(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}…"
