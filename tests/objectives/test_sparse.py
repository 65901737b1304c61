"""A network run sparsely sees visible positions alone, and is itself where all are visible."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from blockyard.backbones import MetaFormer, PreResNet, TimmBackbone
from blockyard.blocks import DepthwiseConvolution, SpectralNonlocal, SqueezeExcitation
from blockyard.objectives.sparse import Visible, refuse_mixing, sparsely
from blockyard.plugging import plug

SMALL = partial(PreResNet, 0, 2, depth=8)
MIXER = partial(MetaFormer, 0, 2, depths=(1, 1), widths=(4, 8), mixers=partial(DepthwiseConvolution, kernel_size=3))
NETWORKS = {
    "rank 1": (partial(SMALL, spatial_dims=1), (8,)),
    "rank 2": (SMALL, (8, 4)),
    "rank 3": (partial(SMALL, spatial_dims=3), (4, 4, 8)),
    "max pool": (partial(TimmBackbone, 0, 2, "test_resnet"), (64, 64)),
    "channels last": (partial(TimmBackbone, 0, 2, "test_convnext"), (64, 64)),
    "layer norm": (MIXER, (16, 16)),
}


def made(name: str) -> tuple[nn.Module, tuple[int, ...], tuple[int, ...], frozenset[str]]:
    """A network, the size of its samples and patches, and which of its modules have their channels last."""
    make, size = NETWORKS[name]
    network = make()
    last = network.eval().features(torch.zeros(1, 2, *size))[-1].shape[2:]
    patch = tuple(n // m for n, m in zip(size, last, strict=True))
    found = refuse_mixing(network, lambda net: net.features, (2, *(2 * p for p in patch)))
    return network, size, patch, found


def masked(size, patch, batch: int = 3) -> torch.Tensor:
    """Half of the patches of each sample."""
    grid = [n // p for n, p in zip(size, patch, strict=True)]
    number = torch.Size(grid).numel()
    order = torch.rand(batch, number).argsort(1)
    return (order < (number + 1) // 2).view(batch, 1, *grid)


@pytest.mark.parametrize("name", NETWORKS)
def test_sees_visible_positions_alone(name):
    """Masked ones may hold anything, and are left empty by every map; where all are seen, the network is dense."""
    network, size, patch, channels_last = made(name)
    assert bool(channels_last) == (name == "channels last")
    patches, x = masked(size, patch), torch.randn(3, 2, *size)
    visible = Visible(patches, channels_last)
    network.train()
    with torch.no_grad(), sparsely(network, visible):
        maps = network.features(x.masked_fill(~visible.at(size), 0))
    for found in maps:
        assert found.masked_select(~visible.at(found.shape[2:])).count_nonzero() == 0
    twin = copy.deepcopy(network)
    with torch.no_grad():
        dense = network.features(x)
        with sparsely(twin, Visible(torch.ones_like(patches), channels_last)):
            every = twin.features(x)
    torch.testing.assert_close(every, dense, rtol=1e-4, atol=1e-5)  # sums over positions in another order
    torch.testing.assert_close(twin.state_dict(), network.state_dict(), rtol=1e-4, atol=1e-5)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_statistics_of_a_batch_norm_are_those_of_visible_positions(rank: int):
    kind = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank - 1]
    norm, x = kind(5, momentum=1.0), torch.randn(4, 5, *(6,) * rank)
    visible = Visible(masked((6,) * rank, (2,) * rank, 4))
    mask = visible.at(x.shape[2:])
    with sparsely(norm, visible):
        found = norm(x)
    seen = x.movedim(1, -1)[mask[:, 0]]
    torch.testing.assert_close(norm.running_mean, seen.mean(0))
    torch.testing.assert_close(norm.running_var, seen.var(0))
    expected = (seen - seen.mean(0)) / (seen.var(0, unbiased=False) + norm.eps).sqrt()
    torch.testing.assert_close(found.movedim(1, -1)[mask[:, 0]], expected)
    assert found.masked_select(~mask).count_nonzero() == 0


def test_a_norm_of_each_sample_has_its_visible_positions():
    norm, x = nn.GroupNorm(2, 4), torch.randn(3, 4, 6, 6)
    visible = Visible(masked((6, 6), (3, 3)))
    with sparsely(norm, visible):
        found = norm(x)
    for one, given, mask in zip(x, found, visible.at((6, 6)), strict=True):
        torch.testing.assert_close(given[:, mask[0]], norm(one[:, mask[0]][None])[0])


def test_pools_are_over_visible_positions():
    visible = Visible(torch.tensor([[[True, False, True, True]]]))
    x = (-torch.rand(1, 1, 8) - 1).masked_fill(~visible.at((8,)), 0)
    pools = nn.ModuleList([nn.MaxPool1d(3, 1, 1), nn.AvgPool1d(3, 1, 1, count_include_pad=False)])
    with sparsely(pools, visible):
        largest, mean = (pool(x) for pool in pools)
    for found, of in ((largest, torch.amax), (mean, torch.mean)):
        near = [[0, 1], [0, 1], [], [], [4, 5], [4, 5, 6], [5, 6, 7], [6, 7]]
        expected = [of(x[0, 0, positions], 0).item() if positions else 0.0 for positions in near]
        assert found.flatten().tolist() == pytest.approx(expected)


class TestRefused:
    @pytest.mark.parametrize(
        ("block", "part"),
        [
            (SqueezeExcitation, r"layer2\.0\.block \(SqueezeExcitation\)"),
            (SpectralNonlocal, r"layer2\.0\.block \(SpectralNonlocal\)"),
        ],
    )
    def test_a_block_that_sees_all_positions(self, block, part, one_line):
        """Also one that begins as the identity, by its name."""
        network = SMALL()
        plug(network, block, "stage2.0", example=(1, 2, 8, 8), quiet=True)
        with pytest.raises(ValueError, match=f"SparK: {part} mixes positions") as refusal:
            refuse_mixing(network, lambda net: net.features, (2, 8, 8))
        one_line(refusal)

    @pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
    def test_networks_that_do(self, name, one_line):
        network = TimmBackbone(0, 2, name)
        with pytest.raises(ValueError, match=r"objective: SparK: .*(mixes positions|does not run on other)") as refusal:
            refuse_mixing(network, lambda net: net.features, (2, 64, 64))
        one_line(refusal)
