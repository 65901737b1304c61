"""A checkpoint names its classes by itself: what needs no data works where there are none, and a test compares."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.cli import main
from blockyard.hub import from_checkpoint

QUIET = "--trainer.enable_progress_bar=false"
CHECKPOINT = "run/checkpoints/last.ckpt"


def paint(place: Path, number: int = 0) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 255, (9, 11, 3), np.uint8)).save(place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where a network of two kinds of pictures was trained: ``pictures``, ``run`` and ``new.png``."""
    folder = tmp_path_factory.mktemp("trained")
    for number in range(12):
        split = ("train", "val", "test")[number % 3]
        paint(folder / "pictures" / split / f"kind{number // 3 % 2}" / f"{number}.png", number)
    paint(folder / "new.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small = ["--data.root", "pictures", "--data.size", "8", "--data.batch_size", "4", "--data.num_workers", "0"]
        network = ["--model.backbone", "PreResNet", "--model.backbone.depth", "8", "--model.warmup_epochs", "0"]
        network += ["--model.block", "Nonlocal", "--model.at", "stage2.0"]
        run = ["--trainer.default_root_dir", "run", "--trainer.max_epochs", "1", QUIET]
        assert main(["fit", "--config", "image_classification/image_folder.yaml", *small, *network, *run]) == 0
    return folder


@pytest.fixture
def alone(trained, tmp_path, monkeypatch):
    """A folder with the run and one new picture, and no data."""
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copy(trained / "new.png", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main([*arguments, "--ckpt_path", CHECKPOINT, QUIET]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_predict_names_the_classes_and_writes_where_it_is_told(alone):
    predict = ["predict", "--ckpt_path", CHECKPOINT, "--data.predict_folder", "new.png", QUIET]
    assert main([*predict, "--trainer.default_root_dir", "elsewhere"]) == 0
    (row,) = csv.DictReader((alone / "elsewhere" / "predictions.csv").open())
    assert row["file"] == "new.png"
    assert {row["class_1"], row["class_2"]} == {"kind0", "kind1"}
    assert not (alone / "run" / "predictions.csv").exists()
    assert main(predict) == 0
    assert (alone / "run" / "predictions.csv").exists(), "without that, beside the training"


def test_export_and_inspect_need_no_data_either(alone):
    assert from_checkpoint(CHECKPOINT).card.classes == ("kind0", "kind1")
    assert main(["export", "--ckpt_path", CHECKPOINT, "--format", "huggingface"]) == 0
    assert main(["inspect", "--ckpt_path", CHECKPOINT, "--images", "new.png"]) == 0
    assert list((alone / "inspect").glob("*-maps.png"))


def test_test_reads_the_data_and_refuses_other_classes(alone, trained, capsys):
    assert "train is missing" in said(capsys, "test")
    shutil.copytree(trained / "pictures", alone / "pictures")
    for split in ("train", "val", "test"):
        (alone / "pictures" / split / "kind1").rename(alone / "pictures" / split / "sort1")
    line = said(capsys, "test")
    assert "class 1 of the data is 'sort1', the checkpoint's is 'kind1'" in line


def test_a_test_needs_nothing_but_the_test(alone, trained, capsys):
    shutil.copytree(trained / "pictures" / "test" / "kind1", alone / "other" / "test" / "kind1")
    assert main(["test", "--ckpt_path", CHECKPOINT, "--data.root", "other", QUIET]) == 0
    assert "top1" in capsys.readouterr().out
    (alone / "other" / "test" / "kind1").rename(alone / "other" / "test" / "kind2")
    line = said(capsys, "test", "--data.root", "other")
    assert "kind2 is no class of the checkpoint; did you mean" in line


def test_a_checkpoint_from_before_that_asks_the_data(alone, capsys):
    older = torch.load(CHECKPOINT, weights_only=True)
    del older["blockyard_vocabulary"]
    torch.save(older, CHECKPOINT)
    assert "train is missing" in said(capsys, "predict", "--data.predict_folder", "new.png")


def test_a_damaged_list_of_classes_is_refused(alone, capsys):
    damaged = torch.load(CHECKPOINT, weights_only=True)
    damaged["blockyard_vocabulary"]["classes"] = ["one"]
    torch.save(damaged, CHECKPOINT)
    assert "do not fit their number" in said(capsys, "predict", "--data.predict_folder", "new.png")
