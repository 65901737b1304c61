"""Backbones of mmsegmentation from their configs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from blockyard import plug
from blockyard.backbones import MMSegBackbone
from blockyard.backbones.adapters.mmseg_config import plain, without_weights
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_parameters

RESNET18: dict[str, Any] = {"type": "ResNetV1c", "depth": 18}
CONFIGS: dict[str, dict[str, Any]] = {
    "dilated": {**RESNET18, "strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4), "contract_dilation": True},
    "synchronised": {**RESNET18, "norm_cfg": {"type": "SyncBN"}},
    "swin": {"type": "SwinTransformer", "embed_dims": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1)},
    "mit": {"type": "MixVisionTransformer", "embed_dims": 16, "num_layers": [1, 1, 1, 1]},
    "mobile": {"type": "MobileNetV2", "out_indices": (1, 2, 4, 6)},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_stages_say_what_the_maps_are(name: str):
    backbone = MMSegBackbone(config=CONFIGS[name])
    maps = backbone(torch.randn(2, 3, 64, 64))
    assert len(maps) == 4
    for stage, x in zip(backbone.stages, maps, strict=True):
        assert x.shape == (2, stage.channels, 64 // stage.stride, 64 // stage.stride)
    sum(x.sum() for x in maps).backward()
    assert [key for key, p in backbone.named_parameters() if p.grad is None] == []


def test_the_default_is_the_dilated_resnet50():
    backbone = MMSegBackbone()
    assert [(s.path, s.channels, s.stride) for s in backbone.stages] == [
        ("layer1", 256, 4),
        ("layer2", 512, 8),
        ("layer3", 1024, 8),
        ("layer4", 2048, 8),
    ]
    # torchvision's ResNet-50 (25,557,032) without its classifier, with three 3×3 convolutions for the 7×7 one
    stem = 9 * 32 * (3 + 32 + 64) + 2 * (32 + 32 + 64)
    assert count_parameters(backbone) == 25_557_032 - 2049 * 1000 - (49 * 3 * 64 + 2 * 64) + stem
    assert [unit.conv2.dilation[0] for unit in backbone.net.layer4] == [2, 4, 4]


def test_blocks_plug_at_stages():
    backbone = MMSegBackbone(config=CONFIGS["dilated"]).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = backbone(x)
        plug(backbone, SpectralNonlocal, ["stage3.-1", "layer2.0"], quiet=True)
        assert all(torch.equal(a, b) for a, b in zip(backbone(x), before, strict=True))


def test_norms_are_plain_until_the_trainer_converts_them():
    backbone = MMSegBackbone(config=CONFIGS["synchronised"])
    assert {type(m) for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)} == {nn.BatchNorm2d}


@pytest.mark.parametrize("layout", ["backbone", "segmentor", "classifier"])
def test_local_weights(layout: str, tmp_path: Path):
    state = MMSegBackbone(config=RESNET18).net.state_dict()
    saved = dict(state)
    if layout == "segmentor":
        saved = {f"backbone.{key}": value for key, value in state.items()} | {
            "decode_head.conv_seg.bias": torch.ones(2)
        }
    if layout == "classifier":
        saved |= {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2)}
    torch.save({"state_dict": saved, "meta": {}}, tmp_path / "weights.pth")
    loaded = MMSegBackbone(config=RESNET18, weights=tmp_path / "weights.pth").net.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_stock_configs_lose_what_fetches_weights_and_nothing_else():
    pretrained = {"type": "Pretrained", "checkpoint": "https://example.org/x.pth"}
    config = {
        "pretrained": "open-mmlab://resnet50_v1c",
        "init_cfg": pretrained,
        "neck": {"init_cfg": [pretrained, {"type": "Kaiming"}], "norm_cfg": {"type": "SyncBN", "requires_grad": True}},
        "other": ({"init_cfg": [pretrained], "pretrained": None}, {"init_cfg": None}),
        "scales": (1, 2),
    }
    assert without_weights(plain(config)) == {
        "neck": {"init_cfg": [{"type": "Kaiming"}], "norm_cfg": {"type": "BN", "requires_grad": True}},
        "other": ({}, {"init_cfg": None}),
        "scales": (1, 2),
    }
    assert "pretrained" in config


def test_mistakes_are_one_line(tmp_path: Path):
    other = MMSegBackbone(config={**RESNET18, "base_channels": 32}).net.state_dict()
    torch.save(other, tmp_path / "other.pth")
    torch.save({f"backbone.{key}": value for key, value in other.items()}, tmp_path / "segmentor.pth")
    cases: dict[str, dict[str, Any]] = {
        "no backbone 'ResNetV1x'; did you mean": {"config": {"type": "ResNetV1x"}},
        "must be a mapping with a 'type'": {"config": {"depth": 18}},
        "ResNetV1c has no option 'depht'; did you mean depth": {"config": {**RESNET18, "depht": 50}},
        "invalid depth 51": {"config": {**RESNET18, "depth": 51}},
        "the config is for 4 channels, the images have 3": {"config": {**RESNET18, "in_channels": 4}},
        "MobileNetV2 has no option 'in_channels'": {"config": CONFIGS["mobile"], "in_channels": 1},
        "holds other weights": {"config": RESNET18, "weights": tmp_path / "other.pth"},
        "95 of another shape": {"config": RESNET18, "weights": tmp_path / "segmentor.pth"},
        "there is no file of weights": {"config": RESNET18, "weights": tmp_path / "none.pth"},
    }
    for why, options in cases.items():
        with pytest.raises(ValueError, match=why) as error:
            MMSegBackbone(**options)
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_mmsegmentation_is_imported_by_the_first_network_only():
    code = "import sys, blockyard.backbones, blockyard.heads; print({'mmseg', 'mmcv', 'lightning'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
