"""UniFormer of pictures and of videos, plain and with few tokens, computes what the published code does."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blockyard.backbones import Backbone, HourglassUniFormer, MetaFormer
from blockyard.backbones.skeletons.hourglass import HourglassUnit, Memory
from blockyard.backbones.skeletons.parts import ConditionalPositions, Style
from blockyard.backbones.skeletons.resolution import Resolution
from blockyard.blocks import LocalRelationAggregator, SelfAttention, SpectralNonlocal
from blockyard.costs import count_macs
from blockyard.plugging import plug

GOLDEN = json.loads(Path(__file__).with_name("uniformer.json").read_text())
STYLE = Style(norm=["batch", "batch", "layer", "layer"], position_kernel=3)
WIDTHS = (8, 16, 32, 64)


def small(classes: int = 5, spatial_dims: int = 2, head_width: int = 16, resolution=None, **options) -> MetaFormer:
    late = partial(SelfAttention, head_width=head_width, qkv_bias=True, bias=True)
    mixers = [LocalRelationAggregator] * 2 + [late] * 2
    flat = {"stem_kernel": 4, "kernel": 2, "norm_eps": 1e-5, "norm_behind": True}
    return MetaFormer(
        classes,
        3,
        (1, 1, 2, 1),
        WIDTHS,
        mixers,
        spatial_dims=spatial_dims,
        style=STYLE,
        resolution=Resolution(**flat | (resolution or {})),
        map_norm="batch",
        head_norm=False,
        **options,
    )


FRAMES = {"stem_kernel": [3, 4, 4], "stem_stride": [2, 4, 4], "kernel": [1, 2, 2], "stride": [1, 2, 2]}
OVERLAPPING = {"stem_kernel": 3, "stem_stride": 2, "stem_steps": 2, "kernel": 3, "norm": "batch"}
light = partial(HourglassUniFormer, depths=(1, 1, 2, 2), widths=WIDTHS, head_width=8)
MAKE = {
    "image": (small, (64, 64)),
    "overlapping": (partial(small, head_width=8, resolution=OVERLAPPING), (64, 64)),
    "video": (partial(small, spatial_dims=3, resolution=FRAMES), (4, 64, 64)),
    "inflated": (partial(small, spatial_dims=3, resolution=FRAMES), (4, 64, 64)),
    "light": (light, (64, 96)),
}


@pytest.fixture
def published(drawn_by_name, tmp_path: Path):
    """``published(name)``: the network, in float64, with a file of the published code's names; pictures are of it too.

    Names, shapes and numbers are those of 52a0415, 2024-01-18, of Sense-X/UniFormer, drawn on 2026-11-29:
    image_classification/models and video_classification/slowfast/models, whose own method inflates.
    """

    def make(name: str, **options) -> tuple[Backbone, Tensor]:
        build, size = MAKE[name]
        shapes = GOLDEN["image" if name == "inflated" else name]["shapes"]
        torch.save({"model": {key: drawn_by_name(key, shape) for key, shape in shapes.items()}}, tmp_path / "stock.pth")
        network = build(5, weights=tmp_path / "stock.pth", **options).double().eval()
        return network, torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, *size)))

    return make


@pytest.mark.parametrize("name", MAKE)
def test_published_weights_give_the_published_numbers(published, name: str):
    network, x = published(name)
    expected = torch.tensor(GOLDEN[name]["logits"], dtype=torch.float64)
    torch.testing.assert_close(network(x).detach(), expected)


@pytest.mark.parametrize("prefix", ["model_state.", "backbone."])
def test_names_below_those_of_other_programs_are_known(prefix: str):
    """Of SlowFast's checkpoints, and of mmaction's, whose classifier is apart."""
    keys = [prefix + key for key in GOLDEN["video"]["shapes"]]
    network = MAKE["video"][0]()
    file = {re.sub(r"^backbone\.head", "cls_head.fc_cls", key): torch.zeros(()) for key in keys}
    assert network.renamed(file).keys() == {key for key, value in network.state_dict().items() if value.dim()}


def test_the_class_token_has_the_published_logits_too(published):
    network, x = published("light")
    token = network.token_fc(network.token_norm(network._passed(x)[1]))
    torch.testing.assert_close(token.detach(), torch.tensor(GOLDEN["light"]["token_logits"], dtype=torch.float64))


def test_in_training_each_sample_is_classified_by_the_mean_or_by_the_token(published):
    network, x = published("light")
    token, mean = (torch.tensor(GOLDEN["light"][key]).double() for key in ("token_logits", "logits"))
    network.training = True  # its norms stay as they are
    drawn = torch.stack([network(x).detach() for _ in range(16)])
    by_token, by_mean = ((drawn - logits).abs().amax(2) < 1e-6 for logits in (token, mean))
    assert (by_token ^ by_mean).all()
    assert by_token.any(0).all()
    assert by_mean.any(0).all()


@pytest.mark.parametrize(("name", "parameters"), [("uniformer-xxs", 10_215_280), ("uniformer-xs", 16_509_264)])
def test_the_light_networks_have_the_published_parameters(configured, name: str, parameters: int):
    with torch.device("meta"):
        network = configured(name)(1000, 3)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("task", "classes", "size", "parameters", "macs"),
    [
        ("image_classification", 1000, (224, 224), 21_545_256, 3_631_774_208),
        ("action_recognition", 400, (16, 224, 224), 21_400_400, 41_662_541_824),
    ],
)
def test_parameters_and_multiplications_are_those_of_the_published_code(
    configured, task: str, classes: int, size: tuple[int, ...], parameters: int, macs: int
):
    """The published 3.64 G and 41.8 G hold its norms besides, as fvcore counts: 11,778,816 of the first."""
    with torch.device("meta"):
        network = configured("uniformer-small", task)(classes, 3)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert count_macs(network, (3, *size)) == macs


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("make", [small, light], ids=["plain", "light"])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages(make, rank: int):
    network = make(0, spatial_dims=rank)
    maps = network(torch.randn(2, 3, *(64, 64, 32)[:rank]))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (width, *(n // stride for n in (64, 64, 32)[:rank]))
        for width, stride in zip(WIDTHS, (4, 8, 16, 32), strict=True)
    ]
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_norm_of_the_last_map_stands_before_the_pooling():
    network = small().eval()
    network.map_norm.running_mean.fill_(3.0)
    x = torch.randn(2, 3, 64, 64)
    last, logits = network.map_and_logits(x)
    torch.testing.assert_close(last, network.map_norm(network.features(x)[-1]))
    torch.testing.assert_close(logits, network.fc(last.mean((2, 3))))
    assert isinstance(network.trunk().map_norm, nn.Identity)


def test_a_constant_map_is_not_constant_once_positions_are_told():
    positions = ConditionalPositions(4, 2, 3)
    told = positions(torch.ones(1, 4, 6, 5))
    same = told[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(same, same[:, :, :1, :1].expand_as(same))
    assert (told[:, :, 0, 0] - same[:, :, 0, 0]).abs().min() > 1e-3


def unit(**options) -> HourglassUnit:
    made = HourglassUnit(16, 2, 8, 0.5, Style(position_kernel=3), 0.0, **options).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return made


def test_the_first_unit_is_plain_and_scores_are_the_token_s_attention():
    made, memory = unit(), Memory(torch.randn(2, 16, 1, dtype=torch.float64))
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64)
    tokens = torch.cat([memory.token, made.positions(x).flatten(2)], 2)
    normed = made.norm1(tokens)
    query, key, _ = made.mixer.qkv(normed.transpose(1, 2)).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    weights = (query @ key.transpose(2, 3) * 8**-0.5).softmax(3)
    tokens = tokens + made.mixer(normed)
    tokens = tokens + made.mlp(made.norm2(tokens))
    torch.testing.assert_close(made(x, memory), tokens[:, :, 1:].unflatten(2, (3, 4)))
    torch.testing.assert_close(memory.token, tokens[:, :, :1])
    torch.testing.assert_close(memory.scores, weights[:, :, 0, 1:].mean(1))


def test_positions_with_low_scores_change_alike_and_stay_in_their_places():
    made, scores = unit(), torch.rand(2, 12, dtype=torch.float64)
    memory = Memory(torch.randn(2, 16, 1, dtype=torch.float64), scores)
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64)
    added = (made(x, memory) - made.positions(x)).flatten(2)
    for sample, order in enumerate(scores.argsort(1, descending=True)):
        near, far = order[:6], order[6:]
        torch.testing.assert_close(added[sample][:, far], added[sample][:, far[:1]].expand(-1, 6))
        assert (added[sample][:, near] - added[sample][:, far[:1]]).abs().amax(0).min() > 1e-6
        assert torch.equal(memory.scores[sample, far], scores[sample, far])
        assert (memory.scores[sample, near] != scores[sample, near]).all()


def test_scores_keep_their_sum_from_stage_to_stage():
    network, scores = light(5), torch.rand(2, 5 * 4)
    memory = Memory(torch.randn(2, 32, 1), scores)
    network._shrink(memory, torch.Size((5, 4)), torch.Size((2, 2)))
    assert memory.scores.shape == (2, 4)
    torch.testing.assert_close(memory.scores.sum(1), scores.sum(1))


@pytest.mark.parametrize("make", [small, light], ids=["plain", "light"])
def test_plugs_find_stages_and_units(make):
    network = plug(make(5), SpectralNonlocal, ["stage3", "stage4.0"], example=(1, 3, 64, 64), quiet=True)
    assert network(torch.randn(2, 3, 96, 64)).shape == (2, 5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (1, 2, 2)}, "four positive numbers"),
        ({"kept": 1.0}, "kept must lie between 0 and 1"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
        ({"head_width": 7}, "32 channels are not divisible by head_width=7"),
    ],
)
def test_what_makes_no_light_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        light(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kernel": [1, 2]}, "one for each of 3 axes"),
        ({"stride": [1, 3, 3], "kernel": [1, 2, 2]}, "stride must be 1 to kernel"),
        ({"stem_steps": 0}, "stem_steps must be at least 1"),
    ],
)
def test_what_makes_maps_no_smaller_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        small(spatial_dims=3, resolution=FRAMES | options)
