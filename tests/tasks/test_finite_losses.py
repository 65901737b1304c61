"""Losses that are looked at one step late, as on a GPU, whose host should not wait for them."""

from __future__ import annotations

import math

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from blockyard.tasks.finite_losses import FiniteLosses

STEPS = 4


class Line(FiniteLosses):
    """One weight; the loss of the step ``bad`` is not a number."""

    def __init__(self, bad: int | None, late: bool = True) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.bad, self.late = bad, late

    def looks_late(self, loss):
        return self.late

    def training_step(self, batch, batch_idx):
        loss = self.weight * (math.nan if batch_idx == self.bad else 1.0)
        self.check_finite(loss)
        return loss

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module: LightningModule, *callbacks, **options) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(**quiet, accelerator="cpu", max_epochs=1, callbacks=list(callbacks), **options)
    loader = DataLoader(torch.arange(STEPS), batch_size=1)
    trainer.fit(module, loader, loader if options.get("val_check_interval") else None)
    return trainer


class TestLate:
    @pytest.mark.parametrize(("late", "when", "steps"), [(False, "before", 1), (True, "after", 2)])
    def test_stops_one_step_after_the_bad_one_and_names_that(self, late, when, steps):
        module = Line(bad=1, late=late)
        with pytest.raises(FloatingPointError, match=f"loss is nan at epoch 0, step 1: stopped {when} the optimiser"):
            fit(module, enable_checkpointing=False)
        assert module.trainer.global_step == steps

    def test_the_last_step_is_looked_at_too(self):
        with pytest.raises(FloatingPointError, match=f"step {STEPS - 1}"):
            fit(Line(bad=STEPS - 1), enable_checkpointing=False)

    def test_validation_never_sees_bad_weights(self):
        with pytest.raises(FloatingPointError, match="step 1"):
            fit(Line(bad=1), enable_checkpointing=False, val_check_interval=2, num_sanity_val_steps=0)

    def test_bad_weights_are_never_saved_not_even_afterwards(self, tmp_path):
        module = Line(bad=1)
        saving = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1)
        with pytest.raises(FloatingPointError):
            fit(module, saving)
        (saved,) = tmp_path.iterdir()
        assert "step=1" in saved.name
        with pytest.raises(FloatingPointError):
            module.on_save_checkpoint({})

    def test_the_next_training_starts_afresh(self):
        module = Line(bad=1)
        with pytest.raises(FloatingPointError):
            fit(module, enable_checkpointing=False)
        module.bad = None
        torch.nn.init.ones_(module.weight)
        assert fit(module, enable_checkpointing=False).global_step == STEPS

    def test_good_losses_stop_nothing(self):
        module = Line(bad=None)
        fit(module, enable_checkpointing=False)
        assert module.weight.item() == pytest.approx(1 - 0.1 * STEPS)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_host_does_not_wait_for_a_gpu():
    module, busy = Line(bad=None), torch.randn(8192, 8192, device="cuda")
    module.looks_late = FiniteLosses.looks_late
    for _ in range(20):
        busy = busy @ busy
    module.check_finite(busy.sum().isnan().float())  # which is ready a second later
    assert not torch.cuda.current_stream().query()
