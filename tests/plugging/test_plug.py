"""What `plug` does to a network: order, modes, gates, options of factories, randomness."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from jsonargparse import ArgumentParser, set_parsing_settings
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import PreResNet, TimmBackbone
from blockyard.blocks import SpectralNonlocal
from blockyard.blocks.base import Block
from blockyard.plugging import Gated, Plug, PlugError, Plugged, Replaced, apply_plugs


class Scale(Block):
    """Multiplies by a factor per channel, drawn at random or given."""

    identity_at_init = False

    def __init__(self, channels: int, spatial_dims: int = 2, factor: float | None = None) -> None:
        super().__init__(channels, spatial_dims)
        start = torch.randn(channels) if factor is None else torch.full((channels,), factor)
        self.factor = nn.Parameter(start.view(-1, *[1] * spatial_dims))

    def transform(self, x: Tensor) -> Tensor:
        return x * self.factor


class Add(Scale):
    def transform(self, x: Tensor) -> Tensor:
        return x + self.factor


class Sized(Block):
    def __init__(self, channels: int, spatial_dims: int = 2, size: tuple[int, ...] | None = None) -> None:
        super().__init__(channels, spatial_dims)
        self.size = size

    def transform(self, x: Tensor) -> Tensor:
        return x + torch.zeros(self.size or ())


class Halved(nn.Module):
    """Takes its shape from the module that it replaces."""

    def __init__(self, channels: int, spatial_dims: int, *, host: nn.Conv2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, host.out_channels, 1, host.stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


times2 = functools.partial(Scale, factor=2.0)
plus1 = functools.partial(Add, factor=1.0)


def tower(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *modules)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_after_runs_host_then_block_and_twice_composes():
    network = tower(nn.ReLU())
    x = torch.randn(2, 3, 8, 8)
    plain = network(x)
    assert plug(network, times2, "1", quiet=True) is network
    torch.testing.assert_close(network(x), 2 * plain)
    plug(network, plus1, "1", quiet=True)
    torch.testing.assert_close(network(x), 2 * plain + 1)
    plug(network, plus1, "0", quiet=True)
    torch.testing.assert_close(network(x), 2 * (network[0].host(x) + 1).relu() + 1)


def test_replace_takes_the_place_under_what_was_plugged_after_it():
    network = plug(tower(nn.ReLU()), plus1, "1", quiet=True)
    x = torch.randn(2, 3, 8, 8)
    plug(network, times2, "1", mode="replace", quiet=True)
    torch.testing.assert_close(network(x), 2 * network[0](x) + 1)
    assert isinstance(network[1], Plugged)
    assert isinstance(network[1].host, Replaced)


@pytest.mark.parametrize(
    "host",
    [
        nn.Conv2d(8, 8, 3, 2, 1),
        nn.Conv2d(8, 8, 1, 2),
        nn.Conv2d(8, 8, 2, 2),
        nn.MaxPool2d(3, (1, 2), 1),
        nn.AvgPool2d(4),
    ],
)
@pytest.mark.parametrize("size", [64, 37])
def test_in_place_of_a_strided_module_the_block_is_pooled(host: nn.Module, size: int):
    network = tower(host)
    x = torch.randn(1, 3, size, size)
    shape = network(x).shape
    plug(network, times2, "1", mode="replace", example=x, quiet=True)
    assert network(x).shape == shape
    flat = nn.functional.adaptive_avg_pool2d(network[1].block(network[0](x)), 1)
    if size == 64:  # windows of equal size keep the mean
        torch.testing.assert_close(nn.functional.adaptive_avg_pool2d(network(x), 1), flat)


def test_a_block_that_asks_for_the_host_changes_the_shape_as_it_did():
    network = tower(nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 4, 1))
    x = torch.randn(1, 3, 16, 16)
    shape = network(x).shape
    plug(network, Halved, "1", mode="replace", quiet=True)
    assert isinstance(network[1].block, Halved)
    assert network(x).shape == shape


def test_a_block_that_asks_for_the_size_gets_the_real_one():
    network = PreResNet(10)
    plug(network, Sized, "stage2", example=(1, 3, 40, 48), quiet=True)
    assert network.layer2.block.size == (20, 24)
    plug(network, functools.partial(Sized, size=(20, 24)), "stage2", example=(1, 3, 40, 48), quiet=True)
    with pytest.raises(PlugError, match="depends on the map's size"):
        plug(network, Sized, "stage2", quiet=True)
    backbone = TimmBackbone(10, name="resnet10t")  # timm declares 176×176
    assert plug(backbone, Sized, "layer2", quiet=True).net.layer2.block.size == (22, 22)


def test_jsonargparse_factories_are_asked_too():
    # The command line lets no package be imported but its own, for the whole process.
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=["blockyard", "tests"])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--block", type=Callable[[int, int], Block])
    factory = parser.instantiate(parser.parse_args(["--block", f"{Sized.__module__}.Sized"])).block
    network = plug(PreResNet(10), factory, "stage1", example=(1, 3, 8, 8), quiet=True)
    assert network.layer1.block.size == (8, 8)


@pytest.mark.parametrize("mode", ["after", "replace"])
def test_a_gate_is_the_identity_at_init_whatever_the_block(mode):
    network = tower(nn.Identity())
    x = torch.randn(2, 3, 8, 8)
    plain = network(x)
    plug(network, Scale, "1", mode=mode, gate=True, quiet=True)
    assert torch.equal(network(x), plain)
    assert isinstance(network[1].block, Gated)
    for _ in range(2):  # the gate opens at the first step and lets a gradient in at the second
        network.zero_grad()
        network(x).square().sum().backward()
        with torch.no_grad():
            network[1].block.gamma -= 1e-3 * network[1].block.gamma.grad
    assert network[1].block.block.factor.grad.abs().max() > 0


def test_words_in_the_pattern_and_lists_of_plugs():
    one, other = PreResNet(10), PreResNet(10)
    plug(one, Scale, ["after stage1.1", "replace layer2.1.conv2"], seed=3, quiet=True)
    other.load_state_dict({k: v for k, v in one.state_dict().items() if "block" not in k}, strict=False)
    plugs = [Plug(Scale, "layer1.1"), Plug(Scale, ["layer2.1.conv2"], mode="replace")]
    apply_plugs(other, plugs, seed=3, quiet=True)
    assert state(one).keys() == state(other).keys()
    for name in ("layer1.1.block.factor", "layer2.1.conv2.block.factor"):
        assert torch.equal(one.state_dict()[name], other.state_dict()[name])


def test_one_line_a_place_is_printed(capsys):
    plug(PreResNet(10), Scale, "stage*.1")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"after layer{i}.1: Scale, {16 * 2 ** (i - 1)} parameters" for i in (1, 2, 3)]


def test_adapters_take_the_paths_of_the_network_inside():
    backbone = plug(TimmBackbone(10, name="resnet10t"), SpectralNonlocal, ["layer3.0", "stage2"], quiet=True)
    assert type(backbone.net.layer3[0].block) is SpectralNonlocal
    x = torch.randn(1, 3, 64, 64)
    backbone.net.layer3[0].block = nn.Hardtanh(0.1, 0.2)  # through plugs: the features see the block
    assert backbone.eval().features(x)[2].unique().numel() > 2
    assert backbone.features(x)[2].max() <= 0.2


# Randomness --------------------------------------------------------------------------------------------------------


def test_the_rest_of_the_run_is_the_baselines():
    torch.manual_seed(5)
    baseline = PreResNet(10)
    rest = torch.rand(4)
    torch.manual_seed(5)
    network = plug(PreResNet(10), SpectralNonlocal, "stage*.-1", quiet=True)
    assert torch.initial_seed() == 5
    assert torch.equal(torch.rand(4), rest)
    own = {name.replace(".host", ""): value for name, value in state(network).items() if ".block." not in name}
    assert own.keys() == state(baseline).keys()
    assert all(torch.equal(value, own[name]) for name, value in state(baseline).items())

    x, y = torch.randn(4, 3, 32, 32), torch.arange(4)
    losses = []
    for model in (baseline, network):
        torch.manual_seed(6)  # dropout
        losses.append(nn.functional.cross_entropy(model(x), y))
    assert torch.equal(losses[0], losses[1])


def test_initial_values_depend_on_seed_and_place_alone():
    def factor(seed: int | None, at: list[str], path: str) -> Tensor:
        network = plug(PreResNet(10), Scale, at, seed=seed, quiet=True)
        return network.get_submodule(path).block.factor.detach()

    alone = factor(1, ["layer1.1"], "layer1.1")
    torch.rand(7)
    assert torch.equal(alone, factor(1, ["layer1.0", "layer1.1", "layer2.0"], "layer1.1"))
    assert not torch.equal(alone, factor(2, ["layer1.1"], "layer1.1"))
    assert not torch.equal(alone, factor(1, ["layer1.2"], "layer1.2"))
    torch.manual_seed(1)
    assert torch.equal(alone, factor(None, ["layer1.1"], "layer1.1"))
    network = plug(PreResNet(10), Scale, "layer1.1", seed=1, quiet=True)
    plug(network, Scale, "layer1.1", seed=1, quiet=True)
    assert not torch.equal(network.layer1[1].block.factor, network.layer1[1].host.block.factor)


def test_blocks_follow_device_and_dtype():
    network = plug(PreResNet(10).double(), SpectralNonlocal, "stage1", quiet=True)
    assert {p.dtype for p in network.parameters()} == {torch.float64}
    network = plug(PreResNet(10).to("meta"), SpectralNonlocal, "stage1", quiet=True)
    assert {p.device.type for p in network.parameters()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_nothing_moves_either():
    torch.manual_seed(5)
    network = PreResNet(10).cuda()
    rng = torch.cuda.get_rng_state()
    plug(network, Scale, "stage1", quiet=True)
    assert torch.equal(torch.cuda.get_rng_state(), rng)
    assert network.layer1.block.factor.is_cuda
    torch.manual_seed(5)
    on_cpu = plug(PreResNet(10), Scale, "stage1", quiet=True)
    assert torch.equal(network.layer1.block.factor.cpu(), on_cpu.layer1.block.factor)


def test_a_list_of_plugs_is_all_or_nothing():
    network = PreResNet(10)
    modules = dict(network.named_modules())
    with pytest.raises(PlugError):
        apply_plugs(network, [Plug(Scale, "layer1"), Plug(Scale, "layer1.1"), Plug(Scale, "fc")], quiet=True)
    assert dict(network.named_modules()) == modules
    with pytest.raises(PlugError, match="lies inside it"):
        plug(network, Scale, ["layer1.1", "layer1.1.conv1"], mode="replace", quiet=True)


def test_what_an_import_brings_along():
    code = "import sys, blockyard; assert 'torch' not in sys.modules; from blockyard import plug, backbones, costs"
    code += "; assert not {'lightning', 'pytorch_lightning', 'mmseg'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_block_may_be_named():
    named, given = (
        plug(PreResNet(depth=8), block, "stage2.0", seed=0) for block in ("SpectralNonlocal", SpectralNonlocal)
    )
    for one, other in zip(named.modules(), given.modules(), strict=True):
        assert type(one) is type(other)
    assert plug(PreResNet(depth=20), "SelectiveDepth", "stage2", mode="around", quiet=True)


def test_a_name_that_there_is_not_is_corrected():
    network = PreResNet(depth=8)
    with pytest.raises(PlugError, match="no block SpectralNonlocall; did you mean SpectralNonlocal"):
        plug(network, "SpectralNonlocall", "stage2.0")
    assert not any(isinstance(module, Plugged) for module in network.modules())
