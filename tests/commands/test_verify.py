"""A record is verified by its checkpoint, or it is said in one line why not; end to end on 8×8 digits."""

import dataclasses
import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from blockyard.cli import main
from blockyard.commands.verify import Comparison, allowed, compare
from blockyard.leaderboard.record import described, read
from blockyard.metrics import Metric

QUIET = "--trainer.enable_progress_bar=false"
FIT = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--seed_everything", "3", QUIET,
       "--trainer.max_epochs", "1", "--model.block", "SpectralNonlocal", "--model.at", "stage2.1"]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder in which ``fit`` and ``test`` ran: the record is ``runs/records/*.json``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("run"))
        assert main(["fit", *FIT]) == 0
        (checkpoint,) = Path("runs").glob("*/checkpoints/best.ckpt")
        assert main(["test", "--ckpt_path", str(checkpoint), QUIET]) == 0
        return Path.cwd()


@pytest.fixture
def record(run):
    (path,) = (run / "runs" / "records").glob("*.json")
    return path


@pytest.fixture
def checkpoint(run):
    (path,) = (run / "runs").glob("*/checkpoints/best.ckpt")
    return path


@pytest.fixture
def changed(record, tmp_path, monkeypatch):
    """``changed(**fields)`` writes a copy of the record with other fields; what follows from them is made to fit."""
    monkeypatch.chdir(tmp_path)

    def make(**fields):
        content = json.loads(record.read_text()) | fields
        content |= described(content["config"])
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(content))
        return path

    return make


def verify(capsys, record, checkpoint, *options):
    capsys.readouterr()
    code = main(["leaderboard", "verify", str(record), "--ckpt_path", str(checkpoint), QUIET, *options])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err.splitlines()


def test_a_record_is_verified_in_every_metric_and_leaves_no_other(run, record, checkpoint, monkeypatch, capsys):
    monkeypatch.chdir(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    code, said, mistakes = verify(capsys, record, checkpoint)
    assert (code, mistakes) == (0, [])
    agreed = {line.split()[0] for line in said if line.endswith(" agrees")}
    assert agreed == {*read(record).metrics, "parameters", "MACs"}
    assert said[-1].startswith(f"{record}: verified; allowed are ±0.1 % and one of the 360 test samples")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_better_score_than_the_checkpoints_is_found(record, checkpoint, changed, capsys):
    metrics = read(record).metrics
    better = changed(metrics=metrics | {"top1": metrics["top1"] + 0.01}, macs=1)
    code, said, _ = verify(capsys, better, checkpoint)
    assert code == 1
    assert [line.split()[0] for line in said if line.endswith("DISAGREES")] == ["top1", "MACs"]
    assert "NOT verified" in said[-1]


def test_a_metric_that_there_is_not_disagrees(record):
    changed = dataclasses.replace(read(record), metrics={"top1": 0.9, "made_up": 0.5})
    assert [comparison.agrees for comparison in compare(changed, {"top1": 0.9, "new": 0.1})] == [True, False]


def test_another_checkpoint_is_refused_before_it_is_read(record, tmp_path, capsys):
    (tmp_path / "other.ckpt").write_bytes(b"no checkpoint at all")
    code, said, mistakes = verify(capsys, record, tmp_path / "other.ckpt")
    assert (code, mistakes) == (1, [])
    (line,) = said
    assert line.startswith(f"{record}: its checkpoint has SHA-256 {read(record).checkpoint_sha256[:12]}…, ")


def test_a_configuration_that_did_not_train_the_checkpoint_is_refused(record, checkpoint, changed, capsys):
    config = deepcopy(read(record).config)
    config["model"]["init_args"]["optimizer"]["init_args"]["lr"] = 0.2
    code, said, mistakes = verify(capsys, changed(config=config), checkpoint)
    assert (code, mistakes) == (1, [])
    assert "its configuration is not the checkpoint's: run " in said[-1]


def test_other_data_are_refused(checkpoint, changed, capsys):
    code, said, mistakes = verify(capsys, changed(test_samples=359), checkpoint)
    assert (code, mistakes) == (1, [])
    assert "its test split has 359 samples, the one in " in said[-1]
    assert said[-1].endswith(" 360")


def test_a_record_cannot_import_what_a_configuration_cannot(record, checkpoint, changed, capsys):
    config = deepcopy(read(record).config)
    config["model"]["init_args"]["backbone"] = {"class_path": "subprocess.Popen", "init_args": {"args": "true"}}
    code, _, (line,) = verify(capsys, changed(config=config), checkpoint)
    assert code == 2
    assert "subprocess" in line


def test_nothing_in_a_checkpoint_is_executed(record, changed, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    torch.save({"evil": Evil()}, tmp_path / "evil.ckpt")
    from blockyard.runs.record import sha256_of

    code, _, mistakes = verify(
        capsys, changed(checkpoint_sha256=sha256_of(tmp_path / "evil.ckpt")), tmp_path / "evil.ckpt"
    )
    assert code == 2
    assert "is not a readable checkpoint" in mistakes[-1]
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--model.block", "Nonlocal"], "--model.block is the record's to say"),
        (["--config", "x.yaml"], "--config is the record's to say"),
        (["--trainer.precision", "bf16-mixed"], "--trainer.precision is the record's to say"),
        (["--data.variant", "28x28"], "--data.variant 28x28 contradicts"),
    ],
)
def test_what_would_verify_something_else_is_a_mistake(record, checkpoint, capsys, options, line):
    code, _, (mistake,) = verify(capsys, record, checkpoint, *options)
    assert code == 2
    assert line in mistake


def test_a_missing_checkpoint_is_a_mistake(record, capsys):
    code, _, mistakes = verify(capsys, record, "none.ckpt")
    assert (code, mistakes) == (2, ["blockyard: no checkpoint none.ckpt"])
    assert main(["leaderboard", "verify", str(record)]) == 2
    assert "the following arguments are required: --ckpt_path" in capsys.readouterr().err


def test_tolerances(record):
    single = dataclasses.replace(read(record), test_samples=100)
    assert allowed(single, "top1", 0.9) == pytest.approx(0.011)  # 0.1 % and one sample of 100
    assert allowed(single, "loss", 2.0) == pytest.approx(0.002)
    assert allowed(single, "missing_videos", 3) == 0
    scales = [Metric("psnr", unit="dB", low=0), Metric("ssim", low=-1, high=1), Metric("mse", higher_is_better=False)]
    stated = dataclasses.replace(single, scales={metric.name: metric.scale() for metric in scales})
    assert allowed(stated, "psnr", 30.0) == pytest.approx(0.03)
    assert allowed(stated, "ssim", 0.9) == pytest.approx(0.022)  # of a range of 2
    assert allowed(stated, "mse", 3e-5) == pytest.approx(3e-8)
    half = dataclasses.replace(single, config={"trainer": {"precision": "bf16-mixed"}})
    assert allowed(half, "top1", 0.9) == pytest.approx(0.015)
    assert not Comparison("top1", 0.9, float("nan"), 1.0).agrees
