"""A training ends when the primary metric no longer rises, and stays ended."""

from __future__ import annotations

from functools import partial

import pytest
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.metrics import Metric
from blockyard.runs.exact_resume import ExactResume
from blockyard.tasks import ImageClassification
from blockyard.training.stop_early import StopEarly

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)


class Scripted(ImageClassification):
    """Its accuracy is what the script says."""

    script = (0.1, 0.3, 0.2, 0.3, 0.6, 0.9)

    def on_validation_epoch_end(self) -> None:
        self.log("val/top1", self.script[self.current_epoch])


class ScriptedError(Scripted):
    """Its metric is an error, larger than the accuracy where that is smaller."""

    metrics = (Metric("top1", unit="mm", higher_is_better=False),)
    script = tuple(1 - accuracy for accuracy in Scripted.script)


def train(folder, epochs=6, resume=None, seed=1, task=Scripted, **options) -> Trainer:
    seed_everything(seed)
    module = task(partial(PreResNet, depth=8), 10, (1, 8, 8), optimizer=partial(SGD, lr=0.01))
    last = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    trainer = Trainer(
        **PLAIN,
        accelerator="cpu",
        max_epochs=epochs,
        limit_train_batches=1,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        callbacks=[StopEarly(**options), last, ExactResume()],
    )
    trainer.fit(module, Digits("8x8", batch_size=100), ckpt_path=resume)
    return trainer


@pytest.mark.parametrize("task", [Scripted, ScriptedError])
@pytest.mark.parametrize(
    ("options", "epochs"), [({"patience": 2}, 4), ({"patience": 3}, 6), ({"patience": 2, "min_delta": 0.25}, 3)]
)
def test_ends_after_so_many_validations_that_were_none_the_better(tmp_path, options, epochs, task):
    # 0.3 is the best from the second validation to the fourth; a rise of more than 0.25 there is not before the fifth
    assert train(tmp_path, task=task, **options).current_epoch == epochs


@pytest.mark.parametrize("task", [Scripted, ScriptedError])
def test_a_run_that_had_ended_stays_so_and_one_that_was_killed_ends_at_the_same_epoch(tmp_path, task):
    train(tmp_path, patience=2, task=task)
    assert train(tmp_path, patience=2, resume=tmp_path / "last.ckpt", task=task).global_step == 4
    train(tmp_path, patience=2, epochs=3, task=task)
    assert train(tmp_path, patience=2, resume=tmp_path / "last.ckpt", task=task).global_step == 4


def test_mistakes():
    with pytest.raises(ValueError, match="StopEarly: patience=0 must be positive"):
        StopEarly(patience=0)
