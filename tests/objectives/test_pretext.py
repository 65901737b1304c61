"""From the command line: a pretext without labels, what comes of its checkpoint, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from blockyard.cli import main
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.hub import from_checkpoint
from blockyard.leaderboard.record import read

DIGITS = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--model.backbone.depth", "8"]
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
TURNED = ["--model.objective", "Rotation"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of two short epochs that stops early if nothing is gained."""
    folder = tmp_path_factory.mktemp("pretext")
    place = ["--trainer.default_root_dir", str(folder / "run"), "--trainer.callbacks+", "StopEarly"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        short = ["--trainer.max_epochs", "2", "--trainer.limit_train_batches", "8", "--trainer.log_every_n_steps", "4"]
        assert main(["fit", *DIGITS, *QUIET, *TURNED, *place, *short]) == 0
    return folder / "run"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refusal(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main([*arguments]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("blockyard:"))
    return line


def test_the_best_checkpoint_tells_the_most_turns(run):
    with next((run / "metrics").rglob("metrics.csv")).open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = [float(row["val/rotation_accuracy"]) for row in rows if row["val/rotation_accuracy"]]
    assert len(told) == 2
    assert any(row["train/rotation_accuracy"] for row in rows)
    assert not [name for name in rows[0] if "top1" in name], "no label was looked at"
    states = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    (best,) = (state for name, state in states.items() if name.startswith("KeepBest"))
    assert best["monitor"] == "val/rotation_accuracy"
    assert float(best["best_model_score"]) == pytest.approx(max(told), rel=1e-6)  # the file has fewer digits


def test_a_validation_measures_what_was_learned(run, capsys):
    assert main(["validate", "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), *QUIET]) == 0
    said = capsys.readouterr().out
    assert "rotation_accuracy %" in said
    assert "top1" not in said


def test_the_record_of_a_test_says_how_well_the_pretext_was_learned(run):
    assert main(["test", "--ckpt_path", str(run / "checkpoints" / "best.ckpt"), *QUIET]) == 0
    (path,) = Path("runs/records").iterdir()
    record = read(path)
    assert (record.primary, record.higher_is_better, record.scores) == ("rotation_accuracy", True, None)
    prepare()
    cli = SuiteCLI(None, compose([*DIGITS, *TURNED], keep_trainer=True))
    cli.load_weights(run / "checkpoints" / "best.ckpt")
    task, right = cli.model.eval(), 0.0
    with torch.no_grad():
        for batch in cli.datamodule.plain_dataloader("test"):
            right += len(batch["input"]) * float(task.objective.loss(task, batch)[1]["rotation_accuracy"])
    assert record.metrics == {"rotation_accuracy": pytest.approx(right / record.test_samples, rel=1e-6)}


def test_nothing_is_predicted(run, capsys):
    line = refusal(capsys, "predict", "--ckpt_path", str(run / "checkpoints" / "best.ckpt"), *QUIET)
    assert "nothing to predict: this network was trained by Rotation" in line


def test_what_is_exported_is_the_network_alone(run):
    checkpoint = run / "checkpoints" / "last.ckpt"
    prepare()
    whole = from_checkpoint(checkpoint)
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert {f"network.{name}" for name in whole.network.state_dict()} == saved.keys() - {
        "objective.classifier.weight",
        "objective.classifier.bias",
    }
    assert "objective" not in whole.card.model["init_args"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model.objective", "Rotatio"], "no objective Rotatio; did you mean Rotation"),
        (["--model.objective", "BiasLoss"], "BiasLoss"),
        (["--model.objective", "FromLabels"], "FromLabels is what a task has by itself: leave objective away"),
        (
            [*TURNED, "--model.label_smoothing", "0.1"],
            "the place of the loss that label_smoothing is for",
        ),
        ([*TURNED, "--model.mixing.mixup_alpha", "0.2"], "the place of the loss that mixing is for"),
        ([*TURNED, "--model.objective.turns", "8"], "Rotation has no option turns"),
        (["--data.labels_per_class", "0"], "--data.labels_per_class 0 must be at least 1"),
        (["--data.labels_per_class", "500"], "--data.labels_per_class 500 is more"),
        (
            ["--data.labels_per_class", "10", "--trainer.overfit_batches", "2"],
            "overfit_batches reads the split",
        ),
    ],
)
def test_a_mistake_is_answered_by_one_line(options, said, capsys):
    assert said in refusal(capsys, "fit", *DIGITS, *QUIET, *options)
    assert not Path("runs").exists()
