"""NASNet has the published parameters and numbers; paths drop the more often the deeper."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from lightning.pytorch import LightningModule, Trainer
from timm.layers.pool2d_same import AvgPool2dSame
from torch import nn
from torchvision.ops import StochasticDepth

from blockyard.backbones import NASNet
from blockyard.blocks import PoolMixer, Recursion
from blockyard.blocks.mixers.nasnet_cell import Table
from blockyard.plugging import PlugError, plug
from blockyard.training.scheduled_drop_path import ScheduledDropPath

PUBLISHED = {
    "nasnet-a-large": (88_753_150, 1000),
    "nasnet-a-mobile": (5_289_978, 1000),
    "nasnet-a-cifar": (3_346_538, 10),
}
"""Parameters, and for how many classes: timm's, those of pretrainedmodels and, of CIFAR's, the paper's 3.3 M."""
SMALL = partial(NASNet, depth=1, filters=8, stem_channels=4, skips=False)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones_and_timm_has_the_same_tensors(configured, name: str):
    expected, classes = PUBLISHED[name]
    with torch.device("meta"):
        network = configured(name)(classes, 3)
    assert sum(p.numel() for p in network.parameters()) == expected
    if name == "nasnet-a-large":
        with torch.device("meta"):
            stock = timm.create_model("nasnetalarge")
        shapes = {key: value.shape for key, value in network.state_dict().items()}
        assert {key: value.shape for key, value in network.renamed(stock.state_dict()).items()} == shapes


def test_timms_weights_give_timms_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """But for what timm's strided mean takes for a part of the map: zeros beside it, which TensorFlow's leaves out."""
    whole = AvgPool2dSame.forward
    monkeypatch.setattr(AvgPool2dSame, "forward", lambda pool, x: whole(pool, x) / whole(pool, torch.ones_like(x)))
    stock = timm.create_model("nasnetalarge", num_classes=5, num_features=192, stem_size=4).eval()
    for tensor in (*stock.parameters(), *stock.buffers()):
        if tensor.is_floating_point():
            tensor.detach().uniform_(0.5, 1.5) if tensor.dim() < 2 else nn.init.kaiming_normal_(tensor)
    torch.save(stock.state_dict(), tmp_path / "stock.pth")
    network = NASNet(5, filters=8, stem_channels=4, weights=tmp_path / "stock.pth").eval()
    x = torch.randn(2, 3, 43, 32)
    with torch.no_grad():
        expected = stock(x)
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_the_mobile_network_gives_the_published_numbers(fill_by_name):
    """Those of nasnet_mobile.py of Cadene/pretrained-models.pytorch, 8aae3d8, whose tensors had these weights by the
    names that they have here, in float64; drawn on 29 November 2026."""
    network = NASNet(5, 3, depth=4, filters=8, stem_channels=6, skips=False)
    fill_by_name(network)
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 96)))
    expected = [
        [-0.906331068020585, 0.8057399865711767, 0.506814711217623, 0.7268038274083657, 0.28242404745485084],
        [-0.9097183703782611, 0.8076824104522362, 0.5081938308361583, 0.7210756479684439, 0.2919742080964344],
    ]
    torch.testing.assert_close(network.double().eval()(x).detach(), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages(rank: int, stem: str):
    network = SMALL(0, 2, stem=stem, spatial_dims=rank)
    size = (32, 64, 32)[-rank:]
    strides, channels = ([4, 8, 16, 32], [8, 48, 96, 192]) if stem == "imagenet" else ([1, 2, 4], [48, 96, 192])
    size = size if stem == "imagenet" else [n // 4 for n in size]
    maps = network(torch.randn(2, 2, *size))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, *(n // stride for n in size)) for c, stride in zip(channels, strides, strict=True)
    ]
    assert [(stage.channels, stage.stride) for stage in network.stages] == list(zip(channels, strides, strict=True))
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_operations_drop_the_more_often_the_deeper_they_lie(stem: str):
    with torch.device("meta"):
        network, plain = SMALL(3, 2, stem=stem, drop_path_rate=0.35), SMALL(3, 2, stem=stem)
    cells = 7 if stem == "imagenet" else 5
    paths = [module.p for module in network.modules() if isinstance(module, StochasticDepth)]
    assert sorted(set(paths)) == pytest.approx([0.35 * number / cells for number in range(1, cells + 1)])
    assert len(paths) == sum(8 if "layer" in name else 9 for name in halving_and_normal(network))
    assert plain.state_dict().keys() == network.state_dict().keys()


def halving_and_normal(network: NASNet) -> list[str]:
    """The paths of the cells."""
    return [name.removesuffix(".operations") for name, _ in network.named_modules() if name.endswith(".operations")]


def test_they_drop_in_training_alone_and_none_at_its_beginning():
    """The callback that says how long training has lasted finds them."""

    class Task(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.seen = SMALL(3, 2, stem="cifar", drop_path_rate=0.4), []

        def training_step(self, x, _):
            self.seen.append({module.p for module in self.network.modules() if isinstance(module, StochasticDepth)})
            return self.network(x).square().sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6)

    task, x = Task(), torch.randn(2, 2, 8, 8)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = Trainer(max_steps=2, accelerator="cpu", callbacks=[ScheduledDropPath()], **quiet)
    trainer.fit(task, torch.stack([x, x]))
    assert task.seen[0] == {0.0}
    assert sorted(task.seen[1]) == pytest.approx([0.2 * number / 5 for number in range(1, 6)])
    network = task.network.eval()
    assert torch.equal(network(x), network(x))
    for module in network.train().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(network(x), network(x))


def test_a_large_one_skips_a_map_behind_a_halving_cell():
    skipping = SMALL(3, 2, depth=2, skips=True)
    # as wide as the map of the cell before the last one, of both
    widths = [getattr(skipping, f"layer{number}")[0].inputs[1].paths[0].in_channels for number in (2, 3, 4)]
    assert widths == [8, 48, 96]
    with torch.no_grad():
        x = torch.randn(1, 2, 64, 64)
        before = skipping.eval()(x)
        skipping.layer2[1].register_forward_hook(lambda _, __, y: y * 0)  # its last map, which only halving then sees
        assert not torch.equal(skipping(x), before)


def test_cells_may_be_of_other_tables():
    table = Table((((0, "maximum"), (1, "identity")), ((2, "separable 3"), (0, "average"))), (2, 3))
    network = SMALL(0, 2, normal=table, reduction=table)
    assert [m.shape[1] for m in network(torch.randn(2, 2, 64, 64))] == [4, 16, 32, 64]


def test_plugs_find_stages_and_units():
    x = torch.randn(1, 2, 32, 32)
    network = SMALL(3, 2).eval()
    with torch.no_grad():
        for place in ("stage1", "stage2", "stage3.0"):
            before = network(x)
            plug(network, PoolMixer, place, example=x, quiet=True)
            assert not torch.equal(network(x), before)


@pytest.mark.parametrize("mode", ["replace", "around"])
def test_cells_read_two_maps_so_that_their_operations_are_what_can_be_replaced(mode: str):
    network, x = SMALL(3, 2).eval(), torch.randn(1, 2, 32, 32)
    block = Recursion if mode == "around" else PoolMixer
    for place in ("stage2", "stage2.0"):
        with pytest.raises(PlugError, match=r"so nothing can .* it, though it may a part of it, or go after"):
            plug(network, block, place, mode=mode, example=x, quiet=True)
    before = network(x)
    plug(network, block, "stage2.0.operations.0", mode=mode, example=x, quiet=True)
    assert not torch.equal(network(x), before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 0}, "depth and stem_channels must be positive"),
        ({"filters": 6}, "filters a multiple of 4, got 1, 4 and 6"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
        ({"normal": Table((((0, "median"), (1, "identity")),), (2,))}, "no operation 'median'"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SMALL(3, 2, **options)
