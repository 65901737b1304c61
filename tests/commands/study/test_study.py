"""Studies on small digits: real trainings of a few steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from blockyard.cli import main
from blockyard.commands.study import local
from blockyard.commands.study.cells import cells
from blockyard.commands.study.file import read_study
from blockyard.commands.study.main import mean_line
from blockyard.commands.study.plan import plan
from blockyard.composing.claim import claimed
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.metrics import Metric, metric_named
from blockyard.runs.keep_last import PREEMPTED

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
    for part in Path(__file__).parents[3].glob("leaderboard/records/02ec88bf46fb*"):  # of other data
        shutil.copy(part, here / "runs" / "records")
    assert main(["study", name]) == 0
    said = capsys.readouterr().out
    assert said.count("has a record, skipped") == 4
    assert "blockyard leaderboard also shows 1 other run on record" in said
    assert said.count("higher is better") == 1, "one table: that of the data of this study"


def test_a_run_planned_beside_others_is_the_run_planned_alone(here):
    seeds = [3, 0, 7]
    together = plan(read_study(study_file(here, seeds=seeds)), "small", look_only=True)
    alone = [run for seed in seeds for run in plan(read_study(study_file(here, seeds=[seed])), "small", look_only=True)]
    assert [run.config["seed_everything"] for run in together] == [3, 3, 0, 0, 7, 7]
    assert together == alone
    assert len({id(run.config["model"]) for run in together}) == len(together)


@pytest.mark.parametrize("seed", [-1, 1.5, "one", 2**32])
def test_a_wrong_seed_is_refused_behind_right_ones(here, seed):
    right, *wrong = plan(read_study(study_file(here, seeds=[0, seed], plugs=[None])), "small", look_only=True)
    assert "seed" in wrong[0].why
    assert right.identity


def test_variants_are_experiments_of_their_own_and_averaged(here, capsys):
    variants = [{"data": {"init_args": {"augment": augment}}} for augment in (True, False)]
    assert main(["study", study_file(here, seeds=[0], variants=variants)]) == 0
    lines = capsys.readouterr().out.splitlines()
    records = [json.loads(path.read_text()) for path in (here / "runs" / "records").glob("*.json")]
    assert len({record["baseline"] for record in records}) == 2
    for block in ("none", "SpectralNonlocal @ stage2.1"):
        values = [100 * record["metrics"]["top1"] for record in records if record["block"] == block]
        (line,) = [line for line in lines if line.startswith(f"{block}: mean top1")]
        deviation = abs(values[0] - values[1]) / 2**0.5
        assert line.startswith(f"{block}: mean top1 {sum(values) / 2:.2f} ± {deviation:.2f} % over 2 runs")


def test_mean_and_deviation_of_ten_splits_by_hand():
    # of ten queries each: 5, 6, 7, 8, 9 and again; deviations from 7 squared add up to 20, and 20 / 9 = 1.4907²
    splits = [0.5, 0.6, 0.7, 0.8, 0.9] * 2
    each = "50.00, 60.00, 70.00, 80.00, 90.00, 50.00, 60.00, 70.00, 80.00, 90.00"
    assert mean_line(splits, metric_named("top1")) == f"70.00 ± 14.91 % over 10 runs ({each})"
    assert mean_line([0.25], metric_named("top1")) == "25.00 % over 1 run (25.00)"
    assert mean_line([30.0, 32.0], Metric("psnr", "dB")) == "31.0000 ± 1.4142 dB over 2 runs (30.0000, 32.0000)"
    assert mean_line([3e-5], Metric("mse")) == "3e-05 over 1 run (3e-05)"


def test_backbones_are_rows_of_their_own(here):
    backbones = [None, {"class_path": "PreResNet", "init_args": {"depth": 8}}, "TimmBackbone"]
    study = read_study(study_file(here, seeds=[0, 1], backbones=backbones))
    found = [cell.config["model"]["init_args"]["backbone"] for cell in cells(study)]
    base = {"class_path": "PreResNet", "init_args": {"depth": 20}}
    assert found == 2 * [
        row for backbone in (base, backbones[1], {"class_path": "TimmBackbone"}) for row in 2 * [backbone]
    ]
    assert [cell.row for cell in cells(study)] == [*range(6), *range(6)]


def test_several_configurations_are_studied_alike(here):
    names = ["image_classification/digits.yaml", "audio_classification/spoken_commands.yaml"]
    study = read_study(study_file(here, config=names, settings={"trainer": {"max_epochs": 1}}))
    found = [(cell.config["seed_everything"], cell.config["data"]["class_path"]) for cell in cells(study)]
    assert found == [(seed, data) for seed in (0, 1) for data in ("Digits", "SpokenCommands") for _ in range(2)]


def test_a_dry_run_says_what_would_be_done(here, capsys):
    name = study_file(here, plugs=[None])
    assert main(["study", name, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 runs, 0 with a record, 2 to do; expected cost unknown")
    assert said.count(": new") == 2
    assert not (here / "runs").exists()
    main(["study", study_file(here, plugs=[None], seeds=[0])])
    capsys.readouterr()
    (record,) = (json.loads(path.read_text()) for path in (here / "runs" / "records").glob("*.json"))
    assert main(["study", study_file(here, plugs=[None], seeds=[0, 1, 2]), "--dry-run"]) == 0
    said = capsys.readouterr().out
    each = record["training_seconds"]
    assert f"3 runs, 1 with a record, 2 to do; about {2 * each:.0f} s of training, judged by 1 record" in said
    assert f"({record['run']}): has a record" in said
    next((here / "runs" / "records").glob("*.json")).unlink()
    main(["study", study_file(here, plugs=[None], seeds=[0]), "--dry-run"])
    said = capsys.readouterr().out
    assert ": goes on from runs/" in said
    assert "last.ckpt" in said


def test_a_run_in_other_hands_is_waited_for_and_not_repeated(here, capsys, monkeypatch):
    """The other process ends without a record: its run is done here, and no run twice."""
    name = study_file(here, plugs=[None])
    first = plan(read_study(name), "small")[0]
    other = claimed(first.directory)
    assert other.__enter__()

    def end(seconds):
        other.__exit__(None, None, None)

    monkeypatch.setattr(local.time, "sleep", end)
    assert main(["study", name]) == 0
    said = capsys.readouterr().out
    assert [line[:5] for line in said.splitlines() if line.startswith("[")] == ["[2/2]", "[1/2]"]
    assert "waiting for 1 run that other processes carry out" in said
    assert len(list((here / "runs" / "records").glob("*.json"))) == 2


def test_jobs_share_gpus_and_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    for jobs, expected in ((2, ["4,6", "5,7"]), (4, ["4", "5", "6", "7"]), (6, ["4", "5", "6", "7", "4", "5"])):
        found = [local.environment(slot, jobs) for slot in range(jobs)]
        assert [place["CUDA_VISIBLE_DEVICES"] for place in found] == expected
        assert {place["OMP_NUM_THREADS"] for place in found} == {str(16 // jobs)}
    assert local.environment(0, 1) == dict(os.environ)


@pytest.mark.slow
def test_jobs_of_their_own_isolate_failures_and_keep_logs(here, capsys):
    plugs = [None, {"block": "Nonlocal", "at": "stage9.1"}]
    assert main(["study", study_file(here, seeds=[0], plugs=plugs), "--jobs", "2"]) == 1
    said = capsys.readouterr()
    assert "[1/2] no block, PreResNet-20, seed 0: test/top1 " in said.out
    start = "[2/2] Nonlocal @ stage9.1, PreResNet-20, seed 0: failed: at='stage9.1' matches nothing"
    (line,) = [line for line in said.err.splitlines() if line.startswith(start)]
    assert Path(line.rpartition("log: ")[2]).is_file()
    assert len(list((here / "runs" / "records").glob("*.json"))) == 1


@pytest.mark.slow
def test_jobs_leave_a_checkpoint_when_the_study_is_ended(here):
    settings = {"trainer": {"max_epochs": 500}, "data": {"init_args": {"variant": "8x8"}}}
    name = study_file(here, seeds=[0], plugs=[None], settings=settings)
    process = subprocess.Popen([sys.executable, "-m", "blockyard", "study", name, "--jobs", "2"])
    while not list(here.glob("runs/*/checkpoints/last.ckpt")) and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == PREEMPTED
    assert "stopped by SIGTERM at step" in next(here.glob("runs/*/log.txt")).read_text()
    assert plan(read_study(name), "small")[0].state.startswith("goes on from")


@pytest.mark.slow
def test_nothing_is_lost_or_double_after_kill_9(tmp_path):
    script = Path(__file__).parents[3] / "benchmarks" / "kills.py"
    command = [sys.executable, script, "--kills", "2", "--epochs", "8", "--seeds", "1", "--within", "8"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    # Both runs take longer than 8 s together, so that one is killed at least; what counts is what is left after that.
    assert "killed 0 times" not in done.stdout, done.stdout + done.stderr
    assert "the same 2 records and the same leaderboard" in done.stdout


def test_the_script_of_a_slurm_job(here, capsys, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "/nowhere")  # no SLURM is needed to look
    settings = {"trainer": {"num_nodes": 2, "devices": 8, "strategy": "ddp"}}
    name = study_file(here, plugs=[None], seeds=[0], settings=settings)
    options = ["--slurm", "cluster/submit.yaml", "--slurm.partition", "gpu", "--slurm.time=90"]
    assert main(["study", name, "--dry-run", "--launcher", "slurm", *options]) == 0
    said = capsys.readouterr().out
    expected = [
        "partition=gpu",
        "time=90",
        "nodes=2",
        "ntasks-per-node=8",
        "cpus-per-task=8",
        "signal=USR1@120",
        "requeue",
    ]
    assert all(f"#SBATCH --{line}\n" in said for line in expected)
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--job", "2"], "no option --job; did you mean --jobs"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--jobs", "many"], "argument --jobs: invalid int value"),
        (["--slurm.time", "5"], "--slurm needs --launcher slurm"),
        (["--launcher", "slurm", "--slurm.partion", "gpu"], "--slurm.partion: no option; did you mean partition"),
        (["--launcher", "slurm", "--slurm.nodes", "2"], "follows from trainer.num_nodes"),
        (["--launcher", "slurm", "--slurm.time"], "--slurm.time needs a value"),
    ],
)
def test_wrong_options(here, capsys, options, expected):
    assert main(["study", study_file(here), *options]) == 2
    assert expected in capsys.readouterr().err


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
    assert "[1/2] Nonlocal @ stage9.1, PreResNet-20, seed 0: failed: at='stage9.1' matches nothing" in said.err
    log = here / said.err.splitlines()[0].rpartition("log: ")[2]
    assert "Traceback" in log.read_text()
    assert "[2/2] gated Nonlocal @ stage2.1, PreResNet-20, seed 0: " in said.out


def test_a_trial_in_the_file_is_refused(here, capsys):
    for trial in ({"fast_dev_run": True}, {"limit_test_batches": 1}):
        assert main(["study", study_file(here, settings={"trainer": trial})]) == 2
        assert "it leaves no record of a run, and a study needs it" in capsys.readouterr().err


def test_configurations_are_whole_and_free_of_shorthand(here):
    plugs = [[{"block": "Nonlocal", "at": "a"}, {"block": {"class_path": "CrissCross"}, "at": "b"}]]
    (cell,) = cells(read_study(study_file(here, seeds=[7], plugs=plugs)))
    config = cell.config
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
        ({"variants": ["a"]}, "variants: expected options such as {data.fold: 1}, got 'a'"),
        ({"settings": [1]}, "settings: expected options such as {trainer.max_epochs: 5}"),
        ({"settings": {"trainer.devices": 1, "trainer": {"devices": 2}}}, "settings: trainer.devices is said twice"),
        ({"variants": [{"data.fold": 1, "data": {"init_args": {"fold": 2}}}]}, "variants: data.fold is said twice"),
        ({"plugs": ["ECA"]}, "plugs: expected null, {block: SpectralNonlocal, at: stage2.1}"),
        ({"plugs": [{"block": "ECA"}]}, "plugs: at is missing"),
        ({"plugs": [{"block": "ECA", "att": "stage2.1"}]}, "plugs: no att; did you mean at"),
        ({"plugs": [[{"blok.order": 2, "at": "a"}]]}, "plugs: no blok; did you mean block"),
        ({"plugs": [{"block": {"class_path": "A", "init_args": {"b": 1}}, "block.b": 2}]}, "block.b is said twice"),
        ({"backbones": [{"backbone.depth": 8}]}, "backbones: backbone is missing"),
        ({"backbones": [{"name": "PreResNet"}]}, "backbones: no name; "),
        ({"pretraining": {"trainer.max_epochs": 1}}, "pretraining must be a list"),
        ({"pretraining": ["Rotation"]}, "pretraining: expected null, or options such as {model.objective: Rotation"),
        ({"probes": [{"strength": 1}]}, "probes: method is missing"),
        ({"probes": [{"method": "liner"}]}, "probes: no method 'liner'; did you mean linear"),
        ({"probes": [{"method": "knn", "kk": 3}]}, "probes: no kk; did you mean k"),
        ({"config": ["a.yaml", 3]}, "config must be the name of a configuration, or a list of names"),
    ],
)
def test_wrong_study_files(here, capsys, changes, expected):
    assert main(["study", study_file(here, **changes)]) == 2
    assert expected in capsys.readouterr().err
