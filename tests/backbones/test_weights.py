"""Weights from a local file: the layouts read, what is adapted, and the report of what did not match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import (
    Backbone,
    Framewise,
    MMSegBackbone,
    PDCNet,
    PreResNet,
    PyTorchVideoBackbone,
    TimmBackbone,
)
from blockyard.backbones.layouts import respelt
from blockyard.backbones.weights import Parts, load_weights, weights_follow
from blockyard.blocks import SpectralNonlocal
from blockyard.poolings import ISqrtCov

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def video() -> State:
    torch.manual_seed(1)
    return PyTorchVideoBackbone(7, name="x3d_xs").net.state_dict()


def video_backbone(classes: int, channels: int = 3, **options: Any) -> PyTorchVideoBackbone:
    return PyTorchVideoBackbone(classes, channels, name="x3d_xs", **options)


@pytest.mark.parametrize("layout", ["model_state", "state_dict", "bare", "safetensors", "from DDP"])
def test_every_layout_gives_the_same_weights(
    layout: str, video: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / ("weights.safetensors" if layout == "safetensors" else "weights.pyth")
    if layout == "safetensors":
        save_file(video, path)
    else:
        prefixed = {f"module.{key}": value for key, value in video.items()}
        contents = {"bare": video, "from DDP": {"model_state": prefixed}}
        torch.save(contents.get(layout, {layout: video, "epoch": 3}), path)
    loaded = video_backbone(7, weights=path).net.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in video.items())
    assert capsys.readouterr().out == ""


def test_other_classes_and_other_channels(video: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save({"model_state": video}, tmp_path / "weights.pyth")
    backbone = video_backbone(5, 1, weights=tmp_path / "weights.pyth")
    out = capsys.readouterr().out
    assert out == "weights.pyth: classifier of 7 classes left out, the one of 5 classes starts anew\n"
    stem = "blocks.0.conv.conv_t.weight"
    torch.testing.assert_close(backbone.net.state_dict()[stem], video[stem].sum(1, keepdim=True))


@pytest.mark.parametrize("name", ["slowfast_r50", "mvit_base_16x4"])
def test_every_stem_is_adapted(name: str, tmp_path: Path):
    torch.save(PyTorchVideoBackbone(5, name=name).net.state_dict(), tmp_path / "weights.pth")
    backbone = PyTorchVideoBackbone(5, 1, name, weights=tmp_path / "weights.pth")
    assert backbone.in_channels == 1


def damaged(state: State) -> State:
    """One tensor missing, one unexpected, one of another shape."""
    state = {key: value for key, value in state.items() if key != "blocks.1.res_blocks.0.branch1_conv.weight"}
    return state | {"extra.weight": torch.zeros(3), "blocks.0.norm.weight": torch.zeros(5)}


def test_strict_names_what_does_not_match_in_one_line(video: State, tmp_path: Path):
    torch.save(damaged(video), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="holds other weights") as error:
        video_backbone(7, weights=tmp_path / "weights.pth")
    message = str(error.value)
    assert "\n" not in message
    assert "1 missing (blocks.1.res_blocks.0.branch1_conv.weight)" in message
    assert "1 unexpected (extra.weight)" in message
    assert "1 of another shape (blocks.0.norm.weight (5) for (24))" in message
    assert message.endswith("strict=False loads the rest")


def test_not_strict_loads_the_rest_and_reports(video: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save(damaged(video), tmp_path / "weights.pth")
    loaded = video_backbone(7, weights=tmp_path / "weights.pth", strict=False).net.state_dict()
    assert capsys.readouterr().out.splitlines() == [
        f"weights.pth: {len(video) - 2} tensors loaded",
        "  1 missing: blocks.1.res_blocks.0.branch1_conv.weight",
        "  1 unexpected: extra.weight",
        "  1 of another shape: blocks.0.norm.weight (5) for (24)",
    ]
    others = set(video) - {"blocks.1.res_blocks.0.branch1_conv.weight", "blocks.0.norm.weight"}
    assert all(torch.equal(video[key], loaded[key]) for key in others)


def test_not_strict_still_refuses_a_file_of_which_nothing_fits(tmp_path: Path):
    torch.save({"other": torch.zeros(2)}, tmp_path / "weights.pth")
    for backbone in (video_backbone, lambda k, **options: TimmBackbone(k, name="resnet10t", **options)):
        with pytest.raises(ValueError, match=r"1 unexpected \(other\)$"):
            backbone(7, weights=tmp_path / "weights.pth", strict=False)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("executed",)


def test_no_code_in_a_file_runs(video: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save({"model_state": video, "extra": Malicious()}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="cannot be read as weights") as error:
        video_backbone(7, weights=tmp_path / "weights.pth")
    assert "\n" not in str(error.value)
    assert "executed" not in capsys.readouterr().out


def test_a_file_without_tensors_by_name(tmp_path: Path):
    torch.save({"epoch": 3, "optimizer": {}}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="it holds epoch, optimizer, not tensors by name"):
        load_weights(nn.Linear(2, 2), tmp_path / "weights.pth", Parts(in_channels=3))


def lightning(prefix: str, state: State, path: Path, **others: Tensor) -> Path:
    """A training's checkpoint whose network lies below a prefix."""
    torch.save({"state_dict": {f"{prefix}{key}": value for key, value in state.items()} | others, "epoch": 1}, path)
    return path


RESNET = {"type": "ResNetV1c", "depth": 18}
MAKERS = {
    "PreResNet": lambda k, **o: PreResNet(k, depth=8, **o),
    "PDCNet": lambda k, **o: PDCNet(k, widths=(4, 8), units=(1, 1), **o),
    "timm": lambda k, **o: TimmBackbone(k, name="resnet10t", **o),
    "timm, pooled": lambda k, **o: TimmBackbone(k, name="resnet10t", pooling=ISqrtCov if k else None, **o),
    "video": lambda k, **o: PyTorchVideoBackbone(k, name="x3d_xs", **o),
    "frames": lambda k, **o: Framewise(k, name="resnet10t", temporal="attention", **o),
    "LSTM": lambda k, **o: Framewise(k, name="resnet10t", temporal="lstm", hidden=4, **o),
    "mmsegmentation": lambda k, **o: MMSegBackbone(0, config=RESNET, **o),
}


def equal(one: Backbone, other: Backbone) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", MAKERS)
def test_checkpoints_of_classification_load_whole(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trained = MAKERS[name](5)
    path = lightning("network.", trained.state_dict(), tmp_path / "last.ckpt")
    assert equal(MAKERS[name](5, weights=path), trained)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", MAKERS)
def test_what_needs_no_head_takes_none_and_says_nothing(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trained = MAKERS[name](5)
    path = lightning("network.", trained.state_dict(), tmp_path / "last.ckpt")
    trunk = MAKERS[name](0, weights=path)
    whole = trained.state_dict()
    assert all(torch.equal(value, whole[key]) for key, value in trunk.state_dict().items())
    assert trunk.num_classes == 0
    assert "missing" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "prefix", "head"),
    [
        ("PreResNet", "network.backbone.", "bn1, conv2, bn2, fc start anew"),
        ("PreResNet", "network.backbone.net.", "bn1, conv2, bn2, fc start anew"),
        ("PDCNet", "network.backbone.", "fc starts anew"),
        ("timm", "network.backbone.", "fc starts anew"),
        ("video", "network.backbone.", "blocks.5"),
    ],
)
def test_of_another_task_the_trunk_is_taken_and_the_rest_said_in_one_line(
    name: str, prefix: str, head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    trained = MAKERS[name](5).trunk()
    others = {"network.neck.weight": torch.ones(3), "network.classifier.weight": torch.ones(7, 3)}
    path = lightning(prefix, trained.state_dict(), tmp_path / "people.ckpt", **others)
    network = MAKERS[name](5, weights=path)
    state = network.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in trained.state_dict().items())
    out = capsys.readouterr().out
    assert out.startswith("people.ckpt: neck, classifier left out; ")
    assert head in out
    assert out.count("\n") == 1


def test_a_stock_network_s_keys_below_a_segmentor(tmp_path: Path):
    """A segmentor holds what an adapter adapts, by the stock network's own names."""
    trained = TimmBackbone(name="resnet10t")
    path = lightning("network.backbone.", trained.net.state_dict(), tmp_path / "seg.ckpt")
    assert equal(TimmBackbone(name="resnet10t", weights=path), trained)


def test_torchvision_s_resnet(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from torchvision.models import resnet18

    stock = resnet18(num_classes=5).eval()
    torch.save(stock.state_dict(), tmp_path / "resnet18.pth")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        network = TimmBackbone(5, name="resnet18", weights=tmp_path / "resnet18.pth").eval()
        torch.testing.assert_close(network(x), stock(x), rtol=1e-5, atol=1e-5)  # the same sums, perhaps in other order
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("theirs", "ours"), [("mobilenet_v2", "mobilenetv2_100"), ("mnasnet0_5", "mnasnet_050")])
def test_torchvision_s_other_names(theirs: str, ours: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from torchvision.models import get_model

    stock = get_model(theirs, num_classes=7).eval()
    for module in stock.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics as if trained: exchanged ones would show
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    torch.save(stock.state_dict(), tmp_path / "weights.pth")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        network = TimmBackbone(7, name=ours, weights=tmp_path / "weights.pth").eval()
        torch.testing.assert_close(network(x), stock(x), rtol=1e-4, atol=1e-5)  # float32 through fifty layers
    assert capsys.readouterr().out == "weights.pth: its names are others: tensors taken in their order\n"
    TimmBackbone(5, 1, ours, weights=tmp_path / "weights.pth")
    assert capsys.readouterr().out.startswith("weights.pth: classifier of 7 classes left out, the one of 5")
    with pytest.raises(ValueError, match="holds other weights"):
        TimmBackbone(7, name="resnet10t", weights=tmp_path / "weights.pth")


def trained_by_torchvision(network: nn.Module) -> nn.Module:
    """Its parameters and statistics as if trained: exchanged ones would show."""
    for name, value in network.named_parameters():
        if value.dim() == 1:
            nn.init.normal_(value, 1.0 if name.endswith("weight") else 0.0, 0.1)
    for name, value in network.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 1.5)
    return network.eval()


def test_torchvision_s_vision_transformer_has_its_positions_elsewhere(tmp_path: Path):
    from torchvision.models import VisionTransformer

    stock = trained_by_torchvision(VisionTransformer(224, 16, 12, 3, 192, 768, num_classes=7))
    nn.init.normal_(stock.heads.head.weight)
    torch.save(stock.state_dict(), tmp_path / "weights.pth")
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        network = TimmBackbone(7, name="vit_tiny_patch16_224", weights=tmp_path / "weights.pth").eval()
        torch.testing.assert_close(network(x), stock(x), rtol=1e-4, atol=1e-5)  # float32, attention fused or not


def test_torchvision_s_densenet(tmp_path: Path):
    from torchvision.models import DenseNet

    stock = trained_by_torchvision(DenseNet(num_classes=7))
    torch.save(stock.state_dict(), tmp_path / "weights.pth")
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        network = TimmBackbone(7, name="densenet121", weights=tmp_path / "weights.pth").eval()
        torch.testing.assert_close(network(x), stock(x), rtol=1e-4, atol=1e-5)  # float32 through a hundred layers


def test_equal_tensors_of_another_function_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """No tensor shows the ε of a norm."""
    from torchvision.models import get_model

    torch.save(get_model("mobilenet_v3_small", num_classes=7).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(
        ValueError, match=r"^.*all 244 tensors match .* ε of 0\.001, the network's one of 1e-05"
    ) as error:
        TimmBackbone(7, name="mobilenetv3_small_100", weights=tmp_path / "weights.pth")
    assert "\n" not in str(error.value)
    TimmBackbone(7, name="mobilenetv3_small_100", weights=tmp_path / "weights.pth", strict=False)
    assert "in their order; its batch norms have an ε of 0.001" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["convnext_atto", "resnet10t"])
@pytest.mark.parametrize("classes", [0, 5])
def test_of_a_features_only_network_the_trunk_is_taken(name: str, classes: int, tmp_path: Path):
    import timm

    stock = timm.create_model(name, features_only=True).eval()
    torch.save(stock.state_dict(), tmp_path / "weights.pth")
    network = TimmBackbone(classes, name=name, weights=tmp_path / "weights.pth").eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.features(x)[-1], stock(x)[-1], rtol=1e-5, atol=1e-5)


def test_what_would_be_two_names_is_no_other_spelling():
    state = {"a_b": torch.zeros(1), "c_d.e": torch.ones(1), "x.f_g": torch.ones(1)}
    assert list(respelt(state, ["a.b", "a_b.b", "c.d_e", "c_d.e", "f.g"])) == ["a.b", "c_d.e", "x.f.g"]
    assert list(respelt({"a_b_b": torch.zeros(1)}, ["a.b_b", "a_b.b"])) == ["a_b_b"]


@pytest.mark.parametrize("wrap", ["{}", "module.{}", "module.encoder_q.{}", "student.backbone.{}"])
@pytest.mark.parametrize("keys", [[], ["net"], ["teacher"], ["model", "state_dict"], ["model_ema"]])
def test_networks_of_other_programs_checkpoints(wrap: str, keys: list[str], tmp_path: Path):
    trained = TimmBackbone(5, name="resnet10t")
    state: Any = {wrap.format(key): value for key, value in trained.net.state_dict().items()}
    for key in reversed(keys):
        state = {key: state, "epoch": 3}
    torch.save(state, tmp_path / "weights.pth")
    assert equal(TimmBackbone(5, name="resnet10t", weights=tmp_path / "weights.pth"), trained)


def test_the_teacher_is_taken_and_the_student_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trained, other = TimmBackbone(5, name="resnet10t"), TimmBackbone(5, name="resnet10t")
    state = {"student": other.net.state_dict(), "teacher": trained.net.state_dict(), "epoch": 3}
    torch.save(state, tmp_path / "weights.pth")
    assert equal(TimmBackbone(5, name="resnet10t", weights=tmp_path / "weights.pth"), trained)
    assert capsys.readouterr().out == "weights.pth: student left out\n"


def test_frames_take_the_weights_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trained = TimmBackbone(5, name="resnet10t")
    path = lightning("network.", trained.state_dict(), tmp_path / "last.ckpt")
    assert equal(Framewise(5, name="resnet10t", weights=path).frame, trained)
    assert capsys.readouterr().out == ""


def test_kernels_of_pictures_are_inflated_to_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A video that stands still is seen as its picture is, but where zeros lie before its first and behind its last."""
    pictures, x = PreResNet(3, depth=8).eval(), torch.randn(2, 1, 16, 16)
    path = lightning("network.", pictures.state_dict(), tmp_path / "pictures.ckpt")
    videos = PreResNet(3, 1, depth=8, spatial_dims=3, weights=path).eval()
    assert capsys.readouterr().out == "pictures.ckpt: kernels of pictures inflated to videos\n"
    grey = pictures.conv1.weight.sum(1, keepdim=True)
    torch.testing.assert_close(videos.conv1.weight.sum(2), grey)
    still = videos.conv1(x[:, :, None].expand(-1, -1, 5, -1, -1))
    torch.testing.assert_close(still[:, :, 2], nn.functional.conv2d(x, grey, padding=1))


def test_a_grey_network_s_weights_for_colours(tmp_path: Path):
    """Grey pictures as three equal colours give what they gave."""
    trained = PreResNet(5, 1, depth=8).eval()
    path = lightning("network.", trained.state_dict(), tmp_path / "last.ckpt")
    network, x = PreResNet(5, 3, depth=8, weights=path).eval(), torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(x.expand(-1, 3, -1, -1)), trained(x), rtol=1e-4, atol=1e-5)  # float32 sums


def snl(network: Backbone, at: str, **options: Any) -> Backbone:
    plug(network, SpectralNonlocal, at, example=(1, 3, 16, 16), quiet=True, **options)
    for name, parameter in network.named_parameters():
        if ".block." in name:
            torch.nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize(("at", "again"), [("layer2.0", True), ("layer2.0", False), ("layer3.0.conv2", True)])
def test_blocks_load_where_they_are_plugged_in_again(
    at: str, again: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mode = {"mode": "replace"} if at.endswith("conv2") else {}
    trained = snl(PreResNet(5, depth=8), at, **mode)
    path = lightning("network.", trained.state_dict(), tmp_path / "last.ckpt")
    network = PreResNet(5, depth=8, weights=path)
    anew = "; layer3.0.conv2 starts anew" if mode else ""
    assert capsys.readouterr().out == f"last.ckpt: block at {at} left out unless it is plugged in again{anew}\n"
    snl(network, at if again else "layer1.0", **mode).load_blocks()
    assert capsys.readouterr().out == f"last.ckpt: block at {f'{at} loaded' if again else 'layer1.0 starts anew'}\n"
    if again:
        assert equal(network, trained)
    network.load_blocks()
    assert capsys.readouterr().out == ""


def test_weights_that_follow_are_not_read():
    with weights_follow():
        PreResNet(5, depth=8, weights="gone.ckpt")
    with pytest.raises(ValueError, match=r"there is no file of weights gone\.ckpt"):
        PreResNet(5, depth=8, weights="gone.ckpt")


def test_another_network_s_checkpoint_is_one_line(tmp_path: Path):
    path = lightning("network.net.", TimmBackbone(5, name="resnet10t").net.state_dict(), tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt holds other weights than the network's: ") as error:
        PreResNet(5, depth=20, weights=path)
    assert "\n" not in str(error.value)


def test_names_in_a_file_steer_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    state = PreResNet(10, 1, 8).state_dict() | {"\x1b[2Jextra.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "weights.pth")
    PreResNet(10, 1, 8, weights=tmp_path / "weights.pth", strict=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "1 unexpected: \\x1b[2Jextra.weight" in out
