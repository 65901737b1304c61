"""Two processes train a pooling as one would: every parameter takes part, and the gradients are the global batch's."""

from __future__ import annotations

import copy
import os
import sys

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from blockyard.poolings import CrossCovariance, ISqrtCov, MPNCov


def networks() -> list[nn.Module]:
    """Norms use their running statistics: those of a batch are each process's own."""
    torch.manual_seed(0)
    poolings = (ISqrtCov(8, inner=4), MPNCov(8, inner=4, gaussian=True), CrossCovariance(8, heads=2, inner=4))
    return [nn.Sequential(pooling, nn.Linear(pooling.out_features, 3)).double().eval() for pooling in poolings]


def gradients(network: nn.Module, x: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
    network.zero_grad()
    nn.functional.cross_entropy(network(x), target).backward()
    return [p.grad.clone() for p in network.parameters()]


def compare(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(4, 8, 5, 6, dtype=torch.float64, generator=generator)
    target = torch.tensor([0, 1, 2, 0])
    for network in networks():
        parallel = DistributedDataParallel(copy.deepcopy(network))
        for _ in range(2):  # the second pass is where a parameter without a gradient is noticed
            shared = gradients(parallel, x[rank::2], target[rank::2])
        for mine, whole in zip(shared, gradients(network, x, target), strict=True):
            torch.testing.assert_close(mine, whole)
    os._exit(0)  # torch 2.13 may hang where a wrapped network and its group are taken down, each with threads


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(in_two_processes):
    in_two_processes(__file__)


if __name__ == "__main__":
    compare(int(sys.argv[2]), sys.argv[1])
