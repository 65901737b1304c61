"""A class that gains an option makes no new experiments of old ones; ``options.json`` holds what classes had before.

``python tests/leaderboard/test_options.py`` enters classes that are not in it yet, and never changes those that are.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn, optim

from blockyard import backbones, blocks, datamodules, objectives, plugging, poolings, tasks, training
from blockyard.backbones.skeletons.parts import Style
from blockyard.backbones.skeletons.resolution import Resolution
from blockyard.leaderboard.identity import ADDED, BASES
from blockyard.plugging import Plug
from blockyard.samples import modules as samples
from blockyard.training.ema import EMA
from blockyard.training.gradient_activation import GradientActivation
from blockyard.training.scheduled_drop_path import ScheduledDropPath
from blockyard.training.stop_early import StopEarly

FILE = Path(__file__).with_name("options.json")
KNOWN: dict[str, list[str]] = json.loads(FILE.read_text()) if FILE.exists() else {}
NAMED = (nn.Module, LightningDataModule, Plug, optim.Optimizer, optim.lr_scheduler.LRScheduler, Trainer, Callback)
NAMED += (Style, Resolution)
"""What a configuration builds."""


def classes() -> dict[str, type]:
    """What a configuration names: the public classes of this package, and those of torch and Lightning that train."""
    modules = (backbones, blocks, datamodules, samples, plugging, poolings, tasks, training, objectives)
    modules += (optim, optim.lr_scheduler)
    kinds = [kind for module in modules for kind in vars(module).values() if inspect.isclass(kind)]
    others = (Trainer, WeightAveraging, EMA, GradientActivation, ScheduledDropPath, StopEarly, Style, Resolution)
    return {kind.__name__: kind for kind in (*kinds, *others) if issubclass(kind, NAMED)}


def options(kind: type) -> dict[str, Any]:
    """Arguments of a constructor, those that it passes on included, with their defaults."""
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        if "__init__" in vars(base) and base is not object:
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            plain = [one for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
            found = {one.name: one.default for one in plain} | found
            if not any(one.kind is one.VAR_KEYWORD for one in parameters):
                break
    return found


def entered(name: str, kind: type, option: str) -> bool:
    """Whether the identity leaves an option out where it does nothing."""
    bases = {base.__name__ for base in kind.__mro__ if base.__name__ in BASES.values()}
    return any(option in ADDED.get(key, {}) for key in {name, *bases})


@pytest.mark.parametrize("name", KNOWN)
def test_a_new_option_of_a_known_class_is_null_or_entered(name):
    kind = classes().get(name)
    if kind is None:
        pytest.skip(f"there is no {name} with these versions of torch and Lightning, or any more")
    for option, default in options(kind).items():
        assert option in KNOWN[name] or default is None or entered(name, kind, option), (
            f"{name} has a new option {option}={default}: every experiment with {name} would be another. Let it be "
            "null by default, or enter it in blockyard.leaderboard.identity.ADDED with the value that changes nothing"
        )


def test_the_list_holds_what_it_is_about():
    assert {"SpectralNonlocal", "PreResNet", "ImageClassification", "Digits", "SGD", "Trainer", "Plug"} <= KNOWN.keys()
    assert {"backbone", "label_smoothing", "lr_scheduler", "warmup_epochs"} <= set(KNOWN["ImageClassification"])


def test_a_new_option_would_be_noticed():
    class PreResNet(backbones.PreResNet):
        def __init__(self, in_channels: int = 3, new: bool = False, old: int | None = None, **rest: Any) -> None:
            super().__init__(in_channels, **rest)

    found = options(PreResNet)
    assert found["new"] is False
    assert found["depth"] == options(backbones.PreResNet)["depth"]
    assert "new" not in KNOWN["PreResNet"]
    assert not entered("PreResNet", PreResNet, "new")


if __name__ == "__main__":
    known = {name: sorted(options(kind)) for name, kind in classes().items()} | KNOWN
    lines = [f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known)]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
