"""The learning rate of every step, as the recipes state it."""

from __future__ import annotations

import math
from functools import partial

import pytest
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR, StepLR

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.tasks import ImageClassification


class Rates(Callback):
    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def rates(epochs: int, steps: int = 1, *, max_steps: int = -1, accumulate: int = 1, **options) -> list[float]:
    """Learning rate at each step of a run, of a base rate of 1."""
    watch = Rates()
    module = ImageClassification(
        PreResNet, num_classes=10, input_shape=(1, 8, 8), optimizer=partial(SGD, lr=1.0), **options
    )
    module.training_step = lambda batch, batch_idx: module.network.fc.bias.sum()  # only the rate matters
    trainer = Trainer(
        max_epochs=epochs,
        max_steps=max_steps,
        accumulate_grad_batches=accumulate,
        limit_train_batches=steps,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
    )
    trainer.fit(module, Digits(variant="8x8", batch_size=8))
    return watch.rates


def test_poly_falls_to_zero_by_the_power_0_9():
    assert rates(2, steps=2, lr_scheduler="poly") == pytest.approx([(1 - step / 4) ** 0.9 for step in range(4)])


def test_constant_without_a_scheduler():
    assert rates(2, steps=2) == [1.0] * 4


def test_the_cifar_recipe_in_small():
    # Warm-up over 3 epochs from 1 %, then x0.1 after 2 and after 4 epochs that do not count the warm-up.
    found = rates(
        9, lr_scheduler=partial(MultiStepLR, milestones=[2, 4], gamma=0.1), warmup_epochs=3, warmup_factor=0.01
    )
    assert found == pytest.approx([0.01, 0.34, 0.67, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_epochs_are_whole():
    assert rates(3, steps=2, lr_scheduler=partial(StepLR, step_size=1, gamma=0.5)) == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_steps_on_demand():
    found = rates(1, steps=3, lr_scheduler=partial(StepLR, step_size=1, gamma=0.5), lr_interval="step")
    assert found == [1, 0.5, 0.25]


def test_cosine_spans_the_run_step_by_step():
    expected = [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert rates(2, steps=3, lr_scheduler="cosine") == pytest.approx(expected)


def test_cosine_after_a_warm_up_by_steps():
    expected = [0.5, 0.75, *[(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]]
    assert rates(3, steps=2, lr_scheduler="cosine", warmup_epochs=1, warmup_factor=0.5) == pytest.approx(expected)


def test_a_run_that_max_steps_ends_is_spanned_like_one_of_as_many_epochs():
    expected = [0.5, 0.75, *[(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]]
    options = {"steps": 2, "max_steps": 6, "lr_scheduler": "cosine", "warmup_epochs": 1, "warmup_factor": 0.5}
    assert rates(-1, **options) == pytest.approx(expected)
    assert rates(100, **options) == pytest.approx(expected), "an epoch has two steps, however few of them are run"


def test_accumulated_batches_are_one_step():
    expected = [1, 1, *[1.0] * 2, *[(1 + math.cos(math.pi / 2)) / 2] * 2]
    options = {"lr_scheduler": "cosine", "warmup_epochs": 1, "warmup_factor": 1.0}
    assert rates(-1, steps=2, max_steps=3, accumulate=2, **options) == pytest.approx(expected)


def test_a_run_without_an_end_has_no_cosine():
    with pytest.raises(ValueError, match=r"cosine spans the whole run, .* set trainer\.max_epochs or max_steps"):
        rates(-1, lr_scheduler="cosine")


def test_warm_up_alone():
    assert rates(4, warmup_epochs=2, warmup_factor=0.5) == pytest.approx([0.5, 0.75, 1, 1])


def test_plateau_follows_a_metric():
    plateau = partial(ReduceLROnPlateau, monitor="val/top1", mode="max", factor=0.5, patience=0)
    assert rates(3, lr_scheduler=plateau)[0] == 1.0
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        rates(3, lr_scheduler=plateau, warmup_epochs=1)


def test_a_warm_up_that_fills_the_run():
    with pytest.raises(ValueError, match="takes 3 of the run's 3 epochs"):
        rates(3, warmup_epochs=3)
