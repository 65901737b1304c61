"""What stands in a checkpoint is believed only as far as it is the checkpoint's to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blockyard.composing.inherited import believed, inherited
from blockyard.composing.run_directories import run_directory

CONFIG: dict[str, Any] = {
    "seed_everything": 3,
    "model": {"class_path": "M", "init_args": {"block": None}},
    "data": {"class_path": "D"},
    "trainer": {"max_epochs": 2, "precision": "32-true", "default_root_dir": "run"},
}


@pytest.mark.parametrize(
    "saved",
    [
        None,
        "model",
        [],
        {"model": "M"},
        {"data": [1]},
        {"trainer": "x"},
        {"model": {"class_path": "M", "init_args": ["a"]}},
        {"seed_everything": "../../elsewhere"},
        {"model": {"class_path": object()}},
    ],
)
def test_what_is_no_configuration(saved, tmp_path):
    with pytest.raises(ValueError, match=r"x\.ckpt: the configuration in it is damaged$"):
        believed(saved, tmp_path / "x.ckpt")


def test_where_a_run_wrote_is_believed_if_its_checkpoint_lies_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for checkpoint, place in (("run/checkpoints/best.ckpt", "run"), ("best.ckpt", None), ("run/best.ckpt", None)):
        assert believed(CONFIG, Path(checkpoint))["trainer"] == {**CONFIG["trainer"], "default_root_dir": place}
    upwards = {**CONFIG, "trainer": {"default_root_dir": "run/../../outside"}}
    assert believed(upwards, Path("run/checkpoints/best.ckpt"))["trainer"] == {"default_root_dir": None}


def test_only_a_training_that_goes_on_takes_the_trainer_over():
    assert inherited(CONFIG, keep_trainer=True)["trainer"] == CONFIG["trainer"]
    assert inherited(CONFIG, keep_trainer=False)["trainer"] == {"precision": "32-true"}


@pytest.mark.parametrize("place", ["a\nb", "a\x1b[2Jb", "a\u202eb"])
def test_a_folder_that_cannot_be_shown_in_a_line(place):
    with pytest.raises(ValueError, match=r"default_root_dir: .* has control characters") as error:
        run_directory({"trainer": {"default_root_dir": place}})
    assert str(error.value).isprintable()
