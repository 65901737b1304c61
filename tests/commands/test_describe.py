"""What `describe` says of blocks that span frames and of wrappers; the rest is in tests/test_cli.py."""

from __future__ import annotations

import pytest

from blockyard.cli import main

ARGUMENTS = ["describe", "--config", "action_recognition/human_actions.yaml", "--model.block", "Nonlocal"]


def test_a_place_costs_what_its_plug_adds(capsys: pytest.CaptureFixture[str]):
    """Per frame, a block has no products between frames: another number than across the clip, and the real one."""
    added = []
    for at in ("per-frame stage3.0", "stage3.0"):
        assert main([*ARGUMENTS, "--model.at", at]) == 0
        lines = capsys.readouterr().out.splitlines()
        (total,) = (line for line in lines if line.startswith("with its plugs: "))
        added.append([word.strip("+,") for word in total.split() if word.startswith("+")])
        (row,) = (line for line in lines if " layer3.0 " in line)
        assert all(number in row.split() for number in added[-1])
    assert added[0][0] == added[1][0]
    assert added[0][1] != added[1][1]


def test_one_table_for_each_way_in(capsys: pytest.CaptureFixture[str]):
    assert main([*ARGUMENTS, "--model.at", '["per-frame stage3.0", "stage2.0", "stage3.0"]']) == 0
    titles = [line.strip() for line in capsys.readouterr().out.splitlines() if "a place" in line]
    assert titles == ["after a place, per-frame: Nonlocal", "after a place: Nonlocal"]


def test_around_a_place_it_says_what_a_wrapper_costs_and_what_has_no_units(capsys: pytest.CaptureFixture[str]):
    digits = ["describe", "--config", "image_classification/digits.yaml", "--model.block", "SelectiveDepth"]
    assert main([*digits, "--model.at", "around stage3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (total,) = (line for line in lines if line.startswith("with its plugs: "))
    assert "+16,704 parameters, +16,384 MACs" in total  # 64·64 + 3·64·64, and the norm and the biases besides
    (row,) = (line for line in lines if " layer3 " in line)
    assert {"16,704", "16,384"} <= set(row.split())
    (unit,) = (line for line in lines if " layer3.0 " in line)
    assert "BasicBlock has none" in unit
    assert main([*digits, "--model.at", "stage3"]) == 2
    assert "cannot plug after layer3: SelectiveDepth goes around a module; use mode='around'" in capsys.readouterr().err


def rows(text: str) -> list[str]:
    """The first cells of the table."""
    return [line.split()[1] for line in text.splitlines() if line.startswith("│")]


STOCK = ["describe", "--config", "image_classification/imagenet.yaml"]


def test_neither_data_nor_pretrained_weights_are_needed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*STOCK, "--model.backbone.pretrained", "true"]) == 0
    text = capsys.readouterr().out
    assert "25,557,032 parameters" in text  # of timm's ResNet-50 with 1,000 classes
    assert "1,000 classes, as published: data/imagenet/train is missing" in text
    assert len(text.splitlines()) <= 60
    shown = rows(text)
    assert {"conv1", "layer1", "layer3.5", "layer4.2", "fc"} <= set(shown)
    assert "layer3.5.conv1" not in shown
    assert not list(tmp_path.iterdir())


def test_folders_without_a_published_number_of_classes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["describe", "--config", "image_classification/image_folder.yaml"]) == 0
    assert "10 classes stand in: data/images/train is missing" in capsys.readouterr().out


def test_all_places_those_that_match_and_those_asked_for(capsys):
    digits = ["describe", "--config", "image_classification/digits.yaml"]
    counted = {}
    for name, options in {
        "few": [],
        "asked": ["--model.block", "Nonlocal", "--model.at", "stage2.0.conv1"],
        "one": ["--places", "stage2.*"],
        "all": ["--all"],
    }.items():
        assert main([*digits, *options]) == 0
        text = capsys.readouterr().out
        counted[name] = rows(text)
        assert ("more places: --all" in text) == (name != "all")
    assert set(counted["few"]) | {"layer2.0.conv1"} == set(counted["asked"])
    assert set(counted["few"]) < set(counted["all"])
    assert set(counted["one"]) == {name for name in counted["all"] if name.startswith("layer2.")}


def test_a_glob_that_matches_nothing_is_one_line(capsys):
    assert main(["describe", "--config", "image_classification/digits.yaml", "--places", "layr2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("blockyard: describe: no place matches layr2; did you mean layer2")


DIGITS = ["describe", "--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--model.block"]


def test_it_says_costs_and_refusals(capsys):
    assert main([*DIGITS, "SpectralNonlocal", "--model.at", "stage2.1"]) == 0
    text = capsys.readouterr().out
    assert "276,410 parameters" in text
    assert "with its plugs: +2,624 parameters" in text
    (row,) = (line for line in text.splitlines() if " layer3.2 " in line)
    assert "10,368" in row
    (refused,) = (line for line in text.splitlines() if " fc " in line)
    assert "not a map" in refused


def test_a_block_that_has_no_place_yet(capsys):
    assert main([*DIGITS, "Nonlocal", "--model.block.reduction", "32"]) == 0
    text = capsys.readouterr().out
    assert "16 channels are not divisible by reduction=32" in text
    assert "with its plugs" not in text


def test_data_of_another_kind_are_no_missing_ones(capsys):
    """Classes stand in where files are missing, not where a task learns what data do not have."""
    assert main(["describe", "--config", "image_classification/digits.yaml", "--data", "NoisyPhotographs"]) == 2
    assert "has no classes, which ImageClassification learns" in capsys.readouterr().err
