"""What happens later to networks with a wrapper around a stage: it stays, and stock code does not run past it."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel

from blockyard import plug
from blockyard.backbones import PreResNet, TimmBackbone
from blockyard.blocks import ECA, ParallelSum, SelectiveDepth, Wrapper
from blockyard.plugging import Plug, PlugError, apply_plugs

every_wrapper = pytest.mark.parametrize("kind", [ParallelSum, SelectiveDepth])
STAGES = ["stage2", "stage3"]


class Doubled(Wrapper):
    """Unlike the host in all that it gives, so that a lost wrapper shows."""

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        return 2 * host(x)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 16, 16)


def around(kind=Doubled, at="stage3", **options) -> nn.Module:
    return plug(PreResNet(10), kind, at, mode="around", quiet=True, **options).eval()


def stock_state(network: nn.Module) -> dict[str, Tensor]:
    """The values of the stock network by their stock names."""
    return {key.replace(".host", ""): value for key, value in network.state_dict().items() if ".block." not in key}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def averaged(network: nn.Module) -> nn.Module:
    average = AveragedModel(network)
    average.update_parameters(network)
    return average.module


CHANGES = {
    "copied": copy.deepcopy,
    "pickled": lambda network: pickle.loads(pickle.dumps(network)),
    "averaged": averaged,
    "EMA": lambda network: timm.utils.ModelEmaV3(network).module,
    "synchronised": lambda network: nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_wrapper_stays_and_owns_its_weights(change, x: Tensor):
    network = plug(around(SelectiveDepth, STAGES), ECA, "layer3.1", quiet=True)
    expected = network(x)
    changed = change(network).eval()
    assert torch.equal(changed(x), expected)
    with torch.no_grad():
        changed.layer3.block.excite[0].bias.add_(1)
        changed.layer3.host[0].conv1.weight.add_(1)
    assert torch.equal(network(x), expected)
    assert not torch.equal(changed(x), expected)
    changed.load_state_dict(PreResNet(10).state_dict(), strict=True)


def test_functional_call(x: Tensor):
    network = around()
    values = {name: value.clone() for name, value in network.state_dict().items()}
    values["layer3.host.0.conv1.weight"] += 1
    assert not torch.equal(functional_call(network, values, (x,)), network(x))


def test_compiles_without_a_break(x: Tensor):
    torch.compiler.reset()
    network = apply_plugs(
        PreResNet(10),
        [Plug(ParallelSum, "stage2", "around"), Plug(SelectiveDepth, "stage3", "around"), Plug(ECA, "layer3.1")],
        quiet=True,
    ).eval()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-5)  # the same kernels in another order


def test_stock_code_reads_and_sets_the_hosts_attributes():
    network = plug(timm.create_model("convnext_atto"), ParallelSum, "stages.*.blocks", mode="around", quiet=True)
    assert list(network.stages[2].blocks) == [network.stages[2].blocks], "what walks it must not run past the wrapper"
    with pytest.raises(TypeError, match=r"has no len"):  # nor count units and then run them one by one
        len(network.stages[2].blocks)
    whole = plug(timm.create_model("convnext_atto"), Doubled, "stages.*", mode="around", quiet=True)
    whole.set_grad_checkpointing()
    assert all(stage.host.grad_checkpointing and "grad_checkpointing" not in vars(stage) for stage in whole.stages)
    assert whole.stages[1].blocks is whole.stages[1].host.blocks
    with pytest.raises(AttributeError):
        _ = whole.stages[1].no_such_thing
    with pytest.raises(TypeError, match="not iterable"):
        iter(whole.stages[1]).__next__()


@pytest.mark.parametrize(("name", "at"), [("resnet26t", "layer3"), ("convnext_atto", "stages.2.blocks")])
@every_wrapper
def test_gradient_checkpointing_of_timm_runs_the_wrapper(kind, name: str, at: str):
    network = plug(timm.create_model(name), kind, at, mode="around", quiet=True).train()
    x = torch.randn(2, 3, 64, 64)
    plain = network(x)
    network.set_grad_checkpointing()
    assert torch.equal(network(x), plain)


@pytest.mark.parametrize(
    "name", ["resnet26t", "convnext_atto", "regnetx_002", "efficientnet_b0", "mobilenetv3_small_050"]
)
def test_the_stages_maps_are_what_the_wrapper_gives(name: str):
    backbone = TimmBackbone(10, name=name).eval()
    x = torch.randn(1, 3, 64, 64)
    plain = backbone.features(x)
    plug(backbone, Doubled, "stage3", mode="around", quiet=True)
    maps = backbone.features(x)
    assert torch.equal(maps[1], plain[1])
    torch.testing.assert_close(maps[2], 2 * plain[2])


def test_features_by_hooks_are_what_the_wrapper_gives():
    network = timm.create_model("resnet26t", features_only=True, feature_cfg={"feature_cls": "hook"}).eval()
    x = torch.randn(1, 3, 64, 64)
    plain = network(x)
    with pytest.raises(PlugError, match=r"cannot plug around body.layer3: it has hooks"):
        plug(network, Doubled, "body.layer3", mode="around", quiet=True)
    assert all(torch.equal(one, other) for one, other in zip(network(x), plain, strict=True))
