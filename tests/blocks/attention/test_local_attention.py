"""Local attention: timm's with the same weights, and dense attention under a mask."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import timm
import torch
from timm.layers.halo_attn import HaloAttn
from torch import Tensor, nn

from blockyard.blocks import HaloAttention, RelativeAttention
from blockyard.plugging import PlugError, plug

SIZES = {1: (11,), 2: (5, 8), 3: (3, 4, 5)}


def adopt(ours: HaloAttention, theirs: HaloAttn) -> None:
    """timm orders its channels head, key or value, width; we key or value, head, width."""
    heads, channels = theirs.num_heads, theirs.q.in_channels
    pairs = theirs.kv.weight.reshape(heads, 2, -1, channels).transpose(0, 1).reshape(2 * channels, channels, 1)
    with torch.no_grad():
        ours.query.conv.weight.copy_(theirs.q.weight.flatten(2))
        ours.key_value.conv.weight.copy_(pairs)
        ours.tables[0].copy_(theirs.pos_embed.height_rel)
        ours.tables[1].copy_(theirs.pos_embed.width_rel)


@pytest.mark.parametrize("scale_positions", [False, True])
@pytest.mark.parametrize(("block_size", "halo_size"), [(8, 3), (4, 1), (4, 0)])
def test_equals_timm(block_size: int, halo_size: int, scale_positions: bool):
    options = {"block_size": block_size, "halo_size": halo_size}
    theirs = HaloAttn(16, num_heads=2, scale_pos_embed=scale_positions, **options).double()
    ours = HaloAttention(16, heads=2, scale_positions=scale_positions, **options).double()
    adopt(ours, theirs)
    x = torch.randn(2, 16, 16, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))


def test_parameters_are_timms():
    count = sum(p.numel() for p in HaloAttention(512).parameters())
    assert count == sum(p.numel() for p in HaloAttn(512).parameters()) == 789_888


def test_halonet_h1_with_every_attention_replaced_computes_the_same():
    network = timm.create_model("halonet_h1").double().eval()
    assert sum(p.numel() for p in network.parameters()) == 8_100_056
    ours = copy.deepcopy(network)
    unstrided = [(name, m) for name, m in network.named_modules() if isinstance(m, HaloAttn) and m.block_stride == 1]
    for name, theirs in unstrided:
        assert theirs.dim_out_v == theirs.dim_out_qk == theirs.q.in_channels
        block = HaloAttention(
            theirs.dim_out_v, heads=theirs.num_heads, block_size=theirs.block_size, halo_size=theirs.halo_size
        ).double()
        adopt(block, theirs)
        ours.set_submodule(name, nn.Sequential(block, theirs.pool))
    x = torch.randn(1, 3, 256, 256, dtype=torch.float64)
    assert len(unstrided) > 10
    with torch.no_grad():
        torch.testing.assert_close(ours(x), network(x))


def dense_attention(block: HaloAttention, x: Tensor) -> Tensor:
    """Attention over all positions of the map, those outside the window masked away, position by position."""
    size, rank = x.shape[2:], x.dim() - 2
    places = torch.tensor(list(product(*map(range, size))))
    heads = [block.query(x), *block.key_value(x).chunk(2, 1)]
    query, key, value = (t.unflatten(1, (block.heads, -1)).transpose(2, 3) for t in heads)
    scale, reach = query.shape[-1] ** -0.5, block.block_size + 2 * block.halo_size - 1
    start = places // block.block_size * block.block_size
    scores = query @ key.transpose(-1, -2) * scale
    for axis in range(rank):
        # the window's first position has number 0, the block's first number halo_size, but is counted from 0 too
        offset = places[None, :, axis] - places[:, None, axis] + block.halo_size
        vectors = block.tables[axis][(offset + reach).clamp(0, 2 * reach)]
        scores = scores + torch.einsum("bhqd,qkd->bhqk", query, vectors)
    near = places[None] - start[:, None]
    seen = ((near >= -block.halo_size) & (near < block.block_size + block.halo_size)).all(-1)
    attention = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return (attention @ value).transpose(2, 3).reshape(x.shape)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("block_size", "halo_size"), [(4, 2), (3, 1), (2, 0), (8, 3)])
def test_equals_dense_attention_under_a_mask(rank: int, block_size: int, halo_size: int):
    block = HaloAttention(8, rank, heads=2, block_size=block_size, halo_size=halo_size, outside="nothing").double()
    x = torch.randn(2, 8, *SIZES[rank], dtype=torch.float64)
    torch.testing.assert_close(block(x), dense_attention(block, x))


def test_one_block_without_halo_is_attention_over_the_whole_map():
    local = HaloAttention(16, heads=4, block_size=6, halo_size=0, scale_positions=True).double()
    whole = RelativeAttention(16, size=(6, 6)).double()
    with torch.no_grad():
        whole.qkv.conv.weight.copy_(torch.cat([local.query.conv.weight, local.key_value.conv.weight]))
        for ours, theirs in zip(whole.tables, local.tables, strict=True):
            ours.copy_(theirs)
    x = torch.randn(2, 16, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(local(x), whole(x))


def test_what_lies_outside_counts_in_the_softmax_or_does_not():
    """Uniform attention over a constant map: a corner sees (b + h)² of the (b + 2 h)² positions of its window."""
    for outside, share in (("nothing", 1.0), ("zeros", (8 + 3) ** 2 / (8 + 6) ** 2)):
        block = HaloAttention(16, heads=2, outside=outside).double()
        nn.init.zeros_(block.query.conv.weight)
        x = torch.ones(1, 16, 24, 24, dtype=torch.float64)
        value = block.key_value(x)[:, 16:].unflatten(2, (24, 24))
        torch.testing.assert_close(block(x)[..., 0, 0], share * value[..., 0, 0])
        torch.testing.assert_close(block(x)[..., 12, 12], value[..., 12, 12])


@pytest.mark.parametrize("size", [(16, 24), (7, 9), (5, 8)])
def test_in_place_of_a_strided_convolution_every_second_position_asks(size: tuple[int, int]):
    strided = HaloAttention(16, heads=2, block_size=4, host=nn.Conv2d(16, 16, 3, 2, 1)).double()
    every = HaloAttention(16, heads=2, block_size=4).double()
    every.load_state_dict(strided.state_dict())
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    torch.testing.assert_close(strided(x), every(x)[..., ::2, ::2])


def test_resnet50_with_local_attention_in_its_last_stage():
    network = plug(timm.create_model("resnet50"), HaloAttention, "layer4.*.conv2", mode="replace")
    assert [module.block.stride for module in (network.layer4[0].conv2, network.layer4[1].conv2)] == [(2, 2), (1, 1)]


def test_hosts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="keeps its 16 channels"):
        HaloAttention(16, host=nn.Conv2d(16, 32, 3))
    with pytest.raises(ValueError, match=r"stride \(3, 3\) does not divide block_size=8"):
        HaloAttention(16, host=nn.Conv2d(16, 16, 3, 3))
    with pytest.raises(ValueError, match="16 channels are not divisible by heads=3"):
        HaloAttention(16, heads=3)
    with pytest.raises(PlugError, match="HaloAttention replaces a Conv2d, not a BatchNorm2d"):
        plug(timm.create_model("resnet18"), HaloAttention, "layer1.0.bn1", mode="replace")
