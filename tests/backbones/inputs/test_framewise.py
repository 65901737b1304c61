"""A 2-D network on every frame: what each temporal head computes, exactly, and plugs of both spans."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import Framewise
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_parameters
from blockyard.plugging import PlugError

HEADS = ("mean", "attention", "lstm", "consensus")
NAME = "resnet10t"
CLIP = (3, 4, 32, 32)


def make(temporal: str = "mean", name: str = NAME, classes: int = 5, **options: object) -> Framewise:
    torch.manual_seed(0)
    return Framewise(classes, name=name, temporal=temporal, **options).eval()


def clips(batch: int = 2) -> Tensor:
    return torch.randn(batch, *CLIP, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "efficientnet_b0", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("temporal", ["mean", "attention", "consensus"])
def test_a_clip_of_one_frame_is_an_image(name: str, temporal: str):
    backbone = make(temporal, name)
    x = torch.randn(2, 3, 1, 224, 224)
    with torch.no_grad():
        assert torch.equal(backbone(x), backbone.frame.net(x[:, :, 0]))


def test_mean_is_the_classifier_of_the_mean_features():
    backbone, x = make("mean"), clips()
    net = backbone.frame.net
    features = torch.stack([net.forward_head(net.forward_features(x[:, :, t]), pre_logits=True) for t in range(4)])
    torch.testing.assert_close(backbone(x), net.fc(features.mean(0)))


def test_consensus_is_the_mean_of_the_logits_and_equals_mean_as_the_classifier_is_linear():
    backbone, x = make("consensus"), clips()
    logits = torch.stack([backbone.frame.net(x[:, :, t]) for t in range(4)])
    torch.testing.assert_close(backbone(x), logits.mean(0))
    torch.testing.assert_close(backbone(x), make("mean")(x))


def test_attention_starts_as_the_mean_and_can_pick_one_frame():
    backbone, x = make("attention").double(), clips(1).double()
    torch.testing.assert_close(backbone(x), make("mean").double()(x))
    net = backbone.frame.net
    features = net.forward_head(net.forward_features(x[0].transpose(0, 1)), pre_logits=True)
    # a score that is large for the second frame alone
    target = torch.tensor([0.0, 1e3, 0.0, 0.0], dtype=torch.float64)
    backbone.attention.score.weight.data = (torch.linalg.pinv(features) @ target)[None]
    torch.testing.assert_close(backbone(x), net.fc(features[1:2]))


def test_lstm_gives_the_mean_of_the_steps_probabilities():
    backbone, x = make("lstm"), clips()
    net = backbone.frame.net
    features = torch.stack([net(x[:, :, t]) for t in range(4)], 1)  # its classifier is gone
    steps, _ = backbone.recurrent.lstm(features)
    expected = backbone.recurrent.classifier(steps).softmax(-1).mean(1)
    torch.testing.assert_close(backbone(x).softmax(-1), expected)
    torch.testing.assert_close(backbone(x).exp(), expected)  # and nothing is left to normalise


def test_lstm_without_memory_averages_frames():
    backbone, x = make("lstm"), clips()
    lstm = backbone.recurrent.lstm
    hidden = lstm.hidden_size
    nn.init.zeros_(lstm.weight_hh_l0)
    assert not torch.allclose(backbone(x), backbone(x.flip(2)), atol=1e-5), "the cell still remembers"
    # the gates lie input, forget, cell, output; a closed forget gate empties the cell
    lstm.weight_ih_l0.data[hidden : 2 * hidden] = 0
    lstm.bias_ih_l0.data[hidden : 2 * hidden] = -1e4
    single = torch.stack([backbone(x[:, :, t : t + 1]).softmax(-1) for t in range(4)])
    torch.testing.assert_close(backbone(x).softmax(-1), single.mean(0))


@pytest.mark.parametrize("temporal", HEADS)
def test_every_parameter_gets_a_gradient(temporal: str):
    backbone = make(temporal).train()
    nn.functional.cross_entropy(backbone(clips()), torch.tensor([0, 1])).backward()
    assert not [name for name, p in backbone.named_parameters() if p.grad is None]


@pytest.mark.parametrize("temporal", ["mean", "attention", "consensus"])
def test_order_of_frames_matters_to_the_lstm_alone(temporal: str):
    x = clips()
    torch.testing.assert_close(make(temporal)(x), make(temporal)(x.flip(2)))
    lstm = make("lstm")
    assert not torch.allclose(lstm(x), lstm(x.flip(2)), atol=1e-6)


def test_parameters_are_those_of_the_network_and_the_head():
    stock = count_parameters(timm.create_model(NAME, num_classes=5))
    assert count_parameters(make("mean")) == count_parameters(make("consensus")) == stock
    assert count_parameters(make("attention")) == stock + 512
    lstm = 4 * 16 * (512 + 16 + 2) + (16 * 5 + 5)
    assert count_parameters(make("lstm", hidden=16)) == stock - (512 * 5 + 5) + lstm


def test_weights_of_the_2d_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stock = timm.create_model(NAME, num_classes=7)
    torch.save(stock.state_dict(), tmp_path / "weights.pth")
    backbone = make("lstm", weights=tmp_path / "weights.pth")
    assert "classifier of 7 classes left out" in capsys.readouterr().out
    assert torch.equal(backbone.frame.net.layer4[0].conv1.weight, stock.layer4[0].conv1.weight)


def test_features_are_maps_of_clips():
    backbone, x = make(), clips()
    maps = backbone.features(x)
    for stage, features in zip(backbone.stages, maps, strict=True):
        assert features.shape == (2, stage.channels, 4, 32 // stage.stride, 32 // stage.stride)
    alone = backbone.frame.features(x[:, :, 3])
    torch.testing.assert_close(maps[2][:, :, 3], alone[2])


def awake(backbone: Framewise) -> Framewise:
    """A block's norm starts with weight zero: let it act."""
    for name, parameter in backbone.named_parameters():
        if ".block." in name and not parameter.any():
            nn.init.constant_(parameter, 0.5)
    return backbone


def test_a_plug_is_per_frame_unless_it_says_space_time():
    x = clips(2)
    changed = x.clone()
    changed[:, :, 0] += 1
    for span, others_move in (("", False), ("space-time ", True)):
        backbone = plug(make(), SpectralNonlocal, f"{span}layer3.-1", example=x, quiet=True)
        assert torch.equal(backbone(x), make()(x))
        before, after = (awake(backbone).features(clip)[2][:, :, 1:] for clip in (x, changed))
        assert torch.allclose(before, after, atol=1e-5) != others_move


def test_space_time_spans_each_clip_alone_at_any_length():
    backbone = awake(plug(make(), SpectralNonlocal, "space-time stage3.-1", example=clips(), quiet=True))
    block = backbone.frame.net.get_submodule("layer3.0.block.block")
    assert block.spatial_dims == 3
    x = torch.randn(2, 3, 6, 32, 32)
    # a clip's result does not depend on its neighbour in the batch
    torch.testing.assert_close(backbone(x)[1:], backbone(x[1:]), rtol=1e-4, atol=1e-5)
    maps: list[Tensor] = []
    block.register_forward_hook(lambda _, args, __: maps.append(args[0]))
    backbone(x)
    assert maps[0].shape == (2, 256, 6, 2, 2)
    # frame t of the block's clip is frame t of the clip
    torch.testing.assert_close(maps[0], make().features(x)[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("at", ["one-in-res4", "five-in-res3-res4"])
def test_the_papers_places(at: str):
    with torch.device("meta"):
        backbone = Framewise(5, name="resnet50")
    plug(backbone, SpectralNonlocal, f"space-time {at}", example=(1, *CLIP), quiet=True)
    assert backbone(torch.zeros(2, *CLIP, device="meta")).shape == (2, 5)


@pytest.mark.slow
def test_space_time_survives_compilation_at_every_length():
    torch._dynamo.reset()
    backbone = awake(plug(make(), SpectralNonlocal, "space-time stage3.-1", example=clips(), quiet=True))
    compiled = torch.compile(backbone, backend="aot_eager", fullgraph=True)
    for frames in (4, 6):
        x = torch.randn(2, 3, frames, 32, 32)
        torch.testing.assert_close(compiled(x), backbone(x), rtol=1e-4, atol=1e-5)


def test_mistakes_are_one_line():
    cases = {
        "temporal must be mean, attention, lstm or consensus, got 'max'": {"temporal": "max"},
        "ends in tuple, not in a linear classifier; use temporal=consensus": {
            "name": "deit_tiny_distilled_patch16_224"
        },
        "no network 'resnet5O'; near: resnet50": {"name": "resnet5O"},
    }
    for why, options in cases.items():
        with pytest.raises(ValueError, match=why) as error:
            Framewise(5, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"Framewise takes clips \(B, 3, T, H, W\), got \(2, 3, 32, 32\)"):
        make()(torch.zeros(2, 3, 32, 32))
    with pytest.raises(PlugError, match="per-frame is for maps of clips"):
        plug(make(), SpectralNonlocal, "per-frame layer3", example=clips(), quiet=True)
