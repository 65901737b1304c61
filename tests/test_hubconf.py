"""Entry points of torch.hub, as torch.hub calls them."""

import runpy
from pathlib import Path

import pytest
import timm
import torch

from blockyard.blocks import SpectralNonlocal

ROOT = Path(__file__).parents[1]


def load(name, **options):
    return torch.hub.load(str(ROOT), name, source="local", **options)


def test_its_entries_are_what_torch_hub_lists_of_a_repository():
    names = runpy.run_path(str(ROOT / "hubconf.py"))
    entries = [name for name, value in names.items() if callable(value) and not name.startswith("_")]
    assert sorted(entries) == ["blocks", "plugged"]  # torch.hub.list knows no local source, but goes by this rule
    assert names["dependencies"] == ["torch", "timm"]


def test_a_plugged_network_gives_what_the_stock_one_gives_until_it_is_trained():
    network = load("plugged", network="resnet18", at="layer3.1", num_classes=7, order=2, seed=0)
    (block,) = (module for module in network.modules() if isinstance(module, SpectralNonlocal))
    assert block.state_dict().keys() == SpectralNonlocal(256, order=2).state_dict().keys()
    stock = timm.create_model("resnet18", num_classes=7)
    network.load_state_dict(stock.state_dict())
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(network.eval()(x), stock.eval()(x))


def test_a_wrapper_goes_around_a_stage():
    network = load("plugged", network="resnet18", block="SelectiveDepth", at="stage3", mode="around", least=8)
    assert network.layer3.block.squeeze.out_features == 256 // 16


def test_lists_blocks():
    assert load("blocks", glob="Spectral*") == ["SpectralNonlocal"]
    assert load("blocks", glob="*Depth") == ["SelectiveDepth"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"network": "resnet18", "block": "SpectralNonLocal"}, "did you mean SpectralNonlocal"),
        ({"network": "resnet19", "at": "layer3.1"}, "timm has no network resnet19; did you mean"),
        ({"network": "resnet18", "at": "layer3.7"}, "layer3.7"),
    ],
)
def test_mistakes_name_what_is_allowed(options, expected):
    with pytest.raises(ValueError, match=expected):
        load("plugged", **options)
