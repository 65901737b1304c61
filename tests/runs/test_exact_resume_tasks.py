"""Whatever draws random numbers in a task's training goes on after a resume as if nothing had happened, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import ElasticMobileNet, LogMel, PreResNet, TimmBackbone
from blockyard.blocks import SpectralNonlocal
from blockyard.datamodules import UCF101, Digits, SpeechCommands
from blockyard.objectives import Guidance, LocalReconstruction, Objective, ProgressiveShrinking, Rotation, SparK
from blockyard.runs.exact_resume import ExactResume
from blockyard.samples.modules import Motions
from blockyard.samples.tiny_audio import write_tiny_audio
from blockyard.samples.tiny_videos import write_tiny_videos
from blockyard.tasks import ActionRecognition, AudioClassification, ImageClassification, Mixing, SignalClassification
from blockyard.training.ema import EMA

OPTIMIZER = partial(SGD, lr=0.05, momentum=0.9)
MIXING = Mixing(mixup_alpha=0.4, cutmix_alpha=1.0, probability=0.9)
EIGHT = partial(PreResNet, depth=8)
BATCHES = 3
"""Steps of an epoch; there are two."""


def images(folder: Path, mixing: Mixing | None = MIXING):
    """mixup and CutMix, dropout, dropped paths, and an average of the weights."""
    backbone = partial(TimmBackbone, name="test_resnet", drop_path_rate=0.5)
    options = {"mixing": mixing, "block": SpectralNonlocal, "at": "layer3.0", "channels_last": True}
    task = ImageClassification(backbone, 10, (1, 28, 28), optimizer=OPTIMIZER, layer_decay=0.9, **options)
    return task, Digits(batch_size=4), [EMA(decay=0.5)]


def sounds(folder: Path, freq_mask: int = 8):
    """SpecAugment in the network, mixup of waveforms, and cuts, shifts and noise of every recording."""
    data = SpeechCommands(
        folder / "speech", verify=False, duration=0.4, shift=0.1, snr=(0, 20), batch_size=8, num_workers=0
    )
    front_end = LogMel(data.sample_rate, n_mels=32, freq_mask=freq_mask, time_mask=freq_mask)
    task = AudioClassification(
        partial(PreResNet, depth=8), data.num_classes, data.input_shape, optimizer=OPTIMIZER,
        front_end=front_end, mixing=Mixing(mixup_alpha=0.4, per_sample=True),
    )  # fmt: skip
    return task, data, []


def videos(folder: Path):
    """Clips from random places, cropped at random, and CutMix of them."""
    data = UCF101(folder / "videos", verify=False, frames=4, size=32, clips=1, batch_size=4, num_workers=0)
    backbone = partial(PreResNet, depth=8, spatial_dims=3)
    task = ActionRecognition(
        backbone, data.num_classes, data.input_shape, optimizer=OPTIMIZER, mixing=Mixing(cutmix_alpha=1.0)
    )
    return task, data, []


def series(folder: Path):
    """Windows from random places."""
    pytest.importorskip("pybullet")
    data = Motions(
        str(folder / "motions"), subjects=4, takes=1, test_fraction=0.3, val_fraction=0.0, batch_size=8, num_workers=0
    )
    backbone = partial(PreResNet, depth=8, spatial_dims=1)
    task = SignalClassification(backbone, data.num_classes, data.input_shape, optimizer=OPTIMIZER)
    return task, data, []


def turned(folder: Path):
    """A pretext, whose classifier is no part of the network."""
    backbone = partial(PreResNet, depth=8, dropout=0.5)
    task = ImageClassification(
        backbone, 10, (1, 8, 8), optimizer=OPTIMIZER, objective=Rotation(), lr_scheduler="cosine"
    )
    return task, Digits("8x8", batch_size=8), []


def by(objective: Callable[[], Objective], folder: Path, backbone: Any = EIGHT):
    """Pictures, by an objective."""
    task = ImageClassification(
        partial(backbone, dropout=0.5), 10, (1, 8, 8), optimizer=OPTIMIZER, objective=objective()
    )
    return task, Digits("8x8", batch_size=8), []


guided = partial(by, partial(Guidance, partial(PreResNet, depth=8)))
"""By a guide that no checkpoint has."""
masked, apart = partial(by, SparK), partial(by, LocalReconstruction)
shrunk = partial(
    by,
    partial(ProgressiveShrinking, kernels=[3], depths=[1], expansions=[2], begins=[0.3, 0.5, 0.8]),
    backbone=partial(
        ElasticMobileNet, widths=[8], depths=2, kernels=5, expansions=4, strides=[1], gated=[True], stem=8
    ),
)
"""Kernels open in the third step, depths in the fourth, channels in the sixth."""


class Jitter(Objective):
    """Spall, Multivariate stochastic approximation using a simultaneous perturbation gradient approximation, 1992.

    No gradient passes through the network: all weights move a little along random signs and back, and the slope of the
    loss between the two is what the optimiser follows.
    """

    def loss(self, task, batch):
        return F.cross_entropy(task(batch["input"]), batch["target"]), {}

    @torch.no_grad()
    def step(self, task, batch, batch_idx):
        weights = list(task.network.parameters())
        signs = [torch.randint(0, 2, weight.shape) * 2.0 - 1 for weight in weights]
        losses = []
        for move in (1e-3, -2e-3):
            for weight, sign in zip(weights, signs, strict=True):
                weight.add_(sign, alpha=move)
            losses.append(self.loss(task, batch)[0])
        slope = (losses[0] - losses[1]) / 2e-3
        for weight, sign in zip(weights, signs, strict=True):
            weight.add_(sign, alpha=1e-3)
            weight.grad = slope * sign
        task.check_finite(slope)
        optimizer = task.optimizers()
        optimizer.step()
        optimizer.zero_grad()
        return sum(losses) / 2, {"slope": slope}


def perturbed(folder: Path):
    """An objective with steps of its own, which draw random numbers, and a schedule for every step."""
    task = ImageClassification(
        partial(PreResNet, depth=8), 10, (1, 8, 8), optimizer=partial(SGD, lr=1e-4, momentum=0.9),
        objective=Jitter(), lr_scheduler="cosine",
    )  # fmt: skip
    return task, Digits("8x8", batch_size=8), []


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_tiny_audio(folder / "speech")
    write_tiny_videos(folder / "videos")
    return folder


def train(make: Callable[[], tuple], kept: Path, resume: Path | None = None, *others: Callback) -> dict:
    """What the last checkpoint of a run holds."""
    seed_everything(7)
    task, data, callbacks = make()
    steps = ModelCheckpoint(
        kept, "{step}", save_top_k=-1, every_n_train_steps=2, save_last=True, enable_version_counter=False
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        limit_train_batches=BATCHES,
        limit_val_batches=0,
        callbacks=[*callbacks, *others, steps, ExactResume()],
        use_distributed_sampler=False,
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False),
    )
    trainer.fit(task, data, ckpt_path=resume)
    assert trainer.global_step == 2 * BATCHES
    return torch.load(kept / "last.ckpt", weights_only=True)


def differing(a: dict, b: dict) -> list[str]:
    """Names of weights, averaged or not, that two checkpoints don't share bit for bit."""
    kinds = [kind for kind in ("state_dict", "current_model_state") if kind in a or kind in b]
    return [f"{kind} {name}" for kind in kinds for name in a[kind] if not torch.equal(a[kind][name], b[kind][name])]


@pytest.mark.parametrize("make", [images, sounds, videos, series, turned, guided, masked, apart, shrunk, perturbed])
def test_resume_in_the_middle_of_an_epoch(make, samples, tmp_path):
    whole = train(partial(make, samples), tmp_path / "whole")
    for step in (2, 4):  # of three an epoch
        resumed = train(partial(make, samples), tmp_path / "resumed", tmp_path / "whole" / f"step={step}.ckpt")
        assert differing(resumed, whole) == []
    assert ("current_model_state" in whole) == (make is images)
    assert ("objective.classifier.weight" in whole["state_dict"]) == (make is turned)


@pytest.mark.parametrize(("make", "option"), [(images, {"mixing": None}), (sounds, {"freq_mask": 0})])
def test_what_is_kept_matters(make, option, samples, tmp_path):
    """Without the random part in question the weights would be others, so that the test above tests it."""
    whole = train(partial(make, samples), tmp_path / "with")
    assert differing(whole, train(partial(make, samples, **option), tmp_path / "without"))
