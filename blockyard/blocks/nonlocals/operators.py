"""Linear maps over the vertices of a graph: what an affinity produces and a filter applies.

An operator A has shape (N, M): N vertices receive, M vertices send (M < N where keys are pooled). Signals are
channels first, ``z: (B, C, M)``; ``apply`` returns ``(B, C, N)`` with row i = Σ_j A_ij z_j. Only ``dense`` builds
the N×M matrix; every ``apply`` is exact, so both give the same result up to rounding.

Operators are plain values: they hold tensors, own no parameters, and one of them can serve many filters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from blockyard.blocks.half_precision import ranged

Evaluation = Literal["auto", "dense", "associative"]
"""``dense`` builds the matrix; ``associative`` never does (reordered products, fused attention, or tiles
recomputed in the backward pass: whichever the kernel allows); ``auto`` takes the cheaper one for the shape."""


class Operator(ABC):
    """A linear map A from M to N vertices, batched."""

    @abstractmethod
    def apply(self, z: Tensor) -> Tensor:
        """Return A z, ``(B, C, N)``, for ``z: (B, C, M)``."""

    @abstractmethod
    def dense(self) -> Tensor:
        """Return the matrix, ``(B, N, M)``."""


@dataclass(frozen=True)
class Dense(Operator):
    """A given matrix ``(B, N, M)``."""

    matrix: Tensor

    def apply(self, z: Tensor) -> Tensor:
        """Return A z, ``(B, C, N)``, with one product."""
        return ranged(weigh, z, self.matrix, terms=z.shape[2])

    def dense(self) -> Tensor:
        """Return the matrix itself, ``(B, N, M)``."""
        return self.matrix

    def degrees(self) -> Tensor:
        """Return the row sums, ``(B, 1, N)``, in at least float32."""
        return at_least_float32(self.matrix).sum(2).unsqueeze(1)

    def scaled(self, scale: Tensor) -> Dense:
        """Return diag(s) A diag(s), ``scale: (B, 1, N)``."""
        return Dense(self.matrix * scale * scale.transpose(1, 2))


@dataclass(frozen=True)
class LowRank(Operator):
    """A = scatterᵀ · gather with ``scatter: (B, r, N)`` and ``gather: (B, r, M)``, applied in O((N + M) r C)."""

    scatter: Tensor
    gather: Tensor

    def apply(self, z: Tensor) -> Tensor:
        """Gather ``z: (B, C, M)`` into r slots, then scatter to ``(B, C, N)``."""
        return through(z, self.gather, self.scatter)

    def dense(self) -> Tensor:
        """Multiply the factors to ``(B, N, M)``."""
        return ranged(inner, self.scatter, self.gather, terms=self.gather.shape[1])


@dataclass(frozen=True)
class Scaled(Operator):
    """diag(s) A diag(s) for square A and ``scale: (B, 1, N)``; with s = D^-1/2, the symmetric normalisation."""

    operator: Operator
    scale: Tensor

    def apply(self, z: Tensor) -> Tensor:
        """Scale ``z: (B, C, N)``, apply, scale."""
        return (self.operator.apply((z * self.scale).to(z.dtype)) * self.scale).to(z.dtype)

    def dense(self) -> Tensor:
        """Scale rows and columns of the matrix, ``(B, N, N)``."""
        return self.operator.dense() * self.scale * self.scale.transpose(1, 2)


@dataclass(frozen=True)
class Pooled(Operator):
    """A ∘ pool, for an A whose M senders are ``pool``'s cells: ``(B, C, N) → (B, C, M)``, linear in its input."""

    operator: Operator
    pool: Callable[[Tensor], Tensor]
    like: Tensor

    def apply(self, z: Tensor) -> Tensor:
        """Pool ``z: (B, C, N)`` to ``(B, C, M)``, then apply."""
        return self.operator.apply(self.pool(z))

    def dense(self) -> Tensor:
        """Build the matrix, ``(B, N, N)``."""
        return self.apply(torch.eye(self.like.shape[2]).to(self.like).expand(self.like.shape[0], -1, -1)).transpose(
            1, 2
        )


@dataclass(frozen=True)
class Sum(Operator):
    """A + B."""

    first: Operator
    second: Operator

    def apply(self, z: Tensor) -> Tensor:
        """Apply both to ``z: (B, C, M)`` and add, ``(B, C, N)``."""
        return self.first.apply(z) + self.second.apply(z)

    def dense(self) -> Tensor:
        """Add the matrices, ``(B, N, M)``."""
        return self.first.dense() + self.second.dense()


@dataclass(frozen=True)
class Grouped(Operator):
    """One operator a group of channels; the inner operator's batch is B · groups."""

    operator: Operator
    groups: int

    def apply(self, z: Tensor) -> Tensor:
        """Apply every group's operator to its own channels of ``z: (B, C, M)``; ``(B, C, N)``."""
        split = z.unflatten(1, (self.groups, z.shape[1] // self.groups)).flatten(0, 1)
        return self.operator.apply(split).unflatten(0, (z.shape[0], self.groups)).flatten(1, 2)

    def dense(self) -> Tensor:
        """Build all matrices, ``(B · groups, N, M)``."""
        return self.operator.dense()


OperatorT = TypeVar("OperatorT", bound=Operator)


def densify(
    operator: OperatorT, evaluation: Evaluation, *, vertices: int, below: float, exported: bool = False
) -> OperatorT | Dense:
    """Return the operator as :class:`Dense` where that is asked for or cheaper.

    Args:
        operator: The operator in its matrix-free form.
        evaluation: ``auto`` takes the matrix if there are fewer than ``below`` vertices.
        vertices: Number of vertices that send, M.
        below: Where the costs of both forms cross.
        exported: What ``auto`` takes while a graph is exported or M is symbolic, when a choice by shape would
            bake a guard into the graph: the matrix (True) or the matrix-free form.
    """
    if evaluation == "auto":
        symbolic = torch.compiler.is_exporting() or isinstance(vertices, torch.SymInt)
        dense = exported if symbolic else vertices < below
    else:
        dense = evaluation == "dense"
    return Dense(operator.dense()) if dense else operator


def weigh(z: Tensor, matrix: Tensor) -> Tensor:
    """A z for ``z: (B, C, M)`` and ``matrix: (B, N, M)``."""
    return torch.bmm(z, matrix.transpose(1, 2).to(z.dtype))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """aᵀ b, ``(B, N, M)``, for ``a: (B, r, N)`` and ``b: (B, r, M)``."""
    return torch.bmm(a.transpose(1, 2), b)


def through(z: Tensor, gather: Tensor, scatter: Tensor) -> Tensor:
    """Gather ``z: (B, C, M)`` into r slots, then scatter them to N vertices."""
    slots = ranged(lambda z, gather: torch.bmm(z, gather.transpose(1, 2)), z, gather, terms=z.shape[2])
    return ranged(torch.bmm, slots, scatter, terms=scatter.shape[1])


def full_precision_product(a: Tensor, b: Tensor) -> Tensor:
    """Return aᵀ b, ``(B, N, M)``, in at least float32, whatever autocast says: exponents must not be rounded."""
    with torch.autocast(a.device.type, enabled=False):
        return torch.bmm(at_least_float32(a).transpose(1, 2), at_least_float32(b))


def at_least_float32(x: Tensor) -> Tensor:
    """Return x, of any shape, in float32, or in float64 if it already is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
