"""A study on small digits: real trainings of a few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from blockyard.cli import main
from blockyard.commands.composition import compose
from blockyard.commands.study import configurations, read_study
from blockyard.commands.training import SuiteCLI, prepare

STUDY = {
    "config": "image_classification/digits.yaml",
    "settings": {"trainer": {"max_epochs": 1, "limit_train_batches": 1}, "data": {"init_args": {"variant": "8x8"}}},
    "seeds": [0, 1],
    "plugs": [None, {"block": "SpectralNonlocal", "at": "stage2.1"}],
    "note": "only a test",
}


def study_file(directory: Path, **changes: object) -> str:
    path = directory / "small.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    return str(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_trains_tests_and_compares_every_run_once(here, capsys):
    name = study_file(here)
    assert main(["study", name]) == 0
    text = capsys.readouterr().out
    assert [line[:5] for line in text.splitlines() if line.startswith("[")] == [f"[{k}/4]" for k in (1, 2, 3, 4)]
    assert "SpectralNonlocal @ stage2.1" in text
    assert text.rstrip().endswith("only a test")
    records = [json.loads(path.read_text()) for path in (here / "runs" / "records").glob("*.json")]
    assert sorted((record["block"], record["seed"]) for record in records) == [
        ("SpectralNonlocal @ stage2.1", 0),
        ("SpectralNonlocal @ stage2.1", 1),
        ("none", 0),
        ("none", 1),
    ]
    assert len({record["baseline"] for record in records}) == 1
    assert main(["study", name]) == 0
    assert capsys.readouterr().out.count("has a record, skipped") == 4


def test_variants_are_experiments_of_their_own_and_averaged(here, capsys):
    variants = [{"data": {"init_args": {"augment": augment}}} for augment in (True, False)]
    assert main(["study", study_file(here, seeds=[0], variants=variants)]) == 0
    lines = capsys.readouterr().out.splitlines()
    records = [json.loads(path.read_text()) for path in (here / "runs" / "records").glob("*.json")]
    assert len({record["baseline"] for record in records}) == 2
    for block in ("none", "SpectralNonlocal @ stage2.1"):
        values = [100 * record["metrics"]["top1"] for record in records if record["block"] == block]
        (line,) = [line for line in lines if line.startswith(f"{block}: mean top1")]
        assert line.startswith(f"{block}: mean top1 {sum(values) / 2:.2f} % over 2 runs")


def test_the_written_configuration_is_the_run(here):
    prepare()
    main(["study", study_file(here, seeds=[5], plugs=[None])])
    (written,) = (here / "runs" / "studies" / "small").glob("*.yaml")
    (record,) = (here / "runs" / "records").glob("*.json")
    again = SuiteCLI(None, compose(["--config", str(written)], keep_trainer=True))
    assert again.run_config == json.loads(record.read_text())["config"]


def test_a_failing_run_stops_no_other(here, capsys):
    plugs = [{"block": "Nonlocal", "at": "stage9.1"}, {"block": "Nonlocal", "at": "stage2.1", "gate": True}]
    assert main(["study", study_file(here, seeds=[0], plugs=plugs)]) == 1
    said = capsys.readouterr()
    assert "[1/2] failed: at='stage9.1' matches nothing" in said.err
    assert "[2/2] digits-nonlocal-seed0" in said.out


def test_configurations_are_whole_and_free_of_shorthand(here):
    plugs = [[{"block": "Nonlocal", "at": "a"}, {"block": {"class_path": "CrissCross"}, "at": "b"}]]
    (config,) = configurations(read_study(study_file(here, seeds=[7], plugs=plugs)))
    assert config["seed_everything"] == 7
    assert config["model"]["init_args"]["plugs"] == [
        {"block": {"class_path": "Nonlocal"}, "at": "a"},
        {"block": {"class_path": "CrissCross"}, "at": "b"},
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": [1]}, "no key seed; did you mean seeds"),
        ({"plugs": []}, "plugs is missing"),
        ({"seeds": 3}, "seeds must be a list"),
        ({"variants": "a"}, "variants must be a list"),
    ],
)
def test_wrong_study_files(here, capsys, changes, expected):
    assert main(["study", study_file(here, **changes)]) == 2
    assert expected in capsys.readouterr().err
