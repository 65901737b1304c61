"""Options on the line of a study: for every run, part of what it is, and refused where they can't be for all."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from blockyard.cli import main
from blockyard.commands.study.file import read_study
from blockyard.commands.study.line import divide
from blockyard.commands.study.plan import Run, plan
from blockyard.composing.preparing import prepare

STUDY = {
    "config": "image_classification/digits.yaml",
    "settings": {"trainer.max_epochs": 1, "trainer.limit_train_batches": 1, "data.variant": "8x8"},
    "seeds": [0],
    "plugs": [None, {"block": "SpectralNonlocal", "at": "stage2.1"}],
}
LINE = [
    "--trainer.max_epochs",
    "2",
    "--data.batch_size=32",
    "--model.optimizer",
    "AdamW",
    "--model.optimizer.lr",
    "0.01",
]
SAID = {"trainer.max_epochs": 2, "data.batch_size": 32, "model.optimizer": "AdamW", "model.optimizer.lr": 0.01}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study_file(**changes: object) -> str:
    Path("s.yaml").write_text(yaml.safe_dump(STUDY | changes))
    return "s.yaml"


def planned(line: list[str], **changes: object) -> list[Run]:
    prepare()
    runs = plan(read_study(study_file(**changes)), "s", line=line)
    assert all(isinstance(run, Run) for run in runs)
    return runs


def test_are_what_the_file_could_say(here):
    by_line = planned(divide(LINE)[1])
    by_file = planned([], settings=STUDY["settings"] | SAID)
    assert [run.identity for run in by_line] == [run.identity for run in by_file]
    assert [run.config for run in by_line] == [run.config for run in by_file]
    assert by_line[0].config["model"]["init_args"]["optimizer"]["init_args"].get("momentum") is None
    assert not {run.identity.run for run in by_line} & {run.identity.run for run in planned([])}


def test_win_over_the_rows(here):
    rows = [{"backbone": "PreResNet", "backbone.depth": 8}, {"backbone": "PreResNet", "backbone.depth": 20}]
    runs = planned(["--model.backbone.linear=true"], backbones=rows, plugs=[None])
    options = [run.config["model"]["init_args"]["backbone"]["init_args"] for run in runs]
    assert [(one["depth"], one["linear"]) for one in options] == [(8, True), (20, True)]


def test_reach_the_file_that_processes_and_jobs_read(here, capsys):
    assert main(["study", study_file(plugs=[None]), "--data.batch_size", "32"]) == 0
    (written,) = Path("runs/studies/s").glob("*.yaml")
    assert yaml.safe_load(written.read_text())["data"]["init_args"]["batch_size"] == 32
    assert "[1/1] no block, PreResNet-20, seed 0: test/top1 " in capsys.readouterr().out
    assert main(["study", "s.yaml", "--data.batch_size", "32", "--dry-run"]) == 0
    assert "1 with a record" in capsys.readouterr().out
    assert main(["study", "s.yaml", "--dry-run"]) == 0
    assert "0 with a record" in capsys.readouterr().out


def test_reach_slurm(here, capsys):
    pytest.importorskip("submitit")
    line = ["--launcher", "slurm", "--slurm.time", "5", "--trainer.num_nodes", "2", "--dry-run"]
    assert main(["study", study_file(), *line]) == 0
    said = capsys.readouterr().out
    assert "#SBATCH --nodes=2" in said
    assert "#SBATCH --time=5" in said


def test_where_the_data_lie_makes_no_other_run(here, write_pictures):
    write_pictures(here / "pictures")
    settings = {"data.size": 16, "data.num_workers": 0}
    (run,) = planned(
        ["--data.root=pictures"], config="image_classification/image_folder.yaml", settings=settings, plugs=[None]
    )
    (here / "pictures").rename(here / "moved")
    (other,) = planned(
        ["--data.root=moved"], config="image_classification/image_folder.yaml", settings=settings, plugs=[None]
    )
    assert run.identity == other.identity
    assert len(run.config["fingerprints"]) > 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["--data.varant", "8x8"], "Digits has no option varant; did you mean variant"),
        (["--trainer.max_epoch", "3"], "no option --trainer.max_epoch; did you mean max_epochs"),
        (["--modle.lr", "3"], "no option --modle; did you mean --model"),
        (["--trainer.max_epochs", "many"], "trainer.max_epochs: expected int, got many"),
        (["--trainer.max_epochs"], "--trainer.max_epochs needs a value"),
        (["--trainer.max_epochs", "3", "more.yaml"], "a study takes one file and no more.yaml"),
        (["--seed_everything", "3"], "under seeds"),
        (["--config", "image_classification/digits.yaml"], "under config"),
        (["--model.block", "ECA"], "under plugs"),
        (["--model.block.order", "2"], "under plugs"),
        (["--model.init_args.plugs=null"], "under plugs"),
        (["--model.backbone", "TimmBackbone"], "under backbones"),
        (["--data.fold", "3"], "under variants"),
        (["--data", "ESC50"], "under variants"),
        (["--trainer.default_root_dir", "x"], "each run of a study has a folder of its own"),
        (["--trainer.fast_dev_run", "true"], "trainer.fast_dev_run True: it leaves no record of a run"),
        (
            ["--trainer.limit_test_batches", "1"],
            "trainer.limit_test_batches 1: it leaves no record of a run",
        ),
        (["--trust_config"], "--trust_config needs a value"),
        (["--model.trust_config", "true"], "no file can say whom you trust"),
    ],
)
def test_a_mistake_is_one_line(here, capsys, line, expected):
    varied = {"backbones": ["PreResNet"], "variants": [{"data": {"init_args": {"fold": 1}}}]}
    name = study_file(**(varied if "under" in expected else {}))
    assert main(["study", name, *line]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1


def test_only_what_the_line_itself_makes_impossible_ends_the_study(here, capsys):
    plugs = [None, {"block": "Nonlocall", "at": "stage2.1"}]
    assert main(["study", study_file(plugs=plugs), "--data.batch_size", "32", "--dry-run"]) == 1
    said = capsys.readouterr()
    assert "2 runs, 0 with a record, 1 to do, 1 not possible" in said.out
    assert said.err.startswith("1 run not possible: no block Nonlocall; did you mean Nonlocal")
