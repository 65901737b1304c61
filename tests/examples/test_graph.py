"""Nodes of a graph from the labels of a few."""

from __future__ import annotations

import graph
import pytest
import torch

from blockyard.blocks import HopSum


def test_the_club_is_normalised_as_its_laplacian_wants():
    """Symmetric, its largest eigenvalue 1 with the vector D^1/2 1, that is the roots of how many each knows."""
    operator, sides = graph.karate_club()
    matrix = operator.dense()[0].double()
    degrees = 1 + torch.tensor([graph.networkx.karate_club_graph().degree[node] for node in range(34)])
    torch.testing.assert_close(matrix, matrix.T)
    torch.testing.assert_close(matrix @ degrees.sqrt().double(), degrees.sqrt().double(), rtol=0, atol=1e-6)
    assert torch.linalg.eigvalsh(matrix).abs().max() <= 1 + 1e-6
    assert torch.bincount(sides).tolist() == [17, 17]


def test_renaming_members_renames_what_is_said_of_them():
    """Permutation equivariance, of both kinds of networks."""
    torch.manual_seed(0)
    (operator, _), renamed = graph.karate_club(), torch.randperm(34)
    permuted = graph.Dense(operator.dense()[:, renamed][:, :, renamed])
    for network in (graph.Deep(34, 2, 5), graph.Convolutions(34, 2, 3)):
        x = torch.randn(1, 34, 34)
        told = network.eval()(operator, x)
        torch.testing.assert_close(network(permuted, x[:, :, renamed]), told[:, :, renamed])


def test_hops_of_order_none_are_a_gated_mlp():
    network, (operator, _) = graph.Deep(34, 2, 0).eval(), graph.karate_club()
    assert isinstance(network.hops, HopSum)
    logits = network.mlp(torch.eye(34)[None])
    torch.testing.assert_close(network(operator, torch.eye(34)[None]), network.hops.retained(logits) * logits)


def test_it_runs_and_a_seed_says_all(capsys):
    found = graph.main(["--draws", "1", "--steps", "20", "--order", "4"])
    assert list(found) == ["MLP", "2 graph convolutions", "4 graph convolutions", "4 adaptive hops"]
    assert found == graph.main(["--seed", "0", "--draws", "1", "--steps", "20", "--order", "4"])
    assert found["4 adaptive hops"][0] > found["MLP"][0]
    assert len(capsys.readouterr().out.splitlines()) == 2 * (1 + len(found))


@pytest.mark.parametrize(
    ("option", "value", "most"), [("draws", 0, 1000), ("known", 17, 16), ("known", 0, 16), ("order", -1, 100)]
)
def test_what_it_cannot_do_is_refused_at_once(option, value, most, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        graph.main([f"--{option}", str(value)])
    (said,) = capsys.readouterr().err.splitlines()[-1:]
    assert said.endswith(f"error: argument --{option}: it is a whole number from 1 to {most}, not {value}")
