"""The adapter over timm: stages, features through plugs, local weights, mistakes."""

from __future__ import annotations

import copy
import socket
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from blockyard import plug
from blockyard.backbones import TimmBackbone
from blockyard.backbones.adapters import timm_backbone
from blockyard.blocks import ResidualScaling, SpectralNonlocal


@pytest.mark.parametrize(
    "name", ["resnet10t", "convnext_atto", "efficientnet_b0", "resnext26ts", "swin_tiny_patch4_window7_224"]
)
def test_stages_say_what_the_features_are(name: str):
    backbone = TimmBackbone(5, 1, name).eval()
    side = 224
    with torch.no_grad():
        x = torch.randn(1, 1, side, side)
        maps = backbone.features(x)
        assert backbone(x).shape == (1, 5)
    assert [stage.stride for stage in backbone.stages] == [4, 8, 16, 32]
    for stage, features in zip(backbone.stages, maps, strict=True):
        assert features.shape == (1, stage.channels, side // stage.stride, side // stage.stride)
        assert backbone.net.get_submodule(stage.path) is not None


@pytest.mark.parametrize(
    ("name", "parameters", "maps"),
    [
        ("inception_v4", 42_679_816, [(160, 73), (384, 35), (1024, 17), (1536, 8)]),
        ("inception_resnet_v2", 55_843_464, [(192, 71), (320, 35), (1088, 17), (1536, 8)]),
    ],
)
def test_published_networks_have_their_parameters_and_maps(name: str, parameters: int, maps: list[tuple[int, int]]):
    """Their first convolutions keep to the picture, whose 299 pixels their strides do not divide."""
    with torch.device("meta"):
        backbone = TimmBackbone(1000, name=name).eval()
        found = backbone.features(torch.empty(1, 3, 299, 299))
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    assert [tuple(m.shape[1:]) for m in found] == [(channels, side, side) for channels, side in maps]
    assert [(stage.channels, stage.stride) for stage in backbone.stages] == [
        (channels, stride) for (channels, _), stride in zip(maps, (4, 8, 16, 32), strict=True)
    ]


def test_units_of_inception_networks_take_blocks():
    backbone = TimmBackbone(5, name="inception_resnet_v2").eval()
    plug(backbone, SpectralNonlocal, ["repeat_1.-2", "stage2"], quiet=True, example=(1, 3, 96, 96))
    plug(backbone, ResidualScaling, "repeat*", mode="around", quiet=True, example=(1, 3, 96, 96))
    assert backbone(torch.randn(1, 3, 96, 96)).shape == (1, 5)


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "efficientnet_b0"])
def test_features_go_through_plugs(name: str):
    backbone = TimmBackbone(5, name=name).eval()
    plug(backbone, lambda c, d: nn.Hardtanh(0.1, 0.2), "stage3", quiet=True)
    with torch.no_grad():
        third = backbone.features(torch.randn(1, 3, 64, 64))[2]
    assert third.min() >= torch.tensor(0.1)
    assert third.max() <= torch.tensor(0.2)


@pytest.mark.parametrize("name", ["resnet18", "resnet50d", "seresnet50"])
def test_a_last_stage_without_stride_keeps_weights_and_resolution(name):
    stock, kept = TimmBackbone(5, name=name), TimmBackbone(5, name=name, last_stride=1)
    kept.load_state_dict(stock.state_dict())
    x = torch.randn(1, 3, 64, 32)
    maps = kept.eval().features(x)
    assert maps[-1].shape[2:] == maps[-2].shape[2:] == (4, 2)
    assert kept.stages[-1].stride == 16
    torch.testing.assert_close(maps[-2], stock.eval().features(x)[-2])
    assert kept(x).shape == (1, 5)


def test_output_stride():
    backbone = TimmBackbone(5, name="resnet18", output_stride=8)
    assert [stage.stride for stage in backbone.stages] == [4, 8, 8, 8]
    assert backbone.features(torch.randn(1, 3, 64, 64))[-1].shape == (1, 512, 8, 8)
    assert plug(backbone, SpectralNonlocal, "stage4.-1", quiet=True) is backbone


@pytest.fixture
def stock() -> nn.Module:
    return timm.create_model("resnet10t", num_classes=7)


@pytest.fixture(params=["weights.pth", "weights.safetensors", "training.pth"])
def weights(request: pytest.FixtureRequest, stock: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    state = copy.deepcopy(stock.state_dict())
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if path.stem == "training" else state, path)
    return path


def test_local_weights(stock: nn.Module, weights: Path, capsys: pytest.CaptureFixture[str]):
    backbone = TimmBackbone(7, name="resnet10t", weights=weights)
    loaded = backbone.net.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in stock.state_dict().items())
    assert capsys.readouterr().out == ""


def test_local_weights_of_another_classifier(stock: nn.Module, weights: Path, capsys: pytest.CaptureFixture[str]):
    backbone = TimmBackbone(5, 1, name="resnet10t", weights=weights)
    assert "classifier of 7 classes left out, the one of 5 classes starts anew" in capsys.readouterr().out
    assert torch.equal(backbone.net.layer4[0].conv1.weight, stock.layer4[0].conv1.weight)
    first = backbone.net.conv1[0].weight
    torch.testing.assert_close(first, stock.conv1[0].weight.sum(1, keepdim=True))


def test_mistakes_are_one_line(stock: nn.Module, tmp_path: Path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    torch.save(stock, tmp_path / "pickled.pth")
    cases = {
        "no network 'resnet5O'; near: resnet50": {"name": "resnet5O"},
        "there is no file of weights": {"weights": tmp_path / "none.pth"},
        "cannot be read as weights": {"weights": tmp_path / "broken.pth"},
        "pickled.pth cannot be read as weights": {"weights": tmp_path / "pickled.pth"},
        "holds other weights": {"weights": tmp_path / "other.pth", "name": "resnet10t"},
        "does not take output_stride=8": {"name": "vit_tiny_patch16_224", "output_stride": 8},
        "not both": {"pretrained": True, "weights": tmp_path / "other.pth"},
    }
    for why, options in cases.items():
        with pytest.raises(ValueError, match=why) as error:
            TimmBackbone(10, **options)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "strides"), [("resnet10t", [2]), ("vgg11_bn", [1, 2]), ("mobilenetv2_050", [2])])
def test_maps_before_those_of_the_stages_are_given_where_they_are_asked_for(name: str, strides: list[int]):
    plain, whole = TimmBackbone(name=name).eval(), TimmBackbone(name=name, stem=True).eval()
    assert (plain.before_stages, whole.stages) == ((), plain.stages)
    assert [stage.stride for stage in whole.before_stages] == strides
    whole.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        first, later = whole(x)[: len(strides)], whole(x)[len(strides) :]
        assert all(torch.equal(a, b) for a, b in zip(later, plain(x), strict=True))
    assert [tuple(m.shape) for m in first] == [
        (1, s.channels, 32 // s.stride, 64 // s.stride) for s in whole.before_stages
    ]
    assert all(whole.net.get_submodule(stage.path) is not None for stage in whole.before_stages)


def test_stages_have_as_many_units_as_are_asked_for():
    network = TimmBackbone(10, name="resnet18", layers=(1, 3, 2, 1))
    assert [len(network.net.get_submodule(stage.path)) for stage in network.stages] == [1, 3, 2, 1]


def test_paths_drop_more_often_with_depth():
    rates = [
        m.drop_prob for m in TimmBackbone(5, name="resnet10t", drop_path_rate=0.3).modules() if hasattr(m, "drop_prob")
    ]
    assert rates == pytest.approx([0.1, 0.2, 0.3])  # the first of four units has none
    assert not any(hasattr(module, "drop_prob") for module in TimmBackbone(5, name="resnet10t").modules())


def test_a_family_without_paths_to_drop_is_refused():
    with pytest.raises(ValueError, match=r"vgg11 does not take drop_path_rate=0\.3"):
        TimmBackbone(5, name="vgg11", drop_path_rate=0.3)


@pytest.mark.parametrize(
    "name", ["hf-hub:someone/network", "hf_hub:someone/network", "local-dir:/somewhere", "timm/resnet18"]
)
def test_a_name_is_that_of_a_network_and_no_address(name: str):
    with pytest.raises(ValueError, match="timm has no network"):
        TimmBackbone(10, name=name)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(timm_backbone, "getproxies", dict)


@pytest.mark.usefixtures("no_network")
def test_pretrained_without_a_network_is_one_line_at_once(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(ValueError, match=r"pretrained weights of resnet10t, can't be reached from here; give weights="):
        TimmBackbone(10, name="resnet10t", pretrained=True)


@pytest.mark.usefixtures("no_network")
def test_what_was_fetched_before_needs_no_network(monkeypatch, tmp_path: Path):
    fetched = timm.create_model("resnet10t")
    torch.save(fetched.state_dict(), tmp_path / "pytorch_model.bin")
    there = {"pytorch_model.bin": str(tmp_path / "pytorch_model.bin")}
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda _, file: there.get(file))
    backbone = TimmBackbone(10, name="resnet10t", pretrained=True)
    assert torch.equal(backbone.net.layer1[0].conv1.weight, fetched.layer1[0].conv1.weight)
