"""What came of a training or a test is said in the units of its metrics, and what to type next."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from blockyard.cli import INTERRUPTED, main
from blockyard.tasks import ImageClassification

FIT = [
    *("fit", "--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--model.backbone.depth", "8"),
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.enable_progress_bar", "false"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_verb_ends_with_what_is_next(here: Path, capsys):
    assert main(FIT) == 0
    *_, fit = capsys.readouterr().out.splitlines()
    assert fit.startswith("next: blockyard test --ckpt_path runs/")
    checkpoint = fit.split()[-1]
    for verb, stage in (("validate", "val"), ("test", "test")):
        assert main([verb, "--ckpt_path", checkpoint, "--trainer.enable_progress_bar", "false"]) == 0
        text = capsys.readouterr().out
        rows = [line.split() for line in text.splitlines()]
        assert ["metric", stage] in rows
        (top1,) = (row for row in rows if row[:2] == ["top1", "%"] and len(row) == 3)
        assert 0 <= float(top1[2]) <= 100
        assert "DataLoader" not in text
        assert text.rstrip().endswith("next: blockyard leaderboard") == (verb == "test")


def test_a_trial_says_that_it_leaves_nothing(here: Path, capsys):
    assert main([*FIT, "--trainer.fast_dev_run", "true"]) == 0
    assert capsys.readouterr().out.endswith("the trial of fit went well; it leaves no checkpoint and no record\n")


def test_what_never_was_validated_has_no_best(here: Path, capsys):
    assert main([*FIT, "--trainer.limit_val_batches", "0"]) == 0
    best, then = capsys.readouterr().out.splitlines()[-2:]
    assert best.startswith("never validated, so no checkpoint is the best; the last: runs/")
    assert then.endswith("/checkpoints/last.ckpt")


@pytest.mark.parametrize("step", ["training_step", "validation_step"])
def test_ctrl_c_is_one_line_and_130(here: Path, capsys, monkeypatch, step: str):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageClassification, step, stop)
    before = signal.getsignal(signal.SIGINT)  # which is to ignore it in what a shell runs behind
    assert main(FIT) == INTERRUPTED
    assert signal.getsignal(signal.SIGINT) == before
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "blockyard: stopped in epoch 1, before its first checkpoint; the same line begins anew"
