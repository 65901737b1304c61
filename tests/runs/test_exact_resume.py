"""A resumed run ends with the weights of a run that was never stopped, bit for bit."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.nn import functional as F

from blockyard.datamodules import Digits
from blockyard.runs.exact_resume import ExactResume

EPOCHS, STEPS_AN_EPOCH = 3, 4


class Network(LightningModule):
    """Everything that has a state: batch norm, dropout, momentum, one schedule a step and one an epoch."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 10)
        )
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen += batch["index"].tolist()
        return F.cross_entropy(self.net(batch["input"]), batch["target"])

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", F.cross_entropy(self.net(batch["input"]), batch["target"]))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=7)
        decay = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        return [optimizer], [{"scheduler": warm_up, "interval": "step"}, {"scheduler": decay, "interval": "epoch"}]


class KillAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder, resume=None, workers=0, callbacks=(), every_steps=1, devices=1, seed=3, **options):
    """One run; the final weights, optimiser and schedule, and what was trained on."""
    seed_everything(seed)
    steps = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=every_steps, save_last=True)
    model = Network()
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        callbacks=[*callbacks, steps, ExactResume()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )
    trainer.fit(model, datamodule=Digits("8x8", batch_size=300, num_workers=workers), ckpt_path=resume)
    state = {
        "step": trainer.global_step,
        "weights": model.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict()["state"],
        "schedules": [config.scheduler.state_dict()["_last_lr"] for config in trainer.lr_scheduler_configs],
    }
    return state, model.seen


def assert_bit_identical(state, expected):
    assert state["step"] == expected["step"] == EPOCHS * STEPS_AN_EPOCH
    assert state["schedules"] == expected["schedules"]
    for name, weights in expected["weights"].items():
        assert torch.equal(state["weights"][name], weights), name
    for number, slots in expected["optimizer"].items():
        assert torch.equal(state["optimizer"][number]["momentum_buffer"], slots["momentum_buffer"])


def run_as_script(folder, *arguments):
    """Run this file in a process of its own, which may kill itself."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, folder, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=False).returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return *train(folder), folder


def test_resume_from_any_step(uninterrupted, tmp_path):
    state, seen, folder = uninterrupted
    for step in range(1, EPOCHS * STEPS_AN_EPOCH):
        resumed, seen_after = train(tmp_path, resume=folder / f"step={step}.ckpt")
        assert_bit_identical(resumed, state)
        assert seen_after == seen[300 * step :], "trained on exactly the remaining batches"


def test_resume_after_kill_9_in_the_middle_of_an_epoch(uninterrupted, tmp_path):
    step = random.choice([3, 4, 7, 8, 11, 12])  # the last checkpoint, one every two steps, is then in mid-epoch
    print(f"killed at step {step}")
    assert run_as_script(tmp_path, step) == -signal.SIGKILL
    resumed, _ = train(tmp_path, resume=tmp_path / "last.ckpt", workers=2)
    assert_bit_identical(resumed, uninterrupted[0])


@pytest.mark.parametrize("hook", ["validation", "validation within an epoch", "train epoch"])
def test_resume_from_a_checkpoint_of_another_hook(uninterrupted, tmp_path, hook):
    options = {"val_check_interval": 2} if "within" in hook else {}
    saved = ModelCheckpoint(tmp_path, "other-{step}", save_top_k=-1, save_on_train_epoch_end=hook == "train epoch")
    train(tmp_path, callbacks=[saved], **options)
    checkpoints = sorted(tmp_path.glob("other-*.ckpt"))
    assert len(checkpoints) == (2 if "within" in hook else 1) * EPOCHS
    for checkpoint in checkpoints:
        assert_bit_identical(train(tmp_path, resume=checkpoint, **options)[0], uninterrupted[0])


def test_resume_at_the_end_of_an_epoch_where_steps_end_the_run(uninterrupted, tmp_path):
    """Lightning goes on with the epoch that is over, and passes over most of the next."""
    saved = ModelCheckpoint(tmp_path, "other-{step}", save_top_k=-1, save_on_train_epoch_end=True)
    train(tmp_path, callbacks=[saved], max_steps=EPOCHS * STEPS_AN_EPOCH)
    for step in (4, 8):
        resumed, seen = train(tmp_path, resume=tmp_path / f"other-step={step}.ckpt", max_steps=EPOCHS * STEPS_AN_EPOCH)
        assert_bit_identical(resumed, uninterrupted[0])
        assert seen == uninterrupted[1][300 * step :]


def test_checkpoints_need_no_pickle(uninterrupted):
    checkpoint = torch.load(uninterrupted[2] / "step=5.ckpt", weights_only=True)
    assert checkpoint["Digits"] == {"epoch": 1, "batch": 1, "seed": 3, "batch_size": 300, "samples": 1257}
    assert len(checkpoint["random_states"]) == 1


def test_resume_keeps_the_seed_of_the_run(uninterrupted, tmp_path):
    resumed, _ = train(tmp_path, resume=uninterrupted[2] / "step=5.ckpt", seed=4)
    assert_bit_identical(resumed, uninterrupted[0])


def test_a_checkpoint_of_one_run_does_not_move_the_next_one(uninterrupted):
    _, seen, folder = uninterrupted
    seed_everything(3)
    data = Digits.load_from_checkpoint(folder / "step=5.ckpt", weights_only=True)
    assert next(iter(data.train_dataloader()))["index"].tolist() == seen[:300]


def test_another_batch_size_in_the_middle_of_an_epoch_is_refused(uninterrupted):
    trainer = Trainer(max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(ValueError, match="batch_size=300 then and 100 now"):
        trainer.fit(Network(), datamodule=Digits("8x8", batch_size=100), ckpt_path=uninterrupted[2] / "step=5.ckpt")


def test_a_checkpoint_without_random_states_is_reported(uninterrupted, tmp_path):
    checkpoint = torch.load(uninterrupted[2] / "step=5.ckpt", weights_only=True)
    del checkpoint["random_states"]
    torch.save(checkpoint, tmp_path / "without.ckpt")
    with pytest.warns(UserWarning, match="random states of 0 processes, this run has 1"):
        train(tmp_path, resume=tmp_path / "without.ckpt")


class SaveAfter(Callback):
    """Writes a checkpoint after so many batches of the run, as the one that is written every ten minutes may."""

    def __init__(self, path, batches):
        self.path, self.left = path, batches

    def on_train_batch_end(self, trainer, *args):
        self.left -= 1
        if not self.left:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize(("batches", "lost"), [(2, 0), (3, 1), (4, 0), (5, 1), (6, 0)])
def test_gradients_that_a_checkpoint_does_not_keep_are_reported(tmp_path, batches, lost, recwarn):
    saved = SaveAfter(tmp_path / "saved.ckpt", batches)
    options = {"accumulate_grad_batches": 2, "every_steps": None}
    whole, _ = train(tmp_path, callbacks=[saved], **options)
    recwarn.clear()
    resumed, _ = train(tmp_path, resume=saved.path, **options)
    said = [str(warning.message) for warning in recwarn if "accumulation" in str(warning.message)]
    assert len(said) == (lost > 0)
    assert not lost or "written 1 batch(es) into an accumulation" in said[0]
    same = all(torch.equal(resumed["weights"][name], weights) for name, weights in whole["weights"].items())
    assert same == (not lost)


@pytest.mark.slow
def test_two_processes_resume_after_kill_9(tmp_path):
    """Each rank has its own dropout stream; the order is dealt out to both."""
    assert run_as_script(tmp_path, 7, 2) != 0
    assert run_as_script(tmp_path, 0, 2) == 0
    whole, resumed = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "resumed"))
    assert_bit_identical(resumed, whole)


def main(folder, kill_at, ranks=1):
    """Two processes: a whole run, then one that is killed; or that one resumed."""
    options = {"workers": 2, "every_steps": 2, "devices": ranks}
    ends = {}
    if ranks > 1 and kill_at:
        ends["whole"] = train(folder / "whole", **options)[0]
    elif ranks > 1:
        ends["resumed"] = train(folder, resume=folder / "last.ckpt", **options)[0]
    for name, end in ends.items():
        if os.environ.get("LOCAL_RANK", "0") == "0":
            torch.save(end, folder / f"{name}.pt")
    if kill_at:
        train(folder, callbacks=[KillAfter(kill_at)], **options)


if __name__ == "__main__":
    torch.backends.mkldnn.set_flags(os.environ.get("BLOCKYARD_TEST_ONEDNN") != "0")
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
