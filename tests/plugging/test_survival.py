"""What happens to networks later: the block stays, and stock checkpoints keep loading."""

from __future__ import annotations

import copy
import functools
import io
import pickle

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel

from blockyard import plug
from blockyard.backbones import PreResNet
from blockyard.blocks import Nonlocal, SpectralNonlocal
from blockyard.plugging import Plugged


class Shift(nn.Module):
    """Not the identity at init, so that a lost block shows in the output."""

    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(channels, *[1] * spatial_dims))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


def plugged(**options) -> nn.Module:
    network = PreResNet(10)
    plug(network, Shift, ["layer1.1", "layer2", "layer3.2.conv2"], quiet=True, **options)
    return plug(network, Shift, "layer1.1", quiet=True, **options).eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 16, 16)


def test_stock_checkpoints_load_bit_equal():
    stock, network = PreResNet(10), plugged()
    blocks = {name: p.clone() for name, p in network.named_parameters() if ".block." in name}
    assert len(blocks) == 4
    result = network.load_state_dict(stock.state_dict(), strict=True)
    assert not result.missing_keys
    assert not result.unexpected_keys
    loaded = {name.replace(".host", ""): value for name, value in network.state_dict().items() if name not in blocks}
    assert loaded.keys() == stock.state_dict().keys()
    assert all(torch.equal(value, loaded[name]) for name, value in stock.state_dict().items())
    assert all(torch.equal(p, dict(network.named_parameters())[name]) for name, p in blocks.items())
    network.load_state_dict(stock.state_dict(), strict=True, assign=True)


def test_stock_checkpoints_of_timm_load():
    network = timm.create_model("resnet18")
    stock = copy.deepcopy(network.state_dict())
    plug(network, SpectralNonlocal, ["layer*.*.bn2", "layer3", "layer4.1"], quiet=True)
    network.load_state_dict(stock, strict=True)
    assert network.layer3.host[0].bn2.block.channels == 256


def test_checkpoints_of_plugged_networks_load(x: Tensor):
    saved, network = plugged(seed=1), plugged(seed=2)
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    network.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(network(x), saved(x))


def test_checkpoints_with_fewer_plugs_load():
    once = plug(PreResNet(10), Shift, "layer1.1", seed=1, quiet=True)
    twice = plug(PreResNet(10), Shift, "layer1.1", seed=2, quiet=True)
    plug(twice, Shift, "layer1.1", seed=3, quiet=True)
    last = twice.layer1[1].block.shift.clone()
    twice.load_state_dict(once.state_dict(), strict=True)
    assert torch.equal(twice.layer1[1].host.block.shift, once.layer1[1].block.shift)
    assert torch.equal(twice.layer1[1].block.shift, last)


def test_checkpoints_of_other_plugs_are_told_from_stock():
    here = plug(PreResNet(10), Shift, "layer1.1", quiet=True)
    there = plug(PreResNet(10), Shift, "layer1.2", quiet=True)
    other = plug(PreResNet(10), SpectralNonlocal, "layer1.1", quiet=True)
    for wrong in (there, other):
        with pytest.raises(RuntimeError, match=r"Unexpected key.*layer1"):
            here.load_state_dict(wrong.state_dict(), strict=True)
    with pytest.raises(RuntimeError, match="Missing key"):
        here.load_state_dict({k: v for k, v in here.state_dict().items() if "bn1" not in k}, strict=True)


def test_a_host_whose_children_are_called_host_and_block():
    def network() -> nn.Module:
        inner = nn.ModuleDict({"host": nn.Conv2d(3, 8, 1), "block": nn.Conv2d(8, 8, 1)})

        class Awkward(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.host, self.block = inner["host"], inner["block"]

            def forward(self, x: Tensor) -> Tensor:
                return self.block(self.host(x))

        return nn.Sequential(Awkward())

    stock = network()
    target, again = plug(network(), Shift, "0", quiet=True), plug(network(), Shift, "0", quiet=True)
    target.load_state_dict(stock.state_dict(), strict=True)
    assert torch.equal(target[0].host.block.weight, stock[0].block.weight)
    again.load_state_dict(target.state_dict(), strict=True)
    assert torch.equal(again[0].block.shift, target[0].block.shift)


def test_what_a_stock_checkpoint_has_for_a_replaced_module_is_unexpected_and_all_else_loads():
    stock = PreResNet(10)
    network = plug(PreResNet(10), Shift, "layer*.1.conv2", mode="replace", quiet=True)
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\).*"layer1.1.conv2.weight", "layer2.1.conv2.weight"'):
        network.load_state_dict(stock.state_dict(), strict=True)
    plug(network, Shift, "layer1.1.conv2", quiet=True)
    shift = network.layer1[1].conv2.host.block.shift.clone()
    result = network.load_state_dict(stock.state_dict(), strict=False)
    assert [key.replace(".host", "") for key in result.unexpected_keys] == [
        f"layer{i}.1.conv2.weight" for i in (1, 2, 3)
    ]
    assert result.missing_keys == []
    assert torch.equal(network.fc.weight, stock.fc.weight)
    assert torch.equal(network.layer1[1].conv2.host.block.shift, shift)
    again = plug(PreResNet(10), Shift, "layer*.1.conv2", mode="replace", seed=4, quiet=True)
    plug(again, Shift, "layer1.1.conv2", seed=5, quiet=True)
    again.load_state_dict(network.state_dict(), strict=True)
    assert torch.equal(again.layer1[1].conv2.host.block.shift, shift)


class Stage(nn.Module):
    """A whole stage of its own, with weights under names that stock stages have too."""

    def __init__(self, channels: int, spatial_dims: int, host: nn.Sequential) -> None:
        super().__init__()
        self.block = nn.Conv2d(channels, host[0].conv1.out_channels, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def test_a_replaced_stage_is_never_taken_for_loaded():
    stock = PreResNet(10)
    network = plug(PreResNet(10), Stage, "layer3", mode="replace", quiet=True)
    lost = [key for key in stock.state_dict() if key.startswith("layer3.")]
    result = network.load_state_dict(stock.state_dict(), strict=False)
    assert result.unexpected_keys == lost
    assert result.missing_keys == []
    with pytest.raises(RuntimeError, match="Unexpected key"):
        network.load_state_dict(stock.state_dict())
    odd = {key.replace("layer3.0.", "layer3.block."): value for key, value in stock.state_dict().items()}
    result = network.load_state_dict(odd, strict=False)  # a stage whose child has the name that the block has here
    assert {key.replace("block.", "0.") for key in result.unexpected_keys} == set(lost)
    assert result.missing_keys == ["layer3.block.block.weight", "layer3.block.block.bias"]


def test_stock_checkpoints_load_where_what_was_replaced_held_nothing():
    stock, network = PreResNet(10), plug(PreResNet(10), Shift, "layer1.1.relu2", mode="replace", quiet=True)
    shift = network.layer1[1].relu2.block.shift.clone()
    network.load_state_dict(stock.state_dict(), strict=True)
    assert torch.equal(network.layer1[1].relu2.block.shift, shift)
    assert torch.equal(network.layer1[1].conv2.weight, stock.layer1[1].conv2.weight)


def copied(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network)


def pickled(network: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(network))


def averaged(network: nn.Module) -> nn.Module:
    average = AveragedModel(network)
    average.update_parameters(network)
    return average.module


def ema(network: nn.Module) -> nn.Module:
    return timm.utils.ModelEmaV3(network).module


def sync_bn(network: nn.Module) -> nn.Module:
    network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert not any(type(module) is nn.BatchNorm2d for module in network.modules())
    return network


@pytest.mark.parametrize("change", [copied, pickled, averaged, ema, sync_bn])
def test_the_block_stays(change, x: Tensor):
    network = plugged()
    expected = network(x)
    changed = change(network).eval()
    assert torch.equal(changed(x), expected)
    if changed is not network:
        with torch.no_grad():  # a copy owns its blocks, and they still adopt stock checkpoints
            changed.layer1[1].block.shift.add_(1)
            assert torch.equal(network(x), expected)
            assert not torch.equal(changed(x), expected)
    changed.load_state_dict(PreResNet(10).state_dict(), strict=True)


def test_functional_call(x: Tensor):
    network = plugged()
    values = {name: value.clone() for name, value in network.state_dict().items()}
    values["layer1.1.block.shift"] += 1
    changed = functional_call(network, values, (x,))
    assert not torch.equal(changed, network(x))


@pytest.mark.parametrize("block", [SpectralNonlocal, Nonlocal])
def test_compiles_without_a_break(block):
    torch.compiler.reset()
    network = plug(nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU()), block, ["0", "1"], quiet=True)
    plug(network, Shift, "1", gate=True, quiet=True)
    x = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), network(x))  # aot_eager decomposes, so rounding may differ
    compiled(x).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_exports_with_any_height_and_width():
    network = plug(timm.create_model("resnet10t", num_classes=5), SpectralNonlocal, "stage3.-1", quiet=True).eval()
    plug(network, Shift, "layer2.0.conv2", mode="replace", quiet=True)  # strided: with pooling
    block = network.layer3[0].block
    with torch.no_grad():
        for p in block.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    sides = {2: 32 * torch.export.Dim("h", min=2, max=32), 3: 32 * torch.export.Dim("w", min=2, max=32)}
    program = torch.export.export(network, (torch.randn(1, 3, 256, 256),), dynamic_shapes=(sides,))
    for h, w in ((256, 256), (64, 64), (64, 96)):  # feature maps of 16×16, 4×4 and 4×6: both sides of N = 2c
        x = torch.randn(1, 3, h, w)
        torch.testing.assert_close(program.module()(x), network(x), rtol=1e-4, atol=1e-5)


def test_stock_code_reads_and_sets_the_hosts_attributes():
    network = plug(timm.create_model("resnet18"), Shift, ["layer3", "conv1"], quiet=True)
    assert network.conv1.weight is network.conv1.host.weight
    assert network.conv1.stride == (2, 2)
    network.conv1.weight = nn.Parameter(torch.zeros_like(network.conv1.weight))
    assert network.conv1.host.weight.abs().max() == 0
    assert [name for name, _ in network.conv1.named_parameters()] == ["host.weight", "block.shift"]
    with pytest.raises(AttributeError):
        _ = network.conv1.no_such_thing
    with pytest.raises(TypeError, match="not iterable"):
        iter(network.conv1).__next__()


def test_gradient_checkpointing_of_timm_runs_the_block(x: Tensor):
    network = plug(timm.create_model("resnet18"), Shift, ["layer3", "layer2.1"], quiet=True).train()
    x = torch.randn(2, 3, 64, 64)
    plain = network(x)
    network.set_grad_checkpointing()
    assert torch.equal(network(x), plain)


def test_a_factory_may_be_any_callable():
    def build(channels: int, spatial_dims: int) -> nn.Module:
        return Shift(channels, spatial_dims)

    for factory in (build, lambda c, d: Shift(c, d), functools.partial(Shift)):
        network = plug(PreResNet(10), factory, "layer1", quiet=True)
        assert isinstance(network.layer1, Plugged)
