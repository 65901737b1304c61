"""What a verb prints is the suite's own words: no warning, log line or tip of a library, whatever the task."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import pytest

from blockyard.cli import main
from blockyard.samples.tiny_videos import write_tiny_videos

TASKS = {
    "image_classification/digits.yaml": "--data.variant 8x8 --model.backbone.depth 8",
    "image_restoration/noisy_photographs.yaml": "--data.samples 32 --data.size 16",
    "signal_classification/motions.yaml": "--data.subjects 10 --data.takes 1",
    "audio_classification/spoken_commands.yaml": "--data.voices 12 --data.takes 1",
    "semantic_segmentation/scenes.yaml": "--data.pictures 20 --data.test_pictures 6",
    "object_detection/scenes.yaml": "--data.pictures 40 --data.test_pictures 6",
    "person_reid/walkers.yaml": "--data.identities 30 --data.test_identities 4",
    "action_recognition/ucf101.yaml": "--data.root videos --data.verify false --data.size 32 --data.frames 4 "
    "--data.batch_size 4 --data.num_workers 0 --model.backbone PreResNet --model.backbone.depth 8 "
    "--model.backbone.spatial_dims 3",
}
"""A configuration of each task, and what makes it small."""
SHORT = (
    "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --trainer.limit_val_batches 2 --model.warmup_epochs 0 "
    "--trainer.check_val_every_n_epoch 1 --model.block SpectralNonlocal --model.at stage2.0"
)
NAME = r"[\w/ %-]+"
OWN = (
    r"after \S+: \w+, [\d,]+ parameters",
    r"run: runs/\S+",
    r"best val/\w+: \S+( \S+)?, runs/\S+",
    r"next: blockyard .*",
    r"record: runs/\S+",
    rf"{NAME} \S+, 95 % interval over [\d,]+ items: \S+ … \S+",
    rf"{NAME} \S+ of each of [\d,]+ items: that all score alike gives no interval",
    r"[\d,]+ \w+ in runs/\S+",
    r"(Epoch \d+/\d+|Validation|Testing|Predicting|Features of \w+) .*it/s.*",
    r" *(the \d+ classes with .*|by class) *",
    r"[┏┡└│┃].*",
    r"metric +(val|test)",
    rf"{NAME} +-?[\d.]+",
    rf"{NAME}, \w+\(.*, block .*",
    r"features: .*",
    r"runs/\S+: verified; .*",
    r"runs/\S+off-the-shelf.json",
    r"\S+ +\S+ +now \S+ +allowed ±\S+ +agrees",
    r"blockyard: strength \S+: after \d+ steps a derivative of \S+ is left",
    r"(blockyard|note): (train|val|test): not one (pixel|box) .*",
    r"blockyard: \S+ lists \d+ videos, not the published \d+",
    r"\d+ samples of \w+ read, 0 bad",
    r"(train|val|test) +\S+ and \d+ more: note: \d+ Hz, resampled to \d+ Hz",
)
"""What the suite says."""
ENDS = {"image_restoration": {"off-the-shelf"}, "object_detection": {"off-the-shelf"}, "person_reid": {"predict"}}
"""Verbs that refuse the sample data of a task."""


@pytest.fixture
def as_people_see(monkeypatch):
    """Warnings are shown, not collected, by the filters that Python has outside of tests."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", hidden)
        monkeypatch.setattr(warnings, "showwarning", _show)
        yield


def _show(message, category, filename, lineno, file=None, line=None):
    import sys

    print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=sys.stderr)


def foreign(text: str) -> list[str]:
    """Lines that are not the suite's own."""
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return [line for line in lines if not any(re.fullmatch(pattern, line) for pattern in OWN)]


@pytest.mark.slow
@pytest.mark.parametrize("config", TASKS)
def test_no_verb_prints_a_line_of_others(config, tmp_path, monkeypatch, capfd, as_people_see):
    monkeypatch.chdir(tmp_path)
    if "ucf101" in config:
        write_tiny_videos("videos", videos_per_class=8)
    data = " ".join(re.findall(r"--data\S+ \S+", TASKS[config]))

    def said(line: str) -> str:
        capfd.readouterr()
        assert main(shlex.split(line)) == 0, capfd.readouterr().err
        return "".join(capfd.readouterr())

    assert foreign(said(f"check-data --config {config} {data}")) == []
    assert foreign(said(f"fit --config {config} {TASKS[config]} {SHORT}")) == []
    (checkpoint,) = Path("runs").glob("*/checkpoints/best.ckpt")
    for verb in ("validate", "test", "predict", "off-the-shelf"):
        if verb not in ENDS.get(config.partition("/")[0], ()):
            few = " --k 3" if verb == "off-the-shelf" else ""
            assert foreign(said(f"{verb} --ckpt_path {checkpoint}{few}")) == []
    record = min(Path("runs/records").glob("*.json"), key=lambda path: path.stat().st_mtime)  # then come probes
    assert foreign(said(f"leaderboard verify {record} --ckpt_path {checkpoint}")) == []


def test_lines_of_others_are_told_from_the_suite_s_own():
    assert foreign("run: runs/a-1\nGPU available: False, used: False\nmetric  test\ntop1 %  12.50\n") == [
        "GPU available: False, used: False"
    ]
    assert foreign("blockyard: The 'train_dataloader' does not have many workers") != []
