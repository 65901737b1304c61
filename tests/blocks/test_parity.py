"""Copied weights give the same result as other implementations, or as the formula of the released code."""

from __future__ import annotations

import importlib

import pytest
import timm.layers
import torch
from mmcv.cnn.bricks import context_block, non_local
from pytorchvideo.layers import nonlocal_net
from torch import Tensor, nn

import blockyard.backbones.adapters.mmseg_import  # noqa: F401 - lets mmcv.ops be imported without compiled operators
from blockyard.blocks import (
    AsymmetricNonlocal,
    Block,
    ChannelAttention,
    CompactNonlocal,
    CrissCross,
    DisentangledNonlocal,
    DoubleAttention,
    GlobalContext,
    Nonlocal,
    NonlocalStage,
    PositionAttention,
    SpectralNonlocal,
)

SIZES = {1: (10,), 2: (6, 4), 3: (3, 4, 6)}


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def randomise(module):
    """Random weights, batch statistics too: nothing may hide behind an initial zero."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in module.double().eval().state_dict().items():
            if tensor.is_floating_point():
                random = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.5
                tensor.copy_(random.abs() + 0.5 if name.endswith("running_var") else random)
    return module


def copy(pairs: list[tuple[nn.Module, nn.Module]]) -> None:
    """Copy the second module's state into the first; a 1×1 convolution keeps its numbers in another shape."""
    for ours, theirs in pairs:
        state = theirs.state_dict()
        ours.load_state_dict({k: state[k].reshape(v.shape) for k, v in ours.state_dict().items()})


def nonlocal_pairs(block: Nonlocal, theta, phi, g, out, norm) -> list[tuple[nn.Module, nn.Module]]:
    (unit,) = block.filters
    pairs = [(unit.value.conv, g), (unit.out, out), (unit.norm, norm)]
    return pairs + [(p.conv, other) for p, other in ((block.affinity.theta, theta), (block.affinity.phi, phi)) if other]


@pytest.mark.parametrize("pool", ["none", "after"])
@pytest.mark.parametrize("kernel", ["gaussian", "embedded_gaussian", "dot_product", "concatenation"])
@pytest.mark.parametrize("evaluation", ["dense", "associative"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_nonlocal_equals_mmcv(rank, evaluation, kernel, pool):
    theirs = getattr(non_local, f"NonLocal{rank}d")(
        8, mode=kernel, sub_sample=pool == "after", norm_cfg={"type": f"BN{rank}d"}, conv_cfg={"type": f"Conv{rank}d"}
    )
    randomise(theirs)
    ours = Nonlocal(8, rank, kernel=kernel, bias=True, pool=pool, evaluation=evaluation).double().eval()
    conv = [getattr(theirs, name, None) for name in ("theta", "phi")]
    phi = conv[1][0] if isinstance(conv[1], nn.Sequential) else conv[1]
    theta, phi = (None, None) if kernel == "gaussian" else (conv[0].conv, phi.conv)
    g = (theirs.g[0] if pool == "after" else theirs.g).conv
    copy(nonlocal_pairs(ours, theta, phi, g, theirs.conv_out.conv, theirs.conv_out.bn))
    if kernel == "concatenation":
        copy([(ours.affinity.concat, theirs.concat_project.conv)])
    x = draw(2, 8, *SIZES[rank])
    torch.testing.assert_close(ours(x), theirs(x))


def test_nonlocal_equals_timm():
    theirs = randomise(timm.layers.NonLocalAttn(16, rd_ratio=1 / 2))
    nn.init.zeros_(theirs.z.bias)  # a bias in front of a batch norm is only an offset of its mean
    ours = Nonlocal(16, bias=True, scale=16**-0.5).double().eval()
    copy(nonlocal_pairs(ours, theirs.t, theirs.p, theirs.g, theirs.z, theirs.norm))
    torch.testing.assert_close(ours(draw(2, 16, 6, 4)), theirs(draw(2, 16, 6, 4)))


@pytest.mark.parametrize("kernel", ["embedded_gaussian", "dot_product"])
def test_pooling_before_the_projection_equals_pytorchvideo(kernel):
    theirs = nonlocal_net.create_nonlocal(
        dim_in=8, dim_inner=4, pool_size=(1, 2, 2), instantiation="softmax" if kernel != "dot_product" else kernel
    )
    randomise(theirs)
    nn.init.zeros_(theirs.conv_out.bias)
    ours = Nonlocal(8, 3, kernel=kernel, bias=True, pool="before").double().eval()
    copy(nonlocal_pairs(ours, theirs.conv_theta, theirs.conv_phi, theirs.conv_g, theirs.conv_out, theirs.norm))
    x = draw(2, 8, *SIZES[3])
    torch.testing.assert_close(ours(x), theirs(x))
    after = Nonlocal(8, 3, kernel=kernel, bias=True, pool="after").double().eval()
    after.load_state_dict(ours.state_dict())
    assert not torch.allclose(after(x), ours(x)), "pooling after the projection is another block"


@pytest.mark.parametrize("fusion", ["add", "mul"])
def test_global_context_equals_mmcv(fusion):
    theirs = randomise(context_block.ContextBlock(8, ratio=1 / 4, fusion_types=(f"channel_{fusion}",)))
    ours = GlobalContext(8, reduction=4, fusion=fusion).double().eval()
    transform = theirs.channel_add_conv if fusion == "add" else theirs.channel_mul_conv
    copy([(ours.mask.conv, theirs.conv_mask), *zip(ours.bottleneck, transform, strict=True)])
    torch.testing.assert_close(ours(draw(2, 8, 6, 4)), theirs(draw(2, 8, 6, 4)))


def test_global_context_equals_timm():
    theirs = randomise(timm.layers.GlobalContext(8, fuse_add=True, fuse_scale=False, rd_ratio=1 / 4))
    ours = GlobalContext(8, reduction=4).double().eval()
    mlp = theirs.mlp_add
    copy([(ours.mask.conv, theirs.conv_attn), *zip(ours.bottleneck[::3], (mlp.fc1, mlp.fc2), strict=True)])
    copy([(ours.bottleneck[1], mlp.norm)])
    ours.bottleneck[1].eps = mlp.norm.eps  # timm's 1e-6 instead of the authors' 1e-5
    torch.testing.assert_close(ours(draw(2, 8, 6, 4)), theirs(draw(2, 8, 6, 4)))


def test_criss_cross_equals_mmcv():
    theirs = randomise(importlib.import_module("mmcv.ops").CrissCrossAttention(16))
    ours = CrissCross(16, passes=2).double().eval()
    copy([(ours.query.conv, theirs.query_conv), (ours.key.conv, theirs.key_conv), (ours.value.conv, theirs.value_conv)])
    ours.gamma.data.fill_(theirs.gamma.scale.item())
    x = draw(2, 16, 6, 4)
    torch.testing.assert_close(ours(x), theirs(theirs(x)))


# Below: the formula, written with the N×N matrix, no code shared with the package.


def parts(block: Block, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, c) embeddings T, P and signal Z of every sample, as the papers write them."""
    affinity, (unit, *_) = block.affinity, block.filters

    def project(conv: nn.Conv1d) -> Tensor:
        return x.flatten(2).transpose(1, 2) @ conv.weight[:, :, 0].T

    return project(affinity.theta.conv), project(affinity.phi.conv), project(unit.value.conv)


def finish(block: Block, x: Tensor, signal: Tensor, unit: int = 0) -> Tensor:
    """X + BN(signal), the signal being (B, N, C)."""
    return x + block.filters[unit].norm(signal.transpose(1, 2)).reshape(x.shape)


def symmetric_affinity(t: Tensor, p: Tensor) -> Tensor:
    m = t.relu() @ p.relu().transpose(1, 2)
    s = (m + m.transpose(1, 2)) / 2
    inverse_root = torch.where(s.sum(2) > 0, s.sum(2) ** -0.5, 0)
    return inverse_root.diag_embed() @ s @ inverse_root.diag_embed()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("evaluation", ["dense", "associative"])
def test_spectral_nonlocal_equals_the_released_formula(rank, evaluation):
    """Y = X + BN(Z W1 + A Z W2), A = D^-1/2 (M + Mᵀ)/2 D^-1/2, M = relu(T) relu(P)ᵀ, without the ReLU after BN."""
    block = randomise(SpectralNonlocal(8, rank, evaluation=evaluation))
    x = draw(2, 8, *SIZES[rank])
    t, p, z = parts(block, x)
    w1, w2 = block.filters[0].out.weight[:, :, 0].T.split(4)
    torch.testing.assert_close(block(x), finish(block, x, z @ w1 + symmetric_affinity(t, p) @ z @ w2))


def test_the_2019_generalised_block_is_in_the_function_class_of_snl():
    """W1 Z + W2 A Z + W3 (2A − I) Z, released in 2019 as gSNL, equals SNL with W1 − W3 and W2 + 2 W3."""
    block = randomise(SpectralNonlocal(8))
    x, w3 = draw(2, 8, 6, 4), draw(4, 8)
    t, p, z = parts(block, x)
    a = symmetric_affinity(t, p)
    w1, w2 = block.filters[0].out.weight[:, :, 0].T.split(4)
    expected = finish(block, x, z @ w1 + a @ z @ w2 + (2 * a @ z - z) @ w3)
    block.filters[0].out.weight.data = torch.cat([w1 - w3, w2 + 2 * w3]).T.unsqueeze(2)
    torch.testing.assert_close(block(x), expected)


def test_nonlocal_stage_diffuses_with_one_affinity():
    block = randomise(NonlocalStage(8, steps=3))
    x = draw(2, 8, 6, 4)
    t, p, _ = parts(block, x)
    laplacian = torch.eye(24, dtype=torch.float64) - (t @ p.transpose(1, 2) / 2).softmax(2)
    y = x
    for step, unit in enumerate(block.filters):
        z = y.flatten(2).transpose(1, 2) @ unit.value.conv.weight[:, :, 0].T
        y = finish(block, y, -laplacian @ z @ unit.out.weight[:, :, 0].T, step)
    torch.testing.assert_close(block(x), y)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("evaluation", ["dense", "associative"])
def test_double_attention_equals_efficient_attention(heads, evaluation):
    block = randomise(DoubleAttention(8, heads=heads, evaluation=evaluation))
    x = draw(2, 8, 6, 4)

    def project(conv: nn.Conv1d) -> Tensor:
        return (x.flatten(2).transpose(1, 2) @ conv.weight[:, :, 0].T).unflatten(2, (heads, -1)).transpose(1, 2)

    q, k = project(block.affinity.distribute.conv).softmax(3), project(block.affinity.gather.conv).softmax(2)
    a = q @ k.transpose(2, 3)
    torch.testing.assert_close(a.sum(3), torch.ones_like(a.sum(3)))
    mixed = (a @ project(block.filters[0].value.conv)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(block(x), finish(block, x, mixed @ block.filters[0].out.weight[:, :, 0].T))


@pytest.mark.parametrize("kernel", ["dot", "rbf"])
def test_compact_nonlocal_attends_between_all_positions_and_channels_of_a_group(kernel):
    block = randomise(CompactNonlocal(8, groups=2, kernel=kernel, order=2))
    x = draw(2, 8, 3, 4)
    theta, phi, z = (
        torch.einsum("oc,bcn->bon", p.conv.weight[:, :, 0], x.flatten(2)).unflatten(1, (2, 2)).flatten(2)
        for p in (block.theta, block.phi, block.value)
    )
    product = theta.unsqueeze(3) * phi.unsqueeze(2)
    if kernel == "rbf":
        g = 2e-4
        product = sum(
            torch.exp(torch.tensor(-g, dtype=torch.float64)) * (g * product) ** k / (1, 1, 2)[k] for k in (0, 1, 2)
        )
    mixed = (product @ z.unsqueeze(3)).reshape(2, 4, 12)
    out = torch.einsum("goc,bgcn->bgon", block.out.weight[:, :, 0].unflatten(0, (2, 4)), mixed.unflatten(1, (2, 2)))
    torch.testing.assert_close(block(x), x + block.norm(out.flatten(1, 2)).reshape(x.shape))


def test_disentangled_nonlocal_adds_a_whitened_and_a_unary_term():
    block = randomise(DisentangledNonlocal(8, temperature=0.5))
    x = draw(2, 8, 6, 4)
    t, p, z = parts(block, x)
    whitened = (t - t.mean(1, keepdim=True)) @ (p - p.mean(1, keepdim=True)).transpose(1, 2) / (2 * 0.5)
    mask = (x.flatten(2).transpose(1, 2) @ block.affinity.mask.conv.weight[0]).softmax(1)
    a = whitened.softmax(2) + mask.transpose(1, 2)
    torch.testing.assert_close(a.sum(2), torch.full_like(a.sum(2), 2))
    torch.testing.assert_close(block.affinity(x).dense(), a)
    torch.testing.assert_close(block(x), finish(block, x, a @ z @ block.filters[0].out.weight[:, :, 0].T))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_asymmetric_nonlocal_attends_to_pooled_tokens(rank):
    block = randomise(AsymmetricNonlocal(8, rank, bins=(1, 2)))
    x = draw(2, 8, *SIZES[rank])
    query = block.key_norm(block.key(x)).relu()
    pool = getattr(nn, f"AdaptiveAvgPool{rank}d")

    def tokens(signal: Tensor) -> Tensor:
        return torch.cat([pool(s)(signal.unflatten(2, x.shape[2:])).flatten(2) for s in (1, 2)], 2)

    a = torch.einsum("bcn,bcm->bnm", query, tokens(query)).div(2).softmax(2)
    context = torch.einsum("bnm,bcm->bcn", a, tokens(block.value(x)))
    assert a.shape[2] == 1 + 2**rank
    torch.testing.assert_close(block(x), x + block.out(context).reshape(x.shape))


def test_the_dual_attention_modules_equal_their_formulas():
    x = draw(2, 16, 6, 4)
    rows = x.flatten(2).transpose(1, 2)
    position = randomise(PositionAttention(16))
    q, k, v = (
        rows @ p.conv.weight[:, :, 0].T + p.conv.bias
        for p in (position.affinity.theta, position.affinity.phi, position.value)
    )
    mixed = (q @ k.transpose(1, 2)).softmax(2) @ v
    torch.testing.assert_close(position(x), x + position.gamma * mixed.transpose(1, 2).reshape(x.shape))

    channel = randomise(ChannelAttention(16))
    energy = rows.transpose(1, 2) @ rows
    a = (energy.max(2, keepdim=True).values - energy).softmax(2)
    torch.testing.assert_close(channel(x), x + channel.gamma * (a @ x.flatten(2)).reshape(x.shape))
