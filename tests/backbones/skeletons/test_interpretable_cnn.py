"""The network has the published code's parameters and numbers, and convolves each mixture by itself."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from blockyard.backbones import InterpretableCNN

SMALL = partial(InterpretableCNN, width=4, kernel_size=8)


def test_parameters_are_those_of_the_published_code():
    assert sum(p.numel() for p in InterpretableCNN(2).parameters()) == 2706


def test_the_published_code_s_weights_give_its_numbers():
    """InterpretableCNN.py of the authors' repository at 81dec1b, in float64, drawn on 30 November 2026.

    Parameter number i, of those in their order, is sin(10 i + 0, 1, 2…) over the root of its inputs. The code
    normalises by the batch, as ours does in training.
    """
    network = SMALL(3, 5).double().train()
    with torch.no_grad():
        for number, p in enumerate(network.parameters()):
            values = (torch.arange(p.numel()).double() + 10 * number).sin().view(p.shape)
            p.copy_(values / math.sqrt(max(1, p[0].numel())))
    x = (torch.arange(2 * 5 * 40).double() * 0.7).sin().view(2, 5, 40)
    expected = [
        [-2.465335257269141, -0.4967457325309616, -1.1824984873959439],
        [-2.5115715386971673, -0.5133675687781789, -1.1382393510216815],
    ]
    torch.testing.assert_close(network(x).log_softmax(1).detach(), torch.tensor(expected, dtype=x.dtype))


def test_separable_convolutions_are_one_of_rank_one_filters():
    """Mixing, then filtering each mixture, is one convolution whose kernels are outer products of both weights."""
    network, x = SMALL(3, 5).double(), torch.randn(2, 5, 30, dtype=torch.float64)
    mixing = network.pointwise.weight[:, :, 0].repeat_interleave(2, 0)
    taps = network.depthwise.weight[:, 0]
    bias = network.pointwise.bias.repeat_interleave(2) * taps.sum(1) + network.depthwise.bias
    whole = F.conv1d(x, mixing[:, :, None] * taps[:, None], bias)
    torch.testing.assert_close(network.filtered(x), whole)
    assert whole.shape == (2, 8, 23)


def test_a_trunk_gives_the_map_that_is_classified():
    network, x = SMALL(3, 5).eval(), torch.randn(2, 5, 30)
    last, logits = network.map_and_logits(x)
    torch.testing.assert_close(logits, network.fc(last.mean(2)))
    assert torch.equal(network.trunk()(x)[0], last)
    assert last.shape == (2, network.stages[0].channels, 23)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        InterpretableCNN(2, width=0)
    with pytest.raises(ValueError, match="series of 7 samples are shorter than kernel_size=8"):
        SMALL(2, 5)(torch.zeros(1, 5, 7))
