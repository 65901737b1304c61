"""Roots of matrices: against eigenvalues, against steps written out, and where no root has a slope."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from blockyard.poolings.matrix_roots import exact_root, newton_schulz_root, upper_triangle


def semidefinite(side: int, samples: int = 3, rank: int | None = None) -> Tensor:
    """Random matrices of a bounded condition, or of a low rank."""
    factor = torch.randn(samples, side, rank or 4 * side, dtype=torch.float64)
    return factor @ factor.transpose(1, 2) / factor.shape[2]


def root_by_eigenvalues(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag_embed(values.clamp_min(0).sqrt()) @ vectors.transpose(1, 2)


@pytest.mark.parametrize("side", [4, 16, 64])
@pytest.mark.parametrize("iterations", [15, 20])
def test_many_steps_meet_the_root(side: int, iterations: int):
    matrix = semidefinite(side)
    torch.testing.assert_close(newton_schulz_root(matrix, iterations), root_by_eigenvalues(matrix))


def test_five_steps_do_not():
    matrix = semidefinite(64)
    error = (newton_schulz_root(matrix, 5) - root_by_eigenvalues(matrix)).norm() / root_by_eigenvalues(matrix).norm()
    assert 0.1 < error < 0.9


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_steps_written_out(iterations: int):
    """The scalar recursion on each eigenvalue: y ← y (3 - z y) / 2, z ← (3 - z y) z / 2 from y = λ / Σλ and z = 1."""
    matrix = semidefinite(16)
    values, vectors = torch.linalg.eigh(matrix)
    expected = []
    for sample, basis in zip(values, vectors, strict=True):
        total = sum(sample.tolist())
        roots = []
        for value in sample.tolist():
            y, z = value / total, 1.0
            for _ in range(iterations):
                y, z = y * (3 - z * y) / 2, (3 - z * y) * z / 2
            roots.append(y * total**0.5)
        expected.append(basis @ torch.diag(torch.tensor(roots, dtype=torch.float64)) @ basis.T)
    torch.testing.assert_close(newton_schulz_root(matrix, iterations), torch.stack(expected))


def test_the_exact_root_times_itself_is_the_matrix():
    for matrix in (semidefinite(16), semidefinite(16, rank=5)):
        root = exact_root(matrix)
        torch.testing.assert_close(root @ root, matrix)
        torch.testing.assert_close(root, root.transpose(1, 2))


def test_equal_eigenvalues_have_the_gradient_of_their_neighbours():
    """At A = a I, √A moves by dA / (2 √a) in every direction, where the eigenvectors themselves have no derivative."""
    matrix = (4 * torch.eye(5, dtype=torch.float64)).expand(2, 5, 5).clone().requires_grad_()
    weight = torch.randn(2, 5, 5, dtype=torch.float64)
    (exact_root(matrix) * weight).sum().backward()
    torch.testing.assert_close(matrix.grad, weight / 4)


@pytest.mark.parametrize("root", [exact_root, lambda matrix: newton_schulz_root(matrix, 5)], ids=["exact", "steps"])
@pytest.mark.parametrize("equal", [True, False])
def test_gradients_are_those_of_the_values(root, equal: bool):
    factor = torch.randn(2, 5, 20, dtype=torch.float64)
    if equal:  # orthonormal rows: all eigenvalues are one
        factor = torch.linalg.qr(factor.transpose(1, 2)).Q.transpose(1, 2)
    factor = factor.contiguous().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: root(f @ f.transpose(1, 2)), (factor,))


def test_many_steps_have_the_gradient_of_the_root():
    gradients = []
    for root in (exact_root, lambda matrix: newton_schulz_root(matrix, 20)):
        torch.manual_seed(1)
        matrix = semidefinite(8).requires_grad_()
        (root(matrix) * torch.randn(8, 8).double()).sum().backward()
        gradients.append(matrix.grad + matrix.grad.transpose(1, 2))
    torch.testing.assert_close(*gradients)


def test_a_low_rank_has_the_right_gradient_in_float32():
    """196 positions give 256 channels at most 196 eigenvalues that are not zero; |A^½|² is A's trace, |X|² / 196."""
    signal = torch.randn(2, 256, 196, requires_grad=True)
    exact_root(signal @ signal.transpose(1, 2) / 196).square().sum().backward()
    # Roots of the least eigenvalues, some 1e-2 of the greatest, hold two digits less than float32's seven.
    torch.testing.assert_close(signal.grad, 2 * signal.detach() / 196, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("root", [exact_root, lambda matrix: newton_schulz_root(matrix, 5)], ids=["exact", "steps"])
def test_what_is_not_a_number_stays_none(root):
    """The loss must see it: a training that diverged is stopped there."""
    assert root(torch.full((1, 3, 3), torch.nan)).isnan().all()


def test_upper_triangle_row_by_row():
    matrix = torch.tensor([[[1, 2, 3], [2, 4, 5], [3, 5, 6]]])
    assert upper_triangle(matrix).tolist() == [[1, 2, 3, 4, 5, 6]]
