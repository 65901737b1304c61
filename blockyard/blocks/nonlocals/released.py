"""The nonlocal blocks of the spectral nonlocal papers, exactly as their code was released."""

from __future__ import annotations

import warnings
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.half_precision import ranged
from blockyard.blocks.nonlocals.affinities import PairwiseAffinity, Projection, SymmetricAffinity
from blockyard.blocks.nonlocals.filters import GraphFilterBlock
from blockyard.blocks.nonlocals.operators import LowRank, Operator, Sum
from blockyard.blocks.nonlocals.spectral import SpectralNonlocal

Release = Literal["2019", "2021", "2021-cifar", "2021-segmentation"]
ReleasedKind = Literal["nl", "ns", "a2", "dnl", "snl", "gsnl"]
KINDS: dict[Release, tuple[ReleasedKind, ...]] = {
    "2019": ("snl", "gsnl"),
    "2021": ("nl", "ns", "a2", "dnl", "snl"),
    "2021-cifar": ("nl", "ns", "a2", "dnl", "snl"),
    "2021-segmentation": ("snl",),
}
"""The blocks of each release."""


class ReluProduct(nn.Module):
    """A = relu(T) relu(P)ᵀ, ``(B, N, N)``, with neither softmax nor normalisation: what the code of 2021 calls A2."""

    def __init__(self, channels: int, inner: int, spatial_dims: int) -> None:
        super().__init__()
        self.theta = Projection(channels, inner, spatial_dims)
        self.phi = Projection(channels, inner, spatial_dims)

    def forward(self, x: Tensor) -> Operator:
        """Return the operator of a map ``(B, C, *S)``."""
        return LowRank(self.theta(x).relu(), self.phi(x).relu())


class WithUnary(nn.Module):
    """A + 1 mᵀ, ``(B, N, N)``, m a softmax over positions: what the code of 2021 calls DNL, without the whitening."""

    def __init__(self, pairwise: nn.Module, channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.pairwise = pairwise
        self.mask = Projection(channels, 1, spatial_dims)

    def forward(self, x: Tensor) -> Operator:
        """Return the operator of a map ``(B, C, *S)``."""
        mask = self.mask(x).softmax(2)
        return Sum(self.pairwise(x), LowRank(torch.ones_like(mask), mask))


class ReleasedFilter(nn.Module):
    """norm(F(A, Z)), or relu(norm(F(A, Z))), ``(B, C, *S)``, with the norm's weight at zero or one.

    Args:
        channels: Channels C of the map.
        inner: Channels c of the signal Z.
        spatial_dims: Rank of S.
        kind: Decides F: A Z W; (Z − A Z) W; Z W1 ± A Z W2; or that and (2A − I) Z W3.
        release: Decides the sign, the norm's weight and whether a ReLU follows.
    """

    def __init__(self, channels: int, inner: int, spatial_dims: int, kind: ReleasedKind, release: Release) -> None:
        super().__init__()
        self.value = Projection(channels, inner, spatial_dims)
        terms = {"snl": 2, "gsnl": 3}.get(kind, 1)
        self.out = nn.Conv1d(terms * inner, channels, 1, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        if release in ("2019", "2021"):
            nn.init.zeros_(self.norm.weight)
        self.kind = kind
        self.sign = -1 if release == "2021-segmentation" else 1
        self.activation = nn.Identity() if release == "2019" else nn.ReLU()

    def forward(self, operator: Operator, x: Tensor) -> Tensor:
        """The increment of a map ``(B, C, *S)``, of the same shape."""
        z = self.value(x)
        filtered = operator.apply(z)
        if self.kind == "ns":
            signal = z - filtered
        elif self.kind == "snl":
            signal = torch.cat([z, self.sign * filtered], 1)
        elif self.kind == "gsnl":
            signal = torch.cat([z, filtered, 2 * filtered - z], 1)
        else:
            signal = filtered
        mixed = ranged(self.out, signal, terms=signal.shape[1])
        increment: Tensor = self.activation(self.norm(mixed))
        return increment.to(x.dtype).reshape(x.shape)


class ReleasedNonlocal(GraphFilterBlock):
    """What the authors' code computes, where that is not what their papers say: to repeat published numbers.

    ======================  ========================================================================================
    ``2019``                Y = X + BN(…), A = softmax(T Pᵀ), not symmetric, scores not scaled; the third term of its
                            gSNL is (2A − I) Z W3, so that it is SNL with more parameters
    ``2021``                Y = X + relu(BN(…)), BN starting at zero: **a dead block**, whose gradient is zero for ever;
                            A as for 2019, but degree-normalised and symmetric for ``snl``, relu(T) relu(P)ᵀ for ``a2``
    ``2021-cifar``          of its PreResNet: the same with BN starting at one, so alive but not the identity at the
                            start; *every* kind has the symmetric affinity of ``snl``
    ``2021-segmentation``   of its segmentation head: Z W1 − A Z W2, BN starting at one
    ======================  ========================================================================================

    The CGNL of 2021 is ``CompactNonlocal`` with one group, ``kernel="rbf"`` and order 2, its CC ``CrissCross`` with
    ``reduction=2`` and one pass. Convolutions are initialised as everywhere here.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        release: Which code.
        kind: The block as the code calls it: ``nl``, ``ns``, ``a2``, ``dnl``, ``snl``, and ``gsnl`` in 2019.
        reduction: C / c.
        steps: Filters in a row that share one affinity.

    Raises:
        ValueError: If the release has no block of that kind, ``reduction`` does not divide ``channels``, or ``steps``
            is less than 1.
    """

    paper: ClassVar[str] = SpectralNonlocal.paper

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        release: Release = "2019",
        kind: ReleasedKind = "snl",
        reduction: int = 2,
        steps: int = 1,
    ) -> None:
        super().__init__(channels, spatial_dims, steps)
        if kind not in KINDS.get(release, ()):
            known = "; ".join(f"{name}: {', '.join(kinds)}" for name, kinds in KINDS.items())
            raise ValueError(f"ReleasedNonlocal: release {release} has no {kind}; there are {known}")
        inner = divide(channels, reduction, "ReleasedNonlocal")
        self.affinity = _affinity(channels, inner, spatial_dims, kind, release)
        self.filters = nn.ModuleList(ReleasedFilter(channels, inner, spatial_dims, kind, release) for _ in range(steps))
        self.identity_at_init = release in ("2019", "2021")
        if release == "2021":
            self.without_effect = ("*",)  # the ReLU behind a norm of weight and bias zero
            warnings.warn(
                f"ReleasedNonlocal: {kind} of the release 2021 starts with a ReLU after a batch norm of weight zero: "
                "its gradient is zero and it stays the identity for ever; the releases 2019 and 2021-cifar train",
                stacklevel=2,
            )


def _affinity(channels: int, inner: int, spatial_dims: int, kind: ReleasedKind, release: Release) -> nn.Module:
    affinity: nn.Module
    if release == "2021-cifar" or (kind == "snl" and release != "2019"):
        affinity = SymmetricAffinity(channels, inner, spatial_dims=spatial_dims)
    elif kind == "a2":
        affinity = ReluProduct(channels, inner, spatial_dims)
    else:
        affinity = PairwiseAffinity(channels, inner, spatial_dims, scale=1.0)
    return WithUnary(affinity, channels, spatial_dims) if kind == "dnl" else affinity
