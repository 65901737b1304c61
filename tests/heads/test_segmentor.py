"""Heads on backbones: what is filled in, what is computed, what is refused."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import Backbone, MMSegBackbone, Stage, TimmFeatures
from blockyard.blocks import SpectralNonlocal
from blockyard.heads import Segmentor, make_segmentor

RESNET18_D8: dict[str, Any] = {"type": "ResNetV1c", "depth": 18, "strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}
HEADS: dict[str, dict[str, Any]] = {
    "FCNHead": {},
    "PSPHead": {},
    "ASPPHead": {"dilations": (1, 12, 24, 36)},
    "DepthwiseSeparableASPPHead": {"dilations": (1, 12, 24, 36)},
    "NLHead": {},
    "DNLHead": {},
    "CCHead": {},
    "GCHead": {},
    "DAHead": {"pam_channels": 16},
    "ANNHead": {"project_channels": 32},
    "EncHead": {},
    "UPerHead": {},
    "SegformerHead": {},
    "ISAHead": {"isa_channels": 32, "down_factor": (8, 8)},
    "EMAHead": {"ema_channels": 32, "num_bases": 8, "num_stages": 3},
    "BlockHead": {"block": "SpectralNonlocal"},
    "AsymmetricNonlocalHead": {},
    "FFNetHead": {},
    "OneFormerHead": {
        **{"channels": 32, "num_queries": 20, "encoder_layers": 1, "query_layers": 1, "decoder_layers": 3},
        **{"text_layers": 1, "num_points": 64},
    },
    "ReducedASPPHead": {},
    "UNetHead": {},
    "UNetPlusPlusHead": {},
}


def features() -> TimmFeatures:
    return TimmFeatures(name="resnet18", output_stride=8)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_needs_only_its_own_options(name: str):
    segmentor = make_segmentor(features(), {"type": name, **HEADS[name]}, [{"type": "FCNHead", "num_convs": 1}], 5)
    assert segmentor.decode_head.num_classes == 5
    x, target = torch.randn(2, 3, 65, 48), torch.randint(0, 5, (2, 65, 48))
    target[:, :, :9] = 255
    losses = segmentor.train().losses(x, target)
    assert all(torch.isfinite(value).all() for value in losses.values())
    sum(value for key, value in losses.items() if "loss" in key).backward()
    dead = [key for key, p in segmentor.named_parameters() if p.requires_grad and p.grad is None]
    assert dead == []
    assert segmentor.eval()(x).shape == (2, 5, 65, 48)


def test_what_is_filled_in():
    segmentor = make_segmentor(features(), {"type": "UPerHead"}, [{"type": "FCNHead"}], 5)
    head, aux = segmentor.decode_head, segmentor.auxiliary_heads[0]
    assert (head.in_index, head.in_channels, head.channels) == ([0, 1, 2, 3], [64, 128, 256, 512], 128)
    assert (aux.in_index, aux.in_channels, aux.channels) == (2, 256, 64)
    assert head.norm_cfg == {"type": "BN", "requires_grad": True}
    assert head.out_channels == 5


def test_what_is_given_stays():
    config = {"type": "FCNHead", "in_index": 1, "channels": 24, "norm_cfg": {"type": "SyncBN"}, "dropout_ratio": 0}
    head = make_segmentor(features(), config, [], 5).decode_head
    assert (head.in_channels, head.channels, head.dropout) == (128, 24, None)
    assert {type(m) for m in head.modules() if "BatchNorm" in type(m).__name__} == {nn.BatchNorm2d}
    assert config["norm_cfg"] == {"type": "SyncBN"}  # the caller's mapping is left alone
    assert nn.SyncBatchNorm.convert_sync_batchnorm(head) is head


@pytest.mark.parametrize("backbone", [features, lambda: MMSegBackbone(config=dict(RESNET18_D8))])
def test_places_are_called_alike_on_every_backbone(backbone: Any):
    segmentor = make_segmentor(backbone(), {"type": "FCNHead"}, [], 5).eval()
    assert [stage.path for stage in segmentor.stages] == [f"backbone.layer{i}" for i in (1, 2, 3, 4)]
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = segmentor(x)
        assert plug(segmentor, SpectralNonlocal, ["stage3.-2", "backbone.layer4.0"], quiet=True) is segmentor
        assert torch.equal(segmentor(x), before)
    blocks = [name for name, module in segmentor.named_modules() if isinstance(module, SpectralNonlocal)]
    assert blocks == ["backbone.layer3.0.block", "backbone.layer4.0.block"]


class Shared(Backbone):
    """Two maps, for which a backbone may have no module, or the same one."""

    def __init__(self, *paths: str) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.stages = tuple(Stage(path, 8, 2 * i + 2) for i, path in enumerate(paths))

    def features(self, x: Tensor) -> list[Tensor]:
        x = self.relu(self.conv(x))
        return [x, self.relu(x[..., ::2, ::2])]


@pytest.mark.parametrize(("paths", "stages"), [(("relu", "relu"), 0), (("conv", ""), 0), (("conv", "relu"), 2)])
def test_any_maps_will_do_and_only_distinct_modules_are_stages(paths: tuple[str, str], stages: int):
    segmentor = make_segmentor(Shared(*paths), {"type": "UPerHead"}, [], 3)
    assert len(segmentor.stages) == stages
    assert segmentor.eval()(torch.randn(1, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_compiles_and_takes_synchronised_norms():
    segmentor = make_segmentor(features(), {"type": "BlockHead", "block": "SpectralNonlocal"}, [], 3).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(segmentor, backend="aot_eager")(x), segmentor(x))
    norms = sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in segmentor.modules())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(segmentor)
    assert sum(isinstance(m, nn.SyncBatchNorm) for m in converted.modules()) == norms > 0


def test_survives_copies():
    segmentor = make_segmentor(features(), {"type": "FCNHead"}, [], 3).eval()
    plug(segmentor, lambda c, d: nn.Hardtanh(0.1, 0.2), "stage3", quiet=True)
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        copy = deepcopy(segmentor)
        assert torch.equal(copy(x), segmentor(x))
        for p in copy.parameters():
            p.zero_()
        assert copy(x).abs().max() == 0
        assert segmentor(x).abs().max() > 0
    plain = make_segmentor(features(), {"type": "FCNHead"}, [], 3).eval()
    with torch.no_grad():
        assert torch.equal(pickle.loads(pickle.dumps(plain))(x), plain(x))


def test_several_losses():
    weighted = {"type": "CrossEntropyLoss", "class_weight": [1.0, 2.0, 3.0], "loss_weight": 0.5}
    config = {"type": "FCNHead", "loss_decode": [weighted, {"type": "DiceLoss"}], "dropout_ratio": 0}
    segmentor = make_segmentor(features(), config, [], 3).eval()
    x, target = torch.randn(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32))
    losses = segmentor.losses(x, target)
    assert losses.keys() == {"decode.loss_ce", "decode.loss_dice", "decode.acc_seg"}
    expected = nn.functional.cross_entropy(segmentor(x), target, torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(losses["decode.loss_ce"], expected / 2)


def test_only_hard_examples():
    sampler = {"type": "OHEMPixelSampler", "min_kept": 50}  # so many a picture
    segmentor = make_segmentor(features(), {"type": "FCNHead", "sampler": sampler, "dropout_ratio": 0}, [], 3).eval()
    x, target = torch.randn(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32))
    pixels = nn.functional.cross_entropy(segmentor(x), target, reduction="none").flatten()
    loss = segmentor.losses(x, target)["decode.loss_ce"]
    torch.testing.assert_close(loss, pixels.topk(100).values.sum() / pixels.numel())


def test_ignored_pixels_do_not_count():
    segmentor = make_segmentor(features(), {"type": "FCNHead", "dropout_ratio": 0}, [], 3).eval()
    x = torch.randn(1, 3, 32, 32)
    target = torch.full((1, 32, 32), 255)
    assert segmentor.losses(x, target)["decode.loss_ce"] == 0
    target[:, :16] = 1
    half = segmentor.losses(x, target)["decode.loss_ce"]
    full = torch.nn.functional.cross_entropy(segmentor(x)[:, :, :16], target[:, :16])
    torch.testing.assert_close(half, full / 2)  # mmsegmentation's mean is over all pixels


def test_auxiliary_losses_are_numbered_when_there_are_several():
    auxiliary = [{"type": "FCNHead"}, {"type": "FCNHead", "in_index": 1}]
    segmentor = make_segmentor(features(), {"type": "FCNHead"}, auxiliary, 3)
    losses = segmentor.losses(torch.randn(2, 3, 32, 32), torch.zeros(2, 32, 32, dtype=torch.long))
    assert {name.split(".")[0] for name in losses} == {"decode", "aux_0", "aux_1"}


def test_focal_loss_on_the_cpu_is_refused():
    segmentor = make_segmentor(features(), {"type": "FCNHead", "loss_decode": {"type": "FocalLoss"}}, [], 3)
    with pytest.raises(ValueError, match="FocalLoss is wrong on the CPU"):
        segmentor.losses(torch.randn(1, 3, 32, 32), torch.zeros(1, 32, 32, dtype=torch.long))


def test_mistakes_are_one_line():
    focal = {"type": "OhemCrossEntropy"}
    cases: dict[str, Any] = {
        "no decode_head 'PSPHaed'; did you mean PSPHead": {"type": "PSPHaed"},
        "must be a mapping with a 'type'": {"channels": 3},
        "FCNHead has no option 'dropout'; did you mean dropout_ratio": {"type": "FCNHead", "dropout": 0.1},
        "num_classes=4, but the data have 3 classes": {"type": "FCNHead", "num_classes": 4},
        "out_channels must be the 3 classes": {"type": "FCNHead", "out_channels": 1},
        "in_index=4, but the backbone gives 4 maps": {"type": "FCNHead", "in_index": 4},
        r"in_channels=2048, but the backbone's maps in_index=3 have 512": {"type": "FCNHead", "in_channels": 2048},
        "num_convs=0 classifies the map as it is, so channels must be its 512, got 64": {
            "type": "FCNHead",
            "num_convs": 0,
            "channels": 64,
        },
        "FCNHead: its options must be such that num_convs >= 0 and dilation > 0": {"type": "FCNHead", "dilation": 0},
        "class_weight has 2 entries for 3 classes": {
            "type": "FCNHead",
            "loss_decode": {"type": "CrossEntropyLoss", "class_weight": [1, 2]},
        },
        "OhemCrossEntropy does not work as loss_decode; use sampler": {"type": "FCNHead", "loss_decode": focal},
        "a sampler weighs pixels, which DiceLoss does not take": {
            "type": "FCNHead",
            "loss_decode": [{"type": "CrossEntropyLoss"}, {"type": "DiceLoss"}],
            "sampler": {"type": "OHEMPixelSampler"},
        },
        "OCRHead cannot be used here: it refines": {"type": "OCRHead", "ocr_channels": 8},
        "PSAHead cannot be used here": {"type": "PSAHead"},
        "DAHead: .*pam_channels": {"type": "DAHead"},
        "UPerHead: .": {"type": "UPerHead", "in_index": 1},
        "there is no block 'SpectralNonLokal'; did you mean SpectralNonlocal": {
            "type": "BlockHead",
            "block": "SpectralNonLokal",
        },
        "SpectralNonlocal has no option 'ordre'; did you mean order": {
            "type": "BlockHead",
            "block": {"type": "SpectralNonlocal", "ordre": 2},
        },
        "128 channels are not divisible by reduction=3": {
            "type": "BlockHead",
            "block": {"type": "SpectralNonlocal", "reduction": 3},
        },
    }
    backbone = features()
    for why, config in cases.items():
        with pytest.raises(ValueError, match=why) as error:
            make_segmentor(backbone, config, [], 3)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="Linear declares no stages"):
        make_segmentor(nn.Linear(1, 1), {"type": "FCNHead"}, [], 3)


def test_is_a_segmentor():
    segmentor = make_segmentor(features(), {"type": "FCNHead"}, [], 3)
    assert isinstance(segmentor, Segmentor)
    assert segmentor.test_cfg == {"mode": "whole"}


def test_a_head_without_convolutions_has_the_channels_of_its_maps():
    head = make_segmentor(features(), {"type": "FCNHead", "num_convs": 0, "concat_input": False}, [], 3).decode_head
    assert head.conv_seg.in_channels == head.in_channels == 512
    both = {"in_index": [2, 3], "input_transform": "resize_concat"}
    head = make_segmentor(features(), {"type": "FCNHead", "num_convs": 0, **both}, [], 3).decode_head
    assert head.conv_seg.in_channels == 256 + 512
