"""A class of one's own that is misspelt, not there or of the wrong kind: one line, and the nearest match."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockyard.cli import main

DESCRIBE = ["describe", "--config", "image_classification/digits.yaml", "--model.at", "stage2.1", "--model.block"]
BLOCKS = """
from torch import nn

class Centre(nn.Module):
    def __init__(self, channels, spatial_dims, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x - self.scale * x.flatten(2).mean(2)[(...,) + (None,) * (x.dim() - 2)]

class Foreign(nn.Module):
    def __init__(self, width=3):
        super().__init__()
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request):
    """A package of one's own, of another name in every test: modules stay imported."""
    name = f"own{abs(hash(request.node.name))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "blocks.py").write_text(BLOCKS)
    (tmp_path / name / "unready.py").write_text("import not_installed_anywhere")
    monkeypatch.setenv("BLOCKYARD_ALLOW", f"{name},nopackage")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("{}.blocks.Center", "{}.blocks has no Center; did you mean Centre?"),
        ("{}.block.Centre", "{} has no block; did you mean blocks?"),
        ("{}.unready.Centre", "not_installed_anywhere, which the class needs, is not installed"),
        ("nopackage.Centre", "there is no package nopackage in this folder, nor where Python's packages are"),
        (
            "{}.blocks.Foreign",
            "{}.blocks.Foreign is no block: its first arguments have to be channels and spatial_dims",
        ),
    ],
)
def test_a_wrong_name_is_one_line(package: str, capsys, path: str, said: str):
    assert main([*DESCRIBE, path.format(package)]) == 2
    assert capsys.readouterr().err == f"blockyard: {said.format(package)}\n"


def test_a_file_that_is_no_python_is_named_with_its_line(package: str, tmp_path: Path, capsys):
    (tmp_path / package / "broken.py").write_text("from torch import nn\n\nclass Broken(:\n")
    assert main([*DESCRIBE, f"{package}.broken.Broken"]) == 2
    assert capsys.readouterr().err.startswith("blockyard: broken.py, line 3: ")


def test_an_option_of_ones_own_is_corrected(package: str, capsys):
    assert main([*DESCRIBE, f"{package}.blocks.Centre", "--model.block.scal", "2"]) == 2
    assert "Centre has no option scal; did you mean scale?" in capsys.readouterr().err


def test_a_plain_module_that_keeps_shapes_is_a_block(package: str, capsys):
    assert main([*DESCRIBE, f"{package}.blocks.Centre", "--model.block.scale", "0.5"]) == 0
    assert "after layer2.1: Centre, 0 parameters" in capsys.readouterr().out


def test_an_optimizer_has_to_be_one(package: str, capsys):
    asked = [
        "describe",
        "--config",
        "image_classification/digits.yaml",
        "--model.optimizer",
        f"{package}.blocks.Centre",
    ]
    assert main(asked) == 2
    assert "is no optimizer: derive it from torch.optim.optimizer.Optimizer" in capsys.readouterr().err


BOXES = ["fit", "--config", "object_detection/scenes.yaml"]
CANVASES = ["fit", "--config", "multi_task/canvases.yaml"]


FUSED = ["fit", "--config", "signal_classification/signal_csv.yaml", "--model.backbone", "LateFusion"]
INNER = [*FUSED, "--model.backbone.network", "PreResNet", "--model.backbone.streams", "[al, differences]"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (FUSED, "LateFusion needs network, such as --model.backbone.network PreResNet"),
        (
            INNER,
            "model.backbone.streams: expected list or one of all, differences, attention, got al; did you mean all?",
        ),
        (["test", "--data.batch_size", "3"], "data: of which class? --data NAME says it, or a packaged --config"),
        (["test", "--model.lr_scheduler", "cosine"], "model: of which class? --model NAME says it, or a packaged"),
        ([*CANVASES, "--data.sets.pixels", "null"], "data.sets: expected the name of a DataModule, or its class_path"),
        ([*CANVASES, "--data.sets.pixels", "ImageMaskFolder"], "ImageMaskFolder needs root"),
        ([*CANVASES, "--data.sets.pixels.class_path", "Digts"], "no set Digts; did you mean Digits"),
        ([*BOXES, "--model.optimzer.lr", "1"], "ObjectDetection has no option optimzer.lr; did you mean optimizer?"),
        ([*BOXES, "--model.optimizr", "SGD"], "ObjectDetection has no option optimizr; did you mean optimizer?"),
        ([*BOXES, "--model.nek.x", "64"], "ObjectDetection has no option nek.x; did you mean neck or network?"),
        ([*BOXES, "--model.head", "BridgeHead"], "no head BridgeHead; did you mean BridgedHead?"),
        ([*BOXES, "--model.neck", "FPN", "--model.neck.channels", "40"], "FCOS has norms of 32 groups"),
        ([*CANVASES, "--data.sets.pixls.batch_size", "3"], "data.sets: an option is of a set that is not there"),
    ],
)
def test_a_class_that_nobody_named_or_of_one_of_several_sets(arguments, said, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"blockyard: {said}")
