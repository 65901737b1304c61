"""Runs are called by block @ place, backbone and seed, and no two alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from blockyard.cli import main
from blockyard.commands.study.cells import cells
from blockyard.commands.study.file import read_study
from blockyard.commands.study.names import names
from blockyard.commands.study.progress import once
from blockyard.composing.config_files import config_names

DIGITS = "image_classification/digits.yaml"
ROWS = {
    "config": DIGITS,
    "seeds": [3, 5],
    "plugs": [None, {"block": "ECA", "at": "a"}, {"block": "ECA", "block.kernel_size": 5, "at": "a"}],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(**changes: object) -> list[str]:
    Path("s.yaml").write_text(yaml.safe_dump(ROWS | changes))
    study = read_study("s.yaml")
    return names(study, cells(study))


def test_block_place_backbone_and_seed(here):
    rows = ["no block, PreResNet-20", "ECA @ a, PreResNet-20", "ECA @ a [kernel_size=5], PreResNet-20"]
    assert named() == [f"{row}, seed {seed}" for seed in (3, 5) for row in rows]


def test_backbones_configurations_and_variants_are_told(here):
    backbones = [{"backbone": "PreResNet", "backbone.depth": 8}, "TimmBackbone"]
    assert named(plugs=[None], seeds=[0], backbones=backbones) == [
        "no block, PreResNet-8, seed 0",
        "no block, TimmBackbone, seed 0",
    ]
    found = named(plugs=[None], seeds=[0], config=[DIGITS, "diagnostics/order.yaml"], settings={"trainer.devices": 1})
    assert [name.split(", ")[-2] for name in found] == ["digits", "order"]
    variants = [{"data.variant": "8x8"}, {"data.variant": "28x28"}]
    assert named(plugs=[None], seeds=[0], variants=variants) == [
        'no block [variant="8x8"], PreResNet-20, seed 0',
        'no block [variant="28x28"], PreResNet-20, seed 0',
    ]


def test_callbacks_and_networks_of_one_word_are_told(here):
    rows = named(
        plugs=[None],
        seeds=[0],
        settings={"model": {"init_args": {"backbone": "TwoViewNet"}}},
        variants=[
            {},
            {"trainer.callbacks+": "GradientActivation"},
            {"trainer.callbacks+": {"class_path": "ProgressiveUnfreezing", "init_args": {"every": 2}}},
        ],
    )
    assert rows == [
        "no block, TwoViewNet, seed 0",
        "no block [callbacks=[GradientActivation]], TwoViewNet, seed 0",
        "no block [callbacks=[ProgressiveUnfreezing], every=2], TwoViewNet, seed 0",
    ]


def test_no_two_runs_of_a_study_that_ships_are_called_alike():
    for name in filter(lambda name: name.startswith("studies/"), config_names()):
        study = read_study(name)
        found = names(study, cells(study))
        assert len(set(found)) == len(found), name


def test_equal_problems_are_one_line():
    problems = [("a", "x"), ("b", "y\x1b"), ("c", "x"), ("d", "x")]
    assert once("failed", problems) == ["3 runs failed: x (a, and 2 more)", "1 run failed: y\\x1b (b)"]
    assert once("failed", []) == []


def test_equal_problems_are_told_once_when_planned_and_in_the_end(here, capsys):
    lost = [{"block": "Nonlocall", "at": place} for place in ("stage1.0", "stage2.0")]
    astray = [{"block": "Nonlocal", "at": "stage9.1", "gate": gate} for gate in (False, True)]
    settings = {"trainer.max_epochs": 1, "trainer.limit_train_batches": 1, "data.variant": "8x8"}
    Path("s.yaml").write_text(yaml.safe_dump(ROWS | {"seeds": [0], "plugs": [*lost, *astray], "settings": settings}))
    assert main(["study", "s.yaml", "--dry-run"]) == 1
    impossible = "2 runs not possible: no block Nonlocall; did you mean Nonlocal or NonlocalStage?"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{impossible} (Nonlocall @ stage1.0, PreResNet-20, seed 0, and 1 more)"
    assert main(["study", "s.yaml"]) == 1
    planned, first, second, end = capsys.readouterr().err.splitlines()
    assert planned == line
    assert first.startswith("[3/4] Nonlocal @ stage9.1, PreResNet-20, seed 0: failed: at='stage9.1' matches nothing")
    assert second.startswith("[4/4] gated Nonlocal @ stage9.1, PreResNet-20, seed 0: failed as [3/4] did; log: runs/")
    assert end.startswith("2 runs failed: at='stage9.1' matches nothing")
    assert end.endswith("(Nonlocal @ stage9.1, PreResNet-20, seed 0, and 1 more)")


def test_one_reason_for_all_runs_is_a_mistake_of_the_study(here, capsys):
    Path("s.yaml").write_text(yaml.safe_dump(ROWS | {"settings": {"trainer.max_epoch": 3}}))
    assert main(["study", "s.yaml"]) == 2
    said = capsys.readouterr()
    assert said.err.splitlines() == ["blockyard: no option --trainer.max_epoch; did you mean max_epochs or min_epochs?"]
    assert not said.out


def test_runs_share_no_folder(here, capsys):
    Path("s.yaml").write_text(yaml.safe_dump(ROWS | {"settings": {"trainer.default_root_dir": "one"}}))
    assert main(["study", "s.yaml", "--dry-run"]) == 2
    assert "one would be the folder of several runs" in capsys.readouterr().err
