"""The progress bar says what is of use in one line of 80 columns."""

from __future__ import annotations

import re

import pytest

from blockyard.cli import main

FIT = [
    *("fit", "--config", "image_classification/digits.yaml", "--data.variant", "8x8"),
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--model.backbone.depth", "8"),
]


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)


def test_metrics_stand_behind_the_bar_in_the_same_line(terminal, capfd):
    assert main(FIT) == 0
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capfd.readouterr().out)
    lines = [line for line in re.split(r"[\r\n]", said) if "top1: " in line and "2/2" in line]
    assert lines
    assert "v_num" not in said
    assert all("loss: " in line and "it/s" in line and len(line.rstrip()) <= 80 for line in lines)


def test_a_bar_of_ones_own_takes_its_place(terminal, capfd):
    assert main([*FIT, "--trainer.callbacks+=TQDMProgressBar"]) == 0
    captured = capfd.readouterr()
    assert "100%|" in captured.out + captured.err


def test_without_a_bar_there_is_none_and_the_end_is_said(terminal, capfd):
    assert main([*FIT, "--trainer.enable_progress_bar", "false"]) == 0
    run, best, then = capfd.readouterr().out.splitlines()
    assert run.startswith("run: runs/digits-baseline-seed0-")
    assert re.fullmatch(r"best val/top1: [\d.]+ %, runs/\S+/checkpoints/best\.ckpt", best)
    assert re.fullmatch(r"next: blockyard test --ckpt_path runs/\S+/checkpoints/best\.ckpt", then)
