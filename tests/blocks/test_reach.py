"""What a block can't do, whatever it learns: what is local carries nothing across a map, and what treats positions as a
set can't tell a clip from the same clip backwards."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from blockyard.blocks import (
    Block,
    HaloAttention,
    PolynomialBranch,
    RandomMixer,
    RecursiveGatedConvolution,
    RelativeAttention,
    list_blocks,
)

SIZE = (12, 40)
HERE, FAR = (5, 4), (1, 30)
"""In other rows and columns, and further apart than any kernel is wide."""
OWN = {kind.__name__: kind for kind in list_blocks() if kind.__module__.startswith("blockyard.")}
MAKE = OWN | {
    "RelativeAttention": partial(RelativeAttention, size=SIZE),
    "RandomMixer": partial(RandomMixer, size=SIZE),
    "HaloAttention": partial(HaloAttention, block_size=4, halo_size=1),
    "PolynomialBranch without norm": partial(PolynomialBranch, norm=False),
    "RecursiveGatedConvolution of all frequencies": partial(RecursiveGatedConvolution, global_filter=True),
}
LOCAL = {
    *("DCLS", "GhostModule", "HaloAttention", "MixStyle", "PFLayer", "PHC", "PolynomialConvolution", "StarReLU"),
    "SelectableKAN",
    *("DepthwiseConvolution", "IdentityMixer", "InceptionConvolution", "PoolMixer", "SeparableConvolution"),
    *("DilatedReparam", "ExpertMLP", "ISTA", "InceptionBranches", "InvertedResidual", "LocalRelationAggregator"),
    *("FusedInvertedResidual", "NASNetCell", "RecursiveGatedConvolution", "ReversibleStage", "SlicedAttention"),
    "MultiAxisMLP",  # which looks along a grid that the other position is not on
    "SampledAttention",  # which looks as far aside as its weights say, with these by less than a map's width
    "PolynomialBranch without norm",  # with it, the statistics of a map tell each of its positions of all others
}


def drawn(make, rank: int = 2) -> Block:
    """A block none of whose weights is zero."""
    block: Block = make(32, rank)
    for parameter in block.parameters():
        nn.init.normal_(parameter, 0, 0.1)
    return block.double().eval()


def hears(name: str, seed: int) -> bool:
    """Whether what is at :data:`HERE` depends on what is at :data:`FAR`, with weights of that seed."""
    torch.manual_seed(seed)
    block = drawn(MAKE[name])
    x = torch.randn(2, 32, *SIZE, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(block(x)[(0, slice(None), *HERE)].square().sum(), x)
    assert not slope[1].any(), "of another sample it hears nothing"
    return bool(slope[(0, slice(None), *FAR)].any())


@pytest.mark.parametrize("name", MAKE)
def test_a_position_hears_of_all_others_or_of_its_neighbours(name: str):
    # of the 2 channels that are left of 32 in a GlobalContext, a ReLU may silence both: not with every seed
    assert any(hears(name, seed) for seed in range(8)) == (name not in LOCAL)


CLIP = (6, 9, 10)
IN_ORDER = {
    *("DCLS", "GhostAttention", "GhostModule", "HaloAttention", "RelativeAttention", "PHC", "PolynomialConvolution"),
    *("DepthwiseConvolution", "InceptionConvolution", "RandomMixer", "SeparableConvolution"),
    *("CMixer", "DilatedReparam", "GatedPositionalAttention", "GhostStage", "InceptionBranches"),
    *("InvertedResidual", "LSConvolution", "LocalRelationAggregator", "MultiAxisMLP", "RaftMixer"),
    *("RecursiveGatedConvolution", "RecursiveGatedConvolution of all frequencies", "SMixer"),
    *("FusedInvertedResidual", "NASNetCell", "ReversibleStage", "SampledAttention", "SlicedAttention"),
    *("ResidualChannelAttention", "SelectableKAN", "TCNCA"),
}
"""Whose weights belong to offsets in time. PHC and PolynomialConvolution have the kernel of what they replace, and so
one tap over time in the network of the diagnostic."""
OF_CLIPS = MAKE | {kind.__name__: partial(kind, size=CLIP) for kind in (RandomMixer, RelativeAttention)}


@pytest.mark.parametrize("name", OF_CLIPS)
def test_a_clip_backwards_has_the_same_mean_unless_weights_belong_to_offsets_in_time(name: str):
    torch.manual_seed(0)
    block = drawn(OF_CLIPS[name], 3)
    x = torch.randn(2, 32, *CLIP, dtype=torch.float64)
    with torch.no_grad():
        onwards, backwards = (block(clip).flatten(2).mean(2) for clip in (x, x.flip(2)))
    # what differs does so by 1e-6 and more of about 1; float64 sums of 540 positions by some 1e-15
    assert ((onwards - backwards).abs().max() < 1e-10) == (name not in IN_ORDER)
