"""Poolings: what makes one vector of a backbone's last map, in place of the mean over its positions."""

from __future__ import annotations

from blockyard.blocks.base import concrete_subclasses
from blockyard.poolings.base import Pooling
from blockyard.poolings.covariance_pooling import CovariancePooling, ISqrtCov, MPNCov
from blockyard.poolings.cross_covariance import CrossCovariance
from blockyard.poolings.power_mean import GeM
from blockyard.poolings.tensor_train import ResidualTensorTrain

__all__ = [
    "CovariancePooling",
    "CrossCovariance",
    "GeM",
    "ISqrtCov",
    "MPNCov",
    "Pooling",
    "ResidualTensorTrain",
    "list_poolings",
]


def list_poolings(pattern: str = "*") -> list[type[Pooling]]:
    """Return every pooling whose class name matches the glob, in alphabetical order.

    A pooling is a subclass of :class:`Pooling`; those of other packages are found too, once they are imported.
    """
    return concrete_subclasses(Pooling, pattern)  # type: ignore[type-abstract]
