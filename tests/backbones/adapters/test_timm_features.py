"""Feature pyramids of timm: stages, stock weights, no parameter without a gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from blockyard import plug
from blockyard.backbones import TimmFeatures
from blockyard.blocks import SpectralNonlocal

NAMES = ["resnet10t", "convnext_atto", "efficientnet_b0", "swin_tiny_patch4_window7_224"]


@pytest.mark.parametrize("name", NAMES)
def test_stages_say_what_the_maps_are_and_every_parameter_is_used(name: str):
    backbone = TimmFeatures(0, 1, name)
    maps = backbone(torch.randn(2, 1, 224, 224))
    assert [stage.stride for stage in backbone.stages] == [4, 8, 16, 32]
    for stage, x in zip(backbone.stages, maps, strict=True):
        assert x.shape == (2, stage.channels, 224 // stage.stride, 224 // stage.stride)
    maps[-1].sum().backward()
    assert [key for key, p in backbone.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "efficientnet_b0"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_stock_weights_load_strictly(name: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stock, path = timm.create_model(name).eval(), tmp_path / f"weights.{suffix}"
    state = stock.state_dict()
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    backbone = TimmFeatures(name=name, weights=path).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = stock.forward_intermediates(x, intermediates_only=True)[-1]
        assert torch.equal(backbone(x)[-1], expected)
    assert capsys.readouterr().out == ""


def test_stock_weights_load_later_too():
    stock, backbone = timm.create_model("resnet10t"), TimmFeatures(name="resnet10t")
    backbone.net.load_state_dict(stock.state_dict())
    assert torch.equal(backbone.net.layer4[0].conv1.weight, stock.layer4[0].conv1.weight)
    assert set(stock.state_dict()) - set(backbone.net.state_dict()) == {"fc.weight", "fc.bias"}


def test_another_number_of_channels(tmp_path: Path):
    stock = timm.create_model("resnet10t")
    torch.save(stock.state_dict(), tmp_path / "weights.pth")
    backbone = TimmFeatures(0, 1, "resnet10t", weights=tmp_path / "weights.pth")
    torch.testing.assert_close(backbone.net.conv1[0].weight, stock.conv1[0].weight.sum(1, keepdim=True))


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_output_stride(stride: int):
    backbone = TimmFeatures(name="resnet18", output_stride=stride)
    assert backbone.stages[-1].stride == stride
    assert backbone(torch.randn(1, 3, 64, 64))[-1].shape == (1, 512, 64 // stride, 64 // stride)


def test_blocks_plug_at_stages():
    backbone = TimmFeatures(name="resnet10t").eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = backbone(x)
        plug(backbone, SpectralNonlocal, ["stage3.-1", "layer2.0"], quiet=True)
        assert all(torch.equal(a, b) for a, b in zip(backbone(x), before, strict=True))


def test_mistakes_are_one_line(tmp_path: Path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "other.pth")
    cases = {
        "no network 'resnet5O'; near: resnet50": {"name": "resnet5O"},
        "holds other weights": {"weights": tmp_path / "other.pth", "name": "resnet10t"},
        "does not take output_stride=8": {"name": "vit_tiny_patch16_224", "output_stride": 8},
        "not both": {"pretrained": True, "weights": tmp_path / "other.pth"},
    }
    for why, options in cases.items():
        with pytest.raises(ValueError, match=why) as error:
            TimmFeatures(**options)
        assert "\n" not in str(error.value)
