"""Stock configs of mmsegmentation: the same network, the same losses, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.blocks import SpectralNonlocal
from blockyard.heads import Segmentor, stock_segmentor
from blockyard.heads.stock import find_stock_config

STOCK = {
    "fcn": "fcn_r50-d8_4xb2-40k_cityscapes-512x1024",
    "pspnet": "pspnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "deeplabv3plus": "deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024",
    "nonlocal_net": "nonlocal_r50-d8_4xb2-40k_cityscapes-512x1024",
    "ccnet": "ccnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "gcnet": "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "danet": "danet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "dnlnet": "dnl_r50-d8_4xb2-40k_cityscapes-512x1024",
    "ann": "ann_r50-d8_4xb2-40k_cityscapes-512x1024",
    "upernet": "upernet_r50_4xb2-40k_cityscapes-512x1024",
}


def stock_build(name: str) -> nn.Module:
    """mmsegmentation's own build of its config, on one process and without downloads."""
    from mmengine.config import Config
    from mmseg.models.segmentors import EncoderDecoder

    config = Config.fromfile(str(find_stock_config(name)))
    model: Any = Config.fromstring(config.pretty_text.replace("SyncBN", "BN"), ".py").model
    keys = ("backbone", "decode_head", "auxiliary_head", "train_cfg", "test_cfg")
    return EncoderDecoder(**{key: model[key] for key in keys})


def batch(size: int = 33) -> tuple[Tensor, Tensor]:
    target = torch.randint(0, 19, (2, size, size))
    target[:, :4] = 255
    return torch.randn(2, 3, size, size), target


def reseeded(seed: int, function: Any, *arguments: Any) -> Any:
    torch.manual_seed(seed)
    return function(*arguments)


@pytest.mark.parametrize("family", STOCK)
def test_is_the_network_that_mmsegmentation_builds(family: str):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    torch.manual_seed(0)
    ours, stock = stock_segmentor(STOCK[family]), stock_build(STOCK[family])
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in stock.parameters())
    ours.load_state_dict(stock.state_dict())

    x, target = batch()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask[None])) for mask in target]
    expected = reseeded(1, stock.train().loss, x, samples)
    got = reseeded(1, ours.train().losses, x, target)
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in expected)  # the same operations in the same order

    sum(value for name, value in got.items() if "loss" in name).backward()
    assert [name for name, p in ours.named_parameters() if p.grad is None] == []  # or DDP stops

    with torch.no_grad():
        wanted = stock.eval().encode_decode(x, [{"img_shape": x.shape[2:]}])
        assert torch.equal(ours.eval()(x), wanted)
    assert wanted.shape == (2, 19, 33, 33)
    assert ours.test_cfg == {"mode": "whole"}


@pytest.fixture(scope="module")
def fcn() -> Segmentor:
    return stock_segmentor(STOCK["fcn"], num_classes=7).eval()


def test_classes_of_other_data(fcn: Segmentor):
    assert fcn.num_classes == 7
    assert fcn(torch.randn(1, 3, 40, 24)).shape == (1, 7, 40, 24)
    assert fcn.auxiliary_heads[0].num_classes == 7


def test_blocks_plug_into_backbone_and_head_as_the_identity(fcn: Segmentor):
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = fcn(x)
        places = ["stage3.-2", "backbone.layer3.1", "decode_head.convs.0", "stage4.0.bn3"]
        plug(fcn, SpectralNonlocal, places, quiet=True)
        assert torch.equal(fcn(x), before)
    paths = {name for name, module in fcn.named_modules() if isinstance(module, SpectralNonlocal)}
    assert {path.removesuffix(".block") for path in paths} == {
        "backbone.layer3.4", "backbone.layer3.1", "decode_head.convs.0", "backbone.layer4.0.bn3"
    }  # fmt: skip


def test_what_is_in_no_forward_is_refused(fcn: Segmentor):
    with pytest.raises(ValueError, match="runs 0 times"):
        plug(fcn, SpectralNonlocal, "auxiliary_heads.0.convs.0", quiet=True)


def test_a_neck():
    segmentor = stock_segmentor("fpn_r50_4xb2-80k_cityscapes-512x1024").eval()
    assert segmentor.neck is not None
    assert segmentor(torch.randn(1, 3, 64, 64)).shape == (1, 19, 64, 64)
    losses = segmentor.train().losses(*batch(64))
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert [name for name, p in segmentor.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("suffix", ["", ".py"])
@pytest.mark.parametrize("folder", ["", "fcn/"])
def test_a_config_goes_by_name_or_relative_path(folder: str, suffix: str):
    path = find_stock_config(f"{folder}{STOCK['fcn']}{suffix}")
    assert path.stem == STOCK["fcn"]


def test_sliding_windows_are_kept_for_the_evaluation():
    segmentor = stock_segmentor("fcn_r50-d8_4xb2-40k_cityscapes-769x769")
    assert segmentor.test_cfg == {"mode": "slide", "crop_size": (769, 769), "stride": (513, 513)}


def test_a_file_of_ones_own_is_run_only_if_trusted(tmp_path: Path):
    trace, path = tmp_path / "was_run", tmp_path / "mine.py"
    source = find_stock_config(STOCK["fcn"])
    path.write_text(f"open({str(trace)!r}, 'w').close()\n_base_ = {str(source)!r}\n")
    with pytest.raises(ValueError, match=r"runs it as a program.*--trust_config") as error:
        stock_segmentor(str(path))
    assert "\n" not in str(error.value)
    assert not trace.exists()
    assert stock_segmentor(str(path), 5, trust=True).num_classes == 5
    assert trace.exists()


def test_mistakes_are_one_line(tmp_path: Path):
    (tmp_path / "broken.py").write_text("model = dict(")
    (tmp_path / "empty.py").write_text("lr = 1")
    cases: dict[str, tuple[str, bool]] = {
        "ships no config 'pspnet_r50-d8_4xb2-40k_cityscape-512x1024'; did you mean pspnet_r50-d8_4xb2-40k_cityscapes": (
            "pspnet_r50-d8_4xb2-40k_cityscape-512x1024",
            False,
        ),
        "CascadeEncoderDecoder; only an EncoderDecoder": ("ocrnet_r101-d8_4xb2-40k_cityscapes-512x1024", False),
        "cannot be read": (str(tmp_path / "broken.py"), True),
        "describes no model": (str(tmp_path / "empty.py"), True),
        "ships no config": (str(tmp_path / "none.py"), True),
    }
    for why, (config, trust) in cases.items():
        with pytest.raises(ValueError, match=why) as error:
            stock_segmentor(config, 4, trust)
        assert "\n" not in str(error.value)
