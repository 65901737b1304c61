"""A linear classifier on features that stay as they are: logistic regression, to its minimum."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from blockyard.progress import at_work

STRENGTHS = tuple(10.0**power for power in range(1, -7, -1))
"""Strengths of the regularisation that are tried, from strong to weak, for features of unit variance."""
BLOCK = 2**23
"""Numbers of features at once, to bound the memory of double precision: 64 MiB."""
STEPS = 1_000
GRADIENT = 1e-6
"""A minimum is where no derivative of the mean loss is larger."""
ROUNDING = 1e-6
"""What deviates less from its mean, in units of it, is constant but for the rounding of float32."""


@dataclass(frozen=True)
class LinearClassifier:
    """Logits W x + b.

    Attributes:
        weight: ``(K, D)`` float64.
        bias: ``(K,)`` float64.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """Logits float64 ``(n, K)`` of vectors ``(n, D)``."""
        return torch.cat([some.to(self.weight) @ self.weight.T + self.bias for some in _blocks(vectors)])


class Scale(NamedTuple):
    """What features are standardised by.

    Attributes:
        mean: ``(D,)`` float64.
        deviation: ``(D,)`` float64; 1 of a feature that is constant.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, vectors: Tensor, device: torch.device) -> Scale:
        """That of vectors ``(n, D)``, a block at a time."""
        mean = torch.stack([some.to(device).double().sum(0) for some in _blocks(vectors)]).sum(0) / len(vectors)
        squares = [(some.to(device).double() - mean).square().sum(0) for some in _blocks(vectors)]
        deviation = (torch.stack(squares).sum(0) / len(vectors)).sqrt()
        return cls(mean, deviation.where(deviation > ROUNDING * mean.abs(), 1.0))

    def plain(self, classifier: LinearClassifier) -> LinearClassifier:
        """A classifier of standardised features, as one of features as they are."""
        weight = classifier.weight / self.deviation
        return LinearClassifier(weight, classifier.bias - weight @ self.mean)

    def gradient(self, plain: Tensor) -> Tensor:
        """The gradient ``(K, D + 1)`` by the classifier of standardised features, from that by the plain one."""
        by_weight = (plain[:, :-1] - plain[:, -1:] * self.mean) / self.deviation
        return torch.cat([by_weight, plain[:, -1:]], 1)


def fit(
    vectors: Tensor,
    targets: Tensor,
    num_classes: int,
    strength: float,
    start: LinearClassifier | None = None,
    scale: Scale | None = None,
) -> LinearClassifier:
    """Minimise the mean cross-entropy plus strength / 2 · (‖W‖² + ‖b‖²), in double precision, by L-BFGS.

    Targets ``(n,)`` make it multinomial, ``(n, K)`` of zeros and ones one logistic regression a class, their losses
    added up. The bias is regularised too, or that of a class without a sample would have no minimum.

    Args:
        vectors: Features ``(n, D)``; a block of them is looked at at a time.
        targets: Classes ``(n,)``, or ``(n, K)``.
        num_classes: Classes K.
        strength: Of the regularisation; scikit-learn's ``C`` is 1 / (n · strength), where the bias is a feature.
        start: Where to start, such as the minimum for another strength; None starts at zero.
        scale: What features are standardised by, whose device computes; None is not at all, where the vectors are.

    Raises:
        ValueError: If there are no vectors, or the strength is not positive.
    """
    from scipy.optimize import minimize

    if not len(vectors) or strength <= 0:
        raise ValueError(f"a fit needs vectors and a positive strength, got {len(vectors)} and {strength}")
    width, device = vectors.shape[1], vectors.device if scale is None else scale.mean.device

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = torch.from_numpy(parameters).view(num_classes, width + 1).to(device)
        now = LinearClassifier(table[:, :-1], table[:, -1])
        loss, gradient = _mean_loss(now if scale is None else scale.plain(now), vectors, targets)
        gradient = gradient if scale is None else scale.gradient(gradient)
        loss += strength / 2 * float(table.square().sum())
        return loss, (gradient + strength * table).cpu().numpy().ravel()

    begun = torch.zeros(num_classes, width + 1) if start is None else torch.cat([start.weight, start.bias[:, None]], 1)
    first = begun.double().cpu().numpy().ravel()
    options = {"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": GRADIENT, "ftol": 0.0}
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
    if found.nit >= STEPS or found.nfev >= 2 * STEPS:
        left = f"{np.abs(found.jac).max():.0e}"
        warnings.warn(f"strength {strength:g}: after {STEPS} steps a derivative of {left} is left", stacklevel=2)
    table = torch.from_numpy(found.x).view(num_classes, width + 1).to(device)
    return LinearClassifier(table[:, :-1], table[:, -1])


def choose(
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    num_classes: int,
    strengths: Sequence[float] = STRENGTHS,
    device: torch.device | None = None,
) -> tuple[LinearClassifier, float]:
    """Fit one classifier a strength on the training split, and take the best of the validation split.

    The best has the least mean cross-entropy there. Features are standardised by mean and deviation of the training
    split; the classifier that is returned takes them as they are.

    Args:
        training: Features ``(n, D)`` and targets.
        validation: Features ``(m, D)`` and targets; not looked at if there is one strength.
        num_classes: Classes K.
        strengths: What is tried; each fit starts where the one before ended, so best from strong to weak.
        device: What computes, a block of features at a time; None is where those of the training split are.

    Returns:
        The classifier and its strength.
    """
    vectors, targets = training
    scale = Scale.of(vectors, device or vectors.device)
    tried: list[tuple[float, LinearClassifier, float]] = []
    classifier = None
    with at_work("fitting linear classifiers", len(strengths)) as step:
        for strength in strengths:
            classifier = fit(vectors, targets, num_classes, strength, classifier, scale)
            plain = scale.plain(classifier)
            loss = _mean_loss(plain, *validation)[0] if len(strengths) > 1 else 0.0
            tried.append((loss, plain, strength))
            step()
    _, best, strength = min(tried, key=lambda one: one[0])
    return best, strength


def _mean_loss(classifier: LinearClassifier, vectors: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    """Mean cross-entropy and its gradient ``(K, D + 1)``, that of the bias last."""
    gradient = torch.zeros_like(torch.cat([classifier.weight, classifier.bias[:, None]], 1))
    total, at = gradient.new_zeros(()), 0
    for some in _blocks(vectors):
        x, wanted = some.to(gradient), targets[at : (at := at + len(some))].to(gradient.device)
        loss, residual = _losses(x @ classifier.weight.T + classifier.bias, wanted)
        total += loss.sum()
        gradient[:, :-1] += residual.T @ x
        gradient[:, -1] += residual.sum(0)
    return float(total) / len(vectors), gradient / len(vectors)


def _blocks(vectors: Tensor) -> Sequence[Tensor]:
    return vectors.split(max(1, BLOCK // max(1, vectors[:1].numel())))


def _losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropies and their derivatives by the logits ``(n, K)``."""
    if targets.ndim == 2:
        wanted = targets.to(logits)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none"), logits.sigmoid() - wanted
    shares = F.one_hot(targets, logits.shape[1]).to(logits)
    return F.cross_entropy(logits, targets, reduction="none"), logits.softmax(1) - shares
