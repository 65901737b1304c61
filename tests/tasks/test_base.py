"""Learning rates by part of the network."""

from __future__ import annotations

from functools import partial

import pytest
from torch import nn
from torch.optim import SGD

from blockyard.tasks.base import Task


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.head(self.backbone(x))


def rates(**multipliers: float) -> dict[str, float]:
    task = Task(Network(), (3, 4, 4), partial(SGD, lr=0.5), lr_multipliers=multipliers)
    optimizer = task.configure_optimizers()
    names = {id(parameter): name for name, parameter in task.network.named_parameters()}
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


@pytest.fixture(autouse=True)
def _no_schedule(monkeypatch):
    monkeypatch.setattr("blockyard.tasks.base.schedule", lambda trainer, optimizer, *_: optimizer)
    monkeypatch.setattr(Task, "trainer", None)


def test_every_parameter_is_trained_once_at_its_part_s_rate():
    assert rates(head=10.0) == {
        "backbone.0.weight": 0.5,
        "backbone.0.bias": 0.5,
        "backbone.1.weight": 0.5,
        "backbone.1.bias": 0.5,
        "head.weight": 5.0,
        "head.bias": 5.0,
    }


def test_the_first_multiplier_that_fits_counts_and_globs_are_allowed():
    found = rates(**{"backbone.1": 0.0, "backbone.*.weight": 0.1, "backbone": 0.2})
    assert [found[f"backbone.{rest}"] for rest in ("0.weight", "0.bias", "1.weight", "1.bias")] == [0.05, 0.1, 0, 0]
    assert found["head.weight"] == 0.5


def test_a_multiplier_that_fits_nothing_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"lr_multipliers: hed fits no parameter; did you mean head\?"):
        rates(hed=10.0)
