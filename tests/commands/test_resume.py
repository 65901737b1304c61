"""What `fit` says of a checkpoint on the command line: the same run, a new experiment, or one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from blockyard.cli import main
from blockyard.leaderboard.identity import identity
from blockyard.runs.keep_last import PREEMPTED

QUIET = "--trainer.enable_progress_bar=false"
RUN = [
    *(
        "fit",
        "--config",
        "image_classification/digits.yaml",
        "--data.variant",
        "8x8",
        QUIET,
        "--model.backbone.depth",
        "8",
    ),
    *("--trainer.limit_train_batches", "2", "--trainer.max_epochs", "2"),
]
LAST = "checkpoints/last.ckpt"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of two epochs, made in ``runs``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("finished"))
        assert main(RUN) == 0
        (folder,) = Path("runs").resolve().glob("digits*")
    return folder


@pytest.fixture
def copied(finished, here):
    """The same, moved to another disk, as it were."""
    return Path(shutil.copytree(finished, here / "runs" / finished.name))


def said(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def config_of(checkpoint: Path) -> dict:
    return torch.load(checkpoint, weights_only=True)["blockyard_config"]


def test_a_finished_run_is_trained_already(copied, capsys):
    before = (copied / LAST).read_bytes()
    for arguments in (["fit", "--ckpt_path", str(copied / LAST), QUIET], [*RUN, "--ckpt_path", "last"]):
        assert main(arguments) == 0
        assert "already trained: 2 epochs and 4 steps are done of trainer.max_epochs 2" in capsys.readouterr().out
    assert (copied / LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--trainer.max_epochs", "1"],
            "2 epochs and 4 steps are done of trainer.max_epochs 1: nothing is left to train",
        ),
        (
            ["--trainer.max_steps", "4"],
            "2 epochs and 4 steps are done of trainer.max_epochs 2: nothing is left to train",
        ),
        (
            ["--trainer.max_epochs", "9", "--trainer.max_steps", "3"],
            "steps are done of trainer.max_steps 3: nothing is",
        ),
        (["--seed_everything", "5"], "--seed_everything 5 contradicts the checkpoint, trained with 0"),
        (["--trainer.fast_dev_run", "1"], "--trainer.fast_dev_run 1 contradicts the checkpoint, trained with False"),
    ],
)
def test_one_line(copied, capsys, options, line):
    assert line in said(capsys, "fit", "--ckpt_path", str(copied / LAST), QUIET, *options)
    assert [path.name for path in (copied.parent).iterdir()] == [copied.name]


def test_a_longer_training_is_a_new_experiment_that_says_so(copied, capsys):
    before = {path: path.read_bytes() for path in copied.rglob("*.ckpt")}
    assert main(["fit", "--ckpt_path", str(copied / LAST), QUIET, "--trainer.max_epochs", "3"]) == 0
    of = identity(config_of(copied / LAST))
    out = capsys.readouterr().out
    assert f"a new experiment, from step 4 of run {of.run}: trainer.max_epochs 2 → 3" in out
    assert {path: path.read_bytes() for path in copied.rglob("*.ckpt")} == before
    (longer,) = (path for path in copied.parent.glob("digits*") if path != copied)
    config = config_of(longer / LAST)
    assert config["parent"]["run"] == of.run
    assert config["parent"]["changed"] == {"trainer.max_epochs": 2}
    assert config == yaml.safe_load((longer / "config.yaml").read_text())
    # what it goes on from is whole, best checkpoint included
    assert (longer / "checkpoints" / "best.ckpt").is_file()
    assert main(["test", "--ckpt_path", str(longer / LAST), QUIET]) == 0
    (record,) = (json.loads(path.read_text()) for path in Path("runs/records").glob("*.json"))
    assert record["config"]["parent"] == config["parent"]
    assert record["steps"] == record["planned_steps"] == 6
    assert record["complete"] is True
    assert main(["fit", "--ckpt_path", str(longer / LAST), QUIET]) == 0, "it is a run like any other"
    assert "already trained" in capsys.readouterr().out


def test_a_folder_holds_one_run(here, capsys):
    place = ["--trainer.default_root_dir", "mine"]
    assert main([*RUN, *place, "--trainer.max_time", "00:00:00:00"]) == PREEMPTED
    line = said(capsys, *RUN, *place, "--ckpt_path", "last", "--trainer.max_epochs", "3")
    assert line.startswith("blockyard: mine holds another run (trainer.max_epochs was 2): --ckpt_path mine/checkpoints")
    line = said(capsys, *RUN, *place, "--ckpt_path", "last", "--seed_everything", "4")
    assert line == "blockyard: --seed_everything 4 contradicts the checkpoint, trained with 0"
    line = said(capsys, *RUN, "--ckpt_path", "mine/checkpoints/last.ckpt", "--trainer.max_epochs", "3", *place)
    assert "mine holds another run" in line
    assert main([*RUN, *place, "--ckpt_path", "last"]) == 0


def test_what_can_not_be_built_leaves_no_folder(here, capsys):
    twice = ["--trainer.callbacks+=StopEarly", "--trainer.callbacks+=StopEarly"]
    assert "Found more than one stateful callback of type `StopEarly`" in said(capsys, *RUN, *twice)
    saving = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_last=true"]
    assert "best.ckpt and last.ckpt are kept already" in said(capsys, *RUN, *saving)
    assert not Path("runs").exists()


def test_checkpoints_of_ones_own_are_kept_beside(here):
    own = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k=-1"]
    assert main([*RUN, *own, "--trainer.default_root_dir", "mine"]) == 0
    names = {path.name for path in Path("mine/checkpoints").iterdir()}
    assert names == {"best.ckpt", "last.ckpt", "epoch=0-step=2.ckpt", "epoch=1-step=4.ckpt"}


def test_where_nothing_is_to_go_on_with_the_run_that_was_meant_is_named(copied, capsys):
    longer = ["--trainer.max_epochs", "3"]
    assert main([*RUN, *longer, "--ckpt_path", "last"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("blockyard: nothing"))
    mine = copied.relative_to(Path.cwd())
    assert (
        f"--ckpt_path {mine} would train that one on, as a new experiment (trainer.max_epochs 2 there, 3 here)" in line
    )
    assert main([*RUN, *longer, "--ckpt_path", str(mine)]) == 0
    assert "a new experiment, from step 4 of run" in capsys.readouterr().out


def test_a_run_of_another_network_is_not_meant(copied, capsys):
    assert main([*RUN, "--model.label_smoothing", "0.1", "--ckpt_path", "last", "--trainer.fast_dev_run", "true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("blockyard: nothing"))
    assert line.endswith("the training begins")
