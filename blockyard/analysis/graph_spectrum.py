"""Nonlocal blocks as filters: frequencies of their graphs, and what they do to each.

The normalised Laplacian of a graph with affinity A is L = I − A, so an eigenvector of A to the eigenvalue λ is a signal
of graph frequency 1 − λ: 0 is the smoothest, 2 the roughest that a symmetric, degree-normalised graph has.
A block X + norm(Σ_k B_k(A) Z Θ_k) with Z = X W multiplies the part of X at an eigenvalue λ by one matrix over channels,

    H(λ) = I + diag(norm) Σ_k B_k(λ) (W Θ_k)ᵀ,

whatever the picture; the picture decides which λ there are (Zhu et al., Unifying Nonlocal Blocks for Neural Networks,
ICCV 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blockyard.analysis.graph_looking import Floats, Graph
from blockyard.blocks import GraphBlock
from blockyard.blocks.nonlocals.filters import GraphFilterBlock, PolynomialFilter, polynomials
from blockyard.blocks.nonlocals.operators import Dense

MOST = 2048
"""Positions of the largest map whose eigenvalues are computed: some seconds."""


@dataclass(frozen=True)
class Response:
    """What a block does to graph signals.

    Attributes:
        frequency: 1 − λ, ``(F,)``.
        gain: Length of the row of H(λ) of each output channel, ``(F, C)``: what it makes of a signal that is equally
            strong in all channels and independent between them. One for a block that does nothing.
        added: The same of H(λ) − I, ``(F, C)``: what the block adds.
    """

    frequency: Floats
    gain: Floats
    added: Floats


def refusal(block: GraphBlock, graph: Graph) -> str | None:
    """Why a block has no frequency response, in words, or None if it has one."""
    if not isinstance(block, GraphFilterBlock) or not all(isinstance(one, PolynomialFilter) for one in block.filters):
        return "is no polynomial of its affinity"
    if len(graph.matrices) > 1:
        return "has several heads, each with frequencies of its own"
    if graph.keys != graph.size:
        return "pools its keys, so that its affinity is not square"
    if graph.matrices.shape[1] > MOST:
        return f"sees more than {MOST} positions, too many for eigenvalues"
    return None


def eigenvalues(matrix: Floats) -> NDArray[np.complex128]:
    """The eigenvalues of an affinity ``(N, N)``, by real part, largest first; real for a symmetric one.

    The graph of a row-softmax is directed, and its eigenvalues are complex in general.
    """
    symmetric = np.allclose(matrix, matrix.T, rtol=0, atol=1e-12 * np.abs(matrix).max())
    found = np.linalg.eigvalsh(matrix) if symmetric else np.linalg.eigvals(matrix)
    return np.sort_complex(found.astype(np.complex128))[::-1]


def response(block: GraphFilterBlock, frequency: Floats) -> Response:
    """What a block does at some graph frequencies 1 − λ, ``(F,)``; several filters in a row are multiplied."""
    with torch.no_grad():
        eigenvalue = 1 - torch.as_tensor(frequency, dtype=torch.float64)
        filters = [_terms(one, eigenvalue) for one in block.filters if isinstance(one, PolynomialFilter)]
        identity = torch.eye(block.channels, dtype=torch.float64)
        rows = []
        for index in range(len(frequency)):
            transfer = identity
            for weights, terms in filters:
                transfer = transfer + torch.einsum("k,koc->oc", weights[index], terms) @ transfer
            rows.append(torch.stack([transfer.norm(dim=1), (transfer - identity).norm(dim=1)]))
    gain, added = torch.stack(rows, 1).numpy()
    return Response(np.asarray(frequency, dtype=np.float64), gain, added)


def _terms(graph_filter: PolynomialFilter, eigenvalue: Tensor) -> tuple[Tensor, Tensor]:
    """B_k(λ), ``(F, K + 1)``, by the recurrence that the block itself uses, and what order k does to channels."""
    one = torch.ones(1, 1, len(eigenvalue), dtype=torch.float64)
    values = polynomials(Dense(eigenvalue.diag().unsqueeze(0)), one, graph_filter.order, graph_filter.basis)
    return torch.cat(values, 1)[0].T, graph_filter.transfer().double().cpu()
