"""What the skeletons are compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

import blockyard
from blockyard.backbones import Backbone

NETWORKS = Path(blockyard.__file__).parent / "configs" / "image_classification" / "networks"


@pytest.fixture
def configured() -> Callable[[str], Callable[..., Backbone]]:
    """``configured(name)``: the factory that a packaged configuration names."""

    def read(name: str) -> Callable[..., Backbone]:
        config = yaml.safe_load((NETWORKS / f"{name}.yaml").read_text())
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--backbone", type=Callable[[int, int], Backbone])
        return parser.instantiate(parser.parse_object({"backbone": config["model"]["init_args"]["backbone"]})).backbone

    return read
