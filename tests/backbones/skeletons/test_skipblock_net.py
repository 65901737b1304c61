"""SkipblockNet is MobileNetV3-Large with what its skip blocks add, in every rank."""

from __future__ import annotations

from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import mobilenetv3

from blockyard.backbones import SkipblockNet
from blockyard.blocks import SpectralNonlocal
from blockyard.plugging import plug
from blockyard.poolings import ISqrtCov
from blockyard.training import BiasLoss

SMALL = partial(SkipblockNet, width=0.125)
PLAIN = partial(SkipblockNet, skip_to=(), skip_hidden=())


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameters_are_the_published_ones(configured):
    """That is all that is known of the channels of the skip blocks, and these are chosen for it."""
    with torch.device("meta"):
        assert parameters(configured("skipblocknet-m")(1000, 3)) == 5_532_352
        assert parameters(PLAIN(1000)) == 5_483_032


def test_widths_are_those_of_mobilenets():
    settings, _ = mobilenetv3._mobilenet_v3_conf("mobilenet_v3_large", width_mult=0.35)
    with torch.device("meta"):
        assert parameters(PLAIN(0, width=0.35)) == parameters(mobilenetv3.MobileNetV3(settings, 8).features[:-1])


def test_what_skip_blocks_do_not_touch_is_timms_mobilenetv3():
    """Tensors in their order; a skip block whose last norm gives zeros adds nothing."""
    mobilenet = timm.create_model("mobilenetv3_large_100", num_classes=5).double().eval()
    for tensor in mobilenet.state_dict().values():  # what begins at 0 or 1 hides errors
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)
    network = SkipblockNet(5).double().eval()
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("skips.")}
    for tensor, stock in zip(own.values(), mobilenet.state_dict().values(), strict=True):
        tensor.copy_(stock.reshape(tensor.shape))
    x = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.allclose(network(x), mobilenet(x))
        for skip in network.skips.values():
            nn.init.zeros_(skip.project[1].weight)
        torch.testing.assert_close(network(x), mobilenet(x))
        network.skips.clear()
        torch.testing.assert_close(network(x), mobilenet(x))


def test_a_skip_block_adds_three_convolutions_of_the_averaged_first_map():
    """To what the sixth and the tenth unit read, at 1/8 and 1/16 of the picture."""
    network = SMALL(0, 2).double().eval()
    x = torch.randn(2, 2, 64, 32, dtype=torch.float64)
    first = network.stem(x)
    seen = {}
    for name in ("downsample3", "downsample4", "layer3", "layer4"):
        network.get_submodule(name).register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: (args, out)})
        )
    network(x)
    assert [len(network.get_submodule(name)) for name in ("downsample3", "downsample4")] == [2, 3]
    for stage, window in (("3", 4), ("4", 8)):
        skip = network.skips[stage]
        y = F.avg_pool2d(first, window)
        for conv, norm, *act in (skip.expand, skip.depthwise, skip.project):
            y = norm(conv(y)).relu() if act else norm(conv(y))
        (read,), given = seen[f"layer{stage}"][0], seen[f"downsample{stage}"][1]
        torch.testing.assert_close(read, given + y)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages(rank: int):
    network = SMALL(0, 2, spatial_dims=rank)
    size = (70, 64, 33)[:rank]
    maps = network(torch.randn(2, 2, *size))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (stage.channels, *(-(-n // stage.stride) for n in size)) for stage in network.stages
    ]
    assert [stage.stride for stage in network.stages] == [2, 4, 8, 16, 32]
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_bias_loss_weighs_by_the_widened_map():
    """Of 960 channels where the width is 1."""
    network = SMALL(3, 1).eval()
    last, logits = network.map_and_logits(torch.randn(2, 1, 32, 32))
    assert last.shape == (2, 120, 1, 1)
    assert BiasLoss()(logits, torch.tensor([0, 2]), last).isfinite()


def test_plugs_and_poolings_find_their_places():
    network = SMALL(3, 2, pooling=ISqrtCov, skip_to=[7], skip_hidden=[8])
    assert not len(network.downsample4)
    plug(network, SpectralNonlocal, ["stage3", "stage4.1"], example=(1, 2, 64, 64), quiet=True)
    assert network(torch.randn(2, 2, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"skip_to": [6]}, "one hidden for each of skip_to"),
        ({"width": 0}, "must be positive"),
        ({"skip_hidden": [8, 0]}, "must be positive"),
        ({"skip_to": [6, 16]}, "1 to 15, the units, got"),
        ({"skip_to": [5, 6]}, "one unit a stage at most"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SkipblockNet(3, 2, **options)
