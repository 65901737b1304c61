"""The adapter over pytorchvideo: stock parameters and logits, any clip, places for blocks, mistakes."""

from __future__ import annotations

import pytest
import torch
from pytorchvideo.models import hub
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import PyTorchVideoBackbone
from blockyard.backbones.adapters.pytorchvideo_backbone import NAMES, pathways
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_parameters, saved_activation_bytes
from blockyard.plugging import PlugError, sites

RESIDUAL = [name for name in NAMES if not name.startswith(("slowfast", "mvit"))]
CLIP = (8, 64, 64)


def on_meta(name: str, **options: int) -> PyTorchVideoBackbone:
    """Shapes alone: nothing is drawn or computed."""
    with torch.device("meta"):
        return PyTorchVideoBackbone(options.pop("num_classes", 5), name=name, **options)


@pytest.mark.parametrize(
    ("name", "count"), [("slow_r50", 32_454_096), ("i3d_r50", 28_043_472), ("c2d_r50", 24_327_632)]
)
def test_parameters_are_the_stock_ones_and_a_block_adds_its_closed_form(name: str, count: int):
    backbone = on_meta(name, num_classes=400)
    with torch.device("meta"):
        stock = getattr(hub, name)(pretrained=False)
    assert {key: value.shape for key, value in backbone.net.state_dict().items()} == {
        key: value.shape for key, value in stock.state_dict().items()
    }
    assert count_parameters(backbone) == count
    plug(backbone, SpectralNonlocal, "stage3.-2", example=(1, 3, *CLIP), quiet=True)
    channels, inner = 1024, 512
    assert count_parameters(backbone) - count == 5 * channels * inner + 2 * channels


@pytest.mark.parametrize("name", RESIDUAL)
def test_stages_say_what_the_features_are(name: str):
    backbone = on_meta(name)
    maps = backbone.features(torch.zeros(1, 3, *CLIP, device="meta"))
    assert [stage.stride for stage in backbone.stages] == [4, 8, 16, 32]
    for stage, features in zip(backbone.stages, maps, strict=True):
        assert features.shape[:2] == (1, stage.channels)
        assert features.shape[3:] == (64 // stage.stride, 64 // stage.stride)
        assert backbone.net.get_submodule(stage.path) is not None


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("mvit")])
def test_clips_of_any_length_and_size(name: str):
    backbone = on_meta(name, in_channels=2)
    for clip in (CLIP, (5, 48, 80), (32, 224, 224)):
        assert backbone(torch.zeros(3, 2, *clip, device="meta")).shape == (3, 5)


@pytest.mark.parametrize(("name", "clip"), [("x3d_xs", (4, 160, 160)), ("slowfast_r50", (32, 224, 224))])
def test_at_the_stock_size_the_logits_are_the_stock_ones(name: str, clip: tuple[int, int, int]):
    torch.manual_seed(0)
    backbone = PyTorchVideoBackbone(7, name=name).eval()
    options = {} if name == "slowfast_r50" else {"head_activation": None}
    stock = getattr(hub, name)(model_num_class=7, **options).eval()
    stock.load_state_dict(backbone.net.state_dict())
    x = torch.randn(1, 3, *clip)
    with torch.no_grad():
        logits = backbone(x)
        expected = stock(pathways(x) if name == "slowfast_r50" else x)
    # pooling sums in another order: float32 rounding
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-6)


def test_the_head_gives_logits_not_probabilities():
    for name in ("x3d_xs", "r2plus1d_r50", "csn_r101"):
        assert not any(isinstance(module, nn.Softmax) for module in on_meta(name).modules())


@pytest.mark.parametrize("frames", [1, 4, 6, 32])
def test_the_slow_pathway_takes_every_fourth_frame_from_first_to_last(frames: int):
    slow, fast = pathways(torch.arange(float(frames)).reshape(1, 1, frames, 1, 1))
    assert fast.flatten().tolist() == list(range(frames))
    assert slow.shape[2] == -(-frames // 4)
    assert slow.flatten()[0] == 0
    assert frames < 5 or slow.flatten()[-1] == frames - 1


@pytest.fixture(scope="module")
def x3d() -> PyTorchVideoBackbone:
    torch.manual_seed(0)
    return PyTorchVideoBackbone(5, name="x3d_xs").eval()


def test_features_go_through_plugs():
    backbone = PyTorchVideoBackbone(5, name="x3d_xs").eval()
    plug(backbone, lambda c, d: nn.Hardtanh(0.1, 0.2), "stage3.-1", example=(1, 3, *CLIP), quiet=True)
    with torch.no_grad():
        third = backbone.features(torch.randn(1, 3, *CLIP))[2]
    assert third.min() >= torch.tensor(0.1)
    assert third.max() <= torch.tensor(0.2)


def test_a_plugged_network_starts_as_the_stock_one_and_trains(x3d: PyTorchVideoBackbone):
    backbone = PyTorchVideoBackbone(5, name="x3d_xs").eval()
    backbone.load_state_dict(x3d.state_dict())
    x = torch.randn(2, 3, *CLIP)
    plug(backbone, SpectralNonlocal, ["stage2.-2", "stage3.-2"], quiet=True)
    assert torch.equal(backbone(x), x3d(x))
    backbone.train()(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.slow
def test_compiles_without_a_break_and_exports():
    torch._dynamo.reset()
    backbone = plug(PyTorchVideoBackbone(5, name="c2d_r50").eval(), SpectralNonlocal, "per-frame one-in-res4")
    x = torch.randn(1, 3, 8, 32, 32)
    expected = backbone(x)
    compiled = torch.compile(backbone, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.export.export(backbone, (x,)).module()(x), expected, rtol=1e-4, atol=1e-5)


def refuse(backbone: PyTorchVideoBackbone, at: str, shape: tuple[int, ...]) -> str:
    with pytest.raises(PlugError) as error:
        plug(backbone, SpectralNonlocal, at, example=shape, quiet=True)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_multi_pathway_and_token_stages_are_refused():
    slowfast = on_meta("slowfast_r50")
    unit = "blocks.3.multipathway_blocks.0.res_blocks.4"
    why = "slowfast_r50 has two pathways, not one map: slow_r50, i3d_r50 and the like take blocks"
    assert refuse(slowfast, unit, (1, 3, *CLIP)) == f"cannot plug after {unit}: {why}"
    for at in ("blocks.3", "blocks.2.multipathway_fusion.norm", "per-frame blocks.0.multipathway_blocks.1.pool"):
        assert "slowfast_r50 has two pathways" in refuse(slowfast, at, (1, 3, *CLIP))
    for at in ("stage3.-2", "stage*", "one-in-res4", "five-in-res3-res4", "replace stage2.0.branch2.conv_b"):
        assert "there are no stages; slowfast_r50 has two pathways" in refuse(slowfast, at, (1, 3, *CLIP))
    assert all(site.refusal for site in sites(slowfast, (1, 3, *CLIP)))
    with pytest.raises(ValueError, match="slowfast_r50 has two pathways"):
        slowfast.features(torch.zeros(1, 3, *CLIP))
    mvit = PyTorchVideoBackbone(5, name="mvit_base_16x4", clip_size=(4, 64, 64)).eval()
    clip = (1, 3, 4, 64, 64)
    assert mvit(torch.zeros(clip)).shape == (1, 5)
    for at in ("blocks.3", "blocks.3.norm1", "blocks.1.attn.pool_q", "blocks.1.pool_skip", "stage3.-2", "one-in-res4"):
        why = "mvit_base_16x4 has tokens, not maps: only patch_embed.patch_model takes a block"
        assert refuse(mvit, at, clip).endswith(why)
    assert [site.path for site in sites(mvit, clip) if not site.refusal] == ["patch_embed.patch_model"]
    plug(mvit, SpectralNonlocal, "patch_embed.patch_model", example=clip, quiet=True)
    assert mvit(torch.zeros(clip)).shape == (1, 5)
    with pytest.raises(ValueError, match="mvit_base_16x4 has tokens"):
        mvit.features(torch.zeros(clip))


def test_mistakes_are_one_line(x3d: PyTorchVideoBackbone):
    cases = {
        "no network 'i3d_50'; did you mean .*i3d_r50": {"name": "i3d_50"},
        "slow_r50 takes clips of all sizes": {"name": "slow_r50", "clip_size": (8, 64, 64)},
        "there is no file of weights none.pyth": {"name": "x3d_xs", "weights": "none.pyth"},
        "num_classes must be at least 0": {"num_classes": -1},
    }
    for why, options in cases.items():
        with pytest.raises(ValueError, match=why) as error:
            PyTorchVideoBackbone(**({"num_classes": 5} | options))
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"x3d_xs takes clips \(B, 3, T, H, W\), got \(1, 3, 64, 64\)"):
        x3d(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="i3d_r50 takes at least 2 frames, got 1"):
        on_meta("i3d_r50")(torch.zeros(1, 3, 1, 64, 64))
    mvit = PyTorchVideoBackbone(5, name="mvit_base_16x4")
    with pytest.raises(ValueError, match="clips of 16×224×224 only, got 8×64×64; set clip_size"):
        mvit(torch.zeros(1, 3, *CLIP))


def training_bytes(block: nn.Module, *size: int) -> int:
    x = torch.randn(1, block.channels, *size, requires_grad=True)
    outputs: list[Tensor] = []
    kept = saved_activation_bytes(lambda: outputs.append(block(x)))
    outputs[0].sum().backward()
    assert x.grad is not None
    return kept


def test_a_block_on_8_28_28_trains_in_memory_linear_in_the_positions():
    block = SpectralNonlocal(64, 3)
    quarter, whole = training_bytes(block, 2, 28, 28), training_bytes(block, 8, 28, 28)
    positions = 8 * 28 * 28
    assert whole < 4.2 * quarter
    assert whole < 4 * positions**2 / 8  # an eighth of one float32 affinity matrix
    dense = SpectralNonlocal(64, 3, evaluation="dense")
    assert training_bytes(dense, 4, 28, 28) > 3.5 * training_bytes(dense, 2, 28, 28)
