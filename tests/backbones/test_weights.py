"""Weights from a local file: the layouts read, what is adapted, and the report of what did not match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from blockyard.backbones import PyTorchVideoBackbone, TimmBackbone
from blockyard.backbones.weights import Parts, load_weights

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
