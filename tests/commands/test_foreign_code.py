"""Whichever verb reads a configuration, a checkpoint or a card from a stranger, no code of the stranger's runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from blockyard.cli import main
from blockyard.commands.study.cells import cells
from blockyard.commands.study.file import read_study
from blockyard.composing.composition import Composed, compose
from blockyard.composing.config_files import config_names, read_config
from blockyard.composing.merging import merge
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.datamodules import ImageMaskFolder
from blockyard.hub import build
from blockyard.portable import Card
from blockyard.runs.run_config import CONFIG_KEY, VOCABULARY_KEY

MARKER = "marker_of_foreign_code"
"""The module that the fixture ``traces`` makes."""
FOREIGN = {"type": f"{MARKER}.call"}
SEGMENTATION: dict[str, Any] = {
    "seed_everything": 0,
    "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "default_root_dir": None},
    "model": {
        "class_path": "SemanticSegmentation",
        "init_args": {
            "backbone": {"class_path": "TimmFeatures", "init_args": {"name": "test_resnet"}},
            "decode_head": {"type": "FCNHead", "channels": 8},
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
        },
    },
    "data": {"class_path": "ImageMaskFolder", "init_args": {"root": "data", "size": [64, 64], "num_workers": 0}},
}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "loss": ({"decode_head": {"type": "FCNHead", "loss_decode": FOREIGN}}, "decode_head.loss_decode.type"),
    "second loss": (
        {"decode_head": {"type": "FCNHead", "loss_decode": [{"type": "DiceLoss"}, FOREIGN]}},
        "decode_head.loss_decode[1].type",
    ),
    "auxiliary": (
        {"auxiliary_heads": [{"type": "FCNHead"}, {"type": "FCNHead", "init_cfg": [FOREIGN]}]},
        "auxiliary_heads[1].init_cfg[0].type",
    ),
    "block of a head": (
        {"decode_head": {"type": "BlockHead", "block": {"class_path": f"{MARKER}.Thing"}}},
        "decode_head.block",
    ),
    "backbone": (
        {"backbone": {"class_path": "MMSegBackbone", "init_args": {"config": {"type": "ResNet", "act_cfg": FOREIGN}}}},
        "backbone.act_cfg.type",
    ),
}


@pytest.fixture(autouse=True)
def _seven_classes(monkeypatch, tmp_path):
    monkeypatch.setattr(ImageMaskFolder, "classes", property(lambda self: [str(k) for k in range(7)]))
    monkeypatch.chdir(tmp_path)


def with_model(**options: Any) -> dict[str, Any]:
    return merge(SEGMENTATION, {"model": {"init_args": options}})


def written(config: dict[str, Any]) -> str:
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    return "mine.yaml"


def checkpoint(config: dict[str, Any]) -> str:
    vocabulary = {"num_classes": 7, "classes": [], "palette": [], "labels": {}}
    position = {"epoch": 0, "batch": 1, "step": 1}
    content = {CONFIG_KEY: config, VOCABULARY_KEY: vocabulary, "state_dict": {}, "position": position}
    torch.save(content, "strange.ckpt")
    return "strange.ckpt"


def said(capsys, *arguments: str) -> str:
    """The one line with which a mistake is answered."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize("case", CASES)
def test_a_configuration(case, traces, capsys):
    options, path = CASES[case]
    for verb in ("fit", "describe"):
        assert said(capsys, verb, "--config", written(with_model(**options))).startswith(f"blockyard: {path}: ")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "verb", ["fit", "validate", "test", "predict", "export", "off-the-shelf", "inspect", "describe"]
)
def test_a_checkpoint(verb, traces, capsys):
    options, path = CASES["second loss"]
    more = ["--samples", "1"] if verb == "inspect" else []
    line = said(capsys, verb, "--ckpt_path", checkpoint(with_model(**options)), *more)
    # a training goes on with a whole configuration only, and looks at that before anything of it is made
    told = "contradicts the checkpoint" in line if verb == "fit" else line.startswith(f"blockyard: {path}: ")
    assert told, line
    assert not Path("runs").exists()


@pytest.mark.parametrize("case", CASES)
def test_a_card(case, traces):
    options, path = CASES[case]
    arguments = with_model(**options)["model"]["init_args"]
    del arguments["optimizer"]
    card = Card(
        "SemanticSegmentation", 7, (3, 64, 64), "…", {"class_path": "SemanticSegmentation", "init_args": arguments}
    )
    with pytest.raises(ValueError, match=r"^card: ") as error:
        build(card)
    line = str(error.value)
    assert line.startswith(f"card: {path}: ") or "init_cfg is set" in line  # which no card may set at all
    assert "\n" not in line


PROGRAM = {
    "function": {
        "class_path": "blockyard.heads.stock.stock_segmentor",
        "init_args": {"config": "own.py", "trust": True},
    },
    "task": {
        "class_path": "SemanticSegmentation",
        "init_args": {
            **SEGMENTATION["model"]["init_args"],
            **{"backbone": None, "decode_head": None, "mmseg_config": "own.py", "trust_config": True},
            **{"num_classes": 7, "input_shape": [3, 64, 64]},
        },
    },
}
"""What executes own.py, a configuration of mmsegmentation, if it may."""


@pytest.mark.parametrize(("slot", "kind"), [("backbone", "function"), ("loss", "function"), ("loss", "task")])
def test_nothing_trusts_a_file_but_the_command_line(kind, slot, traces, capsys):
    Path("own.py").write_text(f"import {MARKER}\n{MARKER}.call()\n")
    digits = ["--config", "image_classification/digits.yaml"]
    line = said(capsys, "fit", *digits, "--config", written({"model": {"init_args": {slot: PROGRAM[kind]}}}))
    rest = {"function": "class_path: blockyard.heads.stock.stock_segmentor is a function"}
    rest["task"] = "init_args.trust_config: whom you trust, the command line says"
    assert line.startswith(f"blockyard: model.init_args.{slot}.{rest[kind]}"), line


@pytest.mark.parametrize(
    ("section", "path"),
    [
        (
            {"model": {"init_args": {"lr_scheduler": {"class_path": "LambdaLR", "init_args": {"lr_lambda": "{}"}}}}},
            "model.init_args.lr_scheduler.init_args.lr_lambda",
        ),
        (
            {"trainer": {"callbacks": [{"class_path": "LambdaCallback", "init_args": {"on_fit_start": "{}"}}]}},
            "trainer.callbacks[0].init_args.on_fit_start",
        ),
    ],
)
def test_functions_are_not_called(section, path, traces, capsys):
    digits = ["--config", "image_classification/digits.yaml"]
    for name, why in (("blockyard.cli.main", "is a function"), (f"{MARKER}.call", "may not be imported")):
        text = json.dumps(section).replace("{}", name)
        line = said(capsys, "fit", *digits, "--config", written(json.loads(text)))
        assert why in line
        assert name in line
        assert why != "is a function" or line.startswith(f"blockyard: {path}: ")


def test_a_study(traces, capsys):
    options, path = CASES["loss"]
    study = {"config": written(with_model(**options)), "plugs": [None], "seeds": [0]}
    Path("study.yaml").write_text(yaml.safe_dump(study))
    main(["study", "study.yaml"])
    assert path in "".join(capsys.readouterr())
    assert not list(Path("runs").rglob("*.ckpt"))


def named(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places where a configuration names a class: ``class_path``, and short names that begin with a capital."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from named(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from named(inner, (*path, index))
    elif isinstance(value, str) and path[-1] in (
        "class_path",
        "block",
        "optimizer",
        "lr_scheduler",
        "backbone",
        "loss",
    ):
        yield path


def replaced(config: dict[str, Any], path: tuple[str | int, ...], value: str) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    node: Any = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


def whole_configurations() -> Iterator[dict[str, Any]]:
    """Everything that ships, laid over a configuration of its folder where it is only a part of one."""
    bases: dict[str, dict[str, Any]] = {}
    for name in sorted(config_names(), key=lambda name: name.count("/")):
        config, folder = read_config(name), name.partition("/")[0]
        if folder == "studies":
            yield from (cell.config for cell in cells(read_study(name)))
        elif {"model", "data"} <= config.keys():
            yield bases.setdefault(folder, config)
            yield config
        elif "model" in config:
            yield merge(bases[folder], config)


class Parsed(SuiteCLI):
    """Settles what a configuration says, and builds nothing."""

    def instantiate_classes(self) -> None:
        """Nothing."""

    def settle(self, config: dict[str, Any]) -> None:
        """Parse another configuration."""
        self.composed = Composed(config)
        self.parse_arguments(self.parser, None)
        self.before_instantiate_classes()


def test_every_class_in_every_configuration_that_ships(traces):
    prepare()
    parsed = Parsed(None, Composed(SEGMENTATION))
    met = set()
    for config in whole_configurations():
        for path in named(config):
            place = (path, config["model"].get("class_path"))
            if "decode_head" in path or place in met:
                continue
            met.add(place)
            for foreign in (f"{MARKER}.Thing", "blockyard.heads.stock.stock_segmentor"):
                with pytest.raises(ValueError):  # noqa: PT011  each key has a line of its own
                    parsed.settle(replaced(config, path, foreign))
    assert len(met) > 40


def test_a_checkpoint_from_elsewhere_does_not_say_where_a_test_writes(tmp_path):
    prepare()
    for place, expected in (("elsewhere", "runs"), ("here", "here"), (str(tmp_path / "here"), "here")):
        config = merge(SEGMENTATION, {"trainer": {"default_root_dir": place}})
        Path("here/checkpoints").mkdir(parents=True, exist_ok=True)
        path = Path(checkpoint(config)).rename("here/checkpoints/last.ckpt")
        cli = SuiteCLI(None, compose(["--ckpt_path", str(path)], keep_trainer=False), needs_data=False)
        assert cli.run_directory.resolve().relative_to(tmp_path).parts[0] == expected
    assert not Path("elsewhere").exists()


def test_a_name_cannot_steer_the_terminal(capsys):
    assert "\x1b" not in said(capsys, "fit", "--config", "\x1b[2Jmine.yaml")
