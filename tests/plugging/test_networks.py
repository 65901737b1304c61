"""Published parameter counts on stock networks, and the same place in every family."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from blockyard import plug
from blockyard.blocks import GlobalContext, Nonlocal, SpectralNonlocal
from blockyard.costs import count_parameters
from blockyard.plugging import PlugError, sites, stage_paths
from blockyard.plugging.places import select


def test_resnet50_counts():
    network = timm.create_model("resnet50")
    assert count_parameters(network) == 25_557_032
    assert count_parameters(plug(network, Nonlocal, "layer3.-2", quiet=True)) == 27_656_232
    network = timm.create_model("resnet50")
    assert count_parameters(plug(network, SpectralNonlocal, "stage3.-2", quiet=True)) == 28_180_520


def test_gcnet_is_one_line():
    network = plug(timm.create_model("resnet50"), GlobalContext, "layer*.*.bn3", quiet=True)
    assert count_parameters(network) == 28_105_032
    # c3 to c5 alone, by hand: per place C+1 + C²/16 + C/16 + 2C/16 + C²/16 + C
    grown = sum(n * (2 * c * c // 16 + 2 * c + 1 + 3 * c // 16) for n, c in ((4, 512), (6, 1024), (3, 2048)))
    network = plug(timm.create_model("resnet50"), GlobalContext, "layer[234].*.bn3", quiet=True)
    assert count_parameters(network) == 25_557_032 + grown


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", ("layer1", "layer2", "layer3", "layer4")),
        ("convnext_atto", ("stages.0", "stages.1", "stages.2", "stages.3")),
        ("efficientnet_b0", ("blocks.1", "blocks.2", "blocks.4", "blocks.6")),
        ("resnext26ts", ("stages.0", "stages.1", "stages.2", "stages.3")),
        ("mobilenetv3_small_100", ("blocks.0", "blocks.1", "blocks.3", "blocks.5")),
    ],
)
def test_stage3_has_stride_16_in_every_family(name: str, stages: tuple[str, ...]):
    network = timm.create_model(name)
    assert tuple(stage_paths(network).values()) == stages
    site = {site.alias: site for site in sites(network, (1, 3, 128, 128))}["stage3"]
    assert site.output is not None
    assert site.output[1:] == (8, 8)
    plain = network.eval()(torch.ones(1, 3, 64, 64))
    plugged = plug(network, SpectralNonlocal, "stage3.-1", quiet=True)
    assert torch.equal(plugged(torch.ones(1, 3, 64, 64)), plain)


@pytest.mark.parametrize(
    ("name", "place", "path"),
    [
        ("inception_v4", "stage3.-2", "features.16"),
        ("inception_v4", "stage2.0", "features.4"),
        ("inception_v4", "stage1.-1", "features.3"),
        ("inception_v4", "stage4.-1.branch0", "features.21.branch0"),
        ("inception_resnet_v2", "stage3.-2", "repeat_1.18"),
        ("vgg11", "stage2.1", "features.11"),
    ],
)
def test_units_of_stages_that_follow_one_another_in_one_sequence(name: str, place: str, path: str):
    with torch.device("meta"):
        network = timm.create_model(name)
    assert [found.path for found in select(network, place)] == [path]


def test_torchvision_resnet():
    network = torchvision.models.resnet50()
    assert count_parameters(plug(network, SpectralNonlocal, "stage3.-2", quiet=True)) == 28_180_520


@pytest.mark.slow
def test_pytorchvideo_i3d():
    from pytorchvideo.models import hub

    network = hub.i3d_r50(pretrained=False)
    before = count_parameters(network)
    plug(network, SpectralNonlocal, "stage3.-2", quiet=True)
    assert count_parameters(network) - before == 2_623_488
    block = network.get_submodule("blocks.4.res_blocks.4.block")
    assert isinstance(block, SpectralNonlocal)
    assert block.spatial_dims == 3


def mmsegmentation_encoder_decoder() -> torch.nn.Module:
    import blockyard.backbones.adapters.mmseg_import  # noqa: F401, I001  before mmseg
    import mmseg.models  # noqa: F401
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    init_default_scope("mmseg")
    norm = {"type": "BN"}
    return MODELS.build(
        {
            "type": "EncoderDecoder",
            "backbone": {
                "type": "ResNetV1c",
                "depth": 18,
                "norm_cfg": norm,
                "norm_eval": True,
                "frozen_stages": 1,
                "strides": (1, 2, 1, 1),
                "dilations": (1, 1, 2, 4),
                "contract_dilation": True,
            },
            "decode_head": {
                "type": "FCNHead",
                "in_channels": 512,
                "channels": 32,
                "num_classes": 5,
                "norm_cfg": norm,
            },
            "auxiliary_head": {
                "type": "FCNHead",
                "in_channels": 256,
                "in_index": 2,
                "channels": 32,
                "num_classes": 5,
                "norm_cfg": norm,
            },
        }
    )


def test_mmsegmentation_encoder_decoder():
    network = mmsegmentation_encoder_decoder().train()
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    modes = {name: module.training for name, module in network.named_modules()}
    x = torch.randn(2, 3, 65, 65)
    plain = network.eval()(x)
    network.train()

    plug(network, SpectralNonlocal, ["stage3.-1", "decode_head.convs.0"], quiet=True)

    assert type(network.get_submodule("backbone.layer3.1.block")) is SpectralNonlocal
    assert torch.equal(network.eval()(x), plain)
    network.train()
    stock = {name.replace(".host", ""): p for name, p in network.named_parameters() if ".block." not in name}
    assert {name for name, parameter in stock.items() if parameter.requires_grad} == trainable
    for name, module in network.named_modules():
        stock_name = name.replace(".host", "")
        assert ".block" in name or modes[stock_name] == module.training
    with pytest.raises(PlugError, match="runs 0 times"):
        plug(network, SpectralNonlocal, "auxiliary_head.convs.0", quiet=True)


def test_sites_say_what_passes_and_why_not():
    found = {site.path: site for site in sites(timm.create_model("convnext_atto"))}
    assert found["stages.2"].alias == "stage3"
    assert found["stages.2"].output == (160, 14, 14)  # at the 224×224 that timm declares
    assert found["stages.2"].refusal is None
    assert found["stages.2.blocks.0"].alias == "stage3.0"
    assert "not a map" in str(found["head.fc"].refusal)
    found = {site.path: site for site in sites(timm.create_model("convnext_tiny"))}
    assert "channels last" in str(found["stages.0.blocks.0.norm"].refusal)


def test_a_network_with_tokens_is_refused():
    with pytest.raises(PlugError, match=r"tokens \(B, N, C\)"):
        plug(timm.create_model("vit_tiny_patch16_224"), SpectralNonlocal, "blocks.3", quiet=True)
    network = timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True)
    with pytest.raises(PlugError, match=r"tokens \(B, N, C\), not a map"):
        plug(network, SpectralNonlocal, "blocks.3", quiet=True)
    with pytest.raises(PlugError, match="channels last"):
        plug(timm.create_model("swin_tiny_patch4_window7_224"), SpectralNonlocal, "layers.0", quiet=True)


def test_a_network_of_fixed_size_takes_blocks_where_the_axis_is_plain():
    network = timm.create_model("vit_tiny_patch16_224")
    plug(network, SpectralNonlocal, "patch_embed.proj", quiet=True)
    assert network.get_submodule("patch_embed.proj.block").channels == 192
