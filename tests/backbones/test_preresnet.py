"""PreResNet: published parameter counts, real depth, stages, any input size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard import plug
from blockyard.backbones import PreResNet
from blockyard.blocks import Nonlocal, SpectralNonlocal, StarReLU
from blockyard.costs import count_parameters
from blockyard.poolings import ISqrtCov


@pytest.mark.parametrize(
    ("depth", "block", "count"),
    [
        (20, None, 282_548),
        (20, Nonlocal, 283_092),
        (20, SpectralNonlocal, 283_220),
        (56, None, 958_708),
        (56, Nonlocal, 967_028),
        (56, SpectralNonlocal, 969_076),
    ],
)
def test_published_counts(depth: int, block, count: int):
    network = PreResNet(100, depth=depth)
    if block is not None:
        plug(network, block, "stage1.1", quiet=True)  # after the second unit of the first stage
    assert count_parameters(network) == count


@pytest.mark.parametrize(("depth", "convolutions"), [(20, 20), (56, 83)])
def test_the_main_path_of_56_is_longer_than_its_name(depth: int, convolutions: int):
    names = [name for name, module in PreResNet(10, depth=depth).named_modules() if isinstance(module, nn.Conv2d)]
    main = [name for name in names if "shortcut" not in name]
    assert len(main) == convolutions


@pytest.mark.parametrize("depth", [20, 56])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 20, 36)])
def test_features_have_the_stated_channels_and_strides(depth: int, shape: tuple[int, ...]):
    network = PreResNet(7, shape[0], depth).eval()
    x = torch.randn(2, *shape)
    for stage, features in zip(network.stages, network.features(x), strict=True):
        assert features.shape == (2, stage.channels, shape[1] // stage.stride, shape[2] // stage.stride)
    assert network(x).shape == (2, 7)


def test_a_plug_shows_in_the_features():
    network = plug(PreResNet(10).eval(), lambda c, d: nn.Hardtanh(0.1, 0.2), "stage2", quiet=True)
    assert network.features(torch.randn(1, 3, 16, 16))[1].max() <= torch.tensor(0.2)


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_every_parameter_learns(depth: int, assert_learns):
    network, x = PreResNet(10, depth=depth).double(), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    assert_learns(network, lambda: nn.functional.cross_entropy(network(x), torch.arange(4)))


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_a_network_twice_as_wide_has_four_times_the_weights_between_its_maps(depth: int):
    def inner(network: PreResNet) -> int:
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
        return sum(module.weight.numel() for module in convolutions[1:])  # the first one reads the input

    with torch.device("meta"):
        plain, same, wide = (PreResNet(10, depth=depth, width=width) for width in (None, 16, 32))
    shapes, alike = ({k: v.shape for k, v in network.state_dict().items()} for network in (plain, same))
    assert shapes == alike
    assert inner(wide) == 4 * inner(plain)
    assert [stage.channels for stage in wide.stages] == [2 * stage.channels for stage in plain.stages]
    assert [features.shape[1] for features in wide.features(torch.zeros(1, 3, 8, 8, device="meta"))] == [
        stage.channels for stage in wide.stages
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"num_classes": 10, "depth": 110}, "depth must be one of 8, 20, 56, got 110"),
        ({"num_classes": -1}, "num_classes must be at least 0"),
        ({"num_classes": 10, "in_channels": 0}, "in_channels must be at least 1"),
        ({"num_classes": 10, "stem_stride": 0}, "stem_stride must be at least 1, got 0"),
        ({"num_classes": 10, "stage_stride": 0}, "stage_stride must be at least 1, got 0"),
        ({"num_classes": 10, "stem_kernel": 80}, "stem_kernel must be odd, got 80"),
        ({"num_classes": 10, "width": 0}, "width must be at least 1, got 0"),
    ],
)
def test_mistakes(arguments, why: str):
    with pytest.raises(ValueError, match=why):
        PreResNet(**arguments)


@pytest.mark.parametrize(("rank", "size"), [(1, (64,)), (2, (16, 24)), (3, (4, 16, 24))])
def test_every_rank_has_the_strides_that_it_says(rank, size):
    network = PreResNet(5, 2, depth=8, spatial_dims=rank, stem_stride=2).eval()
    x = torch.randn(2, 2, *size)
    assert network(x).shape == (2, 5)
    for stage, features in zip(network.stages, network.features(x), strict=True):
        space = size[1:] if rank == 3 else size
        assert features.shape[:2] == (2, stage.channels)
        assert features.shape[-len(space) :] == tuple(s // stage.stride for s in space)
    if rank == 3:
        assert [f.shape[2] for f in network.features(x)] == [4, 2, 1], "the stem does not stride time"


def test_the_middle_of_a_3_d_kernel_alone_is_the_2_d_network():
    """One frame, and weights that look at no neighbour in time."""
    flat, deep = PreResNet(5, depth=8).eval(), PreResNet(5, depth=8, spatial_dims=3).eval()
    state = deep.state_dict()
    for name, weight in flat.state_dict().items():
        if weight.dim() == 4:
            state[name] = torch.zeros_like(state[name])
            state[name][:, :, weight.shape[-1] // 2] = weight
        else:
            state[name] = weight
    deep.load_state_dict(state)
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(deep(x.unsqueeze(2)), flat(x), rtol=1e-4, atol=1e-5)


def test_of_a_waveform_the_stem_is_wide_and_the_stages_stay_long():
    network = PreResNet(5, 1, depth=8, spatial_dims=1, stem_stride=4, stem_kernel=79, stage_stride=4).eval()
    x = torch.randn(2, 1, 16_000)
    assert [tuple(f.shape) for f in network.features(x)] == [(2, 16, 4000), (2, 32, 1000), (2, 64, 250)]
    assert [stage.stride for stage in network.stages] == [4, 16, 64]
    x[:, :, 39] += 10  # the edge of the first window, which a kernel of 3 would not see
    assert not torch.equal(network.conv1(x)[..., 0], network.conv1(x * (torch.arange(16_000) != 39))[..., 0])


def test_the_stem_of_a_video_is_wide_in_space_alone():
    assert PreResNet(5, spatial_dims=3, stem_kernel=7).conv1.kernel_size == (3, 7, 7)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_pooling_takes_the_place_of_the_mean(rank: int):
    network = PreResNet(5, 1, depth=8, dropout=0.0, spatial_dims=rank, pooling=ISqrtCov).eval()
    x = torch.randn(2, 1, *(16, 20, 16)[:rank])
    seen: list[torch.Tensor] = []
    network.pooling.register_forward_hook(lambda module, inputs, output: seen.append(output))
    torch.testing.assert_close(network(x), network.fc(seen[0]))
    assert seen[0].shape == (2, 64 * 65 // 2)
    assert PreResNet(5, 1, depth=8).state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize(("depth", "activations"), [(8, 8), (20, 20), (56, 83)])
def test_a_block_can_stand_in_place_of_every_activation(depth: int, activations: int):
    network = plug(PreResNet(10, depth=depth), StarReLU, ["layer?.*.relu?", "relu?"], mode="replace", quiet=True)
    assert not any(isinstance(module, nn.ReLU) for module in network.modules())
    assert count_parameters(network) - count_parameters(PreResNet(10, depth=depth)) == 2 * activations


def test_without_activations_it_is_an_affine_map():
    """So that of two pictures' mean it makes the mean of their logits, whatever its norms have learnt."""
    network = PreResNet(3, depth=8, linear=True).double()
    network(torch.randn(8, 3, 16, 16, dtype=torch.float64))
    x, y = torch.randn(2, 2, 3, 16, 16, dtype=torch.float64)
    network.eval()
    torch.testing.assert_close(network((x + y) / 2), (network(x) + network(y)) / 2)
    assert PreResNet(3, depth=8).state_dict().keys() == network.state_dict().keys()


def test_frames_apart_know_no_order():
    """Each frame has the map that it has alone, and the logits of a clip are those of the clip in any order."""
    network = PreResNet(3, depth=8, spatial_dims=3, frames_apart=True).double().eval()
    clip = torch.randn(2, 3, 5, 16, 16, dtype=torch.float64)
    for whole, alone in zip(network.features(clip), network.features(clip[:, :, 2:3]), strict=True):
        torch.testing.assert_close(whole[:, :, 2:3], alone)
    torch.testing.assert_close(network(clip[:, :, [3, 1, 4, 0, 2]]), network(clip))
    with pytest.raises(ValueError, match="frames_apart is for video, spatial_dims 3, got 2"):
        PreResNet(3, frames_apart=True)
