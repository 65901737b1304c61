"""Nothing that a config for mmsegmentation says makes foreign code run, or a file be read, wherever it stands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from blockyard.backbones import MMSegBackbone
from blockyard.backbones.adapters import mmseg_slots
from blockyard.backbones.adapters.mmseg_config import class_of
from blockyard.backbones.adapters.mmseg_slots import KINDS, check, known
from blockyard.composing.config_files import config_names, read_config
from blockyard.heads import check_heads
from blockyard.heads.decode_head import register_own_heads

MARKER = "marker_of_foreign_code"
"""The module that the fixture ``traces`` makes."""
Form = Callable[[], Any]


class NoName:
    """Stands for a class object in place of a name."""


FOREIGN: dict[str, tuple[Form, str]] = {
    "dotted": (lambda: {"type": f"{MARKER}.call"}, ".type"),
    "scope": (lambda: {"type": f"{MARKER}.Thing", "requires_grad": True}, ".type"),
    "module": (lambda: {"type": MARKER}, ".type"),
    "of mmengine": (lambda: {"type": "mmengine.model.BaseModule"}, ".type"),
    "scoped": (lambda: {"type": "mmseg.ReLU"}, ".type"),
    "class": (lambda: {"type": NoName}, ".type"),
    "list of names": (lambda: {"type": [f"{MARKER}.call"]}, ".type"),
    "in a list": (lambda: [{"type": f"{MARKER}.call"}], "[0].type"),
    "second": (lambda: [None, {"type": f"{MARKER}.call"}], "[1].type"),
    "deep": (lambda: {"extra": ({"more": [[{"type": f"{MARKER}.call"}]]},)}, ".extra[0].more[0][0].type"),
    "other scope": (lambda: {"_scope_": MARKER, "requires_grad": True}, ""),
    "default scope": (lambda: {"default_scope": MARKER}, ""),
    "imports": (lambda: {"custom_imports": {"imports": [MARKER]}}, ""),
    "base": (lambda: {"_base_": "other.py"}, ""),
    "deleted": (lambda: {"_delete_": True}, ""),
    "number as key": (lambda: {1: 2}, ""),
    "object": (lambda: {"x": NoName()}, ".x"),
    "text": (lambda: f"{MARKER}.call", ""),
    "fetched": (lambda: {"init_cfg": {"type": "Pretrained", "checkpoint": "weights"}}, ".init_cfg.type"),
    "fetched second": (
        lambda: {"init_cfg": [{"type": "Kaiming"}, {"type": "Pretrained", "checkpoint": "weights"}]},
        ".init_cfg[1].type",
    ),
    "fetched by scope": (lambda: {"init_cfg": {"type": "mmengine.Pretrained", "checkpoint": "w"}}, ".init_cfg.type"),
    "fetched by override": (
        lambda: {"init_cfg": {"type": "Kaiming", "override": {"type": "Pretrained", "name": "a"}}},
        ".init_cfg.override.type",
    ),
    "pretrained": (lambda: {"pretrained": "weights"}, ".pretrained"),
    "timm's": (lambda: {"pretrained": True}, ".pretrained"),
    "a file": (lambda: {"checkpoint_path": "weights"}, ".checkpoint_path"),
    "weights of classes": (lambda: {"class_weight": "weights"}, ".class_weight"),
    "a path": (lambda: {"anything": "../weights"}, ".anything"),
    "an address": (lambda: {"anything": "http:example"}, ".anything"),
    "a network of the hub": (lambda: {"model_name": "hf-hub:someone"}, ".model_name"),
    "a norm by name": (lambda: {"norm_layer": MARKER}, ".norm_layer"),
    "a convolution by name": (lambda: {"conv_type": MARKER}, ".conv_type"),
    "a padding by name": (lambda: {"padding_mode": MARKER}, ".padding_mode"),
}
"""What must not stand in a config, and how the path in the answer goes on."""
PARTS = ("backbone", "neck", "decode_head")


@pytest.fixture(autouse=True, scope="module")
def _own_heads() -> None:
    register_own_heads()


def refused(config: Any, kind: str, path: str, slot: str | None = None) -> None:
    """One line that begins with the path of what is wrong, or of a key above it but not above the slot."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  what it says is compared below
        check(config, kind, kind)
    said = str(error.value)
    assert "\n" not in said
    assert path.startswith(said.partition(": ")[0]), (path, said)
    assert said.startswith(slot or path), (path, said)


def constructors() -> Iterator[tuple[str, str, str]]:
    """Every option of every backbone, neck and head that a config can name."""
    for kind in PARTS:
        for name, cls in known(kind).items():
            named = {option for base in cls.__mro__ for option in inspect.signature(base.__init__).parameters}
            yield from ((kind, name, option) for option in sorted(named - {"self", "args", "kwargs"}))


def test_every_option_of_every_constructor(traces, monkeypatch):
    monkeypatch.setattr(mmseg_slots, "nearest", lambda *_: "")  # it takes three quarters of the time
    slots = [slot for slot in constructors() if slot[2] != "block"]  # which is BlockHead's, and has a test of its own
    assert len(slots) > 1200
    met = set()
    for kind, name, option in slots:  # a foreign name in each, and every form in one of those of the same name
        forms = [FOREIGN["dotted"], FOREIGN["text"]] if option in met else FOREIGN.values()
        met.add(option)
        for make, rest in forms:
            refused({"type": name, option: make()}, kind, f"{kind}.{option}{rest}", f"{kind}.{option}")
    assert len(met) > 200


def nested(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping with ``type`` in a configuration, with its path."""
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield path, value
        for key, inner in value.items():
            yield from nested(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from nested(inner, f"{path}[{index}]")


def test_every_place_in_every_configuration_that_ships(traces):
    places = 0
    for config in map(read_config, config_names()):
        options = config.get("model", {}).get("init_args", {})
        heads = {"decode_head": options.get("decode_head"), "auxiliary_heads": options.get("auxiliary_heads")}
        for path, entry in nested(heads):
            for form, (make, rest) in FOREIGN.items():
                before = dict(entry)
                found = make()
                if form in ("dotted", "scope", "module", "scoped", "class", "list of names"):
                    entry["type"] = found["type"]
                    expected = f"{path}.type"
                else:
                    entry["something"] = found
                    expected = f"{path}.something{rest}"
                with pytest.raises(ValueError) as error:  # noqa: PT011  what it says is compared below
                    check_heads(heads["decode_head"], heads["auxiliary_heads"] or [])
                if path.rpartition(".")[2] != "block" or "something" not in entry:
                    assert str(error.value).startswith(expected.removesuffix(".type")), form
                entry.clear()
                entry.update(before)
                places += 1
        if heads["decode_head"]:
            check_heads(heads["decode_head"], heads["auxiliary_heads"] or [])  # as it ships it passes
    assert places > 20 * len(FOREIGN)


@pytest.mark.parametrize(
    ("key", "fitting", "other"),
    [
        ("norm_cfg", "BN", "ReLU"),
        ("act_cfg", "ReLU", "BN"),
        ("conv_cfg", "ConvWS", "FCNHead"),
        ("pad_cfg", "reflect", "BN"),
        ("upsample_cfg", "InterpConv", "DiceLoss"),
        ("dropout_layer", "DropPath", "Conv2d"),
        ("loss_decode", "DiceLoss", "FCNHead"),
        ("init_cfg", "Kaiming", "OHEMPixelSampler"),
        ("sampler", "OHEMPixelSampler", "DiceLoss"),
        ("assigner", "HungarianAssigner", "OHEMPixelSampler"),
        ("match_costs", "DiceCost", "DiceLoss"),
        ("backbone_cfg", "ResNet", "FPN"),
        ("kernel_generate_head", "FCNHead", "ResNet"),
        ("anything_else", "FFN", "EncoderDecoder"),
        ("norm_layer", "LN", "ReLU"),
    ],
)
def test_a_slot_takes_what_fits_it(key: str, fitting: str, other: str):
    check({"type": "FCNHead", key: [{"type": fitting}]}, "decode_head", "decode_head")
    refused({"type": "FCNHead", key: [{"type": other}]}, "decode_head", f"decode_head.{key}[0].type")


def test_plugins_are_layers_that_mmcv_plugs_in():
    plugin = {"cfg": {"type": "ContextBlock", "ratio": 1 / 16}, "stages": (True, False), "position": "after_conv3"}
    check({"type": "ResNet", "plugins": [plugin]}, "backbone", "backbone")
    plugin["cfg"] = {"type": f"{MARKER}.call"}
    refused({"type": "ResNet", "plugins": [plugin]}, "backbone", "backbone.plugins[0].cfg.type")


def test_every_kind_has_classes():
    assert {kind for kind in KINDS if not known(kind)} == set()
    assert "Pretrained" not in known("initialiser")


def test_what_a_package_of_the_user_registered_is_known():
    from mmseg.registry import MODELS
    from torch import nn

    class OwnLoss(nn.Module):
        pass

    OwnLoss.__module__ = "mypkg.losses"
    MODELS.register_module(module=OwnLoss)
    try:
        check({"type": "FCNHead", "loss_decode": {"type": "OwnLoss"}}, "decode_head", "decode_head")
    finally:
        del MODELS.module_dict["OwnLoss"]


def test_the_block_of_a_head(traces):
    for block in ("Nonlocal", {"type": "SpectralNonlocal", "order": 2}, {"class_path": "blockyard.blocks.Nonlocal"}):
        check({"type": "BlockHead", "block": block}, "decode_head", "decode_head")
    for block in (MARKER, f"{MARKER}.Thing", {"class_path": f"{MARKER}.Thing"}, {"type": MARKER}, 3, None):
        refused({"type": "BlockHead", "block": block}, "decode_head", "decode_head.block")
    hidden = {"type": "Nonlocal", "affinity": {"type": f"{MARKER}.call"}}
    refused({"type": "BlockHead", "block": hidden}, "decode_head", "decode_head.block.affinity.type")


def test_a_part_of_a_head_is_no_head():
    with pytest.raises(ValueError, match="KernelUpdator is a part of a decode head"):
        class_of({"type": "KernelUpdator"}, "decode_head")


def test_a_config_that_holds_itself_ends():
    config: dict[str, Any] = {"type": "FCNHead"}
    config["extra"] = config
    with pytest.raises(ValueError, match=r"^decode_head\.extra\.extra.*: nested deeper than 30 levels$"):
        check(config, "decode_head", "decode_head")


def test_nothing_is_built_before_all_of_it_was_looked_at(traces):
    with pytest.raises(ValueError, match=r"^backbone\.norm_cfg\.type: mmsegmentation has no norm 'marker"):
        MMSegBackbone(config={"type": "ResNet", "depth": 18, "norm_cfg": {"type": f"{MARKER}.call"}})
