"""What the skeletons are compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

import blockyard
from blockyard.backbones import Backbone

CONFIGS = Path(blockyard.__file__).parent / "configs"


@pytest.fixture
def configured() -> Callable[..., Callable[..., Backbone]]:
    """``configured(name)``: the factory that a packaged configuration names, of images or of another task."""

    def read(name: str, task: str = "image_classification") -> Callable[..., Backbone]:
        config = yaml.safe_load((CONFIGS / task / "networks" / f"{name}.yaml").read_text())
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--backbone", type=Callable[[int, int], Backbone])
        return parser.instantiate(parser.parse_object({"backbone": config["model"]["init_args"]["backbone"]})).backbone

    return read
