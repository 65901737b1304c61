"""Options that classes share are written once, and the command line still has each with its default and its words."""

import inspect
import json
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser

from blockyard import datamodules
from blockyard.datamodules import (
    CIFAR10,
    AudioFolder,
    DataModule,
    DetectionDataModule,
    ImageFolder,
    MultiData,
    SegmentationDataModule,
    VideoDataModule,
    VideoFolder,
)
from blockyard.samples import modules as samples

KNOWN = json.loads((Path(__file__).parents[1] / "leaderboard" / "options.json").read_text())
CLASSES = {
    name: kind
    for module in (datamodules, samples)
    for name, kind in vars(module).items()
    if inspect.isclass(kind) and issubclass(kind, DataModule) and kind is not DataModule
}
SHARED = {"batch_size", "num_workers", "seed", "name", "checked"}
SIXTEEN = dict.fromkeys((SegmentationDataModule, DetectionDataModule), 16)
BATCHES = {MultiData: None, CIFAR10: 128, VideoDataModule: 8, **SIXTEEN, DataModule: 64}
"""What configurations and records rely on where they don't say it."""


@pytest.mark.parametrize("name", CLASSES)
def test_the_command_line_has_every_option_with_its_default_and_words(name):
    kind, parser = CLASSES[name], ArgumentParser()
    options = {key.removeprefix("data.") for key in parser.add_class_arguments(kind, "data")}
    assert options >= SHARED | set(KNOWN.get(name, ()) if hasattr(datamodules, name) else ())
    helps = parser.format_help()
    for option in options:
        words = helps[helps.index(f"--data.{option} ") :].split("\n  --", 1)[0]
        said = " ".join(words.split()).partition("(type:")[0].split()
        assert len([word for word in said if word[0].isalpha()]) > 2, f"--data.{option} is not explained"
    data = parser.get_defaults().data
    assert data.batch_size == next(size for base, size in BATCHES.items() if issubclass(kind, base))
    assert data.num_workers == (0 if name in ("Digits", "WindowedDigits") else 2)
    assert data.seed is data.name is data.checked is None


@pytest.mark.parametrize("kind", [ImageFolder, VideoFolder, AudioFolder])
def test_class_folders_share_their_options(kind, tmp_path):
    data = kind(tmp_path / "root", val_fraction=0.25, num_workers=1)
    torch.save(dict(data.hparams), tmp_path / "hparams.pt")
    saved = torch.load(tmp_path / "hparams.pt", weights_only=True)
    assert saved["root"] == str(tmp_path / "root")
    assert (saved["val_fraction"], saved["num_workers"], saved["seed"]) == (0.25, 1, None)
    with pytest.raises(ValueError, match=rf"{kind.__name__}: val_fraction=1 must be between 0 and 1"):
        kind("root", val_fraction=1)
