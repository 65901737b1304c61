"""Mode `around`: a wrapper runs the stock module, which stays what and where it was."""

from __future__ import annotations

import copy
import functools
import io
import itertools

import pytest
import timm
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import PreResNet, TimmBackbone
from blockyard.blocks import ECA, GhostModule, ParallelSum, SelectiveDepth, SpectralNonlocal, Wrapper
from blockyard.costs import added_cost, count_macs, count_parameters
from blockyard.plugging import Plug, PlugError, Plugged, Wrapped, apply_plugs, sites, stage_paths
from blockyard.training.parameter_groups import layers, stock_names

every_wrapper = pytest.mark.parametrize("kind", [ParallelSum, SelectiveDepth])
STAGES = ["stage2", "stage3"]


class Scaled(Wrapper):
    """The smallest wrapper: a factor a channel, drawn at random, on what the host gives."""

    def __init__(self, channels: int, spatial_dims: int = 2, *, host: nn.Module | None = None) -> None:
        super().__init__(channels, spatial_dims, host=host)
        self.factor = nn.Parameter(torch.randn(channels, *[1] * spatial_dims))

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        return host(x) * self.factor


class Twice(Wrapper):
    """Recursion: the host on what the host gave."""

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        return host(host(x))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 16, 16)


def around(kind=Scaled, at="stage3", **options) -> nn.Module:
    return plug(PreResNet(10), kind, at, mode="around", quiet=True, **options).eval()


def stock_state(network: nn.Module) -> dict[str, Tensor]:
    """The values of the stock network by their stock names."""
    return {key.replace(".host", ""): value for key, value in network.state_dict().items() if ".block." not in key}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


# What it does ------------------------------------------------------------------------------------------------------


def test_the_wrapper_runs_the_host_and_the_network_the_wrapper(x: Tensor):
    network = around()
    stage = network.layer3
    assert isinstance(stage, Wrapped)
    assert isinstance(stage.host, nn.Sequential)
    features = network.layer2(network.layer1(network.conv1(x)))
    torch.testing.assert_close(stage(features), stage.host(features) * stage.block.factor)


def test_a_wrapper_may_run_the_host_twice():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1))
    x = torch.randn(2, 3, 6, 6)
    expected = network[1](network(x))
    torch.testing.assert_close(plug(network, Twice, "1", mode="around", quiet=True)(x), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
@every_wrapper
def test_stages_of_every_rank(kind, rank: int):
    network = plug(PreResNet(10, spatial_dims=rank), kind, "stage*", mode="around", example=(1, 3, *[8] * rank))
    network(torch.randn(2, 3, *[8] * rank)).sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None], "DDP waits for every gradient"


def test_the_rest_is_the_baselines_and_the_wrapper_draws_from_a_stream_of_its_own():
    torch.manual_seed(5)
    baseline = PreResNet(10)
    rest = torch.rand(4)
    torch.manual_seed(5)
    network = around(SelectiveDepth, "stage*")
    assert torch.equal(torch.rand(4), rest)
    assert_equal(stock_state(network), baseline.state_dict())
    factor = around(seed=1).layer3.block.factor
    assert torch.equal(factor, around(seed=1, at=STAGES).layer3.block.factor)
    assert not torch.equal(factor, around(seed=2).layer3.block.factor)


ORDERS = list(
    itertools.permutations(
        [
            Plug(SelectiveDepth, "layer3", "around"),
            Plug(functools.partial(SpectralNonlocal, order=2), "layer3.1"),
            Plug(ECA, "layer3"),
            Plug(functools.partial(GhostModule, norm=False), "stage3.2.conv2", "replace"),
        ]
    )
)


@pytest.mark.parametrize("at_once", [True, False])
def test_the_order_of_plugs_around_inside_and_after_a_place_does_not_matter(at_once: bool, x: Tensor):
    def made(order) -> nn.Module:
        torch.manual_seed(3)
        network = PreResNet(10)
        for plugs in [order] if at_once else [[one] for one in order]:
            apply_plugs(network, plugs, seed=1, quiet=True)
        return network.eval()

    first = made(ORDERS[0])
    assert type(first.layer3) is Plugged
    assert type(first.layer3.host) is Wrapped
    assert type(first.layer3.host.host[1].block) is SpectralNonlocal
    for order in ORDERS[1::5]:
        network = made(order)
        assert_equal(network.state_dict(), first.state_dict())
        assert torch.equal(network(x), first(x))


def test_inner_paths_aliases_and_stages_are_the_stock_networks():
    stock, network = PreResNet(10), around(at="stage*")
    assert stage_paths(network) == stage_paths(stock)
    assert [site.path for site in sites(network)] == [site.path for site in sites(stock)]
    assert [site.alias for site in sites(network)] == [site.alias for site in sites(stock)]
    plug(network, ECA, ["layer3.2", "stage3.0", "layer*.1.conv2"], quiet=True)
    assert type(network.layer3.host[2].block) is type(network.layer3.host[0].block) is ECA
    plug(network, Twice, "layer1.1.conv2", mode="around", quiet=True)
    assert type(network.layer1.host[1].conv2.host) is Wrapped


# Checkpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Scaled, ParallelSum, SelectiveDepth])
def test_stock_checkpoints_load_and_say_the_truth(kind):
    stock, network = PreResNet(10), plug(around(kind, STAGES), ECA, ["layer3.1", "layer2"], quiet=True)
    added = {key: value.clone() for key, value in network.state_dict().items() if ".block." in key}
    result = network.load_state_dict(stock.state_dict(), strict=True)
    assert result.missing_keys == result.unexpected_keys == []
    assert_equal(stock_state(network), stock.state_dict())
    assert_equal({key: network.state_dict()[key] for key in added}, added)
    part = {key: value for key, value in stock.state_dict().items() if not key.startswith("layer3.1.")}
    missing = network.load_state_dict(part, strict=False).missing_keys
    lost = {key for key in stock.state_dict().keys() - part.keys() if "num_batches" not in key}  # torch adds these
    assert {key.replace(".host", "") for key in missing} == lost


def test_checkpoints_of_timm_load():
    network = timm.create_model("resnet26t")
    stock = copy.deepcopy(network.state_dict())
    plug(network, SelectiveDepth, "stage*", mode="around", quiet=True)
    plug(network, ECA, "layer*.*.bn3", quiet=True)
    network.load_state_dict(stock, strict=True)
    assert_equal(stock_state(network), stock)


@pytest.mark.parametrize("kind", [Scaled, ParallelSum, SelectiveDepth])
def test_own_checkpoints_come_back(kind, x: Tensor):
    def made(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return plug(around(kind, STAGES, seed=seed), SpectralNonlocal, ["layer3.1", "layer3"], seed=seed, quiet=True)

    saved, network = made(1), made(2)
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    network.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(network(x), saved(x))


def test_a_wrappers_checkpoint_loads_where_a_block_came_after_it_and_no_other_way_round():
    wrapper, after = around(seed=1), plug(PreResNet(10), ECA, "layer3", quiet=True)
    both = plug(around(seed=2), ECA, "layer3", quiet=True)
    both.load_state_dict(wrapper.state_dict(), strict=True)
    assert torch.equal(both.layer3.host.block.factor, wrapper.layer3.block.factor)
    for wrong in (after.state_dict(), around(SelectiveDepth).state_dict()):
        with pytest.raises(RuntimeError, match=r"Unexpected key.*layer3"):
            both.load_state_dict(wrong, strict=True)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*layer3"):
        PreResNet(10).load_state_dict(around(ParallelSum).state_dict(), strict=True)


# What it costs and is called ---------------------------------------------------------------------------------------


@every_wrapper
def test_it_costs_what_the_network_has_more(kind):
    stock, shape = PreResNet(10), (3, 16, 16)
    site = {site.path: site for site in sites(stock, (1, *shape), mode="around")}["layer3"]
    cost = added_cost(site, kind)
    before = count_parameters(stock), count_macs(stock, shape)
    network = plug(stock, kind, "layer3", mode="around", quiet=True)
    assert cost.parameters == count_parameters(network) - before[0]
    assert cost.macs == count_macs(network, shape) - before[1]
    hidden = 64  # of the attention among three units of 64 channels
    assert cost.macs == (hidden * 64 + 3 * hidden * 64 if kind is SelectiveDepth else 0)


def test_sites_say_what_can_go_around_them():
    network = plug(PreResNet(10), ECA, "layer1.0.conv1", mode="replace", quiet=True)
    plug(network, Scaled, "layer3", mode="around", quiet=True)
    found = {site.path: site for site in sites(network, mode="around")}
    assert found["layer2"].refusal is found["layer3.0"].refusal is None
    assert found["layer3"].refusal == "Scaled is around it, and there is room for one"
    assert found["layer1.0.conv1"].refusal == "it was replaced"
    with pytest.raises(ValueError, match="BasicBlock has none"):
        added_cost(found["layer3.0"], ParallelSum)


def test_the_wrapper_belongs_to_the_last_layer_of_its_host():
    network = TimmBackbone(10, name="resnet26t")
    before = layers(network)
    plug(network, SelectiveDepth, "stage2", mode="around", quiet=True)
    found, stock = layers(network), stock_names(network)
    last = max(layer for name, layer in before.items() if name.startswith("net.layer2."))
    for name, layer in found.items():
        assert layer == (last if ".block." in name else before[stock[name]]), name


# What is refused ---------------------------------------------------------------------------------------------------


def function(channels: int, spatial_dims: int, host: nn.Module) -> nn.Module:
    return Scaled(channels, spatial_dims, host=host)


@pytest.mark.parametrize(
    ("block", "at", "mode", "why"),
    [
        (ECA, "layer3", "around", "ECA is no Wrapper, which runs a module; its modes are 'after' and 'replace'"),
        (GhostModule, "layer3", "around", "GhostModule is no Wrapper"),
        (lambda c, d: nn.Identity(), "layer3", "around", "Identity is no Wrapper"),
        (functools.partial(SelectiveDepth, reduction=8), "layer3", "after", "SelectiveDepth goes around a module; use"),
        (ParallelSum, "layer3", "replace", "ParallelSum goes around a module; use mode='around'"),
        (function, "layer3", "replace", "Scaled goes around a module; use mode='around'"),
        (ParallelSum, "layer3.0", "around", "BasicBlock has none"),
        (ParallelSum, "layer3.0", "around", "BasicBlock has none$"),
        (ParallelSum, "per-frame layer3", "around", "cannot plug around layer3 per-frame"),
        (Scaled, "fc", "around", "not a map"),
        (Scaled, ["layer3", "stage3"], "around", None),
        (Twice, "layer3", "around", "the network does not run with the block"),
    ],
)
def test_refusals_are_one_line_and_leave_the_network_alone(block, at, mode, why):
    network = PreResNet(10)
    modules = dict(network.named_modules())
    if why is None:  # one place by two names counts once
        assert isinstance(plug(network, block, at, mode=mode, quiet=True).layer3.host, nn.Sequential)
        return
    with pytest.raises(PlugError, match=why) as error:
        plug(network, block, at, mode=mode, quiet=True)
    assert "\n" not in str(error.value)
    assert dict(network.named_modules()) == modules


def test_a_gate_is_refused():
    with pytest.raises(PlugError, match="cannot plug around layer3 with a gate"):
        around(gate=True, at="layer3")


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("plugs", "why"),
    [
        ([Plug(Scaled, "layer3", "around"), Plug(ParallelSum, "stage3", "around")], "room for one"),
        ([Plug(Scaled, "layer3.0.conv1", "around"), Plug(ECA, "layer3.0.conv1", "replace")], "room for one"),
        ([Plug(GhostModule, "layer3.0.conv1", "replace"), Plug(Scaled, "layer3.0.conv1", "around")], "replace"),
    ],
)
def test_there_is_room_for_one_wrapper_or_replacement(plugs: list[Plug], why: str, at_once: bool):
    network = PreResNet(10)

    def edit() -> None:
        for some in [plugs] if at_once else [[one] for one in plugs]:
            apply_plugs(network, some, quiet=True)

    with pytest.raises(PlugError, match=why) as error:
        edit()
    assert "\n" not in str(error.value)


def test_a_function_may_make_the_wrapper():
    assert isinstance(around(function).layer3.block, Scaled)
