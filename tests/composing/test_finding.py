"""A learning rate and a batch size that are found before a run: the run is the one that has them said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from blockyard.cli import main
from blockyard.composing.composition import compose
from blockyard.composing.finding import still_found
from blockyard.leaderboard.identity import identity

DIGITS = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--model.backbone.depth", "8"]
SHORT = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"]
SHORT += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--data.num_workers", "0"]
RATE = ["--trainer.callbacks+=LearningRateFinder", "--trainer.callbacks.num_training_steps", "30"]
RATE += ["--trainer.callbacks.min_lr", "0.0001"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fit(*options: str) -> int:
    return main(["fit", *DIGITS, *SHORT, *options])


def only_run(folder: Path = Path("runs")) -> Path:
    (run,) = (path for path in folder.iterdir() if path.name != "records")
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def test_a_run_whose_rate_was_found_is_the_run_that_has_it_said(tmp_path, monkeypatch, capsys):
    """Bit for bit, with the same identity; the search draws from no generator and leaves nothing behind."""
    assert fit(*RATE, "--model.lr_multipliers", "{fc: 2}") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("learning rate found"))
    rate = line.split()[3].rstrip(",")
    found = only_run().absolute()
    config = yaml.safe_load((found / "config.yaml").read_text())
    assert config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == float(rate)
    assert config["found"] == {"model.optimizer.lr": {"by": "LearningRateFinder", "value": float(rate)}}
    assert not config["trainer"]["callbacks"]
    (tmp_path / "said").mkdir()
    monkeypatch.chdir(tmp_path / "said")
    assert fit("--model.optimizer.lr", rate, "--model.lr_multipliers", "{fc: 2}") == 0
    said = only_run()
    assert said.name == found.name
    assert identity(config) == identity(yaml.safe_load((said / "config.yaml").read_text()))
    first, second = weights(found), weights(said)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_goes_on_with_what_was_found(capsys):
    """By the same line the search comes to the same rate; with the checkpoint's path there is none."""
    assert fit(*RATE) == 0
    run = only_run()
    capsys.readouterr()
    assert fit(*RATE, "--ckpt_path", "last") == 0
    assert "already trained" in capsys.readouterr().out
    assert main(["fit", "--ckpt_path", str(run), *RATE, "--trainer.max_epochs", "2"]) == 0
    said = capsys.readouterr().out
    assert "found" not in said
    assert "a new experiment" in said
    (other,) = (path for path in Path("runs").iterdir() if path not in (run, Path("runs/records")))
    config = yaml.safe_load((other / "config.yaml").read_text())
    assert config["found"]["model.optimizer.lr"]["by"] == "LearningRateFinder"
    assert main(["test", "--ckpt_path", str(run), "--trainer.enable_progress_bar", "false"]) == 0


def test_what_was_found_is_said_as_long_as_it_holds():
    saved = {"found": {"data.batch_size": {"by": "BatchSizeFinder", "value": 32}, "model.optimizer.lr": "nonsense"}}
    now = {"data": {"class_path": "Digits", "init_args": {"batch_size": 32}}}
    assert dict(still_found(saved, now)) == {"data.batch_size": {"by": "BatchSizeFinder", "value": 32}}
    now["data"]["init_args"]["batch_size"] = 64
    assert dict(still_found(saved, now)) == {}


def test_a_batch_size_is_found(capsys):
    bounded = ["--trainer.callbacks.max_val", "20", "--trainer.callbacks.steps_per_trial", "1"]
    assert fit("--trainer.callbacks+=BatchSizeFinder", *bounded) == 0
    assert "batch size found: 20, " in capsys.readouterr().out
    saved = torch.load(only_run() / "checkpoints/last.ckpt", weights_only=True)
    assert saved["blockyard_config"]["data"]["init_args"]["batch_size"] == 20
    assert saved["datamodule_hyper_parameters"]["batch_size"] == 20
    assert compose(["--ckpt_path", str(only_run())], keep_trainer=True).arguments("fit")[2].count("found") == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([*RATE, "--trainer.devices", "2"], "searches in one process"),
        ([*RATE, "--trainer.callbacks.max_lr", "0.00001"], "0 < min_lr < max_lr"),
    ],
)
def test_what_can_t_be_searched_is_refused_without_a_folder(options, said, capsys):
    assert fit(*options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path("runs").exists()


def test_a_trial_searches_nothing(capsys):
    assert fit(*RATE, "--trainer.fast_dev_run", "true") == 0
    assert "found" not in capsys.readouterr().out
