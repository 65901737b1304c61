"""CrossViT has the published parameters and timm's numbers; its class tokens meet, its patches do not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import timm
import torch

from blockyard.backbones import CrossViT
from blockyard.backbones.skeletons.crossvit import ClassAttention, Exchange
from blockyard.blocks import PoolMixer, SelfAttention, SpectralNonlocal
from blockyard.plugging import plug

PUBLISHED = {
    "crossvit-tiny": 7_014_800,
    "crossvit-9": 8_553_296,
    "crossvit-small": 26_856_272,
    "crossvit-15": 27_528_464,
    "crossvit-18": 43_271_408,
}
"""Parameters for 1000 classes."""
HEADS = [partial(SelfAttention, head_width=width, qkv_bias=True, bias=True) for width in (4, 8)]
SMALL = partial(CrossViT, depths=(1, 2), widths=(8, 16), count=2, heads=2, mixers=HEADS, patches=(4, 8), input_size=30)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones_and_timm_has_the_same_tensors(configured, name: str):
    with torch.device("meta"):
        network = configured(name)(1000, 3)
        renamed = network.renamed(timm.create_model(f"{name.replace('-', '_')}_240").state_dict())
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    assert {key: value.shape for key, value in renamed.items()} == shapes


@pytest.mark.parametrize("names", ["timm", "published"])
def test_timms_weights_give_timms_numbers(names: str, tmp_path: Path):
    narrow = {"img_size": 30, "patch_size": [5, 7], "embed_dim": [8, 16], "num_heads": [2, 2]}
    stock = timm.create_model("crossvit_tiny_240", depth=[[1, 2, 0]] * 2, **narrow).eval()
    for tensor in stock.parameters():  # what begins at 0 or 1 hides errors
        tensor.detach().uniform_(0.5, 1.5) if tensor.dim() < 2 else tensor.detach().normal_(0, 0.3)
    state = stock.state_dict()
    if names == "published":
        state = {key.replace("embed_", "embed.").replace("token_", "token."): value for key, value in state.items()}
    torch.save(state, tmp_path / "stock.pth")
    network = SMALL(1000, 3, patches=(5, 7), weights=tmp_path / "stock.pth").eval()
    x = torch.randn(2, 3, 30, 30)
    with torch.no_grad():
        expected = stock(x)
        # single positions are summed up in another order
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_grids_behind_its_stages(rank: int):
    network = SMALL(0, 2, spatial_dims=rank)
    maps = network(torch.randn(2, 2, *(30, 45, 15)[:rank]))
    small, large = (8, 12, 4)[:rank], (4, 6, 2)[:rank]
    assert [tuple(m.shape) for m in maps] == 2 * [(2, 8, *small)] + 2 * [(2, 16, *large)]
    assert [(stage.channels, stage.stride) for stage in network.stages] == 2 * [(8, 4)] + 2 * [(16, 9)]
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_what_class_tokens_exchange_leaves_patches_as_they_are():
    exchange, tokens = Exchange((8, 16), 2, 1e-6), [torch.randn(2, 8, 10), torch.randn(2, 16, 5)]
    found = exchange(tokens)
    for before, after in zip(tokens, found, strict=True):
        assert torch.equal(after[:, :, 1:], before[:, :, 1:])
    nearer = [tokens[0], tokens[1].clone()]
    nearer[1][0, :, 3] = torch.randn(16)
    first, second = (now - then for now, then in zip(exchange(nearer), found, strict=True))
    assert first[0, :, 0].abs().min() > 1e-5
    assert not second[0, :, 0].any()


def test_a_class_token_reads_as_the_first_query_of_attention():
    block, x = ClassAttention(8, 2, 1e-6).double(), torch.randn(2, 8, 5, dtype=torch.float64)
    whole = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    with torch.no_grad():
        parts = (block.query, block.key, block.value)
        whole.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        whole.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        whole.out_proj.load_state_dict(block.project.state_dict())
    z = block.norm(x).transpose(1, 2)
    expected = x[:, :, 0] + whole(z, z, z)[0][:, 0]
    torch.testing.assert_close(block(x)[:, :, 0], expected)


def test_it_takes_pictures_of_another_size_blocks_and_mixers():
    network = SMALL(3, 2, mixers=PoolMixer)
    plug(network, SpectralNonlocal, ["stage3.0", "large.layer2.*.mixer"], example=(1, 2, 30, 30), quiet=True)
    last, logits = network.eval().map_and_logits(torch.randn(2, 2, 60, 32))
    assert last.shape == (2, 1, 24)
    assert logits.shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (1,)}, "depths are two positive numbers"),
        ({"count": 0}, "count must be at least 1"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
        ({"heads": 3}, "channels are not divisible by heads=3"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SMALL(3, 2, **options)
