"""The record says what was trained, tested and paid for, from whatever process the test runs in."""

import hashlib
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from blockyard.leaderboard.record import read_all
from blockyard.leaderboard.scores import read_scores
from blockyard.runs import machine
from blockyard.runs.record import RunRecord

SAMPLES, BATCH = 24, 8


class Data(LightningDataModule):
    input_shape = (3, 8, 8)

    def loader(self):
        x = torch.randn(SAMPLES, *self.input_shape, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(x, (x.mean((1, 2, 3)) > 0).long()), batch_size=BATCH)

    train_dataloader = test_dataloader = val_dataloader = loader


class Task(LightningModule):
    """The smallest task that keeps the contract."""

    primary_metric = "top1"

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        self.right = []

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val/loss", self.training_step(batch, index))

    def on_test_epoch_start(self):
        self.right = []

    def test_step(self, batch, index):
        self.right.append(self.network(batch[0]).argmax(1) == batch[1])

    def on_test_epoch_end(self):
        self.sample_scores = {"top1": torch.cat(self.right).to(torch.uint8)}
        self.log_dict({"test/top1": self.sample_scores["top1"].float().mean(), "val/other": 2.0})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


CONFIG = {
    "seed_everything": 3,
    "trainer": {"max_epochs": 2},
    "model": {"class_path": "Task", "init_args": {"block": {"class_path": "SpectralNonlocal"}, "at": "stage2.1"}},
    "data": {"class_path": "Data"},
}


def make_trainer(directory, callbacks=(), **options):
    record = RunRecord(str(directory / "records"))
    record.config = CONFIG
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    settings = {"accelerator": "cpu", "devices": 1, "max_epochs": 2, **quiet, **options}
    return Trainer(default_root_dir=directory, callbacks=[record, *callbacks], **settings)


def records(directory):
    found, damaged = read_all([directory / "records"])
    assert not damaged
    return sorted(found, key=lambda record: record.repeat)


@pytest.fixture
def trained(tmp_path):
    """A trainer after training, with the checkpoint of each epoch; its task."""
    torch.manual_seed(0)
    checkpoints = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    trainer, task = make_trainer(tmp_path, [checkpoints]), Task()
    trainer.fit(task, datamodule=Data())
    return trainer, task


def test_a_test_leaves_a_record(trained, tmp_path):
    trainer, task = trained
    trainer.test(task, datamodule=Data(), ckpt_path=str(tmp_path / "epoch=1.ckpt"))
    (record,) = records(tmp_path)
    assert (record.task, record.data, record.seed) == ("Task", "Data", 3)
    assert record.block == "SpectralNonlocal @ stage2.1"
    assert record.metrics == {"top1": pytest.approx(task.sample_scores["top1"].double().mean().item(), rel=1e-6)}
    assert record.test_samples == SAMPLES
    assert (record.epochs, record.steps, record.world_size) == (2, 6, 1)
    assert record.parameters == 3 * 4 * 9 + 4 + 4 * 2 + 2
    assert record.macs == 6 * 6 * 3 * 4 * 9 + 4 * 2
    assert record.throughput > 0
    assert 0 < record.training_seconds < 60
    assert record.peak_memory > 50e6  # torch alone takes more
    assert record.memory_kind == "process RSS"
    assert record.config == CONFIG
    assert record.checkpoint_sha256 == hashlib.sha256((tmp_path / "epoch=1.ckpt").read_bytes()).hexdigest()
    assert torch.__version__.startswith(record.versions["torch"].partition("+")[0])


def test_the_scores_of_all_samples_lie_beside_the_record(trained, tmp_path):
    trainer, task = trained
    trainer.test(task, datamodule=Data())
    (record,) = records(tmp_path)
    scores = read_scores(tmp_path / "records" / record.scores, record.scores_sha256)
    np.testing.assert_array_equal(scores["top1"], task.sample_scores["top1"].numpy())
    assert scores["top1"].mean() == pytest.approx(record.metrics["top1"], abs=1e-6)  # float32 mean


def test_a_later_test_of_the_checkpoint_knows_what_training_cost(trained, tmp_path):
    trainer, task = trained
    path = str(tmp_path / "epoch=0.ckpt")
    trainer.test(task, datamodule=Data(), ckpt_path=path)
    make_trainer(tmp_path).test(Task(), datamodule=Data(), ckpt_path=path)
    same, later = records(tmp_path)
    assert (same.repeat, later.repeat) == (0, 1)
    for name in ("metrics", "training_seconds", "epochs", "steps", "peak_memory", "checkpoint_sha256", "scores_sha256"):
        assert getattr(same, name) == getattr(later, name), name
    assert (later.epochs, later.steps) == (1, 3)


def test_a_resumed_run_counts_what_came_before(trained, tmp_path):
    class Slow(Task):
        def training_step(self, batch, index):
            time.sleep(0.1)
            return super().training_step(batch, index)

    checkpoint = torch.load(tmp_path / "epoch=0.ckpt", weights_only=True)
    first = checkpoint["training_cost"]["training_seconds"]
    trainer, task = make_trainer(tmp_path), Slow()
    trainer.fit(task, datamodule=Data(), ckpt_path=str(tmp_path / "epoch=0.ckpt"))
    trainer.test(task, datamodule=Data())
    (record,) = records(tmp_path)
    assert (record.epochs, record.steps) == (2, 6)
    assert record.training_seconds > first + 0.3  # three batches in the second epoch


def test_weights_that_were_never_trained_have_no_training_cost(tmp_path):
    make_trainer(tmp_path).test(Task(), datamodule=Data())
    (record,) = records(tmp_path)
    assert (record.training_seconds, record.epochs, record.peak_memory, record.checkpoint_sha256) == (None,) * 4


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"limit_test_batches": 0.5}, {"limit_test_batches": 1}])
def test_a_test_of_a_part_leaves_no_record(tmp_path, options, recwarn):
    make_trainer(tmp_path, **options).test(Task(), datamodule=Data())
    assert not (tmp_path / "records").exists()
    assert any("no record: limit_test_batches" in str(warning.message) for warning in recwarn) == (
        "limit_test_batches" in options
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [(None, "set its attribute config"), ({**CONFIG, "seed_everything": None}, "seed_everything is None")],
)
def test_a_run_that_could_not_be_recorded_does_not_start(tmp_path, config, message):
    trainer, task = make_trainer(tmp_path), Task()
    trainer.callbacks[0].config = config
    with pytest.raises(ValueError, match=message):
        trainer.fit(task, datamodule=Data())
    assert trainer.global_step == 0


@pytest.mark.parametrize(
    ("right", "said"), [([1] * 4, "100.00 of each of 4 items"), ([1, 1, 1, 0], "interval over 4 ")]
)
def test_scores_that_are_all_alike_have_no_interval(tmp_path, capsys, right, said):
    class Fixed(Task):
        def on_test_epoch_end(self):
            self.sample_scores = {"top1": torch.tensor(right, dtype=torch.uint8)}
            self.log("test/top1", self.sample_scores["top1"].float().mean())

    make_trainer(tmp_path).test(Fixed(), datamodule=Data(), verbose=False)
    assert said in capsys.readouterr().out


def test_a_rounded_mean_of_ones_is_one(tmp_path):
    class Perfect(Task):
        def on_test_epoch_end(self):
            super().on_test_epoch_end()
            self.log("test/macro_accuracy", torch.tensor(1.0).nextafter(torch.tensor(2.0)))

    make_trainer(tmp_path).test(Perfect(), datamodule=Data())
    assert records(tmp_path)[0].metrics["macro_accuracy"] == 1


def test_an_impossible_metric_is_not_recorded(tmp_path):
    class Wrong(Task):
        def on_test_epoch_end(self):
            super().on_test_epoch_end()
            self.log("test/macro_accuracy", 1.2)

    with pytest.raises(ValueError, match=r"metrics.macro_accuracy: 1.2\d*; allowed is a fraction from 0 to 1"):
        make_trainer(tmp_path).test(Wrong(), datamodule=Data())
    assert list((tmp_path / "records").glob("*.json")) == []


DISTRIBUTED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from blockyard.runs import machine
from test_record import Data, Task, make_trainer
class Unequal(Task):
    def on_train_start(self):
        if self.global_rank == 1:
            self.ballast = b"x" * 400_000_000
    def on_train_end(self):
        peak, _ = machine.peak_memory(self.device)
        Path({directory!r}, f"rank{{self.global_rank}}").write_text(str(peak))
if __name__ == "__main__":
    trainer = make_trainer(Path({directory!r}), devices=2, strategy="ddp", use_distributed_sampler=False)
    task = Unequal()
    trainer.fit(task, datamodule=Data())
    trainer.test(task, datamodule=Data())
"""


@pytest.mark.slow
def test_two_processes_leave_one_record_with_the_larger_memory(tmp_path, request):
    script = tmp_path / "main.py"
    script.write_text(DISTRIBUTED.format(tests=str(request.path.parent), directory=str(tmp_path)))
    subprocess.run([sys.executable, str(script)], check=True, capture_output=True, timeout=120)
    (record,) = records(tmp_path)
    assert record.world_size == 2
    peaks = [int((tmp_path / f"rank{rank}").read_text()) for rank in (0, 1)]
    assert peaks[0] + 300_000_000 < record.peak_memory <= peaks[1]
    assert len(list((tmp_path / "records").iterdir())) == 2


def test_the_peak_of_an_earlier_run_does_not_count(tmp_path):
    device = torch.device("cpu")
    machine.reset_peak_memory(device)
    before, _ = machine.peak_memory(device)
    ballast = np.ones(25_000_000)
    during, _ = machine.peak_memory(device)
    assert during - before > 150_000_000
    del ballast
    machine.reset_peak_memory(device)
    after, kind = machine.peak_memory(device)
    assert kind == "process RSS"
    if sys.platform == "linux":
        assert during - after > 150_000_000


def test_the_commit_is_that_of_the_source_and_of_nothing_around_it(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@x", *arguments], check=True)

    package = tmp_path / "blockyard"
    package.mkdir()
    (package / "version.py").write_text("1")
    monkeypatch.setattr("blockyard.version.__file__", str(package / "version.py"))
    assert machine.commit() is None
    git("init", "-q")
    (tmp_path / "other").write_text("")
    git("add", "other")
    git("commit", "-qm", "another project, with blockyard installed inside")
    assert machine.commit() is None
    git("add", ".")
    git("commit", "-qm", "blockyard's own")
    clean = machine.commit()
    assert len(clean) == 12
    (package / "version.py").write_text("2")
    assert machine.commit() == f"{clean}-dirty"
