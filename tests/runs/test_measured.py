"""What a task states of its metrics is what its record, its best checkpoint, its table and its mistakes go by."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from torch import nn

from blockyard.cli import main
from blockyard.leaderboard.record import read
from blockyard.metrics import Metric
from blockyard.runs import measured
from blockyard.tasks.base import Task


class Denoising(Task):
    """Takes a pattern off digits: all that a task needs whose metric is no fraction."""

    primary_metric = "psnr"
    metrics = (Metric("psnr", unit="dB"), Metric("mse", low=0, higher_is_better=False))
    noise = 4.0

    def __init__(self, num_classes: int, input_shape: tuple[int, ...], **options) -> None:
        super().__init__(
            nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)), input_shape, **options
        )

    def errors(self, batch):
        """The mean squared error of each picture ``(B,)``, of values from 0 to 16."""
        clean = 16 * batch["input"]
        return (self(clean + self.noise * clean.roll(1, 2).cos()) - clean).square().flatten(1).mean(1)

    def training_step(self, batch, batch_idx):
        return self.errors(batch).mean()

    def validation_step(self, batch, batch_idx):
        self.log_dict(self.scores("val", self.errors(batch)), batch_size=len(batch["input"]))

    def on_test_epoch_start(self):
        self.seen = []

    def test_step(self, batch, batch_idx):
        self.seen.append(self.errors(batch))

    def on_test_epoch_end(self):
        errors = torch.cat(self.seen)
        self.sample_scores = {"psnr": 10 * (256**2 / errors).log10(), "mse": errors}
        self.log_dict(self.scores("test", errors))

    def scores(self, split, errors):
        return {f"{split}/psnr": (10 * (256**2 / errors).log10()).mean(), f"{split}/mse": errors.mean()}


class DenoisingByError(Denoising):
    """The same, ranked by what is better where it is less."""

    primary_metric = "mse"


class Bounded(Denoising):
    """States bounds that are too narrow."""

    metrics = (Metric("psnr", unit="dB", high=2), Metric("mse", low=0, higher_is_better=False))


class Stateless(Denoising):
    """States nothing, so that its metrics are taken for fractions."""

    metrics = ()


class Broken(Denoising):
    """Measures what is none."""

    metrics = Metric("psnr")


def configuration(folder: Path, task: type[Task], seed: int = 0, **trainer) -> str:
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-4}}
    quiet = dict.fromkeys(("enable_progress_bar", "logger"), False)
    (folder / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "seed_everything": seed,
                "model": {"class_path": task.__name__, "init_args": {"optimizer": optimizer}},
                "data": {"class_path": "Digits", "init_args": {"variant": "8x8", "batch_size": 300}},
                "trainer": {"accelerator": "cpu", "max_epochs": 2, "limit_train_batches": 2, **quiet, **trainer},
            }
        )
    )
    return str(folder / "config.yaml")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("BLOCKYARD_ALLOW", __name__.partition(".")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(folder: Path, task: type[Task], *options: str, **trainer) -> Path:
    """The best checkpoint."""
    assert main(["fit", "--config", configuration(folder, task, **trainer), *options]) == 0
    return max(Path("runs").glob("*/checkpoints/best.ckpt"), key=lambda file: file.stat().st_mtime)


@pytest.mark.parametrize(
    ("task", "heading", "best", "plugs"),
    [
        (Denoising, "psnr dB", "max", [[], ["--model.block", "ECA", "--model.at", "0"]]),
        (DenoisingByError, "mse", "min", [[]]),
    ],
)
def test_a_task_states_its_metrics_and_no_other_file_knows_them(here, capsys, task, heading, best, plugs):
    for options in plugs:
        checkpoint = trained(here, task, *options)
        assert main(["test", "--ckpt_path", str(checkpoint)]) == 0
    records = [read(path) for path in Path("runs/records").glob("*.json")]
    assert {record.metric("psnr") for record in records} == {Denoising.metrics[0]}
    assert {record.metric("mse") for record in records} == {Denoising.metrics[1]}
    assert all(record.metrics["psnr"] > 1 < record.metrics["mse"] for record in records)
    state = torch.load(checkpoint, weights_only=True)["callbacks"]
    (kept,) = (name for name in state if name.startswith("KeepBest"))
    assert f"'mode': '{best}'" in kept
    capsys.readouterr()
    assert main(["leaderboard", "--html", "page.html"]) == 0
    said = capsys.readouterr().out
    title = {"max": "psnr in dB, without bounds, higher is better", "min": "mse, at least 0, lower is better"}[best]
    assert f"{task.__name__} on Digits (Digits 8×8): {title}" in said
    page = Path("page.html").read_text()
    assert f"{heading}</text>" in page
    assert page.count('<circle cx="') == 2 * (len(plugs) - 1)  # one picture for windows, one for telephones
    assert main(["leaderboard", "add", *map(str, Path("runs/records").glob("*.json")), "--to", "ours"]) == 0


def test_the_best_checkpoint_of_an_error_is_that_of_the_least(here):
    """A learning rate that makes it worse from the first epoch on."""
    trained(here, DenoisingByError, "--model.optimizer.lr", "0.0001", "--model.optimizer.maximize", "true")
    (best,), (last,) = (list(Path("runs").glob(f"*/checkpoints/{name}.ckpt")) for name in ("best", "last"))
    assert torch.load(best, weights_only=True)["epoch"] == 0
    assert torch.load(last, weights_only=True)["epoch"] == 1


@pytest.mark.parametrize(
    ("task", "line"),
    [
        (Bounded, r"allows a number of at most 2 dB, as Bounded.metrics says: mend either"),
        (Stateless, r"allows a fraction from 0 to 1, unless Stateless.metrics says otherwise"),
        (Broken, r"Broken.metrics: Metric\(name='psnr'"),
    ],
)
def test_a_training_that_would_leave_no_record_ends_with_its_first_validation(here, capsys, task, line):
    assert main(["fit", "--config", configuration(here, task)]) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert said.startswith("blockyard: ")
    assert re.search(line, said)


def test_nothing_measured_is_lost_where_a_test_makes_no_record(here, capsys, monkeypatch):
    checkpoint = trained(here, Denoising)
    monkeypatch.setattr(Denoising, "metrics", Bounded.metrics)
    assert main(["test", "--ckpt_path", str(checkpoint)]) == 2
    out, err = capsys.readouterr()
    (said,) = [line for line in err.splitlines() if line.startswith("blockyard: ")]
    assert "no record: metrics.psnr: " in said
    assert "allowed is a number of at most 2 dB, as Denoising.metrics says: mend either" in said
    assert "then test the same checkpoint again" in said
    assert re.search(r"^tested: psnr [\d.]+, mse [\d.]+$", out, re.MULTILINE)
    assert not list(Path("runs").rglob("*.npz"))
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setenv("BLOCKYARD_ALLOW", __name__.partition(".")[0])
    assert main(["test", "--ckpt_path", str(checkpoint)]) == 0
    assert len(list(Path("runs/records").glob("*.json"))) == 1


def trainer_with(**logged: float) -> SimpleNamespace:
    return SimpleNamespace(callback_metrics={f"val/{name}": torch.tensor(value) for name, value in logged.items()})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_validation_that_gives_no_number_is_warned_of_and_looked_at_again(value):
    """It may be for want of variance in the first epoch, which is no reason to end a training."""
    task = SimpleNamespace(metrics=Denoising.metrics)
    with pytest.warns(UserWarning, match=r"val/psnr is \S+; a record allows a finite number .* leaves none"):
        unseen = measured.look_at(trainer_with(psnr=value, mse=3.0), task, task.metrics)
    assert unseen == {task.metrics[0]}
    with pytest.raises(ValueError, match="val/mse is -3; a record allows a number of at least 0, as"):
        measured.look_at(trainer_with(mse=-3.0), task, task.metrics)
    assert measured.look_at(trainer_with(psnr=30.0), task, unseen) == set()


def test_what_keeps_a_test_from_making_a_record():
    task = SimpleNamespace(primary_metric="psnr", metrics=Bounded.metrics, sample_scores={})
    assert measured.problems(task, {"mse": math.nan, "top1": 0.5}) == [
        "metrics.mse: nan; allowed is a number of at least 0, as SimpleNamespace.metrics says: mend either",
        "the primary metric psnr is not among what the test has logged: log test/psnr",
        "sample_scores is empty: a number a test sample is needed",
    ]
    task.sample_scores = {"psnr": torch.ones(1)}
    assert measured.problems(task, {"psnr": 2.0}) == []


def test_a_record_says_what_the_names_of_metrics_and_scores_do_not():
    task = SimpleNamespace(metrics=(*Denoising.metrics, Metric("top1", low=0, high=1), Metric("unused")))
    assert list(measured.scales(task, {"top1", "mse", "psnr", "loss"})) == ["psnr", "mse"]
