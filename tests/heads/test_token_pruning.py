"""Tokens that leave early: what is computed, what of it is left out, and what that costs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from blockyard import plug
from blockyard.backbones import Isotropic, TimmBackbone
from blockyard.blocks import DepthwiseConvolution, SelfAttention
from blockyard.blocks.mixers import self_attention
from blockyard.costs import macs_in
from blockyard.heads import FPN, EarlyExits, Segmentor, TokenPruning, make_segmentor
from blockyard.heads.token_pruning import leaving

CLASSES, WIDTH = 4, 32
SIZE = (48, 64)
TOKENS = 6 * 8
HEAD: dict[str, Any] = {"type": "FCNHead", "num_convs": 1, "kernel_size": 1, "concat_input": False, "channels": 16}
EXITS = [HEAD | {"in_index": 0}, HEAD | {"in_index": -2}]


def trunk(**options: Any) -> Isotropic:
    mixers = partial(SelfAttention, head_width=16)
    return Isotropic(
        **{"depths": [2, 1, 2], "width": WIDTH, "mixers": mixers, "patch": 8, "input_size": SIZE} | options
    )


def network(**options: Any) -> Segmentor:
    """In double precision and sure of many things, each token in its own way."""
    torch.manual_seed(0)
    made = make_segmentor(trunk(**options), HEAD, EXITS, CLASSES).double().eval().requires_grad_(False)
    for head in (made.decode_head, *made.auxiliary_heads):
        head.conv_seg.weight.mul_(500)
    return made


@pytest.mark.parametrize("class_token", [None, 1, 2, 3])
def test_a_threshold_of_one_is_the_network_itself(class_token):
    made, x = network(class_token=class_token), torch.randn(2, 3, *SIZE, dtype=torch.float64)
    # sums of tokens that lie otherwise in memory are rounded otherwise
    torch.testing.assert_close(EarlyExits(made, TokenPruning(1.0))(x), made(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("class_token", [None, 1, 2])
@pytest.mark.parametrize("pruning", [TokenPruning(0.5, 2), TokenPruning(0.8, 0), TokenPruning(0.0, 1)], ids=str)
def test_equals_all_tokens_of_which_those_that_left_are_masked(pruning, class_token, monkeypatch):
    """The reference computes every token to the end, hides from attention what has left, and picks logits by mask."""
    made, x = network(class_token=class_token), torch.randn(1, 3, *SIZE, dtype=torch.float64)
    masks, attend = [], self_attention.attend

    def masked(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        there = masks[-1] if masks else torch.ones(TOKENS, dtype=torch.bool)
        return attend(query, key, value, F.pad(there, (key.shape[2] - TOKENS, 0), value=True)[None, None, None])

    with monkeypatch.context() as patched:
        patched.setattr(self_attention, "attend", masked)
        maps = [made.backbone.embedded(x)]
        there, expected = torch.ones(TOKENS, dtype=torch.bool), torch.full((CLASSES, TOKENS), torch.nan).double()
        left = []
        for number, head in enumerate((*made.auxiliary_heads, made.decode_head), 1):
            maps.append(made.backbone.passed(maps[-1], number))
            tokens = maps[-1].flatten(2)[:, :, -TOKENS:, None]
            logits = head([tokens] * 3)[0, :, :, 0]
            leaves = torch.zeros_like(there)
            leaves[there] = leaving(logits.T[there], pruning) if number < 3 else True
            assert expected[:, leaves].isnan().all()  # each is predicted once
            expected[:, leaves] = logits[:, leaves]
            left.append(int(leaves.sum()))
            masks.append(there := there & ~leaves)
    assert sum(left) == TOKENS
    assert left[0], "or nothing is tested"
    found = EarlyExits(made, pruning).grid(x)
    torch.testing.assert_close(found.flatten(2)[0], expected, rtol=1e-9, atol=1e-9)


def test_ends_where_nothing_is_left():
    made, x = network(), torch.randn(1, 3, *SIZE, dtype=torch.float64)
    first = made.auxiliary_heads[0]([made.backbone(x)[0]] * 3)
    torch.testing.assert_close(EarlyExits(made, TokenPruning(0.0, 0)).grid(x), first, rtol=1e-10, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(0, 6), st.sampled_from([0.0, 0.4, 0.6, 0.9, 1.0]))
def test_the_surest_of_each_class_stay(seed, count, kept, threshold):
    logits = 3 * torch.randn(count, CLASSES, generator=torch.Generator().manual_seed(seed))
    leaves = leaving(logits, TokenPruning(threshold, kept))
    confidence, label = logits.softmax(1).max(1)
    for k in range(CLASSES):
        sure = sorted((confidence[label == k][confidence[label == k] > threshold]).tolist(), reverse=True)
        assert sorted(confidence[leaves & (label == k)].tolist(), reverse=True) == sure[kept:]
    assert not leaves[confidence <= threshold].any()


def test_of_equals_the_first_stay():
    assert leaving(torch.tensor([[9.0, 0.0]] * 4), TokenPruning(0.5, 1)).tolist() == [False, True, True, True]


def test_multiplications_follow_the_tokens_that_are_left():
    """A unit of n tokens takes 12 C² n + 2 C n², an exit C c n + c K n with c channels in its head."""
    made, x, counts = network(), torch.randn(1, 3, *SIZE, dtype=torch.float64), [TOKENS]
    exits = EarlyExits(made, TokenPruning(0.6, 1))
    classify = exits._classify
    exits._classify = lambda number, rows: counts.append(len(rows)) or classify(number, rows)
    _, macs = macs_in(lambda: exits(x))
    assert TOKENS == counts[1] > counts[2] > counts[3] > 0
    units = sum(depth * (12 * WIDTH**2 * n + 2 * WIDTH * n**2) for depth, n in zip([2, 1, 2], counts[1:], strict=True))
    heads = sum(16 * (WIDTH + CLASSES) * n for n in counts[1:])
    assert macs == 3 * 8**2 * WIDTH * TOKENS + units + heads


class TestRefuses:
    def refused(self, made: Segmentor, match: str, pruning: TokenPruning = TokenPruning()) -> None:  # noqa: B008
        with pytest.raises(ValueError, match=rf"^token_pruning: .*{match}"):
            EarlyExits(made, pruning)

    @pytest.mark.parametrize("pruning", [TokenPruning(1.1), TokenPruning(-0.1), TokenPruning(0.5, -1)])
    def test_numbers_out_of_range(self, pruning):
        self.refused(network(), "threshold must be from 0 to 1 and kept at least 0", pruning)

    def test_other_backbones_and_necks(self):
        self.refused(make_segmentor(TimmBackbone(name="resnet18"), HEAD, EXITS, CLASSES), "not TimmBackbone|not ResNet")
        self.refused(
            make_segmentor(trunk(), HEAD, EXITS, CLASSES, lambda widths: FPN(widths, channels=8)), "not a neck"
        )

    def test_no_exit_two_at_a_stage_or_one_at_the_end(self):
        self.refused(make_segmentor(trunk(), HEAD, [], CLASSES), "there are none")
        for heads in ([EXITS[0], EXITS[0]], [HEAD | {"in_index": 2}]):
            self.refused(make_segmentor(trunk(), HEAD, heads, CLASSES), "stand behind a stage each")
        self.refused(make_segmentor(trunk(), EXITS[0], EXITS[1:], CLASSES), "the decode head behind the last")

    @pytest.mark.parametrize(
        "head", [HEAD | {"kernel_size": 3}, {"type": "SegformerHead", "channels": 8}, {"type": "ASPPHead"}]
    )
    def test_heads_that_see_more_than_a_token(self, head):
        self.refused(make_segmentor(trunk(), head, EXITS, CLASSES), "sees more than one token; give {type: FCNHead")

    def test_units_that_ask_where_tokens_lie(self):
        made = make_segmentor(trunk(), HEAD, EXITS[1:], CLASSES)
        plug(made, DepthwiseConvolution, "backbone.layer1.1", example=torch.zeros(1, 3, *SIZE))
        EarlyExits(made, TokenPruning())  # before anything leaves it may
        plug(made, DepthwiseConvolution, "backbone.layer3.0", example=torch.zeros(1, 3, *SIZE))
        self.refused(made, r"DepthwiseConvolution at layer3\.0\.block asks where")
