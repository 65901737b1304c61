"""SimpleNet is thirteen convolutions, with the published parameters and numbers, in every rank."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from blockyard.backbones import SimpleNet
from blockyard.blocks import SpectralNonlocal
from blockyard.plugging import plug
from blockyard.poolings import ISqrtCov

PUBLISHED = {
    "simplenet-5m": 5_752_808,
    "simplenet-small-05": 1_506_792,
    "simplenet-small-075": 3_287_272,
    "simplenet-9m": 9_508_968,
    "simplenet-cifar-310k": 376_712,
}
"""Parameters for 1000 classes."""
SMALL = partial(SimpleNet, widths=((4,), (6, 8), (8,)), strided=1, pointwise=(3,))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(configured, name: str):
    with torch.device("meta"):
        network = configured(name)(1000, 3)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]
    taps = [module.kernel_size for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert taps == [(3, 3)] * 10 + [(1, 1)] * 2 + [(3, 3)]


@pytest.mark.parametrize("name", ["m2", "cifar"])
def test_published_weights_give_the_published_codes_numbers(name: str, drawn_by_name, tmp_path: Path, capsys):
    """Names, shapes and numbers are those of imagenet/simplenet.py of Coderx7/SimpleNet_Pytorch, 4334c57, in float64.

    At 1/16 and 1/8 of its widths, for five classes; drawn on 29 November 2026.
    """
    golden = json.loads(Path(__file__).with_name("simplenet.json").read_text())[name]
    file = {}
    for key, shape in golden["shapes"].items():
        file[key] = drawn_by_name(key, shape)
        if key.endswith("running_var"):
            file[key.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    torch.save(file, tmp_path / "simplenet.pth")
    network = SimpleNet(5, widths=golden["widths"], strided=golden["strided"], weights=tmp_path / "simplenet.pth")
    assert "tensors taken in their order" in capsys.readouterr().out
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 96)))
    expected = torch.tensor(golden["logits"], dtype=torch.float64)
    torch.testing.assert_close(network.double().eval()(x).detach(), expected)


@pytest.mark.parametrize("strided", [0, 1, 3])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages(rank: int, strided: int):
    network = SMALL(0, 2, strided=strided, spatial_dims=rank)
    size, strides = (17, 10, 6)[:rank], [1, 2, 4] if strided == 0 else [2, 4, 8]
    maps = network(torch.randn(2, 2, *size))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (channels, *(-(-n // stride) for n in size)) for channels, stride in zip((4, 8, 8), strides, strict=True)
    ]
    assert [(stage.channels, stage.stride) for stage in network.stages] == list(zip((4, 8, 8), strides, strict=True))
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_without_biases_twice_the_input_gives_twice_the_logits():
    """Convolutions, ReLUs, maxima and norms whose statistics stay are homogeneous, and nothing else is there."""
    network = SMALL(3, 2).double().eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.detach().zero_()
    x = torch.randn(2, 2, 16, 12, dtype=torch.float64)
    torch.testing.assert_close(network(2 * x), 2 * network(x))


def test_what_is_classified_is_the_maximum_unless_there_is_a_pooling():
    network = SMALL(3, 2).eval()
    last, logits = network.map_and_logits(torch.randn(2, 2, 16, 12))
    torch.testing.assert_close(logits, network.fc(last.amax((2, 3))))
    assert SMALL(3, 2, pooling=ISqrtCov)(torch.randn(2, 2, 32, 32)).shape == (2, 3)


def test_plugs_find_stages_and_units():
    network = plug(SMALL(3, 2), SpectralNonlocal, ["stage1", "stage2.0"], example=(1, 2, 16, 16), quiet=True)
    assert network(torch.randn(2, 2, 16, 16)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"widths": []}, "one convolution or more a stage"),
        ({"widths": [[4], []]}, "one convolution or more a stage"),
        ({"widths": [[4], [0]]}, "one convolution or more a stage"),
        ({"strided": 4}, "strided must be 0 to 3, the number of stages, got 4"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SMALL(3, 2, **options)
