"""The asymmetric head, against mmsegmentation's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockyard.blocks import AsymmetricNonlocal
from blockyard.heads.asymmetric_head import AsymmetricFusion, AsymmetricNonlocalHead

SIZES: dict[str, Any] = {
    "in_channels": [24, 40],
    "in_index": [0, 1],
    "channels": 32,
    "num_classes": 5,
    "norm_cfg": {"type": "BN"},
}


def randomised(module: nn.Module) -> nn.Module:
    for tensor in [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]:
        nn.init.uniform_(tensor, 0.2, 0.8)
    for m in module.modules():
        if isinstance(m, nn.Conv1d | nn.Conv2d):
            nn.init.normal_(m.weight, std=0.1)
    return module


def maps() -> list[Tensor]:
    return [torch.randn(2, 24, 18, 15), torch.randn(2, 40, 9, 8)]


def copy_attention(theirs: Any, ours: Any, shared: bool) -> None:
    """mmsegmentation's attention block into ours, 1×1 convolutions over maps into ones over signals."""

    def convolution(source: nn.Conv2d, target: nn.Conv1d) -> None:
        target.weight.data.copy_(source.weight.data.flatten(2))
        if target.bias is not None:
            target.bias.data.copy_(torch.zeros_like(target.bias) if source.bias is None else source.bias.data)

    pairs = [(theirs.key_project, ours.key, ours.key_norm)] if shared else [
        (theirs.key_project, ours.key[0], ours.key[1]),
        (theirs.query_project, ours.query[0], ours.query[1]),
    ]  # fmt: skip
    for source, projection, norm in pairs:
        convolution(source.conv, projection.conv)
        norm.load_state_dict(source.bn.state_dict())
    convolution(theirs.value_project, ours.value.conv)
    convolution(theirs.out_project, ours.out)


def test_equals_mmsegmentations_head():
    """Where theirs concatenates [context, x], ours concatenates [x + context, x]: W_x − W_context for W_x."""
    from mmseg.models.decode_heads import ANNHead

    theirs = randomised(ANNHead(project_channels=16, **SIZES)).eval()
    ours = AsymmetricNonlocalHead(**SIZES).eval()
    copy_attention(theirs.fusion.stages[0], ours.fusion, shared=False)
    copy_attention(theirs.context.stages[0], ours.block, shared=True)
    ours.fused.load_state_dict(theirs.fusion.bottleneck.state_dict())
    ours.bottleneck.load_state_dict(theirs.bottleneck.state_dict())
    ours.context.load_state_dict(theirs.context.bottleneck.state_dict())
    with torch.no_grad():
        weight = ours.context.conv.weight
        weight[:, 32:] -= weight[:, :32]
    ours.conv_seg.load_state_dict(theirs.conv_seg.state_dict())
    x = maps()
    with torch.no_grad():
        expected = theirs(x)
        # float32 through two attentions and a difference of weights
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_fusion_of_a_map_with_itself_is_the_pyramid_block():
    block = randomised(AsymmetricNonlocal(24, 2)).eval()
    fusion = AsymmetricFusion(24, 24, 12).eval()
    for projection in (fusion.query, fusion.key):
        projection[0].conv.weight.data.copy_(block.key.conv.weight.data)
        projection[1].load_state_dict(block.key_norm.state_dict())
        projection[1].running_mean -= block.key.conv.bias.data  # the block's projection has a bias in front of its norm
    fusion.value.load_state_dict(block.value.state_dict())
    fusion.out.load_state_dict(block.out.state_dict())
    x = torch.randn(2, 24, 9, 8)
    with torch.no_grad():
        torch.testing.assert_close(x + fusion(x, x), block(x))


@pytest.mark.parametrize("bins", [(1, 3, 6, 8), (1,)])
def test_context_starts_at_zero_and_comes_alive(bins: tuple[int, ...], assert_learns):
    fusion = AsymmetricFusion(24, 40, 16, bins).double()
    low, high = (x.double() for x in maps())
    assert fusion(low, high).abs().max() == 0
    assert_learns(fusion, lambda: (fusion(low, high) - high).square().mean())


@pytest.mark.parametrize("norm", ["BN", "SyncBN", "GN", None])
def test_a_gradient_reaches_every_parameter_by_the_second_step(norm: str | None, assert_learns):
    norm_cfg = {"type": norm, **({"num_groups": 4} if norm == "GN" else {})} if norm else None
    head = AsymmetricNonlocalHead(**{**SIZES, "norm_cfg": norm_cfg}, dropout_ratio=0).double()
    head = head if norm != "SyncBN" else nn.SyncBatchNorm.convert_sync_batchnorm(head)
    x = [m.double() for m in maps()]
    target = torch.randint(5, (2, 9, 8))
    assert_learns(head, lambda: nn.functional.cross_entropy(head(x), target))


def test_parameters_in_closed_form():
    low, high, width, inner, classes = 24, 40, 32, 16, 5
    fusion = inner * (high + low) + 4 * inner + (low + 1) * inner + (inner + 1) * high
    block = 2 * (width + 1) * inner + 2 * inner + (inner + 1) * width
    convolutions = 2 * high * high + 2 * high + 9 * high * width + 2 * width + 2 * width * width + 2 * width
    head = AsymmetricNonlocalHead(**SIZES)
    assert sum(p.numel() for p in head.parameters()) == fusion + block + convolutions + classes * (width + 1)


def test_two_maps_only():
    with pytest.raises(ValueError, match="two maps"):
        AsymmetricNonlocalHead(**{**SIZES, "in_channels": [24], "in_index": [0]})
