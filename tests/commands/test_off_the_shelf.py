"""The verb on each task's small sample data, by the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from blockyard.cli import main
from blockyard.leaderboard.identity import identity
from blockyard.leaderboard.record import RECORDS, read_all
from blockyard.leaderboard.scores import read_scores
from blockyard.samples.speech_layout import write_wav
from blockyard.samples.tiny_audio import write_tiny_audio
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians
from blockyard.samples.tiny_scenes import write_tiny_voc
from blockyard.samples.tiny_videos import write_tiny_videos

pytestmark = pytest.mark.filterwarnings("ignore:.*published.*", "ignore:.*no match in the gallery.*")
CHECKPOINT = str(Path(__file__).parents[1] / "checkpoints" / "digits-snl.ckpt")
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--data.num_workers=0"]
SMALL = ["--model.backbone=PreResNet", "--model.backbone.depth=8"]
DIGITS = ["--config", "image_classification/digits.yaml", "--data.variant=8x8", *SMALL]


def judged(capsys, *arguments):
    """What the verb writes, and what it prints."""
    capsys.readouterr()
    assert main(["off-the-shelf", *arguments, *QUIET]) == 0
    said = capsys.readouterr().out
    return json.loads(Path(said.splitlines()[-1]).read_text()), said


def refused(capsys, *arguments):
    """The one line with which a mistake is answered."""
    capsys.readouterr()
    assert main(["off-the-shelf", *arguments, *QUIET]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("blockyard.runs.record.measure_throughput", lambda network, shape, batch: 1.0)
    return tmp_path


def scores_of(content):
    found = {(score["method"], score["metric"]): score["value"] for score in content["scores"]}
    for score in content["scores"]:
        assert 0 <= score["value"] <= 1
        if score["low"] is not None:
            assert 0 <= score["low"] <= score["high"] <= 1
    return found


def test_pictures(here, capsys):
    content, said = judged(capsys, *DIGITS)
    found = scores_of(content)
    assert set(found) == {("linear", "top1"), ("knn", "top1"), ("retrieval", "mAP"), ("retrieval", "rank1")}
    assert all(found[method, "top1"] > 0.5 for method in ("linear", "knn")), "ten digits, even by a random network"
    assert content["samples"] == {"train": 1257, "val": 180, "test": 360}
    assert content["dimensions"] == 64
    assert content["checkpoint"] is None
    assert "weights as built" in said
    for score in content["scores"]:
        assert f"{100 * score['value']:.2f}" in said
        assert f"{100 * score['low']:.2f} – {100 * score['high']:.2f}" in said
    written = sorted(path.suffix for path in here.rglob("*") if path.is_file())
    assert written == [".json"] * 4 + [".npz"] * 3, "the verdict, and a record a method"


def test_the_same_again_gives_the_same(here, capsys):
    (one, _), (other, _) = (judged(capsys, *DIGITS) for _ in range(2))
    assert one == other


def test_a_checkpoint_says_everything_and_learns_nothing(here, capsys):
    fit = [*DIGITS, "--trainer.max_epochs=2", "--model.block=SpectralNonlocal", "--model.at=stage2.-1", *QUIET]
    assert main(["fit", *fit]) == 0
    (best,) = here.glob("runs/*/checkpoints/best.ckpt")
    before = best.read_bytes()
    content, said = judged(capsys, "--ckpt_path", str(best))
    assert best.read_bytes() == before
    assert Path(said.splitlines()[-1]).resolve().parent == best.parents[1], "it lies in the run's directory"
    assert content["block"].startswith("SpectralNonlocal")
    assert content["checkpoint"] == "best.ckpt"
    random, _ = judged(capsys, *DIGITS, "--methods=retrieval")
    assert scores_of(content)["retrieval", "mAP"] > scores_of(random)["retrieval", "mAP"] + 0.1
    assert set(random["samples"]) == {"test"}, "retrieval reads no more than the test"


def test_a_method_is_an_experiment_on_the_leaderboard(here, capsys):
    """Of the same network with a block and without, as built; the method's options are part of it."""
    block = ["--model.block=SqueezeExcitation", "--model.at=stage2.-1"]
    (content, _), _, _ = (judged(capsys, *DIGITS, "--methods=knn", *more) for more in ([], block, ["--k=3"]))
    found, problems = read_all([RECORDS])
    assert not problems
    plain, plugged, other = sorted(found, key=lambda one: (one.config["probe"]["k"] == 3, one.block != "none"))
    assert plain.backbone.endswith(", frozen: knn")
    assert plugged.baseline == plain.experiment == plain.baseline != other.experiment
    assert plain.metrics == {"top1": scores_of(content)["knn", "top1"]}
    assert (plain.steps, plain.complete, plain.checkpoint, plain.test_samples) == (0, True, None, 360)
    assert read_scores(RECORDS / plain.scores, plain.scores_sha256)["top1"].mean() == plain.metrics["top1"]
    assert main(["leaderboard"]) == 0
    assert "frozen: knn" in capsys.readouterr().out


def test_the_record_of_a_checkpoints_features_is_no_test_of_it(here, capsys):
    """``leaderboard verify`` leaves it to the verb; what was not read whole leaves none."""
    asked = ["--ckpt_path", CHECKPOINT, "--methods=retrieval"]
    _, said = judged(capsys, *asked)
    (found,), _ = read_all([RECORDS])
    assert found.primary == "mAP"
    assert found.block.startswith("SpectralNonlocal")
    assert (found.config["probe"]["weights"], found.checkpoint) == ("trained", "other")
    assert identity({name: part for name, part in found.config.items() if name != "probe"}).run != found.run
    path = RECORDS / f"{found.run}.json"
    assert f"record: {path}" in said
    assert main(["leaderboard", "verify", str(path), "--ckpt_path", CHECKPOINT]) == 2
    assert "blockyard off-the-shelf does it again" in capsys.readouterr().err
    _, said = judged(capsys, *asked, "--trainer.limit_predict_batches=9")
    assert "no record: limit_predict_batches=9 leaves out samples" in said


def test_a_given_strength_needs_no_validation_split(here, capsys):
    content, _ = judged(capsys, *DIGITS, "--methods", "linear", "--strength", "0.01")
    assert set(content["samples"]) == {"train", "test"}
    assert [score["settings"] for score in content["scores"]] == [{"strength": 0.01}]


def test_videos(here, capsys):
    root = write_tiny_videos(here / "data")
    options = ["--data.root", str(root), "--data.verify=false", "--data.frames=4", "--data.size=32", "--data.clips=2"]
    content, _ = judged(
        capsys,
        "--config",
        "action_recognition/ucf101.yaml",
        *options,
        *SMALL,
        "--model.backbone.spatial_dims=3",
        "--k=5",
    )
    assert set(scores_of(content)) == {
        ("linear", "top1"),
        ("knn", "top1"),
        ("retrieval", "mAP"),
        ("retrieval", "rank1"),
    }
    assert content["samples"] == {"train": 20, "val": 8, "test": 12}


def test_sounds(here, capsys):
    options = ["--data.root", str(write_tiny_audio(here / "data")), "--data.verify=false"]
    content, _ = judged(capsys, "--config", "audio_classification/speech_commands.yaml", *options, *SMALL,
                        "--model.backbone.stem_stride=2", "--methods=linear,knn", "--strength=0.01")  # fmt: skip
    found = scores_of(content)
    assert found["linear", "top1"] == found["knn", "top1"] == 1, "chords of their own are told apart by any network"


def test_sounds_with_several_labels(here, capsys):
    """A tone low, high, both or none, in noise."""
    random, rows = np.random.default_rng(0), ["path,label,split"]
    for number in range(60):
        labels = [name for bit, name in enumerate(("low", "high")) if number >> bit & 1]
        tones = sum(np.sin(2 * np.pi * {"low": 200, "high": 1500}[label] * np.arange(1600) / 8000) for label in labels)
        write_wav(here / f"{number}.wav", 0.2 * tones + random.normal(0, 0.02, 1600), 8000)
        rows.append(f"{number}.wav,{';'.join(labels)},{('train', 'train', 'val', 'test')[number // 4 % 4]}")
    (here / "list.csv").write_text("\n".join(rows) + "\n")
    options = ["--data.manifest", "list.csv", "--data.sample_rate=8000", "--data.duration=0.2"]
    options += ["--model.front_end.sample_rate=8000", "--model.front_end.n_mels=32", *SMALL]
    config = ["--config", "audio_classification/audio_csv.yaml", *options]
    content, _ = judged(capsys, *config)
    found = scores_of(content)
    assert set(found) == {(method, metric) for method in ("linear", "knn") for metric in ("mAP", "lrap")}
    assert found["linear", "mAP"] > 0.9
    line = refused(capsys, *config, "--model.front_end.sample_rate=16000", "--methods=linear")
    assert "the front end takes 16000 samples a second and the data have 8000" in line


def test_people(here, capsys):
    options = ["--data.root", str(write_tiny_pedestrians(here / "data")), "--data.verify=false", "--data.size=[48,24]"]
    config = ["--config", "person_reid/market1501.yaml", *options, *SMALL, "--model.backbone.stem_stride=2"]
    content, _ = judged(capsys, *config)
    assert set(scores_of(content)) == {("retrieval", "mAP"), ("retrieval", "rank1")}
    assert content["samples"] == {"query": 8, "gallery": 19}
    assert "linear makes no sense for PersonReID" in refused(capsys, *config, "--methods", "linear")


def test_pixels(here, capsys):
    options = ["--data.root", str(write_tiny_voc(here / "data")), "--data.verify=false", "--data.train_list=train"]
    config = ["--config", "semantic_segmentation/pascal_voc.yaml", *options, "--model.backbone.name=test_resnet",
              "--model.backbone.pretrained=false", "--model.backbone.output_stride=16",
              "--model.auxiliary_heads=null"]  # fmt: skip
    content, _ = judged(capsys, *config, "--data.val_fraction=0.25", "--positions=50")
    assert set(scores_of(content)) == {("linear", "mIoU"), ("linear", "aAcc")}
    assert content["samples"]["test"] == 4
    assert content["samples"]["train"] <= 50 * 6
    line = refused(capsys, *config, "--data.val_fraction=0")
    assert "PascalVOC has no validation split to choose the linear classifier's regularisation by" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--methods=svm"], "no method 'svm'; allowed: knn, linear, retrieval"),
        (["--methods=retreival"], "did you mean retrieval?"),
        (["--k=0"], "--k 0 must be positive"),
        (["--k=2000"], "k=2000 must be 1 to 1257, the samples that vote"),
        (["--k=many"], "invalid int value: 'many'"),
        (["--strength=0"], "--strength 0.0 must be positive"),
        (["--trainer.devices=2"], "runs on one device, not on 2"),
        (["--ckpt_path=none.ckpt"], "no checkpoint none.ckpt"),
        (["--model.backbone=PreResMet"], "PreResMet"),
    ],
)
def test_a_mistake_ends_in_one_line(here, capsys, options, said):
    assert said in refused(capsys, *DIGITS, *options)


def test_a_checkpoint_of_another_network_is_refused(here, capsys):
    run = ["--trainer.default_root_dir", "run"]
    assert main(["fit", *DIGITS, *QUIET, *run, "--trainer.fast_dev_run=true"]) == 0
    torch.save({"state_dict": {"network.fc.weight": torch.zeros(1)}}, here / "best.ckpt")
    (here / "run" / "checkpoints").mkdir(parents=True, exist_ok=True)
    (here / "best.ckpt").rename(here / "run" / "checkpoints" / "best.ckpt")
    assert "not of this network" in refused(capsys, *DIGITS, *run, "--ckpt_path", "best")


def test_help_says_what_is_done(capsys):
    assert main(["off-the-shelf", "--help"]) == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "Razavian" in text
    assert "--methods" in text
