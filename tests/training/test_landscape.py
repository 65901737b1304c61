"""The landscape on the way: what is measured, and that the training is the one without."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.leaderboard.identity import IGNORED_CALLBACKS
from blockyard.objectives import LocalReconstruction
from blockyard.runs.exact_resume import ExactResume
from blockyard.tasks import ImageClassification
from blockyard.training.landscape import LossLandscape
from blockyard.training.mixing import Mixing

PLAIN = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


def train(folder: Path, *callbacks, steps: int = 4, resume: str | None = None, objective=None, **trainer) -> Trainer:
    """A network with batch norms and dropout on mixed digits, some steps by SGD with momentum."""
    seed_everything(1)
    options = {"mixing": Mixing(mixup_alpha=0.2), "optimizer": partial(SGD, lr=0.1, momentum=0.9)}
    if objective is not None:
        options = {"objective": objective, "optimizer": options["optimizer"]}
    module = ImageClassification(partial(PreResNet, depth=8), 10, (1, 8, 8), **options)
    made = Trainer(
        accelerator="cpu",
        callbacks=[*callbacks, ExactResume()],
        max_steps=steps,
        limit_val_batches=0,
        default_root_dir=folder,
        **PLAIN | trainer,
    )
    made.fit(module, Digits("8x8", batch_size=16, num_workers=0), ckpt_path=resume, weights_only=True)
    return made


def all_of(trainer: Trainer) -> list[torch.Tensor]:
    (optimizer,) = trainer.optimizers
    state = [value for one in optimizer.state_dict()["state"].values() for value in one.values()]
    return [*trainer.lightning_module.state_dict().values(), *state, torch.get_rng_state()]


def test_the_training_is_that_without_bit_for_bit(tmp_path):
    probe = LossLandscape(every=1)
    with_it, without = (all_of(train(tmp_path, *callbacks)) for callbacks in ([probe], []))
    assert all(torch.equal(a, b) for a, b in zip(with_it, without, strict=True))
    assert list(probe.measured) == [0, 1, 2, 3]


def test_at_every_nth_step_and_once_where_batches_are_accumulated(tmp_path):
    probe = LossLandscape(every=2, steps=[0.1])
    train(tmp_path, probe, steps=5, accumulate_grad_batches=2)
    assert list(probe.measured) == [0, 2, 4]


def test_the_loss_is_the_one_that_the_step_minimises(tmp_path):
    """A small step of SGD without momentum leads where the landscape says."""
    probe = LossLandscape(every=1, steps=[0.1])
    trainer = train(tmp_path, probe, steps=1)
    assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(probe.measured[0].loss, rel=1e-6)
    assert float(trainer.callback_metrics["train/smoothness"]) == pytest.approx(probe.measured[0].smoothness)


def test_a_resumed_run_measures_and_writes_all(tmp_path):
    whole, second = (LossLandscape(every=1, steps=[0.1]) for _ in range(2))
    keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=2)
    train(tmp_path / "whole", whole, keep, enable_checkpointing=True)
    train(tmp_path / "parts", second, resume=str(tmp_path / "step=2.ckpt"))
    assert second.measured == whole.measured
    files = [(tmp_path / run / "landscape.json").read_bytes() for run in ("whole", "parts")]
    assert files[0] == files[1]
    rows = json.loads(files[0])
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert rows[3]["smoothness"] == whole.measured[3].smoothness
    with Image.open(tmp_path / "parts" / "landscape.png") as picture:
        assert picture.size[0] > picture.size[1]


def test_it_does_not_tell_experiments_apart():
    assert LossLandscape.only_watches
    assert "LossLandscape" in IGNORED_CALLBACKS


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every=0 must be positive"):
        LossLandscape(every=0)
    with pytest.raises(ValueError, match="steps must be positive"):
        LossLandscape(steps=[0.1, -1])
    with pytest.raises(ValueError, match="LocalReconstruction makes steps that follow no one loss"):
        train(tmp_path, LossLandscape(), objective=LocalReconstruction())
