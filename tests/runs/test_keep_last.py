"""A run that is asked to stop leaves at the next step with a checkpoint, and goes on to the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn
from torch.nn import functional as F

from blockyard.datamodules import Digits
from blockyard.runs.exact_resume import ExactResume
from blockyard.runs.keep_last import PREEMPTED, KeepLast, requeue

STEPS_AN_EPOCH = 4
FIT = [
    *("fit", "--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--trainer.max_epochs", "4"),
    *("--trainer.enable_progress_bar", "false", "--model.backbone.depth", "8", "--model.backbone.dropout", "0.5"),
]


class Network(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.net(batch["input"]), batch["target"])

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", F.cross_entropy(self.net(batch["input"]), batch["target"]))

    def test_step(self, batch, batch_idx):
        self.log("test/loss", F.cross_entropy(self.net(batch["input"]), batch["target"]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Signal(Callback):
    """Sends this process a signal during the given batch of the run."""

    def __init__(self, number, batch, hook="train"):
        self.number, self.left = number, batch
        setattr(self, f"on_{hook}_batch_start", self._count)

    def _count(self, *_):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def trainer_of(place, *callbacks, **options):
    return Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        callbacks=[*callbacks, ExactResume(), KeepLast(place, **options.pop("keep", {}))],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **options,
    )


def train(place, *callbacks, resume=None, **options):
    """One run; final weights and steps."""
    seed_everything(3)
    model, trainer = Network(), trainer_of(place, *callbacks, **options)
    trainer.fit(model, datamodule=Digits("8x8", batch_size=300), ckpt_path=resume)
    return model.state_dict(), trainer.global_step


def assert_same(one, other):
    assert one[1] == other[1]
    assert all(torch.equal(one[0][name], value) for name, value in other[0].items())


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize("batch", [1, 3, STEPS_AN_EPOCH, STEPS_AN_EPOCH + 2])
def test_leaves_at_the_step_and_goes_on_to_the_same_weights(tmp_path, capsys, number, batch):
    place = tmp_path / "last.ckpt"
    with pytest.raises(SystemExit) as left:
        train(place, Signal(number, batch))
    assert left.value.code == PREEMPTED
    assert torch.load(place, weights_only=True)["global_step"] == batch
    assert f"stopped by {signal.Signals(number).name} at step {batch}, checkpoint {place}" in capsys.readouterr().err
    assert_same(train(place, resume=place), train(tmp_path / "whole.ckpt"))


@pytest.fixture
def heard():
    """Ctrl-C is heard, though whatever runs the tests behind its back may have had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) == signal.default_int_handler


@pytest.mark.usefixtures("heard")
def test_ctrl_c_leaves_a_checkpoint_to_go_on_with(tmp_path, capfd):
    place = tmp_path / "last.ckpt"
    with pytest.raises(SystemExit) as left:
        train(place, Signal(signal.SIGINT, 3))
    assert left.value.__context__.__notes__ == [f"at step 3, checkpoint {place}"]
    assert "leaves after this step, with a checkpoint; once more: at once" in capfd.readouterr().err
    assert_same(train(place, resume=place), train(tmp_path / "whole.ckpt"))


@pytest.mark.usefixtures("heard")
def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    with pytest.raises(SystemExit) as left:
        train(tmp_path / "last.ckpt", Signal(signal.SIGINT, 2), Signal(signal.SIGINT, 2))
    assert left.value.__context__.__notes__ == ["in epoch 1, before its first checkpoint"]


@pytest.mark.usefixtures("heard")
def test_ctrl_c_in_a_test_is_not_put_off(tmp_path):
    with pytest.raises(SystemExit) as left:
        trainer_of(tmp_path / "last.ckpt", Signal(signal.SIGINT, 1, "test")).test(
            Network(), datamodule=Digits("8x8", batch_size=300), verbose=False
        )
    assert isinstance(left.value.__context__, KeyboardInterrupt)


def test_never_in_the_middle_of_an_accumulation(tmp_path):
    place = tmp_path / "last.ckpt"
    with pytest.raises(SystemExit):
        train(place, Signal(signal.SIGUSR1, 1), accumulate_grad_batches=2)
    assert torch.load(place, weights_only=True)["global_step"] == 1
    whole = train(tmp_path / "whole.ckpt", accumulate_grad_batches=2)
    assert_same(train(place, resume=place, accumulate_grad_batches=2), whole)


def test_ranks_agree_every_few_steps(tmp_path):
    place = tmp_path / "last.ckpt"
    with pytest.raises(SystemExit):
        train(place, Signal(signal.SIGUSR1, 2), keep={"every_n_steps": 3})
    assert torch.load(place, weights_only=True)["global_step"] == 3


def test_lets_a_short_validation_end(tmp_path):
    place = tmp_path / "last.ckpt"
    with pytest.raises(SystemExit):
        train(place, Signal(signal.SIGTERM, 1, "validation"))
    assert torch.load(place, weights_only=True)["global_step"] == STEPS_AN_EPOCH


def test_leaves_a_long_validation_without_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("blockyard.runs.keep_last.PATIENCE", -1.0)
    with pytest.raises(SystemExit) as left:
        train(tmp_path / "last.ckpt", Signal(signal.SIGTERM, 1, "validation"))
    assert left.value.code == PREEMPTED
    assert not (tmp_path / "last.ckpt").exists()


def test_leaves_a_test(tmp_path):
    trainer = trainer_of(tmp_path / "last.ckpt", Signal(signal.SIGUSR1, 1, "test"))
    with pytest.raises(SystemExit) as left:
        trainer.test(Network(), datamodule=Digits("8x8", batch_size=300), verbose=False)
    assert left.value.code == PREEMPTED


def test_handlers_are_put_back(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    train(tmp_path / "last.ckpt")
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)] == before
    with pytest.raises(SystemExit):
        train(tmp_path / "last.ckpt", Signal(signal.SIGUSR1, 1))
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    ("reason", "state", "asked"),
    [
        (signal.SIGUSR1, "RUNNING", True),
        (None, "RUNNING", True),
        (signal.SIGTERM, "RUNNING", True),
        (signal.SIGTERM, "COMPLETING", False),
    ],
)
def test_queues_its_job_again_unless_slurm_has_ended_it(tmp_path, monkeypatch, reason, state, asked):
    for name, line in (("squeue", f"echo {state}"), ("scontrol", f'echo "$@" > {tmp_path}/asked')):
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\n{line}\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    requeue(reason)
    assert (tmp_path / "asked").exists() == asked
    assert not asked or (tmp_path / "asked").read_text() == "requeue 17\n"


def test_outside_slurm_nothing_is_queued(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    requeue(signal.SIGUSR1)


@pytest.mark.slow
def test_on_the_command_line(tmp_path):
    """Killed by SIGUSR1 wherever it happened to be, and continued: the weights of a run left alone."""

    def blockyard(folder: Path, *arguments: str) -> subprocess.Popen:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "blockyard", *FIT, *arguments]
        return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)

    alone, process = blockyard(tmp_path / "alone"), blockyard(tmp_path / "stopped")
    while not list(tmp_path.glob("stopped/runs/*/checkpoints/last.ckpt")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    said = process.communicate()[1]
    assert process.returncode == PREEMPTED, said
    assert "stopped by SIGUSR1 at step " in said
    assert blockyard(tmp_path / "stopped", "--ckpt_path", "last").wait() == 0
    assert alone.wait() == 0
    whole, resumed = (
        torch.load(next(tmp_path.glob(f"{name}/runs/*/checkpoints/last.ckpt")), weights_only=True)
        for name in ("alone", "stopped")
    )
    assert whole["global_step"] == resumed["global_step"]
    assert all(torch.equal(resumed["state_dict"][name], value) for name, value in whole["state_dict"].items())
