"""Parameters that mathematics leaves without effect, by options beyond those that all contracts are tested with."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import pytest
from torch import nn

from blockyard.blocks import (
    ULSAM,
    AsymmetricNonlocal,
    Block,
    CompactNonlocal,
    DoubleAttention,
    GhostModule,
    GlobalContext,
    GSoP,
    HaloAttention,
    Nonlocal,
    PolynomialBranch,
    RelativeAttention,
    ReleasedNonlocal,
)
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.nonlocals.released import KINDS

SPEC = importlib.util.spec_from_file_location("test_blocks", Path(__file__).with_name("test_blocks.py"))
test_blocks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(test_blocks)
every_rank = test_blocks.every_rank


def ghost(channels: int, rank: int = 2, **options) -> GhostModule:
    return GhostModule(channels, rank, host=CONVOLUTIONS[rank](channels, channels, 3, padding=1), **options)


def relative(channels: int, rank: int = 2, **options) -> RelativeAttention:
    return RelativeAttention(channels, rank, size=(1, 4, 4)[:rank], **options)


OPTIONS = {
    f"Nonlocal {kernel} pool={pool}": partial(Nonlocal, kernel=kernel, pool=pool, bias=True)
    for kernel in ("gaussian", "embedded_gaussian", "dot_product", "concatenation")
    for pool in ("none", "before", "after")
} | {
    "AsymmetricNonlocal of one token": partial(AsymmetricNonlocal, bins=(1,)),
    "CGNLx of order 0": partial(CompactNonlocal, kernel="rbf", order=0),
    "DoubleAttention of one channel a head": partial(DoubleAttention, heads=16),
    "GhostModule with biases": ghost,
    "GhostModule with biases, no ReLU": partial(ghost, relu=False),
    "GhostModule with biases, no norm": partial(ghost, norm=False),
    "GhostModule 1×1": partial(GhostModule, cheap_kernel_size=1),
    "GlobalContext of one hidden channel": partial(GlobalContext, reduction=32),
    "GlobalContext of eight": partial(GlobalContext, reduction=4),
    "GSoP released": partial(GSoP, inner=16, attention="position", released=True),
    "HaloAttention of one position": partial(HaloAttention, block_size=1, halo_size=0),
    "PolynomialBranch 1×1": partial(PolynomialBranch, kernel_size=1),
    "RelativeAttention of one row": relative,
    "RelativeAttention of one row, absolute": partial(relative, position="absolute"),
    "ULSAM with biases": partial(ULSAM, bias=True),
    "ULSAM of one channel a group": partial(ULSAM, groups=32, bias=True),
} | {
    f"ReleasedNonlocal {release} {kind}": partial(ReleasedNonlocal, release=release, kind=kind)
    for release, kinds in KINDS.items()
    for kind in kinds
}  # fmt: skip


@every_rank
@pytest.mark.filterwarnings("ignore:ReleasedNonlocal")
@pytest.mark.parametrize("make", OPTIONS.values(), ids=OPTIONS.keys())
def test_what_has_no_effect_has_no_gradient_and_all_else_has_one(make, rank: int, assert_learns):
    test_blocks.test_a_gradient_reaches_every_parameter_by_the_second_step(make, rank, assert_learns)


def without_epsilon(block: Block) -> Block:
    for module in block.modules():
        if hasattr(module, "eps"):
            module.eps = 1e-30  # not zero: a channel behind a ReLU may be constant
    return block


NORMED = {
    name: make
    for name, make in (test_blocks.VARIANTS | OPTIONS).items()
    if not name.startswith("ReleasedNonlocal") and make(32).without_scale
}


def test_norms_that_cancel_a_scale_were_found():
    assert {type(make(32)) for make in NORMED.values()} == {CompactNonlocal, GhostModule, GlobalContext, ULSAM}


@pytest.mark.parametrize("make", NORMED.values(), ids=NORMED.keys())
def test_what_a_norm_cancels_but_for_its_epsilon_has_no_gradient_without_it(make, assert_learns):
    def bare(channels: int, rank: int) -> nn.Module:
        block = without_epsilon(make(channels, rank))
        block.without_effect = (*block.without_effect, *block.without_scale)
        return block

    test_blocks.test_a_gradient_reaches_every_parameter_by_the_second_step(bare, 2, assert_learns)
