"""What the skeletons are compared with."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor

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


@pytest.fixture
def drawn_by_name() -> Callable[[str, list[int]], Tensor]:
    """``drawn_by_name(name, shape)``: weights that their name alone decides."""

    def draw(name: str, shape: list[int]) -> Tensor:
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if len(shape) > 1:
            return torch.from_numpy(values).float() / values[0].size ** 0.5
        return torch.from_numpy(values / 4 + (not name.endswith("bias"))).float()

    return draw
