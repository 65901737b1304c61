"""A study in stages: a pretext, what its features are worth, and a training that begins with them, each on record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from blockyard.cli import main
from blockyard.commands.study import local, slurm
from blockyard.commands.study.cells import cells
from blockyard.commands.study.file import Study, read_study
from blockyard.commands.study.plan import Run, plan
from blockyard.composing.preparing import prepare
from blockyard.leaderboard.record import Record, read

STUDY = {
    "config": "image_classification/digits.yaml",
    "settings": {"trainer.max_epochs": 1, "trainer.limit_train_batches": 1, "data.variant": "8x8"},
    "seeds": [0],
    "backbones": [{"backbone": "PreResNet", "backbone.depth": 8}],
    "plugs": [None],
    "pretraining": [None, {"model.objective": "Rotation", "data.labels_per_class": None}],
    "probes": [{"method": "linear", "strength": 0.01}],
    "variants": [{"data.labels_per_class": 10}, {"data.labels_per_class": 20}],
}


def write_study(**changes: object) -> str:
    """A file; what is None is left away."""
    Path("s.yaml").write_text(yaml.safe_dump({key: value for key, value in (STUDY | changes).items() if value}))
    return "s.yaml"


def planned(**changes: object) -> list[Run]:
    prepare()
    return plan(read_study(write_study(**changes)), "s")


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["study", write_study()]) == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def there(done, monkeypatch):
    monkeypatch.chdir(done)
    return done


def records(folder: Path) -> dict[str, Record]:
    return {record.run: record for record in map(read, (folder / "runs" / "records").glob("*.json"))}


def test_what_variants_begin_with_is_trained_once():
    found = cells(Study(**STUDY))
    assert [(cell.row, cell.after, bool(cell.probe)) for cell in found] == [
        (0, None, True),
        (1, None, False),
        (2, None, False),  # the pretext
        (3, 2, True),
        (4, 2, False),
        (0, None, True),
        (1, None, False),
        (3, 2, True),
        (4, 2, False),
    ]
    folds = [{"data.labels_per_class": 10}, {"data.labels_per_class": 10, "data.batch_size": 8}]
    assert [cell.after for cell in cells(Study(**STUDY | {"variants": folds})) if cell.after] == [2, 2, 7, 7]


def test_every_stage_has_its_record_and_says_what_it_begins_with(done):
    found = records(done)
    (pretext,) = (record for record in found.values() if record.primary == "rotation_accuracy")
    children = [record for record in found.values() if "parent" in record.config]
    assert len(found) == 9
    assert sorted("probe" in record.config for record in children) == [False, False, True, True]
    for record in children:
        parent = record.config["parent"]
        assert (parent["run"], parent["experiment"], parent["by"]) == (pretext.run, pretext.experiment, "Rotation")
        assert parent["changed"]["model.objective"] == "Rotation"
        assert "step" not in parent


def test_a_probe_is_the_one_of_the_verb(there, capsys):
    (record,) = (
        record
        for record in records(there).values()
        if {"parent", "probe"} <= record.config.keys() and record.config["data"]["init_args"]["labels_per_class"] == 20
    )
    weights = record.config["model"]["init_args"]["backbone"]["init_args"]["weights"]
    data = ["--config", STUDY["config"], "--data.variant", "8x8", "--data.labels_per_class", "20"]
    network = ["--model.backbone.depth", "8", "--model.backbone.weights", weights]
    asked = ["--methods", "linear", "--strength", "0.01", "--trainer.default_root_dir", "by-hand"]
    before = set(Path("runs/records").iterdir())
    assert main(["off-the-shelf", *data, *network, *asked]) == 0
    score = json.loads(Path("by-hand/off-the-shelf.json").read_text())["scores"][0]["value"]
    for path in set(Path("runs/records").iterdir()) - before:
        path.unlink()
    assert record.metrics["top1"] == score
    # from scratch, the study's probe is the verb's, record and all
    network = ["--model.backbone.depth", "8", "--trainer.default_root_dir", "by-hand"]
    capsys.readouterr()
    assert main(["off-the-shelf", *data, *network, *asked[:4]]) == 0
    (repeat,) = set(Path("runs/records").glob("*.json")) - before
    assert repeat.name.endswith("-repeat1.json")
    for path in set(Path("runs/records").iterdir()) - before:
        path.unlink()


def test_all_is_done_once(there, capsys):
    before = records(there)
    assert main(["study", write_study()]) == 0
    said = capsys.readouterr().out
    assert said.count("has a record, skipped") == 9
    assert "PreResNet-8, after Rotation, seed 0" in said
    assert "none [labels_per_class=10, parent=Rotation]" in " ".join(said.split())
    assert records(there) == before


def test_where_the_weights_lie_tells_no_experiments_apart(here):
    first, second = (planned(seeds=[seed], probes=None) for seed in (0, 1))
    for one, other in zip(first, second, strict=True):
        assert one.identity.experiment == other.identity.experiment
        assert one.identity.run != other.identity.run
    assert first[2].config["model"]["init_args"]["backbone"]["init_args"]["weights"].startswith(f"{first[1].directory}")


def test_weights_of_another_run_are_refused(there, here, capsys):
    shutil.copytree(there / "runs", here / "runs")
    pretext, *_ = (run for run in planned() if run.label.startswith("no block [objective=Rotation"))
    child = next(run for run in planned() if run.after == pretext.name and "probe" not in run.config)
    (here / "runs" / "records" / f"{child.identity.run}.json").unlink()
    shutil.rmtree(child.directory)
    other = next(run for run in planned() if not run.after and run.name != pretext.name and "probe" not in run.config)
    shutil.copy(other.directory / "checkpoints" / "last.ckpt", pretext.directory / "checkpoints" / "last.ckpt")
    assert main(["study", write_study()]) == 1
    assert f"is of run {other.identity.run}; the configuration begins with run {pretext.identity.run}" in (
        capsys.readouterr().err
    )


def test_what_begins_with_a_failure_says_so(here, capsys, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", lambda *_, **__: 1 / 0)
    assert main(["study", write_study(probes=None, variants=None)]) == 1
    pretext = planned(probes=None, variants=None)[1]
    assert f"it begins with the weights of run {pretext.identity.run}, which has no record" in capsys.readouterr().err


@pytest.mark.parametrize("line", [[], ["--trainer.max_epochs", "2"]])
def test_a_mistake_in_what_rows_begin_with_is_told_once(here, capsys, line):
    asked = write_study(variants=None, pretraining=[None, {"model.objective": "Rotatoin"}])
    assert main(["study", asked, "--dry-run", *line]) == 1
    said = capsys.readouterr()
    assert said.err.count("no objective Rotatoin; did you mean Rotation") == 1
    assert "and 2 more" in said.err
    assert said.out.count(": new") == 2


def test_a_process_waits_for_what_its_run_begins_with(here):
    _, pretext, child = (run for run in planned(probes=None, variants=None))
    assert not local._may_start(child, {pretext.name, child.name}, {})
    assert local._may_start(pretext, {pretext.name, child.name}, {})
    assert local._may_start(child, {child.name}, {})


def test_a_job_waits_for_that_which_it_begins_with(here, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "/nowhere")
    run = planned(probes=None)[2]
    text = slurm._executor(run, {"dependency": "singleton"}, look_only=True, first="17")
    script = str(text._make_submission_file_text("x", "y"))
    assert "#SBATCH --dependency=singleton,afterok:17\n" in script
    assert "#SBATCH --kill-on-invalid-dep=yes\n" in script
