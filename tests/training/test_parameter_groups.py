"""Layer-wise learning rates and weight decay by kind of parameter, in networks with blocks plugged in."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from timm.optim import param_groups_layer_decay
from torch import nn
from torch.optim import SGD, AdamW

from blockyard.backbones import Framewise, PreResNet, PyTorchVideoBackbone, TimmBackbone
from blockyard.blocks import ECA, SpectralNonlocal
from blockyard.plugging import Plug, plug
from blockyard.tasks import ImageClassification
from blockyard.tasks.base import Task
from blockyard.training.parameter_groups import layers, stock_names


@pytest.fixture(autouse=True)
def _no_schedule(monkeypatch):
    monkeypatch.setattr("blockyard.tasks.base.schedule", lambda trainer, optimizer, *_: optimizer)
    monkeypatch.setattr(Task, "trainer", None)


OPTIMIZER = partial(SGD, lr=1.0, weight_decay=0.5)


def groups(backbone, optimizer=OPTIMIZER, shape=(3, 32, 32), **options):
    """By name, learning rate and weight decay of every parameter, each of which must be in one group alone."""
    task = ImageClassification(backbone, 10, shape, optimizer=optimizer, **options)
    found = task.configure_optimizers().param_groups
    names = {id(parameter): name for name, parameter in task.network.named_parameters()}
    listed = [names[id(parameter)] for group in found for parameter in group["params"]]
    assert sorted(listed) == sorted(names.values()), "not every parameter is in exactly one group"
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in found for p in group["params"]}


RESNET = partial(TimmBackbone, name="resnet18")
SITES = ["layer2", "layer3.1", "layer3.0.act2", "layer4.1.conv2", "maxpool"]


class TestLayers:
    def test_a_block_belongs_to_the_layer_of_its_host_whatever_the_host_is(self):
        network = RESNET(10, 3)
        before = layers(network)
        for site in SITES:
            plug(network, SpectralNonlocal, site)
        plug(network, ECA, "layer1.0.act1", mode="replace")
        plug(network, ECA, "layer2")  # a second one at the same place
        found = layers(network)
        stock = stock_names(network)
        assert len(found) > len(before)
        for name, layer in found.items():
            if ".block." not in name:
                assert layer == before[stock[name]], name

        def of(start: str) -> set[int]:
            return {layer for name, layer in found.items() if name.startswith(start)}

        assert of("net.layer2.block.") == of("net.layer2.host.block.") == of("net.layer2.host.host.1.conv2") == {4}
        assert of("net.layer3.1.block.") == of("net.layer3.1.host.conv1") == {6}
        assert of("net.layer3.0.act2.block.") == of("net.layer3.0.conv1") == {5}
        assert of("net.layer4.1.conv2.block.") == of("net.layer4.1.conv1") == {8}
        assert of("net.layer1.0.act1.block.") == of("net.layer1.0.conv1") == {1}
        assert of("net.maxpool.block.") == of("net.conv1") == {0}
        assert of("net.fc") == {9} == {max(found.values())}

    @pytest.mark.parametrize("name", ["resnet50", "vit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_050"])
    def test_without_plugs_they_are_those_of_timm(self, name):
        found = groups(partial(TimmBackbone, name=name), shape=(3, 224, 224), layer_decay=0.75, no_weight_decay=True)
        net = TimmBackbone(10, 3, name).net
        expected = param_groups_layer_decay(net, 0.5, net.no_weight_decay() if "vit" in name else (), layer_decay=0.75)
        names = {id(parameter): f"net.{name}" for name, parameter in net.named_parameters()}
        assert found == {
            names[id(p)]: (pytest.approx(group["lr_scale"]), group["weight_decay"])
            for group in expected
            for p in group["params"]
        }

    def test_of_networks_that_timm_does_not_know_they_are_stem_units_and_head(self):
        found = layers(plug(PreResNet(10, 1, depth=20), SpectralNonlocal, "stage2.1"))
        assert found["conv1.weight"] == 0
        assert found["layer1.0.conv1.weight"] == 1
        assert found["layer2.1.host.conv2.weight"] == 5
        assert {layer for name, layer in found.items() if name.startswith("layer2.1.block.")} == {5}
        assert found["layer3.2.conv1.weight"] == 9
        assert found["fc.weight"] == found["bn2.weight"] == 10
        video = layers(PyTorchVideoBackbone(10, 3))
        assert video["net.blocks.0.conv.weight"] == 0
        assert video["net.blocks.1.res_blocks.0.branch1_conv.weight"] == 1
        assert video["net.blocks.5.proj.weight"] == max(video.values()) == 17

    def test_a_head_over_frames_is_the_last_layer(self):
        found = layers(Framewise(10, 3, temporal="attention"))
        outside = {layer for name, layer in found.items() if not name.startswith("frame.net.")}
        assert outside == {found["frame.net.fc.weight"]} == {max(found.values())}


class TestRates:
    def test_each_layer_learns_by_a_factor_slower_than_the_next(self):
        found = groups(PreResNet, shape=(1, 8, 8), layer_decay=0.5, block=SpectralNonlocal, at="stage3.2")
        assert found["fc.weight"][0] == 1.0
        assert found["layer3.2.host.conv1.weight"][0] == 0.5
        assert {rate for name, (rate, _) in found.items() if name.startswith("layer3.2.block.")} == {0.5}
        assert found["layer3.1.conv1.weight"][0] == 0.25
        assert found["conv1.weight"][0] == 0.5**10

    def test_multipliers_come_on_top(self):
        found = groups(RESNET, layer_decay=0.5, lr_multipliers={"net.layer4": 10.0}, no_weight_decay=True)
        assert found["net.layer4.1.conv1.weight"] == (5.0, 0.5)
        assert found["net.layer4.1.bn1.weight"] == (5.0, 0.0)
        assert found["net.layer3.1.conv1.weight"] == (0.125, 0.5)

    @pytest.mark.parametrize("decay", [0.0, 1.5, -0.5, float("nan")])
    def test_out_of_range(self, decay):
        with pytest.raises(ValueError, match=rf"layer_decay={decay} must be above 0 and at most 1"):
            groups(RESNET, layer_decay=decay)

    def test_a_network_whose_layers_are_not_known_is_refused_at_once(self):
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
        with pytest.raises(ValueError, match="layer_decay: Sequential has no known layers; give lr_multipliers"):
            Task(network, (3, 4, 4), partial(SGD, lr=0.5), layer_decay=0.5)


class TestWeightDecay:
    def test_biases_norms_and_whatever_has_one_axis_at_most(self):
        plugs = [Plug(SpectralNonlocal, "layer3.1", gate=True)]
        found = groups(RESNET, partial(AdamW, lr=1.0, weight_decay=0.5), plugs=plugs, no_weight_decay=True)
        network = ImageClassification(RESNET, 10, (3, 32, 32), optimizer=SGD, plugs=plugs).network
        for name, parameter in network.named_parameters():
            assert found[name][1] == (0.5 if parameter.dim() > 1 else 0.0), name
        assert found["net.layer3.1.block.gamma"][1] == 0.0

    def test_what_the_network_lists_and_what_is_named_besides(self):
        vit = partial(TimmBackbone, name="vit_tiny_patch16_224")
        found = groups(vit, shape=(3, 224, 224), no_weight_decay=["net.blocks.*.mlp", "net.head"])
        assert found["net.pos_embed"][1] == found["net.cls_token"][1] == 0.0
        assert found["net.blocks.3.mlp.fc1.weight"][1] == found["net.head.weight"][1] == 0.0
        assert found["net.blocks.3.attn.qkv.weight"][1] == 0.5

    def test_a_name_means_the_same_with_and_without_plugs(self):
        names = {"no_weight_decay": ["net.layer3.1.conv1"], "lr_multipliers": {"net.layer3.1.conv2": 0.5}}
        assert groups(RESNET, **names)["net.layer3.1.conv2.weight"] == (0.5, 0.5)
        found = groups(RESNET, block=ECA, at="layer3.1", **names)
        assert found["net.layer3.1.host.conv1.weight"][1] == 0.0
        assert found["net.layer3.1.host.conv2.weight"] == (0.5, 0.5)

    @pytest.mark.parametrize("off", [None, False])
    def test_left_out_nothing_changes(self, off):
        assert set(groups(RESNET, no_weight_decay=off).values()) == {(1.0, 0.5)}

    def test_a_name_that_fits_nothing_is_refused(self):
        with pytest.raises(ValueError, match=r"no_weight_decay: net\.layer9 fits no parameter; did you mean"):
            groups(RESNET, no_weight_decay=["net.layer9"])


def test_blocks_train_at_their_rate():
    """One step of plain gradient descent: the ratio of step and gradient is the group's learning rate."""
    torch.manual_seed(0)
    options = {"layer_decay": 0.5, "block": SpectralNonlocal, "at": "stage2.1"}
    task = ImageClassification(PreResNet, 10, (1, 8, 8), optimizer=partial(SGD, lr=0.25), **options)
    optimizer = task.configure_optimizers()
    before = {name: parameter.detach().clone() for name, parameter in task.network.named_parameters()}
    task(torch.randn(4, 1, 8, 8)).square().mean().backward()
    optimizer.step()
    found = layers(task.network)
    for name, parameter in task.network.named_parameters():
        rate = 0.25 * 0.5 ** (10 - found[name])
        torch.testing.assert_close(parameter, before[name] - rate * parameter.grad)
