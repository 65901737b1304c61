"""One of two processes that train every block in data parallel: ``python train_every_block.py RANK MEETING``."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from blockyard.blocks import list_wrappers
from blockyard.plugging import Wrapped


def around(kind):
    """What makes a stage with a wrapper around it, of as many channels."""

    def make(channels):
        host = nn.Sequential(*(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3)))
        return Wrapped(host, kind(channels, host=host))

    return make


if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("test_blocks", Path(__file__).with_name("test_blocks.py"))
    test_blocks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(test_blocks)
    rank, meeting = int(sys.argv[1]), Path(sys.argv[2])
    distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=2)
    stages = {kind.__name__: around(kind) for kind in list_wrappers()}
    for name, make in (test_blocks.VARIANTS | stages).items():
        torch.manual_seed(0)
        block = make(32)
        if not any(True for _ in block.parameters()):
            continue  # nothing to average, which DistributedDataParallel refuses
        parallel = DistributedDataParallel(block)
        for step in range(2):  # a parameter without a gradient in the first step is an error in the second
            torch.manual_seed(10 * step + rank)
            parallel.zero_grad()
            parallel(torch.randn(2, 32, *test_blocks.SIZE[:2])).square().sum().backward()
        gradients = torch.cat([p.grad.flatten() for p in block.parameters()])
        both = [torch.empty_like(gradients) for _ in range(2)]
        distributed.all_gather(both, gradients)
        assert torch.equal(*both), f"{name}: the processes have different gradients"
        assert gradients.any(), f"{name}: nothing learns"
    os._exit(0)  # torch 2.13 may hang where a wrapped network and its group are taken down, each with threads
