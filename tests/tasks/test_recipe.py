"""What tasks suggest: which data they learn from, and networks that grow with the samples."""

from __future__ import annotations

import numpy as np
import pytest

from blockyard.datamodules import Digits, ImageFolder
from blockyard.tasks import AudioClassification, ImageClassification, Task
from blockyard.tasks.restoration.task import ImageRestoration


class Sized(Digits):
    """Digits of another number and size."""

    def __init__(self, samples: int, side: int) -> None:
        super().__init__()
        self.samples, self.side = samples, side

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (1, self.side, self.side)

    def split(self, name: str) -> np.ndarray:
        return np.zeros(self.samples)


@pytest.mark.parametrize(("samples", "depth"), [(50, 8), (1_999, 8), (2_000, 20)])
def test_networks_grow_with_the_samples(samples, depth):
    assert Task.untrained(Sized(samples, 32)).value["init_args"]["depth"] == depth


@pytest.mark.parametrize(("side", "name"), [(32, "PreResNet"), (128, "TimmBackbone")])
def test_many_pictures_that_are_not_tiny_get_a_large_network(side, name):
    assert Task.untrained(Sized(20_000, side)).value["class_path"] == name


@pytest.mark.parametrize(("side", "stride"), [(28, 1), (64, 1), (65, 2), (128, 2), (256, 4), (1024, 4)])
def test_large_inputs_are_strided(side, stride):
    assert Task.untrained(Sized(50, side)).value["init_args"]["stem_stride"] == stride


def test_a_task_knows_its_data():
    data = ImageFolder(root="anywhere")
    assert ImageClassification.suits(data)
    assert not AudioClassification.suits(data)
    assert not ImageRestoration.suits(data)
