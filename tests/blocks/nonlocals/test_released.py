"""The released variants equal their formulas, written with the N×N matrix; the dead ones are dead."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from torch import Tensor, nn

from blockyard.blocks import ReleasedNonlocal, SpectralNonlocal
from blockyard.blocks.nonlocals.released import KINDS

SIZES = {1: (10,), 2: (6, 4), 3: (2, 4, 3)}
VARIANTS = [(release, kind) for release, kinds in KINDS.items() for kind in kinds]
# Sums of at most 24 terms in float64, in another order.
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def make(release: str, kind: str, rank: int = 2, channels: int = 8, **options) -> ReleasedNonlocal:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ReleasedNonlocal(channels, rank, release=release, kind=kind, **options).double()


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def randomise(block: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in block.state_dict().items():
            if tensor.is_floating_point():
                random = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.5
                tensor.copy_(random.abs() + 0.5 if name.endswith("running_var") else random)
    return block


def softmax_graph(t: Tensor, p: Tensor) -> Tensor:
    weights = torch.exp(t @ p.mT)
    return weights / weights.sum(-1, keepdim=True)


def symmetric_graph(t: Tensor, p: Tensor) -> Tensor:
    scores = t.clamp(min=0) @ p.clamp(min=0).mT
    edges = (scores + scores.mT) / 2
    degree = edges.sum(-1)
    root = torch.where(degree > 0, degree, 1).sqrt()
    return edges / root[..., :, None] / root[..., None, :]


def formula(weights: dict[str, Tensor], x: Tensor, release: str, kind: str) -> Tensor:
    """What the code does, in training: X (N, C) a sample, weights as matrices on the right, statistics of the batch."""
    rows = x.flatten(2).mT
    t, p, z = rows @ weights["t"], rows @ weights["p"], rows @ weights["g"]
    if release == "2021-cifar" or (kind == "snl" and release != "2019"):
        graph = symmetric_graph(t, p)
    elif kind == "a2":
        graph = t.clamp(min=0) @ p.clamp(min=0).mT
    else:
        graph = softmax_graph(t, p)
    if kind == "dnl":
        mask = torch.exp(rows @ weights["m"])
        graph = graph + (mask / mask.sum(1, keepdim=True)).mT
    w = weights["w"]  # (terms, c, C)
    mixed = graph @ z
    if kind == "ns":
        y = z @ w[0] - mixed @ w[0]
    elif kind == "snl":
        y = z @ w[0] + (-1 if release == "2021-segmentation" else 1) * mixed @ w[1]
    elif kind == "gsnl":
        eye = torch.eye(graph.shape[-1], dtype=graph.dtype)
        y = z @ w[0] + mixed @ w[1] + (2 * graph - eye) @ z @ w[2]
    else:
        y = mixed @ w[0]
    mean, variance = y.mean((0, 1)), y.var((0, 1), unbiased=False)
    y = (y - mean) / (variance + 1e-5).sqrt() * weights["scale"] + weights["shift"]
    if release != "2019":
        y = y.clamp(min=0)
    return x + y.mT.reshape(x.shape)


def weights_of(block: ReleasedNonlocal) -> dict[str, Tensor]:
    (unit,) = block.filters
    pairwise = getattr(block.affinity, "pairwise", block.affinity)
    convolutions = {"t": pairwise.theta.conv, "p": pairwise.phi.conv, "g": unit.value.conv}
    if hasattr(block.affinity, "mask"):
        convolutions["m"] = block.affinity.mask.conv
    copied = {name: conv.weight[:, :, 0].T for name, conv in convolutions.items()}
    copied["w"] = unit.out.weight[:, :, 0].T.unflatten(0, (-1, unit.value.conv.out_channels))
    copied |= {"scale": unit.norm.weight, "shift": unit.norm.bias}
    return {name: value.detach().clone().requires_grad_() for name, value in copied.items()}


@pytest.mark.parametrize(("release", "kind"), VARIANTS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equals_the_released_formula_forward_and_backward(release, kind, rank):
    block = randomise(make(release, kind, rank))
    weights, x = weights_of(block), draw(2, 8, *SIZES[rank])
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, expected = block(ours), formula(weights, theirs, release, kind)
    torch.testing.assert_close(y, expected, **EXACT)

    direction = draw(*y.shape).flip(0)
    y.backward(direction)
    expected.backward(direction)
    torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)
    (unit,) = block.filters
    gradient = unit.out.weight.grad[:, :, 0].T.unflatten(0, weights["w"].shape[:2])
    torch.testing.assert_close(gradient, weights["w"].grad, **EXACT)
    torch.testing.assert_close(unit.norm.weight.grad, weights["scale"].grad, **EXACT)
    torch.testing.assert_close(unit.value.conv.weight.grad[:, :, 0].T, weights["g"].grad, **EXACT)


@pytest.mark.parametrize("kind", KINDS["2021"])
def test_the_release_of_2021_warns_that_it_is_dead_and_is(kind):
    with pytest.warns(UserWarning, match="gradient is zero .* for ever") as caught:
        block = ReleasedNonlocal(8, release="2021", kind=kind).double()
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    x = draw(2, 8, 6, 4)
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        y = block(x)
        assert torch.equal(y, x)
        (y * draw(2, 8, 6, 4).flip(0)).sum().backward()
        assert all(torch.count_nonzero(parameter.grad) == 0 for parameter in block.parameters())
        optimizer.step()


@pytest.mark.parametrize(("release", "kind"), [pair for pair in VARIANTS if pair[0] != "2021"])
def test_the_others_are_alive_and_silent(release, kind, assert_learns):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.manual_seed(0)
        block = ReleasedNonlocal(8, release=release, kind=kind).double()
    x = draw(2, 8, 6, 4)
    assert torch.equal(block(x), x) == block.identity_at_init == (release == "2019")
    target = torch.randn_like(x)
    assert_learns(block, lambda: (block(x) - target).square().mean())


def test_all_kinds_of_the_preresnet_share_one_affinity():
    """Whatever is asked for, its code computes the affinity of SNL: only the filters differ."""
    x, graphs = draw(2, 8, 6, 4), []
    for kind in ("nl", "ns", "a2", "snl"):
        block = randomise(make("2021-cifar", kind))
        graphs.append(block.operator(x).dense())
    assert all(torch.equal(a, b) for a, b in itertools.pairwise(graphs))
    torch.testing.assert_close(graphs[0], graphs[0].mT, **EXACT)


def test_the_generalised_block_of_2019_is_snl_with_more_parameters():
    block, plain = randomise(make("2019", "gsnl")), make("2019", "snl")
    state = block.state_dict()
    first, second, third = state["filters.0.out.weight"].split(4, 1)
    plain.load_state_dict({**state, "filters.0.out.weight": torch.cat([first - third, second + 2 * third], 1)})
    x = draw(2, 8, 6, 4)
    torch.testing.assert_close(block.eval()(x), plain.eval()(x), **EXACT)


def test_differs_from_the_block_of_the_paper_by_the_relu_alone():
    block, paper = randomise(make("2021-cifar", "snl")).eval(), SpectralNonlocal(8).double().eval()
    paper.load_state_dict(block.state_dict())
    x = draw(2, 8, 6, 4)
    torch.testing.assert_close(block(x) - x, (paper(x) - x).relu(), **EXACT)


def test_parameters_are_those_of_the_released_networks():
    """One block in res4 of a ResNet-50, as counted on the released networks."""
    expected = {"nl": 2_099_200, "ns": 2_099_200, "a2": 2_099_200, "dnl": 2_100_224, "snl": 2_623_488}
    for kind, count in expected.items():
        block = make("2021", kind, channels=1024)
        assert sum(parameter.numel() for parameter in block.parameters()) == count


def test_steps_share_the_affinity():
    block = randomise(make("2019", "snl", steps=2)).eval()
    x = draw(2, 8, 6, 4)
    graph, y = block.affinity(x), x
    for unit in block.filters:
        y = y + unit(graph, y)
    assert torch.equal(block(x), y)


def test_refuses_what_a_release_does_not_have():
    with pytest.raises(ValueError, match="release 2021 has no gsnl; there are 2019: snl, gsnl; 2021: nl"):
        ReleasedNonlocal(8, release="2021", kind="gsnl")
    with pytest.raises(ValueError, match="release 2020 has no snl"):
        ReleasedNonlocal(8, release="2020")
