"""A U-Net of diffusers as a backbone: its own maps, frozen, from a folder of which nothing is executed."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from torch.optim import SGD

from blockyard import plug
from blockyard.backbones import DiffusionUNet, PreResNet
from blockyard.backbones.adapters.diffusion_unet import STEPS
from blockyard.blocks import SqueezeExcitation
from blockyard.objectives import Denoising
from blockyard.tasks import ImageClassification

pytest.importorskip("diffusers")
SMALL = {"widths": (8, 16)}


def small(classes=0, **options):
    torch.manual_seed(0)
    return DiffusionUNet(classes, 1, **{**SMALL, **options}).eval()


def pictures(n=3, side=8):
    return torch.randn(n, 1, side, side, generator=torch.Generator().manual_seed(1))


def test_features_are_what_the_library_passes_on():
    """Bit for bit, by hooks on its own forward pass; and of the sizes that the stages say."""
    network, x, seen = small(block="up2"), pictures(), {}
    for stage in network.stages:
        module = network.get_submodule(stage.path)
        module.register_forward_hook(lambda *call, path=stage.path: seen.__setitem__(path, call[-1]))
    network.net(x, 0)
    passed = [seen[stage.path] for stage in network.stages]
    maps = network.features(x)
    assert [stage.path.split(".")[1] for stage in network.stages] == [
        "down_blocks", "down_blocks", "mid_block", "up_blocks", "up_blocks",
    ]  # fmt: skip
    for stage, found, expected in zip(network.stages, maps, passed, strict=True):
        assert torch.equal(found, expected)
        assert found.shape == (3, stage.channels, 8 // stage.stride, 8 // stage.stride)


def test_at_level_zero_a_picture_is_clean_and_at_the_last_it_is_noise():
    network, x = small(), pictures()
    noise = torch.randn_like(x)
    assert torch.equal(network.noisy(x, noise, torch.zeros(3, dtype=torch.long)), x)
    last = network.noisy(x, noise, torch.full((3,), STEPS))
    # what is kept of the picture's variance after all steps is 4e-5
    torch.testing.assert_close(last, noise, rtol=0, atol=0.02 * 4)
    assert (network.signal.diff() < 0).all()


@pytest.mark.parametrize("level", [0, 100])
def test_features_are_a_function_of_the_picture_alone(level):
    network, x = small(noise_level=level), pictures()
    state = torch.get_rng_state()
    together, alone = network.features(x)[-1], network.features(x[1:2])[-1]
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)  # a batch of another size rounds otherwise
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(together, network.features(x)[-1])
    assert level == 0 or not torch.allclose(together, small().features(x)[-1], atol=1e-3)


def test_the_unet_is_frozen_and_the_objective_trains_it_alone():
    assert {name for name, one in small(5).named_parameters() if one.requires_grad} == {"fc.weight", "fc.bias"}
    task = ImageClassification(
        backbone=partial(DiffusionUNet, **SMALL), num_classes=5, optimizer=partial(SGD, lr=0.1), input_shape=(1, 8, 8),
        objective=Denoising(),
    )  # fmt: skip
    batch = {"input": pictures(), "target": torch.zeros(3, dtype=torch.long)}
    loss, logged = task.objective.loss(task, batch)
    loss.backward()
    without = {name for name, one in task.network.named_parameters() if one.grad is None}
    assert without == {"fc.weight", "fc.bias"}
    assert logged["explained_variance"] < 1
    task.objective.eval()
    assert task.objective.loss(task, batch)[0] == task.objective.loss(task, batch)[0], "validation draws nothing"


def test_denoising_wants_a_diffusion_model():
    task = partial(ImageClassification, backbone=partial(PreResNet, depth=8), num_classes=5, input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="Denoising trains a DiffusionUNet; the network is PreResNet"):
        task(optimizer=partial(SGD, lr=0.1), objective=Denoising())


def test_a_folder_of_diffusers_gives_its_network(tmp_path):
    made = small(block="up1")
    made.net.save_pretrained(tmp_path)
    found = DiffusionUNet(0, 1, folder=tmp_path, block="up1").eval()
    assert all(torch.equal(a, b) for a, b in zip(made.features(pictures()), found.features(pictures()), strict=True))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "holds a UNet2DConditionModel; a UNet2DModel is needed"),
        ({"in_channels": 3}, "is for 3 channels, the data have 1"),
        ({"num_class_embeds": 10}, "has num_class_embeds, which is not read here"),
        ({"block_out_channels": [8, 24]}, "are no weights of this network"),
        ({"nonsense": 1}, "diffusers takes no such network"),
    ],
)
def test_another_folder_is_refused_in_one_line(tmp_path, changed, said):
    small().net.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(ValueError, match=said) as caught:
        DiffusionUNet(0, 1, folder=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_not_read(tmp_path):
    small().net.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(ValueError, match=r"holds no diffusion_pytorch_model\.safetensors"):
        DiffusionUNet(0, 1, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"block": "up3"}, "no block 'up3'"),
        ({"noise_level": 1001}, "noise_level must be from 0 to 1000, got 1001"),
        ({"widths": ()}, "widths and units must be positive"),
    ],
)
def test_mistakes_are_told(options, said):
    with pytest.raises(ValueError, match=said):
        small(**options)


def test_blocks_go_behind_its_stages():
    x, plain = pictures(), small(5)
    for at in ("stage1", "stage2", "stage3"):
        plugged = plug(small(5), partial(SqueezeExcitation, reduction=4), at, quiet=True).eval()
        assert plugged(x).shape == (3, 5)
        assert not torch.equal(plugged(x), plain(x))
        assert any(one.requires_grad for name, one in plugged.named_parameters() if ".block." in name)


def test_sides_must_be_halved():
    with pytest.raises(ValueError, match=r"sides must be multiples of 2, got \(7, 7\)"):
        small()(pictures(side=7))
