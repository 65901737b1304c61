"""The steps of CRATE are the steps of the algorithms that they are named after."""

from __future__ import annotations

import pytest
import torch

from blockyard.blocks import ISTA, SelfAttention, SubspaceSelfAttention

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


def draw(rank: int) -> torch.Tensor:
    return torch.randn(2, 8, *(5, 4, 3)[:rank], dtype=torch.float64)


@RANKS
def test_it_is_a_step_of_proximal_gradient_descent(rank: int):
    """On ½‖x - D y‖² + λ‖y‖₁, y ≥ 0, from y = x; the gradient is autograd's."""
    block, x = ISTA(8, rank, step=0.3, threshold=0.2).double(), draw(rank)
    code = x.movedim(1, -1).clone().requires_grad_()
    rest = x.movedim(1, -1) - code @ block.dictionary.t()
    (slope,) = torch.autograd.grad(rest.square().sum() / 2, code)
    expected = (code - 0.3 * (slope + 0.2)).clamp(min=0).movedim(-1, 1)
    torch.testing.assert_close(block(x), expected)


@RANKS
def test_of_an_orthonormal_dictionary_without_threshold_small_steps_go_to_the_code(rank: int):
    """Of x = D y the code is y = Dᵀ x, which a step of one reaches at once where no threshold shrinks it."""
    block, x = ISTA(8, rank, step=1.0, threshold=0.0).double(), draw(rank)
    block.dictionary.detach().copy_(torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0])
    code = torch.einsum("ji,bj...->bi...", block.dictionary, x)
    torch.testing.assert_close(block(x), code.relu())


@RANKS
def test_of_the_identity_as_dictionary_without_threshold_it_is_a_relu(rank: int):
    block, x = ISTA(8, rank, threshold=0.0).double(), draw(rank)
    block.dictionary.detach().copy_(torch.eye(8))
    torch.testing.assert_close(block(x), x.relu())


@RANKS
def test_it_is_self_attention_with_one_matrix_for_queries_keys_and_values(rank: int):
    block, x = SubspaceSelfAttention(8, rank, head_width=4).double(), draw(rank)
    plain = SelfAttention(8, rank, head_width=4, bias=True).double()
    plain.qkv.weight.detach().copy_(block.subspaces.weight.repeat(3, 1))
    plain.project.load_state_dict(block.project.state_dict())
    torch.testing.assert_close(block(x), plain(x))


def test_what_makes_no_step_is_refused():
    with pytest.raises(ValueError, match="step must be positive and threshold not negative, got 0 and 0"):
        ISTA(8, step=0)
    with pytest.raises(ValueError, match="10 channels are not divisible by head_width=4"):
        SubspaceSelfAttention(10, head_width=4)
