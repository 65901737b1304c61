"""The best checkpoint stays the best, wherever the run goes on."""

from __future__ import annotations

import shutil

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from blockyard.datamodules import Digits
from blockyard.runs.exact_resume import ExactResume
from blockyard.runs.keep_best import KeepBest, refuse_other_keepers


class Scores(LightningModule):
    """Validates with the given scores, one an epoch."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.net = scores, nn.Linear(64, 1)

    def training_step(self, batch, batch_idx):
        return self.net(batch["input"].flatten(1)).mean()

    def validation_step(self, batch, batch_idx):
        self.log("val/top1", self.scores[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder, scores, resume=None, own=True, mode="max", **options):
    lightnings = ModelCheckpoint(folder, "best", monitor="val/top1", mode=mode)
    best = KeepBest(folder, "val/top1", mode) if own else lightnings
    last = ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False)
    trainer = Trainer(
        max_epochs=len(scores),
        **options,
        accelerator="cpu",
        limit_train_batches=2,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[ExactResume(), best, last],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(Scores(scores), Digits("8x8", batch_size=100), ckpt_path=resume)
    return best


def epoch_of(file):
    return torch.load(file, weights_only=True)["epoch"]


@pytest.mark.parametrize("own", [True, False], ids=["ours", "written by Lightning's"])
def test_a_worse_score_does_not_replace_it_in_a_copied_folder(tmp_path, own):
    train(tmp_path / "a", [0.5, 0.9], own=own)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "a")
    best = train(tmp_path / "b", [0.5, 0.9, 0.6], tmp_path / "b" / "last.ckpt")
    assert epoch_of(tmp_path / "b" / "best.ckpt") == 1
    assert best.best_model_score == pytest.approx(0.9)
    assert best.best_model_path == str(tmp_path / "b" / "best.ckpt")
    train(tmp_path / "b", [0.5, 0.9, 0.6, 0.95], tmp_path / "b" / "last.ckpt")
    assert epoch_of(tmp_path / "b" / "best.ckpt") == 3


def test_it_comes_along_from_beside_the_checkpoint(tmp_path):
    train(tmp_path / "a", [0.5, 0.9])
    train(tmp_path / "b", [0.5, 0.9, 0.6], tmp_path / "a" / "last.ckpt")
    assert (tmp_path / "b" / "best.ckpt").read_bytes() == (tmp_path / "a" / "best.ckpt").read_bytes()
    assert epoch_of(tmp_path / "b" / "last.ckpt") == 2


@pytest.mark.parametrize("own", [True, False], ids=["ours", "written by Lightning's"])
def test_the_best_may_be_the_lowest_in_a_copied_folder_too(tmp_path, own):
    train(tmp_path / "a", [5.0, 3.0, 4.0], own=own, mode="min")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "a")
    best = train(tmp_path / "b", [5.0, 3.0, 4.0, 3.5], tmp_path / "b" / "last.ckpt", mode="min")
    assert (epoch_of(tmp_path / "b" / "best.ckpt"), float(best.best_model_score)) == (1, 3.0)
    train(tmp_path / "b", [5.0, 3.0, 4.0, 3.5, 2.0], tmp_path / "b" / "last.ckpt", mode="min")
    assert epoch_of(tmp_path / "b" / "best.ckpt") == 4


def test_a_lower_one_written_after_the_last_checkpoint_is_met_again(tmp_path):
    train(tmp_path / "a", [5.0], mode="min")
    train(tmp_path / "b", [5.0, 3.0], mode="min")
    shutil.copy(tmp_path / "b" / "best.ckpt", tmp_path / "a" / "best.ckpt")
    train(tmp_path / "a", [5.0, 3.0, 4.0], tmp_path / "a" / "last.ckpt", mode="min")
    assert epoch_of(tmp_path / "a" / "best.ckpt") == 1


def test_a_best_of_the_other_direction_is_none(tmp_path):
    """Of a task that has been told meanwhile that less is better."""
    train(tmp_path / "a", [5.0, 3.0])
    train(tmp_path / "a", [5.0, 3.0, 9.0], tmp_path / "a" / "last.ckpt", mode="min")
    assert epoch_of(tmp_path / "a" / "best.ckpt") == 2


@pytest.mark.parametrize(("mode", "scores"), [("max", [float("inf"), 0.1]), ("min", [float("-inf"), 0.1])])
def test_an_infinite_score_is_never_the_best(tmp_path, mode, scores):
    train(tmp_path, scores, mode=mode)
    assert epoch_of(tmp_path / "best.ckpt") == 1


def test_its_absence_is_said(tmp_path):
    train(tmp_path / "a", [0.5, 0.9])
    (tmp_path / "a" / "best.ckpt").unlink()
    with pytest.warns(
        UserWarning, match=r"with val/top1 0\.9, is not beside .*: best\.ckpt will be the best from here"
    ):
        train(tmp_path / "b", [0.5, 0.9, 0.6], tmp_path / "a" / "last.ckpt")
    assert epoch_of(tmp_path / "b" / "best.ckpt") == 2


def test_one_written_after_the_last_checkpoint_is_met_again(tmp_path):
    """Killed between the two: best.ckpt is of a later epoch than last.ckpt."""
    train(tmp_path / "a", [0.5])
    train(tmp_path / "b", [0.5, 0.9])
    shutil.copy(tmp_path / "b" / "best.ckpt", tmp_path / "a" / "best.ckpt")
    train(tmp_path / "a", [0.5, 0.9, 0.6], tmp_path / "a" / "last.ckpt")
    assert epoch_of(tmp_path / "a" / "best.ckpt") == 1


def test_no_score_yet(tmp_path):
    train(tmp_path / "a", [float("nan")])
    train(tmp_path / "b", [float("nan"), 0.1], tmp_path / "a" / "last.ckpt")
    assert epoch_of(tmp_path / "b" / "best.ckpt") == 1


@pytest.mark.parametrize(
    "options", [{"save_last": True}, {"filename": "best"}, {"filename": "last", "save_top_k": -1}], ids=str
)
def test_nobody_else_writes_it(tmp_path, options):
    def trainer(folder):
        callbacks = [ModelCheckpoint(folder, **options), KeepBest(tmp_path, "val/top1")]
        return Trainer(callbacks=callbacks, logger=False, enable_progress_bar=False)

    with pytest.raises(ValueError, match=r"best\.ckpt and last\.ckpt are kept already"):
        refuse_other_keepers(trainer(tmp_path))
    refuse_other_keepers(trainer(tmp_path / "elsewhere"))


@pytest.mark.parametrize(
    "options",
    [
        {"check_val_every_n_epoch": 2},
        {"check_val_every_n_epoch": None, "val_check_interval": 5},
        {"check_val_every_n_epoch": 9},
        {"check_val_every_n_epoch": 2, "max_steps": 5},
    ],
    ids=str,
)
def test_the_end_of_a_training_is_validated(tmp_path, options):
    best = train(tmp_path, [0.5, 0.6, 0.7], **options)
    assert best.best_model_score == pytest.approx(0.7)
    assert epoch_of(tmp_path / "best.ckpt") == 2
