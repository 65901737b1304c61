"""The help of a class: every option that may be given, and none that the network or the data give."""

from __future__ import annotations

import re

import pytest

from blockyard import tasks
from blockyard.blocks import list_blocks
from blockyard.cli import main


@pytest.fixture
def helped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def run(option: str, name: str, columns: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["fit", option, name]) == 0
        return capsys.readouterr().out

    return run


def options_in(text: str) -> list[str]:
    return re.findall(r"^  --[\w.]*\.(\w+)  ", text, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in tasks.__all__ if name not in ("Task", "Mixing", "Classification")])
def test_a_task_has_its_own_options_first_and_fits_a_screen_or_two(helped, name: str):
    text = helped("--model.help", name)
    listed = options_in(text)
    assert {"backbone", "optimizer", "block", "at", "plugs", "objective"} <= set(listed)
    assert not {"num_classes", "input_shape", "network", "options", "self"} & set(listed)
    assert len(listed) == len(set(listed))
    assert text.find("options of its own") < text.index("of every Task")
    assert len(text.splitlines()) <= 120
    if name == "ImageClassification":
        assert len(text.splitlines()) <= 80


@pytest.mark.parametrize("columns", [80, 120])
def test_it_keeps_to_the_width_of_the_terminal(helped, columns: int):
    assert max(map(len, helped("--model.help", "SemanticSegmentation", columns).splitlines())) <= columns


@pytest.mark.parametrize("block", list_blocks(), ids=lambda block: block.__name__)
def test_a_block_needs_no_configuration(helped, block: type):
    text = helped("--model.block.help", block.__name__)
    assert text.startswith(f"{block.__name__}: ")
    assert not {"channels", "spatial_dims"} & set(options_in(text))


def test_values_and_defaults_are_written_as_in_a_file(helped):
    text = helped("--model.block.help", "SpectralNonlocal")
    assert "--model.block.basis  chebyshev | power, default chebyshev" in text
    assert "--model.lr_scheduler  cosine | poly | LRScheduler | null, default null" in helped(
        "--model.help", "ImageClassification"
    )


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--data.help", "Pairing", "Pairing: "),
        ("--model.help", "ImageRestoration", "ImageRestoration: "),
        ("--model.backbone.help", "TimmBackbone", "  --model.backbone.name  str, default resnet18"),
        ("--model.optimizer.help", "torch.optim.AdamW", "  --model.optimizer.weight_decay  float"),
        ("--trainer.callbacks.help", "EMA", "  --trainer.callbacks.decay  float"),
    ],
)
def test_classes_wherever_they_are(helped, option: str, name: str, said: str):
    assert said in helped(option, name)


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--model.block.help", "SpectralNonLocal", "no class SpectralNonLocal; did you mean SpectralNonlocal"),
        ("--data.help", "Digit", "no class Digit; did you mean Digits"),
        ("--model.block.help", "os.path.X", "os.path.X may not be imported; if you trust it, set BLOCKYARD_ALLOW=os"),
        ("--model.block.help", "blockyard.blocks.Nonlokal", "blockyard.blocks has no class Nonlokal; did you mean"),
        ("--model.block.help", "blockyard.nowhere.X", "blockyard.nowhere.X: No module named"),
    ],
)
def test_mistakes_are_one_line(capsys, option: str, name: str, said: str):
    assert main(["fit", option, name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
