"""Loss and gradient along a step: in closed form on quadratics, and without a trace in networks."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from blockyard.analysis.landscape import Landscape, landscape
from blockyard.runs.exact_resume import random_state


class Quadratic(nn.Module):
    """L(θ) = ½ θᵀHθ."""

    def __init__(self, hessian: torch.Tensor, start: torch.Tensor) -> None:
        super().__init__()
        self.hessian, self.theta = hessian, nn.Parameter(start.clone())

    def forward(self) -> torch.Tensor:
        return self.theta @ self.hessian @ self.theta / 2


def hessian() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    return root @ root.T


def test_on_a_quadratic_it_is_the_closed_form():
    h, start, steps = hessian(), torch.arange(1.0, 7.0, dtype=torch.float64), (0.001, 0.1, 2.0)
    g = h @ start
    found = landscape(module := Quadratic(h, start), module, steps)
    assert found.loss == pytest.approx(float(start @ h @ start / 2))
    assert found.gradient_norm == pytest.approx(float(g.norm()))
    for step, loss, change in zip(steps, found.losses, found.gradient_changes, strict=True):
        assert loss == pytest.approx(float(found.loss - step * g @ g + step**2 * g @ h @ g / 2), rel=1e-12)
        assert change == pytest.approx(step * float((h @ g).norm()), rel=1e-12)
    assert found.smoothness == pytest.approx(float((h @ g).norm() / g.norm()), rel=1e-12)
    slopes = [abs(-step * g @ g + step**2 * g @ h @ g / 2) / (step * g.norm()) for step in steps]
    assert found.lipschitz == pytest.approx(float(max(slopes)), rel=1e-12)
    assert found.loss_range == (min(found.losses), max(found.losses))


def test_along_eigenvectors_the_smoothness_is_the_eigenvalue():
    h = hessian()
    values, vectors = torch.linalg.eigh(h)
    for value, vector in zip(values, vectors.T, strict=True):
        assert landscape(module := Quadratic(h, vector), module).smoothness == pytest.approx(float(value), rel=1e-9)


def test_a_linear_loss_has_its_slope_and_no_curvature():
    slope = torch.tensor([3.0, 4.0], dtype=torch.float64)
    module = nn.ParameterList([nn.Parameter(torch.zeros(2, dtype=torch.float64))])
    found = landscape(module, lambda: slope @ module[0])
    assert found.lipschitz == pytest.approx(5)
    assert found.smoothness == 0


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 4, 3)), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten()
    )


def test_nothing_is_left_of_it():
    """Weights, buffers, gradients, the optimiser's state and the random states are bit for bit what they were."""
    module, x = network(), torch.randn(3, 1, 6, 6)
    optimizer = torch.optim.Adam(module.parameters())
    module(x).square().sum().backward()
    optimizer.step()

    def everything() -> list:
        state = optimizer.state_dict()["state"]
        gradients = [parameter.grad for parameter in module.parameters()]
        return [*module.state_dict().values(), *gradients, *(v for one in state.values() for v in one.values())]

    def loss() -> torch.Tensor:
        random.random()
        np.random.rand()  # noqa: NPY002 - the global generator is what must be left alone
        return module(x).square().sum()

    before, random_before = [one.clone() for one in everything()], random_state(torch.device("cpu"))
    places = [one.data_ptr() for one in module.state_dict().values()]
    found = landscape(module, loss)
    assert min(found.gradient_changes) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, everything(), strict=True))
    assert places == [one.data_ptr() for one in module.state_dict().values()]
    random_after = random_state(torch.device("cpu"))
    assert torch.equal(random_before.pop("torch"), random_after.pop("torch"))
    assert random_before == random_after
    assert not any(parameter.grad is None for parameter in module.parameters())


def test_a_loss_that_fails_leaves_nothing_either():
    module, x = network(), torch.randn(3, 1, 6, 6)
    before, calls = [one.clone() for one in module.state_dict().values()], []

    def loss() -> torch.Tensor:
        calls.append(module(x))
        if len(calls) > 2:
            raise RuntimeError("out of memory")
        return calls[-1].square().sum()

    with pytest.raises(RuntimeError, match="out of memory"):
        landscape(module, loss)
    assert all(torch.equal(a, b) for a, b in zip(before, module.state_dict().values(), strict=True))


def test_dropout_drops_the_same_at_every_point():
    """The loss is linear in the weight for any one mask, and would not be with a mask a point."""
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(50, 50, bias=False), nn.Dropout()).double(), torch.randn(4, 50).double()
    assert landscape(module, lambda: module(x).sum()).smoothness < 1e-12


def test_what_is_frozen_stays_where_it_is():
    module = nn.Linear(3, 1)
    module.bias.requires_grad_(False)
    x, frozen = torch.randn(5, 3), module.bias.detach().clone()
    seen: list[torch.Tensor] = []

    def loss() -> torch.Tensor:
        seen.append(module.bias.detach().clone())
        return module(x).square().sum()

    landscape(module, loss)
    assert all(torch.equal(one, frozen) for one in seen)


def test_where_there_is_no_gradient_nothing_changes():
    module = nn.Linear(3, 1)
    found = landscape(module, lambda: 0 * module(torch.ones(1, 3)).sum())
    assert (found.lipschitz, found.smoothness) == (0, 0)


def test_what_makes_no_sense_is_refused():
    module = nn.Linear(3, 1)
    for steps in ([], [0.1, 0.0], [-1.0], [float("inf")]):
        with pytest.raises(ValueError, match="steps must be positive"):
            landscape(module, lambda: module(torch.ones(1, 3)).sum(), steps)
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        landscape(module, lambda: module(torch.full((1, 3), torch.nan)).sum())
    with pytest.raises(ValueError, match="parameters that train, and none does"):
        landscape(module.requires_grad_(False), lambda: module(torch.ones(1, 3)).sum())


def test_a_loss_that_overflows_along_the_step_is_told_as_it_is():
    module = nn.ParameterList([nn.Parameter(torch.tensor([1.0]))])
    found = landscape(module, lambda: (module[0] ** 8).sum(), (0.1, 1e30))
    assert found.losses[1] == float("inf")
    assert isinstance(found, Landscape)
