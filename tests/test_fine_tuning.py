"""From pretraining to fine-tuning in two commands, whatever the two tasks are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from blockyard.cli import main
from blockyard.composing.composition import compose
from blockyard.composing.suite import SuiteCLI

QUIET = ["--trainer.enable_progress_bar=false"]
ONE = [*QUIET, "--trainer.fast_dev_run", "1", "--model.warmup_epochs", "0"]
DEPTH = ["--model.backbone.depth", "8"]
SNL = ["--model.block", "SpectralNonlocal", "--model.at", "stage2.0"]
SEGMENTATION = ["--config", "semantic_segmentation/scenes.yaml"]
PEOPLE = ["--config", "person_reid/walkers.yaml", *DEPTH]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The checkpoint of a training on digits, with a block."""
    place = tmp_path_factory.mktemp("pretrained")
    digits = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", *DEPTH, *SNL]
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["fit", *digits, *short, *QUIET, "--trainer.default_root_dir", "run"]) == 0
    return place / "run" / "checkpoints" / "last.ckpt"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(root: Path, *classes: str) -> Path:
    for split in ("train", "val", "test"):
        for shade, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for k in range(2):
                Image.new("L", (8, 8), 20 * shade + 100 * k).save(root / split / name / f"{k}.png")
    return root


def test_to_other_classes(pretrained, here, capsys):
    root = str(pictures(here / "pictures", "a", "b", "c"))
    data = ["--data.root", root, "--data.size", "8", "--data.batch_size", "2", "--data.num_workers", "0"]
    backbone = ["--model.backbone", "PreResNet", *DEPTH, "--model.backbone.weights", str(pretrained)]
    assert main(["fit", "--config", "image_classification/image_folder.yaml", *data, *backbone, *SNL, *ONE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "last.ckpt: classifier of 10 classes left out, the one of 3 classes starts anew; "
        "block at layer2.0 left out unless it is plugged in again"
    ) in lines
    assert "last.ckpt: block at layer2.0 loaded" in lines


def built(arguments: list[str]) -> torch.nn.Module:
    return SuiteCLI(None, compose(arguments, keep_trainer=True), needs_data=False).model.network


@pytest.mark.parametrize(
    ("arguments", "option", "path"),
    [
        pytest.param(SEGMENTATION, "backbone.weights", "backbone.net", id="segmentation"),
        pytest.param(PEOPLE, "weights", "backbone", id="people", marks=pytest.mark.slow),  # draws its people first
    ],
)
def test_to_another_task(pretrained, here, capsys, arguments, option, path):
    weights = [f"--model.backbone.{option}", str(pretrained)]
    trunk = built([*arguments, *weights]).get_submodule(path).state_dict()
    saved = torch.load(pretrained, weights_only=True)["state_dict"]
    stages = [key for key in trunk if key.startswith("layer")]
    assert len(stages) == 48
    for key in stages:  # the block is left out
        name = f"network.{key}"
        assert torch.equal(trunk[key], saved.get(name, saved.get(name.replace("layer2.0.", "layer2.0.host."))))
    assert "last.ckpt: " in capsys.readouterr().out


def test_afterwards_the_file_may_be_gone(pretrained, here):
    once = here / "once.ckpt"
    once.write_bytes(pretrained.read_bytes())
    digits = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", *DEPTH]
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--trainer.default_root_dir", "run"]
    assert main(["fit", *digits, *short, *QUIET, "--model.backbone.weights", str(once)]) == 0
    once.unlink()
    assert main(["test", "--ckpt_path", "run/checkpoints/last.ckpt", *QUIET]) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--model.backbone.weights", "none.ckpt"], "there is no file of weights none.ckpt"),
        (["--model.backbone.weights", "text.ckpt"], "text.ckpt cannot be read as weights: "),
        (["--model.backbone.weights", "CHECKPOINT", "--model.backbone.depth", "56"], "holds other weights than the"),
    ],
)
def test_a_wrong_file_is_one_line(pretrained, here, capsys, options, expected):
    (here / "text.ckpt").write_text("no weights")
    options = [str(pretrained) if option == "CHECKPOINT" else option for option in options]
    assert main(["fit", "--config", "image_classification/digits.yaml", *ONE, *options]) == 2
    error = capsys.readouterr().err.strip()
    assert expected in error
    assert "\n" not in error
