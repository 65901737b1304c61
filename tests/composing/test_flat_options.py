"""Flat options go where the command line puts the same words."""

from __future__ import annotations

import pytest

from blockyard.composing.composition import compose
from blockyard.composing.flat_options import laid_over, option_names, said_twice
from blockyard.composing.merging import merge
from blockyard.composing.preparing import prepare
from blockyard.composing.resolving import resolve

BASE = {
    "model": {
        "class_path": "ImageClassification",
        "init_args": {
            "backbone": {"class_path": "PreResNet", "init_args": {"depth": 20}},
            "optimizer": {"class_path": "SGD", "init_args": {"lr": 0.1, "momentum": 0.9}},
        },
    },
    "data": "Digits",
    "trainer": {"max_epochs": 6, "callbacks": ["StopEarly"]},
}
FLAT = {
    "model.backbone.depth": 8,
    "model.optimizer": "AdamW",
    "model.optimizer.lr": 0.001,
    "model.mixing.mixup_alpha": 0.2,
    "data.variant": "8x8",
    "trainer.max_epochs": 3,
    "trainer.callbacks+": "EMA",
}


def test_resolve_to_what_the_command_line_resolves_to(tmp_path, monkeypatch):
    """Every kind of place: in a class, of another class, in no class, in a class by its name, appended."""
    monkeypatch.chdir(tmp_path)
    prepare()
    digits = ["--config", "image_classification/digits.yaml"]
    line = compose([*digits, *(f"--{key}={value}" for key, value in FLAT.items())], keep_trainer=True)
    base = compose(digits, keep_trainer=True)
    base.config = laid_over(base.config, FLAT)
    assert resolve(base) == resolve(line)


def test_the_order_of_the_file_does_not_matter():
    backwards = dict(reversed(FLAT.items()))
    laid = laid_over(BASE, FLAT)
    assert laid == laid_over(BASE, backwards)
    assert laid["model"]["init_args"]["optimizer"] == {"class_path": "AdamW", "init_args": {"lr": 0.001}}
    assert laid["data"] == {"class_path": "Digits", "init_args": {"variant": "8x8"}}
    assert laid["trainer"]["callbacks"] == ["StopEarly", "EMA"]


@pytest.mark.parametrize(
    "nested",
    [
        {"trainer": {"max_epochs": 3}},
        {"model": {"init_args": {"backbone": {"init_args": {"depth": 8}}, "block": None}}},
        {"model": {"init_args": {"backbone": {"class_path": "PreResNet", "init_args": {"linear": True}}}}},
        {"model": {"init_args": {"backbone": {"class_path": "TimmBackbone", "init_args": {"name": "resnet18"}}}}},
        {"model": {"init_args": {"backbone": "TimmBackbone", "optimizer": "SGD"}}},
        {"data": {"class_path": "ImageFolder", "init_args": {"root": "data.v2"}}, "seed_everything": 3},
    ],
)
def test_nested_options_are_merged_as_configurations_are(nested):
    assert laid_over(BASE, nested) == merge(BASE, nested)


def test_init_args_may_be_left_out_where_the_class_is_known():
    laid = laid_over(BASE, {"model": {"optimizer": {"lr": 0.05}}, "data": {"variant": "8x8"}})
    assert laid["model"]["init_args"]["optimizer"] == {"class_path": "SGD", "init_args": {"lr": 0.05, "momentum": 0.9}}
    assert laid["data"] == {"class_path": "Digits", "init_args": {"variant": "8x8"}}


def test_nothing_is_changed_in_place():
    before = repr(BASE)
    laid_over(BASE, FLAT)
    assert repr(BASE) == before


@pytest.mark.parametrize(
    ("options", "twice"),
    [
        ({"trainer": {"max_epochs": 3}, "trainer.max_epochs": 3}, "trainer.max_epochs"),
        ({"model": {"init_args": {"lr": 1}}, "model.lr": 2}, "model.lr"),
        ({"model.lr": 1, "model.init_args.lr": 2}, "model.lr"),
        ({"model.net": {"class_path": "A", "init_args": {"depth": 8}}, "model.net.depth": 20}, "model.net.depth"),
        ({"block": "A", "block.class_path": "B", "at": "x"}, "block"),
        ({"model.backbone": "A", "model.backbone.depth": 20, "trainer": {"max_epochs": 3}, "trainer.devices": 1}, None),
    ],
)
def test_what_is_said_twice(options, twice):
    assert said_twice(options) == twice


def test_names_are_those_of_the_command_line():
    nested = {"model": {"class_path": "M", "init_args": {"backbone": {"class_path": "B", "init_args": {"depth": 8}}}}}
    assert option_names(nested) == ["model", "model.backbone", "model.backbone.depth"]
    assert option_names({"trainer.callbacks+": ["EMA"]}) == ["trainer.callbacks"]


def test_what_has_no_options_is_named():
    with pytest.raises(ValueError, match=r"trainer\.max_epochs\.x: trainer\.max_epochs is 6 there, which has no opt"):
        laid_over(BASE, {"trainer.max_epochs.x": 1})
