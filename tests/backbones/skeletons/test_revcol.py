"""RevCol has the published parameters and numbers; what it computes again has the gradients of what is kept."""

from __future__ import annotations

import copy
import json
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from blockyard.backbones import RevCol
from blockyard.backbones.skeletons.revcol import Column, Level
from blockyard.blocks import DepthwiseConvolution, SpectralNonlocal
from blockyard.blocks.reversible import run, undo
from blockyard.costs import saved_activation_bytes
from blockyard.plugging import plug

PUBLISHED = {
    "revcol-tiny": 30_456_168,
    "revcol-small": 60_568_424,
    "revcol-base": 138_616_408,
    "revcol-large": 273_095_400,
    "revcol-xlarge": 833_807_400,
}
"""Parameters for 1000 classes, those of the published code without the heads of other columns than the last."""
THREE_TAPS = partial(DepthwiseConvolution, kernel_size=3)
SMALL = partial(RevCol, depths=(1, 2, 1, 1), widths=(8, 16, 24, 32), mixers=THREE_TAPS)
TINY = partial(RevCol, columns=3, depths=(1, 1), widths=(4, 6), mixers=THREE_TAPS)


def awake(network: RevCol) -> RevCol:
    """One whose units do something."""
    for name, parameter in network.named_parameters():
        if "layer_scale" in name:
            nn.init.constant_(parameter, 0.5)
    return network.double()


def gradients(network: nn.Module, x: Tensor) -> list[Tensor]:
    network.zero_grad()
    torch.manual_seed(1)
    network(x).square().sum().backward()
    return [p.grad.clone() for p in network.parameters()]


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(configured, name: str):
    with torch.device("meta"):
        network = configured(name)(1000, 3)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]


def test_published_weights_give_the_published_numbers(drawn_by_name, tmp_path: Path):
    """Names, shapes and numbers are those of models/revcol.py of megvii-research/RevCol at 1680848, in float64.

    Drawn on 29 November 2026; four columns of 1, 2, 1 and 1 units, with the heads of all columns.
    """
    golden = json.loads(Path(__file__).with_name("revcol.json").read_text())
    file = {name: drawn_by_name(name, shape) for name, shape in golden["shapes"].items()}
    torch.save({"model": file}, tmp_path / "revcol.pth")
    network = SMALL(5, weights=tmp_path / "revcol.pth").double()
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 64)))
    expected = torch.tensor(golden["logits"], dtype=torch.float64)
    torch.testing.assert_close(network(x).detach(), expected)
    torch.testing.assert_close(network.eval()(x).detach(), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("keep", ["columns", "last"])
def test_gradients_are_those_of_what_is_kept(keep: str, rank: int):
    """In double precision; paths are dropped alike."""
    torch.manual_seed(0)
    plain = awake(TINY(3, 2, columns=5, spatial_dims=rank, drop_path_rate=0.5, keep="all"))
    again = copy.deepcopy(plain)
    again.keep = keep
    x = torch.randn(3, 2, *(18, 16, 8)[:rank], dtype=torch.float64)
    for expected, found in zip(gradients(plain, x), gradients(again, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_columns_can_be_undone():
    network = awake(TINY(0, 2, columns=4)).eval()
    steps = [step for column in network.columns for step in column.steps()]
    maps = [m + torch.randn_like(m) for m in network.first_maps(torch.randn(2, 2, 16, 16, dtype=torch.float64))]
    with torch.no_grad():
        for found, expected in zip(undo(steps, run(steps, maps)), maps, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_columns():
    x = torch.randn(2, 3, 32, 32)

    def kept(columns: int, keep: str) -> int:
        network = TINY(3, columns=columns, keep=keep)
        return saved_activation_bytes(lambda: network(x))

    maps = 4 * 2 * (4 * 8 * 8 + 6 * 4 * 4)
    assert kept(2, "last") == kept(3, "last") == kept(9, "last")
    assert kept(9, "columns") - kept(3, "columns") == 6 * maps
    assert kept(9, "all") - kept(3, "all") > 10 * 6 * maps


def test_a_level_is_the_sum_that_it_says():
    column = awake(TINY(0, 2)).columns[1]
    x, c1, c2 = (torch.randn(2, c, s, s, dtype=torch.float64) for c, s in ((4, 8), (4, 8), (6, 4)))
    level = column[0]
    above = level.up(c2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    new = level.units(x + above) + 0.5 * c1
    _, found, last = column([x, c1, c2])
    torch.testing.assert_close(found, new)
    torch.testing.assert_close(last, column[1].units(column[1].down(new)) + 0.5 * c2)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages_for_any_input(rank: int):
    network = SMALL(0, 2, columns=2, spatial_dims=rank)
    maps = network(torch.randn(2, 2, *(47, 64, 32)[:rank]))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (channels, *(n // stride for n in (47, 64, 32)[:rank]))
        for channels, stride in ((8, 4), (16, 8), (24, 16), (32, 32))
    ]
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())
    assert [(stage.channels, stage.stride) for stage in network.stages] == [(8, 4), (16, 8), (24, 16), (32, 32)]


def test_plugs_find_stages_and_units_and_what_cannot_be_undone_is_kept():
    network = TINY(3, 2, keep="last")
    x = torch.randn(2, 2, 16, 16)
    before = saved_activation_bytes(lambda: network(x))
    plug(network, SpectralNonlocal, ["stage1", "stage2.0", "columns.0.0.units.0"], example=x, quiet=True)
    assert all(type(level) is Level for level in [*network.columns[0], *network.columns[1]])
    inside = saved_activation_bytes(lambda: network(x))
    plug(network, SpectralNonlocal, "columns.1.1", example=x, quiet=True)
    assert network(x).shape == (2, 3)
    assert not network.columns[1].steps()
    assert before < inside < saved_activation_bytes(lambda: network(x))
    network(x).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_compiles_to_one_graph_that_keeps_all():
    torch.manual_seed(0)
    network = awake(TINY(3, 2))
    x = torch.randn(2, 2, 16, 16, dtype=torch.float64)
    expected = gradients(network, x)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True, backend="aot_eager")
    for found, other in zip(gradients(compiled, x), expected, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-9, atol=1e-11)


def test_one_column_is_a_pyramid():
    network = awake(TINY(3, 2, columns=1, keep="last"))
    assert isinstance(network.columns[0], Column)
    assert all(level.up is None for level in network.columns[0])
    assert all(g.isfinite().all() for g in gradients(network, torch.randn(2, 2, 16, 16, dtype=torch.float64)))


def share(rank: int, folder: str) -> None:
    """One of two processes: ``python test_revcol.py FOLDER RANK``."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    network = awake(TINY(3, 2, keep="last"))
    x = torch.randn(4, 2, 16, 16, dtype=torch.float64)
    parallel = DistributedDataParallel(copy.deepcopy(network))
    for _ in range(2):  # a parameter without a gradient in the first step is an error in the second
        shared = gradients(parallel, x[rank::2])
    for mine, whole in zip(shared, gradients(network, x), strict=True):
        torch.testing.assert_close(2 * mine, whole, rtol=1e-9, atol=1e-11)  # the mean over processes of sums
    os._exit(0)  # torch 2.13 may hang where a wrapped network and its group are taken down, each with threads


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(in_two_processes):
    in_two_processes(__file__)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (1,)}, "depths and widths have one number a level"),
        ({"columns": 0}, "columns, depths and widths must be at least 1"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
        ({"keep": "colums"}, "no keep colums; did you mean columns"),
        ({"input_size": [8]}, "input_size must be 2 positive numbers"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        TINY(3, 2, **options)


if __name__ == "__main__":
    share(int(sys.argv[2]), sys.argv[1])
