"""U-Net and UNet++: the published numbers of their libraries, nested depths, and what pruning leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from blockyard.backbones import Backbone, BackboneFeatures, PreResNet, Stage, TimmFeatures
from blockyard.costs import count_parameters
from blockyard.heads import Segmentor, make_segmentor
from blockyard.heads.nested_skips import NestedSkips
from blockyard.heads.unet_heads import UNetHead, UNetPlusPlusHead

NORM = {"type": "IN", "affine": True}
ACT = {"type": "LeakyReLU", "negative_slope": 0.1}


class Encoder(Backbone):
    """Two convolutions a level and max pooling between the levels, from full size: the encoder of MONAI's UNet++."""

    def __init__(self, in_channels: int = 3, widths: tuple[int, ...] = (32, 32, 64, 128, 256)) -> None:
        super().__init__(0, in_channels)
        conv = partial(ConvModule, kernel_size=3, padding=1, norm_cfg=NORM, act_cfg=ACT)
        ends = zip((in_channels, *widths), widths, strict=False)
        self.levels = nn.ModuleList(nn.Sequential(conv(a, b), conv(b, b)) for a, b in ends)
        self.stages = tuple(Stage(f"levels.{i}", width, 2**i) for i, width in enumerate(widths))

    def features(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for i, level in enumerate(self.levels):
            maps.append(level(nn.functional.max_pool2d(maps[-1], 2) if i else x))
        return maps


def head(kind: type[UNetHead], channels: tuple[int, ...] = (6, 8, 10, 12), **options: Any) -> UNetHead:
    options = {"num_classes": 3, "norm_cfg": {"type": "BN"}, "in_index": list(range(len(channels)))} | options
    return kind(channels, (options.get("widths") or channels)[0], **options)


def maps(channels: tuple[int, ...] = (6, 8, 10, 12), size: tuple[int, ...] = (32, 48)) -> list[Tensor]:
    return [torch.randn(2, width, *(n // 2**i for n in size)) for i, width in enumerate(channels)]


KINDS: dict[str, type[UNetHead]] = {"UNetHead": UNetHead, "UNetPlusPlusHead": UNetPlusPlusHead}
PUBLISHED: dict[str, dict[str, Any]] = {
    "UNetHead": {"smp": 24_436_369, "options": {}},
    "UNetPlusPlusHead": {"smp": 26_078_609, "options": {"deep_supervision": False}},
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_has_the_parameters_of_segmentation_models_pytorch(kind: str):
    """Of its Unet and UnetPlusPlus on ResNet-34 for one class, 0.6.0; a class more is a filter of 3×3 taps more."""
    options = {"widths": (16, 32, 64, 128, 256), "classifier_kernel": 3, **PUBLISHED[kind]["options"]}
    with torch.device("meta"):
        trunk = TimmFeatures(name="resnet34", stem=True)
        stages = (*trunk.before_stages, *trunk.stages)
        decoder = head(KINDS[kind], tuple(stage.channels for stage in stages), num_classes=2, **options)
    assert count_parameters(trunk) + count_parameters(decoder) == PUBLISHED[kind]["smp"] + 9 * 16 + 1


SMP = {
    "UNetHead": [
        *(0.16852862607532715, 0.17006115062873223, 0.1770502805733156, 0.17768209264349416),
        *(-0.34139862384273073, -0.34710742720450183, -0.354481545199587, -0.3468339838072422),
    ],
    "UNetPlusPlusHead": [
        *(0.1424034333489097, 0.15957049027276335, 0.14012867967888315, 0.1412143080066892),
        *(-0.34914396494879857, -0.33718398411119965, -0.3428942560226137, -0.33843493581179174),
    ],
}
MONAI = [
    [
        *(0.9499165935105783, 0.006462160194857913, 0.5433724114692798, -0.22686578536583113),
        *(1.074477896253339, 0.822354899878005, 0.47133851365335394, 0.4811695624054093),
    ],
    [
        *(0.18197779026817953, 0.19643344443273264, -0.060477436946000336, 0.926586383876541),
        *(0.552640189859806, 0.5631289203685731, 0.3557349544222306, 0.4944331734336586),
    ],
    [
        *(0.7151180688003043, 0.3587804583836954, -0.6257302078708566, 0.7514576684376285),
        *(0.7774715439097895, 0.08207647309428998, 1.1465333718645916, -0.6353435014516748),
    ],
    [
        *(-0.954945824668616, 1.4024362280377316, 0.6475372785870723, -1.4733968213376958),
        *(0.6801030729840484, 0.06825726004499928, 0.7711619900808413, -0.43881141108466526),
    ],
]


SIZES: dict[str, Any] = {"widths": (6, 8, 12, 16, 24), "classifier_kernel": 3, "num_classes": 2}
ENCODED = (4, 6, 8, 10, 12)


@pytest.mark.parametrize("kind", SMP)
def test_gives_the_numbers_of_segmentation_models_pytorch(
    kind: str, fill_by_name: Callable[[nn.Module], None], drawn_by_name: Callable[[str, list[int]], Tensor]
):
    """Those of its UnetDecoder and UnetPlusPlusDecoder((3, 4, 6, 8, 10, 12), (24, 16, 12, 8, 6)) with a classifier of
    3×3 taps, 0.6.0, whose tensors had these weights by the names that they have here, on these maps, in float64; drawn
    on 29 November 2026."""
    decoder = head(KINDS[kind], ENCODED, **SIZES, **PUBLISHED[kind]["options"])
    fill_by_name(decoder)
    given = [drawn_by_name(f"map{i}", [1, n, 32 >> i, 48 >> i]).double() for i, n in enumerate(ENCODED)]
    logits = decoder.double().eval()(given).detach()
    assert logits.shape == (1, 2, 64, 96)
    torch.testing.assert_close(logits[0, :, 8::32, 8::48].flatten(), torch.tensor(SMP[kind], dtype=torch.float64))


def monais(fill_by_name: Callable[[nn.Module], None]) -> Segmentor:
    config = {"type": "UNetPlusPlusHead", "upsampling": "transposed", "norm_cfg": NORM, "act_cfg": ACT}
    segmentor = make_segmentor(Encoder(), config, [], 2)
    fill_by_name(segmentor)
    return segmentor


def test_gives_the_numbers_of_monai(
    fill_by_name: Callable[[nn.Module], None], drawn_by_name: Callable[[str, list[int]], Tensor]
):
    """Those of BasicUNetPlusPlus(spatial_dims=2, in_channels=3, deep_supervision=True), 1.6.1, with these weights, in
    float64, at every depth; drawn on 29 November 2026. It joins maps in another order, for which its weights were
    permuted."""
    segmentor = monais(fill_by_name)
    # its convolutions have biases, which the norms behind them take away
    biases = sum(m.weight.numel() for m in segmentor.modules() if isinstance(m, nn.InstanceNorm2d))
    assert count_parameters(segmentor) + biases == 2_410_888
    segmentor.double().eval()
    x = drawn_by_name("input", [1, 3, 32, 48]).double()
    every = segmentor.decode_head.all_logits(segmentor.maps(x))
    found = torch.stack([logits[0, :, 8::16, 8::24].flatten() for logits in every]).detach()
    torch.testing.assert_close(found, torch.tensor(MONAI, dtype=torch.float64))


@pytest.mark.parametrize("widths", [None, (5, 6, 7, 9)])  # with a node at twice the size for each depth
def test_a_pruned_head_is_the_whole_one_up_to_its_depth_bit_for_bit(widths: tuple[int, ...] | None):
    plus, given = head(UNetPlusPlusHead, widths=widths).eval(), maps()
    every = plus.all_logits(given)
    assert len({logits.sum().item() for logits in every}) == 3
    for depth in (1, 2, 3):
        plus.prune(depth)
        assert torch.equal(plus(given), every[depth - 1])
    plus.prune(None)
    assert torch.equal(plus(given), every[-1])


@pytest.mark.parametrize("depth", [1, 2])
def test_what_is_pruned_is_not_computed(depth: int):
    plus, given = head(UNetPlusPlusHead).eval(), maps()
    plus.prune(depth)
    expected = plus(given)
    for name in plus.skips.nodes:
        if sum(map(int, name[1:].split("_"))) > depth:
            plus.skips.nodes[name] = nn.Identity()  # which would refuse its arguments
    assert torch.equal(plus(given[: depth + 1] + [torch.full_like(x, torch.nan) for x in given[depth + 1 :]]), expected)


def test_on_two_maps_both_are_the_same_network():
    pair = (6, 8)
    plain, plus = head(UNetHead, pair).eval(), head(UNetPlusPlusHead, pair).eval()
    plus.load_state_dict(plain.state_dict())
    given = maps(pair)
    assert torch.equal(plus(given), plain(given))


def test_without_what_is_nested_it_is_a_u_net():
    """Weights of UNet++ that do not see the nodes between: its outermost nodes are those of U-Net."""
    plain, plus = head(UNetHead).eval(), head(UNetPlusPlusHead, deep_supervision=False).eval()
    state = plain.state_dict()
    for i, j in ((2, 1), (1, 2), (0, 3)):
        first = f"skips.nodes.x{i}_{j}.convs.0.conv.weight"
        own = plus.in_channels[i]
        up, beside = state[first].split([state[first].shape[1] - own, own], 1)
        state[first] = torch.cat([up, up.new_zeros(len(up), own * (j - 1), 3, 3), beside], 1)
    missing, unexpected = plus.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.startswith(("skips.nodes.x0_1", "skips.nodes.x0_2", "skips.nodes.x1_1")) for key in missing)
    given = maps()
    # sums over more channels, most of them zeros, are rounded otherwise
    torch.testing.assert_close(plus(given), plain(given), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("upsampling", ["nearest", "linear", "transposed"])
def test_volumes_that_do_not_change_along_an_axis_are_pictures(upsampling: str):
    """In 3-D, with the kernels of 2-D for the middle of that axis and nothing beside it."""
    flat = head(UNetPlusPlusHead, upsampling=upsampling).eval()
    norms: dict[str, Any] = {"conv_cfg": {"type": "Conv3d"}, "norm_cfg": {"type": "BN3d"}}
    solid = head(UNetPlusPlusHead, upsampling=upsampling, **norms).eval()
    state = solid.state_dict()
    for name, tensor in flat.state_dict().items():
        if name.endswith("up.weight"):
            state[name] = torch.stack([tensor, tensor], 2)
        elif tensor.dim() == 4:
            state[name] = torch.zeros_like(state[name])
            state[name][:, :, state[name].shape[2] // 2] = tensor
        else:
            state[name] = tensor
    solid.load_state_dict(state)
    given = maps()
    volumes = [x[:, :, None].expand(-1, -1, 8 // 2**i, -1, -1) for i, x in enumerate(given)]
    expected = flat(given)[:, :, None].expand(-1, -1, 8, -1, -1)
    torch.testing.assert_close(solid(volumes), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.tuples(st.integers(5, 21), st.integers(5, 21)), st.sampled_from(["nearest", "linear", "transposed"]))
def test_maps_of_any_sizes_come_out_at_the_finest_one_s(size: tuple[int, int], upsampling: Any):
    skips = NestedSkips((3, 4, 5), (3, 4), lambda a, b: nn.Conv2d(a, b, 3, padding=1), upsampling)
    given = [torch.randn(1, 3 + i, *(-(-n // 2**i) for n in size)) for i in range(3)]
    assert [tuple(x.shape) for x in skips(given)] == [(1, 3, *size)] * 2


@pytest.mark.parametrize(
    "backbone",
    [
        lambda: TimmFeatures(name="resnet10t", output_stride=8),
        lambda: TimmFeatures(name="resnet10t", stem=True),
        lambda: BackboneFeatures(0, 3, partial(PreResNet, depth=8)),
    ],
)
@pytest.mark.parametrize("kind", PUBLISHED)
def test_stands_on_any_backbone(backbone: Callable[[], Backbone], kind: str):
    trunk = backbone()
    segmentor = make_segmentor(trunk, {"type": kind}, [], 3)
    x, target = torch.randn(2, 3, 32, 48), torch.randint(0, 3, (2, 32, 48))
    assert [each.shape[1] for each in segmentor.maps(x)] == [s.channels for s in (*trunk.before_stages, *trunk.stages)]
    losses = segmentor.losses(x, target)
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert [name for name, p in segmentor.named_parameters() if p.grad is None] == []
    assert segmentor.eval()(x).shape == (2, 3, 32, 48)


def test_every_depth_is_supervised():
    segmentor = make_segmentor(BackboneFeatures(0, 3, partial(PreResNet, depth=8)), {"type": "UNetPlusPlusHead"}, [], 3)
    segmentor.eval()
    x, target = torch.randn(2, 3, 16, 24), torch.randint(0, 3, (2, 16, 24))
    losses = segmentor.losses(x, target)
    assert losses.keys() == {f"decode.{d}{name}" for d in ("", "depth1.") for name in ("loss_ce", "acc_seg")}
    for depth, prefix in ((1, "depth1."), (2, "")):
        segmentor.prune(depth)
        expected = nn.functional.cross_entropy(segmentor(x), target)
        torch.testing.assert_close(losses[f"decode.{prefix}loss_ce"], expected)


def test_mistakes_are_one_line(one_line: Callable[..., None]):
    with pytest.raises(ValueError, match="widths") as error:
        head(UNetHead, widths=(6, 8))
    one_line(error, "UNetHead: 4 maps take 3 widths, or 4 for twice the size", "channels=6")
    with pytest.raises(ValueError, match="upsampling") as error:
        head(UNetHead, upsampling="cubic")
    one_line(error, "'cubic'", "nearest, linear and transposed")
    with pytest.raises(ValueError, match="skips go from") as error:
        NestedSkips((3,), (), nn.Conv2d)
    one_line(error, "1 maps")
    with pytest.raises(ValueError, match="pruned_depth=4") as error:
        head(UNetPlusPlusHead).prune(4)
    one_line(error, "depths 1 to 3")
    alone = head(UNetPlusPlusHead, deep_supervision=False)
    with pytest.raises(ValueError, match="pruned_depth=1") as error:
        alone.prune(1)
    one_line(error, "only the last depth has learnt")
    alone.prune(3)
    segmentor = make_segmentor(TimmFeatures(name="resnet10t"), {"type": "FCNHead"}, [], 3)
    with pytest.raises(ValueError, match="pruned_depth=1") as error:
        segmentor.prune(1)
    one_line(error, "FCNHead has none; UNetPlusPlusHead has")
    with pytest.raises(ValueError, match="stem") as error:
        TimmFeatures(name="convnext_atto", stem=True)
    one_line(error, "convnext_atto has no map of stride 1 or 2")
