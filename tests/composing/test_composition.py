"""How files, a checkpoint and options become one configuration."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import yaml

from blockyard.composing.composition import Composed, compose, contradiction, flatten
from blockyard.composing.config_files import read_config
from blockyard.composing.merging import merge
from blockyard.runs.run_config import CONFIG_KEY

PLUGGED = {"class_path": "GlobalContext", "init_args": {"reduction": 4}}


def config_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return str(path)


def composed(tmp_path: Path, *options: str) -> dict:
    base = {"model": {"class_path": "M", "init_args": {"backbone": "B", "block": PLUGGED}}}
    config = compose(["--config", config_file(tmp_path, yaml.safe_dump(base)), *options], keep_trainer=False).config
    return config["model"]["init_args"]


class TestAnotherClassStartsClean:
    @pytest.mark.parametrize("options", [["--model.block", "SpectralNonlocal"], ["--model.block=SpectralNonlocal"]])
    def test_on_the_command_line(self, tmp_path, options):
        assert composed(tmp_path, *options)["block"] == "SpectralNonlocal"

    def test_in_a_later_file(self):
        assert merge({"block": PLUGGED}, {"block": {"class_path": "Nonlocal"}}) == {"block": {"class_path": "Nonlocal"}}
        assert merge({"block": PLUGGED}, {"block": None}) == {"block": None}

    def test_but_the_same_class_keeps_its_options(self, tmp_path):
        assert composed(tmp_path, "--model.block", "GlobalContext")["block"] == PLUGGED
        assert composed(tmp_path, "--model.block", "blockyard.blocks.GlobalContext")["block"] == PLUGGED
        more = {"block": {"class_path": "GlobalContext", "init_args": {"fusion": "mul"}}}
        assert merge({"block": PLUGGED}, more)["block"]["init_args"] == {"reduction": 4, "fusion": "mul"}

    def test_at_the_top(self, tmp_path):
        base = config_file(tmp_path, "data: {class_path: Digits, init_args: {variant: 8x8}}")
        assert compose(["--config", base, "--data", "CIFAR10"], keep_trainer=False).config == {"data": "CIFAR10"}


def test_later_files_win_key_by_key(tmp_path):
    second = tmp_path / "second.yaml"
    second.write_text("trainer: {max_epochs: 2}")
    first = config_file(tmp_path, "trainer: {max_epochs: 1, precision: 32}")
    config = compose(["-c", first, f"--config={second}"], keep_trainer=False).config
    assert config["trainer"] == {"max_epochs": 2, "precision": 32}


def test_short_paths_name_packaged_files():
    assert read_config("image_classification/digits.yaml")["data"]["class_path"] == "Digits"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "line 1, column"),
        ("just words", "expected a mapping"),
        ("", "expected a mapping"),
        ("\x00", "not YAML"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        read_config(config_file(tmp_path, text))


def test_an_option_without_its_value():
    with pytest.raises(ValueError, match="--config needs a value"):
        compose(["--config", "--model", "M"], keep_trainer=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine.yaml"], r"mine.yaml belongs to no option; did you mean --config mine.yaml\?"),
        (["--config", "image_classification/digits.yaml", "a.ckpt"], r"did you mean --ckpt_path a.ckpt\?"),
        (["layer1", "--model", "ImageClassification"], "layer1 belongs to no option; a value follows its option"),
    ],
)
def test_a_word_without_an_option_is_not_passed_over(words, said):
    with pytest.raises(ValueError, match=said):
        compose(words, keep_trainer=False)


def test_a_checkpoint_is_not_trusted(tmp_path):
    path = tmp_path / "evil.ckpt"
    torch.save({"blockyard_config": Path("not a plain value")}, path)
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        compose(["--ckpt_path", str(path)], keep_trainer=False)


def test_a_checkpoint_of_others(tmp_path):
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match="not written by 'blockyard fit'"):
        compose(["--ckpt_path", str(path)], keep_trainer=False)


def test_contradictions():
    saved = {"model": {"class_path": "M", "init_args": {"block": PLUGGED}}}
    saved["data"] = {"class_path": "D", "init_args": {"root": "a"}}
    elsewhere = merge(saved, {"data": {"init_args": {"root": "b", "num_workers": 4}}, "trainer": {"devices": 2}})
    assert contradiction(saved, elsewhere) is None
    other = merge(saved, {"model": {"init_args": {"block": {"init_args": {"reduction": 8}}}}})
    assert contradiction(saved, other) == "--model.block.reduction 8 contradicts the checkpoint, trained with 4"
    later = merge(saved, {"model": {"init_args": {"option_of_a_later_version": 0}}})
    assert contradiction(saved, later) is None
    several = {"model": {"class_path": "M", "init_args": {"plugs": None}}}
    assert contradiction(several, merge(several, {"model": {"init_args": {"plugs": [PLUGGED]}}}))
    bare = merge(saved, {"model": {"init_args": {"block": None}}})
    assert contradiction(saved, bare) == "--model.block null contradicts the checkpoint, trained with GlobalContext"
    foreign = copy.deepcopy(saved)
    foreign["model"]["init_args"]["block"]["class_path"] = "mypkg.GlobalContext"
    assert contradiction(saved, foreign).startswith("--model.block mypkg.GlobalContext contradicts the checkpoint")
    moved = copy.deepcopy(saved)
    moved["model"]["init_args"]["block"]["class_path"] = "blockyard.blocks.GlobalContext"
    assert contradiction(saved, moved) is None


def test_another_head_of_mmsegmentation_starts_clean():
    base = {"decode_head": {"type": "PSPHead", "pool_scales": [1, 2], "channels": 64}}
    assert merge(base, {"decode_head": {"type": "FCNHead"}}) == {"decode_head": {"type": "FCNHead"}}
    same = merge(base, {"decode_head": {"type": "PSPHead", "channels": 32}})
    assert same["decode_head"] == {"type": "PSPHead", "pool_scales": [1, 2], "channels": 32}


def test_options_of_evaluation_may_differ_from_the_checkpoint_s():
    saved = {"data": {"class_path": "D", "init_args": {"clips": 10, "window": [4, 4], "frames": 8}}}
    more = merge(saved, {"data": {"init_args": {"clips": 3, "window": [8, 8]}}})
    assert contradiction(saved, more, ["data.clips", "data.window"]) is None
    assert "--data.window.0 8" in contradiction(saved, more, ["data.clips"])
    longer = merge(saved, {"data": {"init_args": {"frames": 16}}})
    assert "--data.frames 16" in contradiction(saved, longer, ["data.clips"])


def test_trust_comes_from_the_command_line_alone(tmp_path):
    config = {
        "seed_everything": 0,
        "model": {"class_path": "M", "init_args": {"trust_config": True, "mmseg_config": "x.py"}},
    }
    path = tmp_path / "trusting.ckpt"
    torch.save({CONFIG_KEY: {**config, "trainer": {}, "data": {}}}, path)
    composed = compose(["--ckpt_path", str(path)], keep_trainer=False)
    assert composed.config["model"]["init_args"] == {"mmseg_config": "x.py"}
    written = tmp_path / "trusting.yaml"
    written.write_text(yaml.safe_dump(config))
    composed = compose(["--config", str(written)], keep_trainer=False)
    assert composed.config["model"]["init_args"] == {"mmseg_config": "x.py"}
    assert compose(["--trust_config"], keep_trainer=True).options == ["--model.trust_config=true"]


def test_flatten_names_keys_as_the_command_line_does():
    nested = {
        "model": {
            "class_path": "blockyard.tasks.M",
            "init_args": {"plugs": [{"at": "x", "block": {"class_path": "B"}}]},
        }
    }
    assert flatten(nested) == {"model": "M", "model.plugs": "[1]", "model.plugs.0.at": "x", "model.plugs.0.block": "B"}


class TestCheckpointOfAFile:
    def test_the_command_line_counts_first(self, tmp_path):
        for name, said in (("one", "last"), ("two", "best"), ("none", "null"), ("list", "[3]")):
            (tmp_path / f"{name}.yaml").write_text(f"ckpt_path: {said}\nseed_everything: 1\n")

        def composed(*arguments: str) -> Composed:
            named = [part for name in arguments[:-1] for part in ("--config", str(tmp_path / f"{name}.yaml"))]
            return compose([*named, *arguments[-1].split()], keep_trainer=True)

        assert composed("one", "").checkpoint == "last"
        assert composed("one", "two", "").checkpoint == "best"
        assert composed("one", "--ckpt_path best").checkpoint == "best"
        assert composed("one", "--ckpt_path null").checkpoint is None
        assert composed("none", "").checkpoint is None
        assert "ckpt_path" not in composed("one", "").config
        with pytest.raises(ValueError, match="no path"):
            composed("list", "")

    def test_it_says_the_options_too(self, tmp_path):
        path = Path(__file__).parents[1] / "checkpoints" / "digits-snl.ckpt"
        (tmp_path / "it.yaml").write_text(f"ckpt_path: {path}\n")
        by_file = compose(["--config", str(tmp_path / "it.yaml")], keep_trainer=False)
        by_option = compose(["--ckpt_path", str(path)], keep_trainer=False)
        assert by_file == by_option


@pytest.mark.parametrize(
    ("options", "width", "left"),
    [
        (["--model.backbone.width", "null"], {"width": None}, []),
        (["--model.backbone.width=null", "--model.at", "stage1"], {"width": None}, ["--model.at", "stage1"]),
        (["--model.backbone.depth", "8", "--model.backbone.width", "~"], {"depth": 8, "width": None}, []),
        (["--model.backbone.width", "8", "--model.block", "null"], {}, None),
        (["--trainer.callbacks+=StopEarly", "--trainer.callbacks.patience", "null"], {}, None),
    ],
    ids=["word", "equals", "with others", "none is nested", "no class within one"],
)
def test_null_for_an_option_of_a_class_within_a_class_goes_the_way_of_a_file(tmp_path, options, width, left):
    """jsonargparse 4.53 takes it for the word None there."""
    base = {"model": {"class_path": "M", "init_args": {"backbone": "B"}}}
    found = compose(["--config", config_file(tmp_path, yaml.safe_dump(base)), *options], keep_trainer=False)
    backbone = found.config["model"]["init_args"]["backbone"]
    named = any(token.startswith("--model.backbone") for token in options)
    assert backbone == ({"class_path": "B", **({"init_args": width} if width else {})} if named else "B")
    assert found.options == (options if left is None else left)
