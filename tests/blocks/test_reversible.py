"""Steps computed again going backward have the gradients, random numbers and statistics of steps that were kept."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from blockyard.blocks.reversible import LEAST, Step, factor, run, undo
from blockyard.costs import saved_activation_bytes


class Sum(nn.Module):
    """A function of any number of maps of 4 channels, with all that makes a second run differ from a first."""

    def __init__(self, *extra: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), *extra)

    def forward(self, *maps: Tensor) -> Tensor:
        return self.layers(torch.stack(maps).sum(0))


def chain(make: Callable[[], nn.Module] = Sum, length: int = 3) -> nn.Module:
    """Steps over three maps, of which the first never changes, as parts of one module."""
    torch.manual_seed(0)
    whole = nn.Module()
    whole.functions = nn.ModuleList(make() for _ in range(2 * length))
    whole.scales = nn.ParameterList(nn.Parameter(torch.tensor([0.5, -0.8, 1.5, 0.9])) for _ in range(length))
    return whole


def steps_of(whole: nn.Module) -> list[Step]:
    steps = []
    for i, scale in enumerate(whole.scales):
        steps += [Step(1, (0, 2), whole.functions[2 * i], scale), Step(2, (1,), whole.functions[2 * i + 1])]
    return steps


def draw(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, 4, 5, 6, dtype=dtype, generator=generator).requires_grad_() for _ in range(3)]


def train(
    whole: nn.Module, *, recompute: bool, dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], list[Tensor]]:
    """The maps that come out and the gradients of parameters and inputs."""
    maps = draw(dtype)
    torch.manual_seed(2)
    given = run(steps_of(whole), maps, recompute=recompute)
    loss = sum((i + one).square().mean() for i, one in enumerate(given))
    loss.backward()
    tensors = [*whole.parameters(), *maps]
    return [one.detach() for one in given], [torch.zeros(()) if t.grad is None else t.grad for t in tensors]


def assert_alike(make: Callable[[], nn.Module]) -> None:
    plain = chain(make).double()
    again = copy.deepcopy(plain)
    results = [train(one, recompute=recompute) for one, recompute in ((plain, False), (again, True))]
    assert all(map(torch.equal, results[0][0], results[1][0]))
    for expected, found in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    for (name, expected), found in zip(plain.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(found, expected), f"{name} moved twice, or not at all"


def test_gradients_and_running_statistics_are_those_of_steps_that_were_kept():
    assert_alike(Sum)


def test_what_is_drawn_is_drawn_again_and_leaves_the_random_numbers_behind_as_they_were():
    assert_alike(lambda: Sum(nn.Dropout(0.5)))
    whole = chain(lambda: Sum(nn.Dropout(0.5)))
    after = []
    for recompute in (True, False):
        train(whole, recompute=recompute, dtype=torch.float32)
        after.append(torch.rand(3))
    assert torch.equal(*after)


def test_a_function_that_changes_what_its_output_depends_on_is_run_as_it_was():
    assert_alike(lambda: Sum(nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1))))


def test_a_function_that_stands_in_several_steps_has_the_sum_of_their_gradients():
    shared = Sum()
    assert_alike(lambda: shared)


def test_frozen_parameters_have_no_gradient_and_the_others_have_theirs():
    def frozen() -> Sum:
        made = Sum()
        made.layers[0].requires_grad_(False)
        return made

    assert_alike(frozen)


def test_mixed_precision_is_the_same_again():
    plain = chain()
    again = copy.deepcopy(plain)
    with torch.autocast("cpu", torch.bfloat16):
        _, expected = train(plain, recompute=False, dtype=torch.float32)
        _, found = train(again, recompute=True, dtype=torch.float32)
    for one, other in zip(found, expected, strict=True):
        # what is undone is off by some 1e-7, which may be the next number of bfloat16, 2^-8 away
        assert (one - other).norm() <= 2e-2 * other.norm()


def test_parameters_that_stand_in_for_those_of_the_module_have_the_gradient():
    whole = chain(length=1).double()
    steps, given = steps_of(whole)[1:], {n: p.detach().clone().requires_grad_() for n, p in whole.named_parameters()}

    class Run(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = whole

        def forward(self, recompute: bool) -> Tensor:
            return run(steps, draw(), recompute=recompute)[2].square().sum()

    for recompute in (True, False):
        functional_call(Run(), {f"whole.{name}": tensor for name, tensor in given.items()}, (recompute,)).backward()
    weight = given["functions.1.layers.0.weight"]
    twice = weight.grad.clone()
    weight.grad = None
    functional_call(Run(), {f"whole.{name}": tensor for name, tensor in given.items()}, (False,)).backward()
    torch.testing.assert_close(twice, 2 * weight.grad)
    assert all(p.grad is None for p in whole.parameters())


def test_undoing_gives_the_maps_of_before_and_less_is_kept_than_by_autograd():
    whole, maps = chain(length=4).double().eval(), draw()
    with torch.no_grad():
        for found, expected in zip(undo(steps_of(whole), run(steps_of(whole), maps)), maps, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for length in (1, 5):
        steps = steps_of(chain(length=length).double())
        assert saved_activation_bytes(lambda steps=steps: run(steps, maps)) == sum(one.nbytes for one in maps)


def test_a_factor_near_zero_is_held_away_from_it_and_learns_all_the_same():
    scale = torch.tensor([0.0, 1e-9, -1e-9, 0.5, -2.0], requires_grad=True)
    held = factor(scale, torch.zeros(1, 5, 1))
    torch.testing.assert_close(held.flatten().detach(), torch.tensor([LEAST, LEAST, -LEAST, 0.5, -2.0]))
    held.sum().backward()
    assert torch.equal(scale.grad, torch.ones(5))


def test_weights_that_change_before_the_backward_pass_and_second_derivatives_are_refused():
    whole = chain(length=1).double()
    loss = run(steps_of(whole), draw())[1].sum()
    with torch.no_grad():
        whole.scales[0].add_(1)
    with pytest.raises(RuntimeError, match="a parameter was changed before the backward pass"):
        loss.backward()
    maps = draw()
    (slope,) = torch.autograd.grad(run(steps_of(whole), maps)[1].square().sum(), maps[2], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
