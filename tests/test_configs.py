"""Every configuration that ships can be used."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import yaml
from jsonargparse import ArgumentParser

from blockyard import backbones
from blockyard.backbones import Backbone
from blockyard.backbones.adapters import timm_backbone
from blockyard.blocks import list_blocks
from blockyard.commands.catalogue import data_of
from blockyard.commands.study.cells import cells
from blockyard.commands.study.file import read_study
from blockyard.composing.composition import compose
from blockyard.composing.config_files import CONFIGS, config_names, read_config
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.costs import count_parameters
from blockyard.datamodules import (
    CIFAR10,
    CIFAR100,
    CUB200,
    ESC50,
    HMDB51,
    UCF101,
    AudioCSV,
    AudioFolder,
    Cityscapes,
    COCODetection,
    GeoTIFFFolder,
    ImageFolder,
    ImageList,
    ImageMaskFolder,
    ImageNet,
    PersonDataModule,
    SignalCSV,
    SignalDataModule,
    SignalFolder,
    SpeechCommands,
    VideoCSV,
    VideoFolder,
    WindowedPictures,
)
from blockyard.datamodules.signals.channels import Channels

RUNS = [name for name in config_names() if not name.startswith(("studies/", "cluster/")) and name.count("/") == 1]
OF_FOLDERS = {
    "image_classification": (ImageFolder, 1000),
    "action_recognition": (VideoFolder, 400),
    "audio_classification": (AudioFolder, 1000),
    "semantic_segmentation": (Cityscapes, 19),
}
"""The data that a published network of each task with classes is put on, and how many its file counts for."""
NETWORKS = [name for name in config_names() if "/networks/" in name]
HEADS = [name for name in config_names() if "/heads/" in name]
STUDIES = [name for name in config_names() if name.startswith("studies/")]


@pytest.fixture(autouse=True)
def _no_data_needed(monkeypatch, tmp_path):
    """Names of classes are all that a network needs from data; reading the data is tested elsewhere."""
    monkeypatch.chdir(tmp_path)
    images = ((CIFAR10, 10), (CIFAR100, 100), (CUB200, 200), (ImageNet, 1000))
    videos = ((UCF101, 101), (HMDB51, 51), (VideoCSV, 400))
    published = (*images, *videos, (PersonDataModule, 751), (COCODetection, 80), (ESC50, 50), (SpeechCommands, 35))
    sounds = (AudioFolder, AudioCSV, SignalFolder, SignalCSV)
    own = (ImageFolder, ImageList, VideoFolder, ImageMaskFolder, WindowedPictures, *sounds)
    folders = ((kind, 7) for kind in own)
    for kind, count in (*published, *folders):
        monkeypatch.setattr(kind, "classes", property(lambda self, count=count: [str(k) for k in range(count)]))
    monkeypatch.setattr(GeoTIFFFolder, "bands_read", (1, 2, 3, 4))
    monkeypatch.setattr(SignalDataModule, "layout", Channels(("ax", "ay", "az"), "user"))
    monkeypatch.setattr(timm_backbone, "_hub_is_reached", lambda: True)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, **options: create(*args, **options | {"pretrained": False}))


@pytest.mark.parametrize("name", RUNS)
def test_builds_a_baseline(name):
    prepare()
    cli = SuiteCLI(None, compose(["--config", name], keep_trainer=True))
    options = cli.run_config["model"]["init_args"]
    assert options["block"] is None, "a base configuration plugs nothing in: options of its block would carry over"
    assert options["plugs"] is None
    assert getattr(cli.model, "num_classes", 0) == cli.datamodule.num_classes
    assert (cli.trainer.max_epochs or cli.trainer.max_steps) >= 1


@pytest.mark.parametrize("name", HEADS)
def test_a_head_goes_on_a_data_set_s_network(name):
    prepare()
    files = ["--config", "semantic_segmentation/scenes.yaml", "--config", name]
    network = SuiteCLI(None, compose(files, keep_trainer=True)).model.network
    assert type(network.decode_head).__name__ == read_config(name)["model"]["init_args"]["decode_head"]["type"]
    assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 7, 96, 96)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_network_has_the_parameters_that_its_file_names(name, monkeypatch):
    task = name.partition("/")[0]
    kind, classes = OF_FOLDERS.get(task, (None, 0))
    if kind:
        monkeypatch.setattr(kind, "classes", property(lambda self: [str(k) for k in range(classes)]))
    prepare()
    files = ["--config", data_of(task), "--config", name]
    network = SuiteCLI(None, compose(files, keep_trainer=True)).model.network
    told = rf"([\d,]+) parameters for {classes} classes" if classes else r"([\d,]+) parameters"
    named = re.search(told, (CONFIGS / name).read_text())
    assert named is None or count_parameters(network) == int(named[1].replace(",", ""))
    assert (named is None) == ("snl" in name)


def test_the_network_of_cifar10_has_its_parameters_there():
    prepare()
    name = "image_classification/networks/pdc-cifar10.yaml"
    files = ["--config", "image_classification/cifar10.yaml", "--config", name]
    network = SuiteCLI(None, compose(files, keep_trainer=True)).model.network
    assert count_parameters(network) == 4_259_793
    assert "4,259,793 parameters for 10 classes" in (CONFIGS / name).read_text()


@pytest.mark.parametrize("name", STUDIES)
def test_studies_are_whole(name):
    study = read_study(name)
    found = [cell.config for cell in cells(study)]
    rows = len(study.backbones) * len(study.plugs) * len(study.pretraining)
    trained = [cell for cell in cells(study) if cell.probe is None]
    firsts = {cell.after for cell in trained} - {None}
    assert len(trained) - len(firsts) == len(study.sides) * len(study.seeds) * rows
    assert all({"model", "data", "trainer", "seed_everything"} <= config.keys() for config in found)
    assert None in study.plugs, "a study without a baseline compares nothing"


@pytest.mark.parametrize("name", [name for name in STUDIES if "model" in (read_config(name).get("settings") or {})])
def test_a_study_that_changes_a_network_changes_it_to_one_that_can_be_built(name, tmp_path):
    prepare()
    study = read_study(name)
    found = [cell.config for cell in cells(study)]
    bases = 1 if isinstance(study.config, str) else len(study.config)
    rows = len(found) // bases
    for number, config in enumerate([*found[::rows], found[rows - 1]]):  # without a block each, and one with the last
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(config))
        SuiteCLI(None, compose(["--config", str(path)], keep_trainer=True))


def test_the_study_of_networks_has_every_network_of_the_suite_and_each_takes_digits():
    prepare()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--backbone", type=Callable[[int, int], Backbone])
    listed = read_study("studies/digits-networks.yaml").backbones
    for backbone in listed:
        made = parser.instantiate(parser.parse_object({"backbone": backbone})).backbone(10, 1)
        assert made(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    kinds = [kind for kind in vars(backbones).values() if isinstance(kind, type) and issubclass(kind, Backbone)]
    around = {"Backbone", "BackboneFeatures", "Framewise", "FrontEnded"}  # others' networks, and no network
    own = {kind.__name__ for kind in kinds if ".adapters." not in kind.__module__} - around
    own -= {"LabelDenoiser", "TwoViewNet"}  # of one objective each
    own -= (of_series := {"InterpretableCNN", "LateFusion"})
    assert of_series <= {backbone["class_path"] for backbone in read_study("studies/motions-networks.yaml").backbones}
    assert {backbone["class_path"] for backbone in listed} == own
    assert len({str(backbone) for backbone in listed}) == len(listed)


@pytest.mark.parametrize("name", ["studies/digits-blocks.yaml", "studies/diagnostics.yaml"])
def test_the_studies_of_blocks_have_every_block_once_by_its_name(name):
    named = [plug["block"] for plug in read_study(name).plugs if plug]
    plain = [block["class_path"] if isinstance(block, dict) else block for block in named]
    blocks = [kind for kind in list_blocks() if kind.__module__.startswith("blockyard.")]
    # mixers make a network of their own, and the network has no stages of several units
    own = [kind.__name__ for kind in blocks if kind.slot not in ("mixer", "units")]
    assert sorted(set(plain)) == sorted(own)
    assert len({str(block) for block in named}) == len(named)


def test_the_predictions_are_of_the_study():
    """Of each of its rows, at each configuration that is no control."""
    study = read_study("studies/diagnostics.yaml")
    with (CONFIGS.parents[1] / "leaderboard" / "diagnostics" / "predictions.csv").open(newline="") as file:
        (_, *abilities), *rows = csv.reader(file)
    controls = {"transport-near", "control"}
    assert abilities == [Path(name).stem for name in study.config if Path(name).stem not in controls]
    assert sorted(name for name, *_ in rows) == sorted(_called(plug["block"]) for plug in study.plugs if plug)
    assert {sign for _, *signs in rows for sign in signs} == {"+", "-", "?"}


def _called(block: str | dict) -> str:
    """As rows are called, but for what HaloAttention's window has to be on such small maps."""
    if isinstance(block, str) or block["class_path"] == "HaloAttention":
        return block if isinstance(block, str) else block["class_path"]
    return f"{block['class_path']}({', '.join(f'{k}={v}'.lower() for k, v in block['init_args'].items())})"


def test_each_file_says_what_it_is():
    assert all((CONFIGS / name).read_text().startswith("# ") for name in config_names())
