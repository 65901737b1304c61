"""``predict`` as people use it: any files in, nothing overwritten, what is damaged named."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.cli import main

QUIET = ["--trainer.enable_progress_bar=false"]
PREDICT = ["predict", "--ckpt_path", "run", *QUIET]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of one step, and a folder with seven pictures, two damaged ones, and what is none."""
    folder = tmp_path_factory.mktemp("predict")
    pixels = np.random.default_rng(0).integers(0, 256, (7, 12, 10, 3), np.uint8)
    (folder / "new" / "deep").mkdir(parents=True)
    for number, mode in enumerate(["RGB", "L", "RGBA", "P", "1", "RGB", "RGB"]):
        Image.fromarray(pixels[number]).convert(mode).save(folder / "new" / "deep" / f"{number}.png")
    (folder / "new" / "empty.jpg").touch()
    whole = (folder / "new" / "deep" / "0.png").read_bytes()
    (folder / "new" / "half.png").write_bytes(whole[: len(whole) // 2])
    (folder / "new" / "notes.txt").touch()
    (folder / "new" / ".hidden.png").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        data = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", *QUIET]
        short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--model.warmup_epochs", "0"]
        assert main(["fit", *data, *short, "--trainer.default_root_dir", "run"]) == 0
    return folder


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    for name in ("run", "new"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).open()))


def refused(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main([*PREDICT, *arguments]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "passed over" not in line)
    return line


def test_what_is_damaged_ends_nothing_and_is_named(here, recwarn):
    assert main([*PREDICT, "--input", "new", "--output", "found.csv"]) == 0
    found = rows("found.csv")
    assert [row["file"] for row in found] == [*(f"deep/{number}.png" for number in range(7)), "empty.jpg", "half.png"]
    assert [bool(row["class_1"]) for row in found] == [True] * 7 + [False] * 2
    said = " ".join(str(warning.message) for warning in recwarn)
    assert "2 of 9 could not be read: empty.jpg, half.png; the first: new/empty.jpg: damaged" in said
    assert "2 passed over in search of pictures: 1 .txt (notes.txt), 1 hidden (.hidden.png)" in said


def test_nothing_is_overwritten_unless_that_is_said(here, capsys):
    one = ["--input", "new/deep/0.png", "--output", "found.csv"]
    assert main([*PREDICT, *one]) == 0
    before = Path("found.csv").read_bytes()
    line = refused(capsys, "--input", "new/deep/1.png", "--output", "found.csv")
    assert line == (
        "blockyard: predict: found.csv is there already: --output PATH writes elsewhere, --overwrite replaces it"
    )
    assert Path("found.csv").read_bytes() == before
    assert main([*PREDICT, "--input", "new/deep/1.png", "--output", "found.csv", "--overwrite"]) == 0
    assert [row["file"] for row in rows("found.csv")] == ["1.png"]


def test_a_line_of_json_for_each_of_several_inputs(here):
    assert main([*PREDICT, "--input", "new/deep/3.png", "new/deep", "--output", "a/b.jsonl"]) == 0
    found = [json.loads(line) for line in Path("a/b.jsonl").read_text().splitlines()]
    assert [row["file"] for row in found][:2] == ["deep/3.png", "deep/0.png"]
    assert found[0]["class_1"] == found[4]["class_1"]
    assert 0 < found[0]["probability_1"] <= 1


def test_without_an_output_the_folder_of_the_run_is_said(here, capsys):
    assert main([*PREDICT, "--input", "new/deep", "--trainer.default_root_dir", "mine"]) == 0
    assert capsys.readouterr().out == "7 predictions in mine/predictions.csv\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--input", "new/empty.jpg", "new/half.png", "--output", "x.csv"], "none of 2 could be read"),
        (["--input", "nowhere"], "--input nowhere: there is no such file or folder"),
        (["--input", "new", "--data.predict_folder", "new"], "--input and --data.predict_folder are the same"),
        (["--input", "new", "--gallery", "new"], "Digits takes no --gallery"),
        (["--input", "new", "--output", "run/config.yaml"], "run/config.yaml is a file, so nothing goes into it"),
        (["--inptu", "new"], "no option --inptu; did you mean --input"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(here, capsys, arguments, expected):
    assert expected in refused(capsys, *arguments)
    assert not Path("x.csv").exists()


def test_two_processes_write_every_row_once_in_order(here):
    torch.manual_seed(0)
    assert main([*PREDICT, "--input", "new", "--output", "one.csv"]) == 0
    two = ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp", "--data.batch_size"]
    command = [sys.executable, "-m", "blockyard", *PREDICT, "--input", "new", "--output", "two.csv", *two, "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("2 of 9 could not be read") == 1
    one, both = rows("one.csv"), rows("two.csv")
    assert [(row["file"], row["class_1"]) for row in both] == [(row["file"], row["class_1"]) for row in one]
