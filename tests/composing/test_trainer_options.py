"""The trainer's options: one line before a run has a folder, and a record of what ran."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning_utilities.core.imports import RequirementCache

from blockyard.cli import main
from blockyard.composing.composition import compose
from blockyard.composing.suite import SuiteCLI

DIGITS = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--model.backbone.depth", "8"]
SHORT = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "6", "--trainer.accelerator", "cpu"]
SHORT += ["--trainer.enable_progress_bar", "false"]
CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "digits-snl.ckpt"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fit(*options: str) -> int:
    return main(["fit", *DIGITS, *SHORT, *options])


@pytest.mark.parametrize("seed", ["-1", "4294967296", "false"])
def test_a_seed_that_generators_do_not_take_is_refused(seed, capsys):
    assert fit("--seed_everything", seed) == 2
    assert "allowed is a whole number from 0 to 4294967295" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("val_check_interval 1000", "an epoch has 6 batches and no 1000"),
        ("val_check_interval 7", "an epoch has 6 batches and no 7"),
        ("val_check_interval 2.5", "val_check_interval"),
        ("val_check_interval 0", "a share of an epoch above 0"),
        ("val_check_interval 0.5 check_val_every_n_epoch null", "should be an integer"),
        ("check_val_every_n_epoch 0", "must be at least 1"),
        ("limit_train_batches 0", "nothing to train"),
        ("limit_train_batches 0.0001", "0.0001 of 19 batches of the train split is less than one: at least 0.053"),
        ("limit_val_batches 0.001", "0.001 of 3 batches of the val split is less than one: at least 0.334"),
        ("overfit_batches 0.01", "0.01 of 20 batches of the train split"),
        ("accumulate_grad_batches 0", "must be at least 1"),
        ("accumulate_grad_batches -2", "must be at least 1"),
        ("gradient_clip_val -1", "must be at least 0"),
        ("gradient_clip_algorithm foo gradient_clip_val 1", "Allowed algorithms"),
        ("max_epochs 0", "nothing to train"),
        ("max_epochs -2", "max_epochs"),
        ("max_steps 0", "nothing to train"),
        ("max_time foo", "DD:HH:MM:SS"),
        ("log_every_n_steps -1", "must be at least 0"),
        ("devices 0", "devices"),
        ("accelerator tpu", "torch finds no tpu on this machine"),
        ("strategy foo", "no foo; allowed: auto, "),
        ("strategy fsdp", "requires a GPU"),
        ("enable_checkpointing false", "always writes checkpoints"),
        ("barebones true", "leave it away"),
        ("profiler foo", "profiler"),
        ("precision 16-mixed", "16-mixed needs a GPU, and this is a training without one: bf16-mixed or 32-true"),
        ("precision 16", "16-mixed needs a GPU"),
        ("precision transformer-engine", "transformer_engine"),
        ("sync_batchnorm true devices 2", "batch norms of CPU processes"),
        ("sync_batchnorm true strategy ddp", "batch norms of CPU processes"),
    ],
)
def test_one_line_and_no_folder(tmp_path, capsys, options, said):
    words = options.split()
    assert fit(*[f"--trainer.{name}={value}" for name, value in zip(words[::2], words[1::2], strict=True)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("blockyard: trainer")
    assert said in line
    assert not list(tmp_path.iterdir())


def test_an_optimiser_refuses_before_there_is_a_folder(tmp_path, capsys):
    assert fit("--model.optimizer.lr", "-1") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("blockyard: SGD(lr=-1.0, ")
    assert line.endswith("Invalid learning rate: -1.0")
    assert not list(tmp_path.iterdir())


def test_what_lightning_finds_out_later_is_one_line_too(capsys):
    assert fit("--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "foo") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "metric `foo` which is not available" in line
    assert "val/top1" in line


def test_a_callback_that_no_configuration_can_hold(tmp_path, capsys):
    """Timer's interval is an enumeration; trainer.max_time does what it does."""
    assert fit("--trainer.callbacks", "Timer", "--trainer.callbacks.duration", "00:00:01:00") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "can't be written down" in line
    assert "Interval.step" in line
    assert not list(tmp_path.iterdir())


def test_options_are_judged_before_data_are_read(capsys):
    options = ["--data.root", "nowhere", "--trainer.accumulate_grad_batches"]
    assert main(["fit", "--config", "image_classification/cub200.yaml", *options, "0"]) == 2
    assert "accumulate_grad_batches" in capsys.readouterr().err


def test_a_batch_norm_alone_needs_no_other(capsys):
    assert fit("--trainer.sync_batchnorm", "true", "--trainer.fast_dev_run", "true") == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "runs"), [("bf16", "bf16-mixed"), ("32", "32-true"), ("64", "64-true"), ("16-true", "16-true")]
)
def test_a_precision_is_written_as_what_runs(given, runs):
    cli = SuiteCLI(None, compose([*DIGITS, *SHORT, "--trainer.precision", given], keep_trainer=True), trains=True)
    assert cli.run_config["trainer"]["precision"] == cli.trainer.precision == runs


def test_no_precision_stays_none():
    """As in the records that there are."""
    cli = SuiteCLI(None, compose([*DIGITS, *SHORT], keep_trainer=True), trains=True)
    assert cli.run_config["trainer"]["precision"] is None


class TestEvaluation:
    def trained_in(self, precision: str) -> str:
        checkpoint = torch.load(CHECKPOINT, weights_only=True)
        checkpoint["blockyard_config"]["trainer"]["precision"] = precision
        torch.save(checkpoint, "best.ckpt")
        return "best.ckpt"

    def run(self, verb: str, checkpoint: str, *options: str) -> None:
        plain = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
        assert main([verb, "--ckpt_path", checkpoint, *plain, *options]) == 0

    def test_of_what_was_trained_on_a_gpu(self, tmp_path, recwarn):
        """Nothing else is said to have been measured than what was."""
        self.run("test", self.trained_in("16-mixed"))
        said = [str(one.message) for one in recwarn]
        assert said == [
            "16-mixed needs a GPU: this is evaluated in 32-true",
            "no record: tested in 32-true, trained in 16-mixed",
        ]
        assert not list(tmp_path.rglob("records/*.json"))

    def test_in_another_precision_is_no_record(self, tmp_path):
        with pytest.warns(UserWarning, match="no record: tested in bf16-mixed, trained in 32-true"):
            self.run("test", self.trained_in("32-true"), "--trainer.precision", "bf16-mixed")
        assert not list(tmp_path.rglob("records/*.json"))

    def test_in_its_own_precision_is_on_record(self, tmp_path):
        self.run("test", self.trained_in("bf16"))
        assert list(tmp_path.rglob("records/*.json"))


def test_a_trial_has_no_warm_up():
    assert fit("--trainer.fast_dev_run", "true", "--model.warmup_epochs", "9") == 0


def test_a_warm_up_that_takes_the_whole_run_is_refused_before_data_are_made(tmp_path, capsys):
    """The folder of data that are drawn on first use is not there afterwards."""
    assert main(["fit", "--config", "diagnostics/pairing.yaml", "--trainer.max_epochs", "1"]) == 2
    assert "--model.warmup_epochs 0 leaves an epoch to train" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--trainer.logger=WandbLogger", "WandbLogger"),
        ("--trainer.callbacks+=DeviceStatsMonitor", "DeviceStatsMonitor"),
    ],
)
def test_a_package_that_is_not_there_is_named(monkeypatch, capsys, option: str, name: str):
    from lightning.pytorch.callbacks import device_stats_monitor
    from lightning.pytorch.loggers import wandb

    for module, found in ((device_stats_monitor, "_PSUTIL_AVAILABLE"), (wandb, "_WANDB_AVAILABLE")):
        monkeypatch.setattr(module, found, RequirementCache("not-on-any-index>=1"))
    assert fit(option) == 2
    said = f"{name} needs not-on-any-index, which is not installed: pip install 'not-on-any-index>=1'"
    assert capsys.readouterr().err == f"blockyard: {said}\n"
