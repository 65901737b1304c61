"""The contract that every pooling keeps, for every rank."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from blockyard.poolings import CrossCovariance, ISqrtCov, MPNCov, Pooling, list_poolings

OURS = [kind for kind in list_poolings() if kind.__module__.startswith("blockyard.")]  # other tests define some too
VARIANTS = {kind.__name__: kind for kind in OURS} | {
    "ISqrtCov reduced": partial(ISqrtCov, inner=4),
    "ISqrtCov gaussian": partial(ISqrtCov, inner=4, gaussian=True),
    "MPNCov reduced": partial(MPNCov, inner=4),
    "MPNCov gaussian": partial(MPNCov, inner=4, gaussian=True, mean_weight=0.5),
    "CrossCovariance of 3": partial(CrossCovariance, heads=2, inner=4, iterations=2, singular_values=3),
}
SIZE = (4, 6, 5)
every_pooling = pytest.mark.parametrize("make", VARIANTS.values(), ids=VARIANTS.keys())


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_all_are_listed_with_their_paper():
    assert {kind.__name__ for kind in OURS} == {"CrossCovariance", "GeM", "ISqrtCov", "MPNCov", "ResidualTensorTrain"}
    assert all(kind.slot == "pooling" and kind.ranks == (1, 2, 3) and kind.paper for kind in OURS)
    assert list_poolings("ISqrt*") == [ISqrtCov]


@every_pooling
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gives_a_vector_that_knows_no_order_of_the_positions(make, rank: int):
    pooling = make(8).double().eval()
    x = draw(2, 8, *SIZE[:rank])
    order = torch.randperm(x[0, 0].numel())
    shuffled = x.flatten(2)[:, :, order].reshape(x.shape)
    assert pooling(x).shape == (2, pooling.out_features)
    torch.testing.assert_close(pooling(shuffled), pooling(x))
    assert pooling(3 * x).isfinite().all()


@every_pooling
@pytest.mark.parametrize("x", [torch.zeros(2, 8, 7, 7), torch.full((2, 8, 7, 7), 3.7)], ids=["zero", "constant"])
@pytest.mark.parametrize("training", [True, False])
def test_finite_where_nothing_varies(make, x: Tensor, training: bool):
    """The trace, the eigenvalues and the singular values are zero, where a root has no slope."""
    pooling, x = make(8).train(training), x.clone().requires_grad_()
    out = pooling(x)
    out.square().sum().add(out.sum()).backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in pooling.parameters())


@pytest.mark.parametrize(
    "make",
    [*VARIANTS.values(), partial(CrossCovariance, power=1.0), partial(CrossCovariance, heads=2, inner=1)],
    ids=[*VARIANTS.keys(), "CrossCovariance of power 1", "CrossCovariance of one channel"],
)
def test_a_gradient_reaches_every_parameter_and_the_map(make, assert_learns):
    pooling = make(8).double()
    pooling.map = nn.Parameter(draw(3, 8, 5, 5))
    target = torch.randn_like(pooling(pooling.map))
    assert_learns(pooling, lambda: (pooling(pooling.map) - target).square().mean())


@every_pooling
def test_gradients_are_those_of_the_values(make):
    pooling = make(8).double().eval()
    assert torch.autograd.gradcheck(pooling, (draw(2, 8, 12).requires_grad_(),), fast_mode=True)


@every_pooling
def test_half_precision(make):
    """The convolution is in bfloat16, what comes after it is not: 8 bits would leave an error of 2⁻⁸ and more."""
    pooling = make(8).eval()
    x = torch.randn(2, 8, 6, 6).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = pooling(x)
    mixed.sum().backward()
    assert x.grad.isfinite().all()
    reduced = copy.deepcopy(pooling).bfloat16()(x)
    assert mixed.isfinite().all()
    assert reduced.dtype == torch.bfloat16
    torch.testing.assert_close(reduced, mixed.bfloat16(), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("scale", [1, 100, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "make",
    [*VARIANTS.values(), partial(CrossCovariance, power=1.0)],
    ids=[*VARIANTS.keys(), "CrossCovariance of power 1"],
)
def test_autocast_is_close_to_float64(make, dtype: torch.dtype, scale: float):
    pooling, x = make(8), (scale * torch.randn(3, 8, 6, 6)).requires_grad_()
    expected = copy.deepcopy(pooling).double()(x.detach().double())
    with torch.autocast("cpu", dtype):
        y = pooling(x)
    (y.float().square().mean() / expected.square().mean()).backward()
    assert all(t.grad.isfinite().all() for t in (x, *pooling.parameters()))
    # A rounding of weights and map, of each projection and of the result, and the root and power iterations between.
    rounding = 2.0**-11 if dtype == torch.float16 else 2.0**-8
    assert (y.double() - expected).abs().max() <= 16 * rounding * expected.abs().max()


@pytest.mark.parametrize("kind", [ISqrtCov, MPNCov])
def test_autocast_changes_nothing_without_a_convolution(kind: type[Pooling]):
    pooling, x = kind(8), torch.randn(2, 8, 6, 6) * 0.1 + 100
    with torch.autocast("cpu", torch.bfloat16):
        mixed = pooling(x)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, pooling(x))


@every_pooling
def test_compiles_to_one_graph(make):
    torch.compiler.reset()
    pooling, x = make(8), torch.randn(2, 8, 5, 5, requires_grad=True)
    compiled = torch.compile(copy.deepcopy(pooling), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), pooling(x))
    compiled(x).sum().backward()


@every_pooling
def test_weights_serve_every_rank(make):
    pooling = make(8).eval()
    x = torch.randn(2, 8, 4, 6)
    torch.testing.assert_close(pooling(x), pooling(x.flatten(2)))
    torch.testing.assert_close(pooling(x), pooling(x.unsqueeze(4)))


def test_mistakes_are_one_line():
    cases = {
        "ISqrtCov expects": lambda: ISqrtCov(8)(torch.zeros(2, 7, 5, 5)),
        r"expects \(B, 8, \*S\), got shape \(2, 8\)": lambda: ISqrtCov(8)(torch.zeros(2, 8)),
        "channels must be at least 1, got 0": lambda: MPNCov(0, inner=4),
        "inner must be at least 1, got 0": lambda: MPNCov(8, inner=0),
        "iterations must be at least 1, got 0": lambda: ISqrtCov(8, iterations=0),
        "for gaussian=True only, got 2": lambda: MPNCov(8, mean_weight=2.0),
        "a single position": lambda: ISqrtCov(8)(torch.zeros(2, 8, 1, 1)),
        "heads, inner and iterations": lambda: CrossCovariance(8, heads=0),
        "power must lie": lambda: CrossCovariance(8, power=0.0),
        "singular_values must be 1 to inner=4": lambda: CrossCovariance(8, inner=4, singular_values=5),
    }
    for why, make in cases.items():
        with pytest.raises(ValueError, match=why) as error:
            make()
        assert "\n" not in str(error.value)


def test_a_single_position_has_a_mean_and_may_be_looked_at_without_training():
    x = torch.randn(2, 8, 1, 1)
    assert MPNCov(8, gaussian=True)(x).abs().sum() > 0
    assert torch.equal(ISqrtCov(8).eval()(x), torch.zeros(2, 36))


def test_a_wide_map_is_reduced_to_256_channels_and_a_narrow_one_left_as_it_is():
    assert isinstance(ISqrtCov(8).reduce, nn.Identity)
    assert ISqrtCov(300).out_features == 256 * 257 // 2 == 32_896
    assert ISqrtCov(300, gaussian=True).out_features == 257 * 258 // 2


@every_pooling
@pytest.mark.parametrize("training", [True, False])
def test_nothing_becomes_nothing(make, training: bool):
    """A process may have no sample: B = 0 gives B = 0, and gradients of zero for DDP."""
    pooling = make(8).double().train(training)
    y = pooling(draw(0, 8, 6, 5).requires_grad_())
    y.sum().backward()
    assert y.shape == (0, *pooling(draw(2, 8, 6, 5)).shape[1:])
    assert all(p.grad is not None and not p.grad.any() for p in pooling.parameters())
