"""Which stages have units: what runs them one after another, and does no more."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import PyTorchVideoBackbone
from blockyard.blocks import ECA, ParallelSum, SelectiveDepth
from blockyard.costs import added_cost
from blockyard.plugging import Plug, PlugError, Plugged, Wrapped, apply_plugs, sites, stage_paths

every_wrapper = pytest.mark.parametrize("kind", [ParallelSum, SelectiveDepth])


@every_wrapper
def test_a_stage_that_is_no_sequence_is_refused_with_the_sequence_in_it(kind):
    why = r"cannot plug around stages\.2: .* ConvNeXtStage has none; what runs units in it is blocks$"
    with pytest.raises(PlugError, match=why):
        plug(timm.create_model("convnext_atto"), kind, "stage3", mode="around", quiet=True)


def test_a_stage_with_a_forward_of_its_own_that_hands_the_map_from_unit_to_unit():
    network = timm.create_model("regnetx_002").eval()
    stage, x = network.s3, torch.randn(2, 56, 8, 8)
    first, others = stage.b1(x), list(stage.children())[1:]
    plug(network, ECA, "s3.b2", quiet=True)
    plug(network, ParallelSum, "stage3", mode="around", quiet=True)
    plug(network, ECA, "s3.b3", quiet=True)
    ecas = {f"b{i}": network.get_submodule(f"s3.b{i}").block for i in (2, 3)}
    parts = [ecas[f"b{i}"](unit(first)) if i < 4 else unit(first) for i, unit in enumerate(others, 2)]
    torch.testing.assert_close(network.s3(x), first + sum(part - first for part in parts))


@every_wrapper
def test_stages_of_pytorchvideo(kind):
    backbone = PyTorchVideoBackbone(10, name="x3d_xs")
    stock = copy.deepcopy(backbone.state_dict())
    clips = (1, 3, 4, 64, 64)
    plug(backbone, kind, "stage3", mode="around", example=clips, quiet=True)
    plug(backbone, ECA, "stage3.-2", example=clips, quiet=True)
    backbone.load_state_dict(stock, strict=True)
    path = stage_paths(backbone)["stage3"]
    assert isinstance(backbone.net.get_submodule(path), Wrapped)
    assert isinstance(backbone.net.get_submodule(f"{path}.res_blocks")[-2], Plugged)


class Adding(nn.Conv2d):
    """A residual unit."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Counted(nn.Module):
    """Children that are counted like units, and run otherwise."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.unit1, self.unit2 = how, Adding(4, 4, 1), Adding(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "backwards":
            return self.unit1(self.unit2(x))
        y = self.unit2(x if self.how == "beside each other" else self.unit1(x))
        return y + x if self.how == "with a shortcut" else y.relu() if self.how == "with more behind" else y


@every_wrapper
def test_what_only_looks_like_units_is_found_out_and_left_alone(kind):
    def network(how: str) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 1), Counted(how))

    for how in ("backwards", "beside each other", "with a shortcut", "with more behind"):
        odd = network(how)
        with pytest.raises(PlugError, match="do no more; in Counted they do"):
            plug(odd, kind, "1", mode="around", quiet=True)
        with pytest.raises(PlugError, match="in Counted they do"):
            apply_plugs(odd, [Plug(kind, "1", "around"), Plug(ECA, "1")], quiet=True)
        assert type(odd[1]) is Counted
        site = sites(odd, mode="around")[1]
        with pytest.raises(ValueError, match="in Counted they do"):
            added_cost(site, kind)
    plain = plug(network("in turn"), kind, "1", mode="around", quiet=True)
    assert isinstance(plain[1], Wrapped)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in plain.modules())


def test_a_dense_block_is_refused():
    with pytest.raises(PlugError, match="in DenseBlock they do"):
        plug(timm.create_model("densenet121"), ParallelSum, "stage3", mode="around", quiet=True)
