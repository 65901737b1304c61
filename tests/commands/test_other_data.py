"""Two folders with equal options and other pictures are two experiments, for every verb that tells runs apart."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from blockyard.cli import main
from blockyard.runs.record import KEY

OPTIONS = {
    "seed_everything": 0,
    "model": {
        "class_path": "ImageClassification",
        "init_args": {
            "backbone": {"class_path": "PreResNet", "init_args": {"depth": 8, "stem_stride": 2}},
            "block": None,
            "at": None,
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
        },
    },
    "data": {"class_path": "ImageFolder", "init_args": {"root": "one", "size": 16, "batch_size": 4, "num_workers": 0}},
    "trainer": {"max_epochs": 2, "enable_progress_bar": False, "logger": False},
}


@pytest.fixture
def here(tmp_path, monkeypatch, write_pictures):
    """Two folders of pictures, a copy of the first, and a configuration."""
    monkeypatch.chdir(tmp_path)
    write_pictures(Path("one"))
    write_pictures(Path("two"), classes=("cat", "dog"), samples=(5, 3, 3), seed=1)
    shutil.copytree("one", "copy")
    Path("c.yaml").write_text(yaml.safe_dump(OPTIONS))
    return tmp_path


def run(verb, *options):
    return main([verb, *(["--config", "c.yaml"] if verb == "fit" else []), *options])


def records():
    return [json.loads(path.read_text()) for path in sorted(Path("runs/records").glob("*.json"))]


def directories():
    return sorted(path for path in Path("runs").iterdir() if path.name.startswith("imagefolder"))


def test_fit_test_and_tables_tell_them_apart(here, capsys):
    assert run("fit") == 0
    assert run("fit", "--data.root", "two") == 0
    assert run("fit", "--data.root", "copy") == 2
    assert "already holds this run" in capsys.readouterr().err
    first, second = directories()
    for directory in (first, second):
        root = yaml.safe_load((directory / "config.yaml").read_text())["data"]["init_args"]["root"]
        assert run("test", "--ckpt_path", f"{directory}/checkpoints/best.ckpt", "--data.root", root) == 0
    one, two = records()
    assert one["experiment"] != two["experiment"]
    assert {one["schema"], two["schema"]} == {2}
    assert (one["complete"], one["checkpoint"]) == (True, "best")
    capsys.readouterr()
    assert main(["leaderboard"]) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ImageClassification on")]
    assert len(titles) == 2
    assert main(["leaderboard", "add", *map(str, Path("runs/records").glob("*.json")), "--to", "elsewhere"]) == 0
    assert "2 added" in capsys.readouterr().out


def test_a_test_on_other_data_is_no_repeat(here, capsys):
    assert run("fit") == 0
    (directory,) = directories()
    checkpoint = f"{directory}/checkpoints/best.ckpt"
    for root in ("one", "copy", "two"):
        assert run("test", "--ckpt_path", checkpoint, "--data.root", root) == 0
    made = records()
    assert sorted(record["repeat"] for record in made) == [0, 0, 1]
    assert len({record["experiment"] for record in made}) == 2


def test_a_training_does_not_go_on_with_other_data(here, capsys):
    assert run("fit", "--trainer.max_epochs", "1") == 0
    (directory,) = directories()
    capsys.readouterr()
    options = ["--ckpt_path", f"{directory}/checkpoints/last.ckpt", "--data.root", "two", "--trainer.max_epochs", "2"]
    assert main(["fit", *options]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "was trained on other data: train" in line


def test_a_study_does_not_skip_other_data(here, capsys):
    study = {"config": "c.yaml", "seeds": [0], "plugs": [None]}
    for root in ("one", "two", "copy"):
        Path("s.yaml").write_text(yaml.safe_dump({**study, "settings": {"data": {"init_args": {"root": root}}}}))
        assert main(["study", "s.yaml"]) == 0
    assert len(records()) == 2


def test_a_dry_run_makes_no_data(here, capsys):
    settings = {"data": {"init_args": {"root": "nowhere"}}}
    Path("s.yaml").write_text(yaml.safe_dump({"config": "c.yaml", "seeds": [0], "plugs": [None], "settings": settings}))
    assert main(["study", "s.yaml", "--dry-run"]) == 0
    assert not Path("nowhere").exists()


def test_a_part_of_a_training_is_marked_and_then_superseded(here, capsys):
    assert run("fit", "--trainer.default_root_dir", "whole") == 0
    # what a run that was stopped in its first epoch leaves
    content = torch.load("whole/checkpoints/last.ckpt", weights_only=True)
    content[KEY] |= {"steps": 1, "complete": False}
    Path("part").mkdir()
    torch.save(content, "part/last.ckpt")
    assert run("test", "--ckpt_path", "part/last.ckpt") == 0
    capsys.readouterr()
    assert main(["leaderboard"]) == 0
    assert "unfinished, step 1 of 4" in capsys.readouterr().out
    assert run("test", "--ckpt_path", "whole/checkpoints/last.ckpt") == 0
    assert main(["leaderboard"]) == 0
    text = capsys.readouterr().out
    assert "Superseded" in text
    assert "unfinished" not in text


def test_the_best_weights_are_of_a_whole_training_if_the_last_are(here):
    assert run("fit") == 0
    (directory,) = directories()
    for kind in ("best", "last"):
        assert run("test", "--ckpt_path", f"{directory}/checkpoints/{kind}.ckpt") == 0
    shutil.copy(directory / "checkpoints" / "best.ckpt", "mine.ckpt")
    assert run("test", "--ckpt_path", "mine.ckpt") == 0
    found = {record["checkpoint"]: record["complete"] for record in records()}
    assert found["best"] is found["last"] is True
    best = torch.load("mine.ckpt", weights_only=True)[KEY]
    (directory / "checkpoints" / "last.ckpt").write_bytes(b"cut off")
    assert run("test", "--ckpt_path", f"{directory}/checkpoints/best.ckpt") == 0  # a record all the same
    assert found["other"] is (True if best["steps"] == best["planned_steps"] else None)
