"""Searches by trial: what they leave behind, and what they find where the answer is known."""

from __future__ import annotations

import copy

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from blockyard.datamodules import DataModule
from blockyard.datamodules.loading import Split
from blockyard.training.searches import find_batch_size, find_learning_rate

ON_CPU = {"accelerator": "cpu", "callbacks": None}


class Numbers(Split):
    names = tuple(map(str, range(96)))

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return {"input": torch.ones(1)}


class Same(DataModule):
    """The same number again and again."""

    input_shape = (1,)

    def load(self, split):
        return Numbers()


class Parabola(LightningModule):
    """½ a w² in two parameters of which the second one's rate is a tenth: steps of rate r shrink w by 1 - a r."""

    lr_scheduler, warmup_epochs = None, 0

    def __init__(self, curvature: float, most: int = 1000):
        super().__init__()
        self.w, self.slow = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        self.curvature, self.most = curvature, most

    def training_step(self, batch, batch_idx):
        if len(batch["input"]) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.curvature * (self.w**2 + self.slow**2) / 2

    def configure_optimizers(self):
        return torch.optim.SGD([{"params": [self.w]}, {"params": [self.slow], "lr": 0.1}], lr=1.0)


def data() -> Same:
    return Same(batch_size=4, num_workers=0)


def test_the_rate_follows_the_curvature():
    """SGD on a parabola of curvature a diverges beyond 2/a and is at its best at 1/a; a hundredfold a, a hundredth."""
    rates = [find_learning_rate(Parabola(a), data(), ON_CPU, min_lr=1e-5, max_lr=10) for a in (0.5, 50.0)]
    for rate, curvature in zip(rates, (0.5, 50.0), strict=True):
        assert 0.05 / curvature < rate < 2 / curvature
        assert rate == float(f"{rate:.1e}")


def test_nothing_is_left_of_a_search():
    task, numbers = Parabola(0.5), data()
    before, state = copy.deepcopy(task.state_dict()), torch.get_rng_state()
    find_learning_rate(task, numbers, ON_CPU, min_lr=1e-5, max_lr=10)
    find_batch_size(task, numbers, ON_CPU, steps_per_trial=1, max_val=8)
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert numbers.batch_size == 4
    assert numbers.trainer is None


def test_a_loss_that_falls_nowhere_has_no_rate():
    with pytest.raises(ValueError, match="falls at none"):
        find_learning_rate(Parabola(-0.5), data(), ON_CPU, min_lr=1e-5, max_lr=10)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"mode": "power"}, 32),
        ({"mode": "binsearch", "margin": 0}, 40),
        ({"mode": "binsearch", "margin": 0.1}, 36),
        ({"mode": "power", "max_val": 24}, 24),
    ],
)
def test_the_batch_is_the_largest_tried_that_fits(options, size):
    assert find_batch_size(Parabola(0.5, most=40), data(), ON_CPU, steps_per_trial=1, **options) == size


def test_the_split_bounds_the_batch():
    assert find_batch_size(Parabola(0.5), data(), ON_CPU, steps_per_trial=1) == 96


def test_no_batch_fits_or_batches_have_a_form():
    with pytest.raises(ValueError, match="not even a batch of 2"):
        find_batch_size(Parabola(0.5, most=1), data(), ON_CPU, steps_per_trial=1)
    people = data()
    people.instances = 4
    with pytest.raises(ValueError, match=r"data\.instances"):
        find_batch_size(Parabola(0.5), people, ON_CPU)
