"""The paper's head: FCNHead around a block."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from blockyard import plug
from blockyard.backbones import TimmFeatures
from blockyard.blocks import SpectralNonlocal, list_blocks
from blockyard.costs import count_parameters
from blockyard.heads import make_segmentor
from blockyard.heads.block_head import BlockHead

SIZES: dict[str, Any] = {"in_channels": 48, "channels": 32, "num_classes": 5, "norm_cfg": {"type": "BN"}}


def head(block: Any = "SpectralNonlocal", **options: Any) -> BlockHead:
    return BlockHead(block=block, **{**SIZES, **options}).eval()


@pytest.mark.parametrize("concat_input", [True, False])
def test_is_fcn_head_around_an_identity(concat_input: bool):
    from mmseg.models.decode_heads import FCNHead

    ours, stock = head(concat_input=concat_input), FCNHead(**SIZES, concat_input=concat_input).eval()
    ours.load_state_dict(stock.state_dict(), strict=False)  # all but the block, which is the identity at first
    maps = [torch.randn(2, 48, 9, 7)]
    assert torch.equal(ours(maps), stock(maps))


def test_is_fcn_head_with_a_block_plugged_after_its_first_convolution():
    kernel = torch.randn(32, 64, 1)

    def opened(network: nn.Module) -> nn.Module:
        for module in network.modules():
            if isinstance(module, SpectralNonlocal):
                nn.init.ones_(module.filters[0].norm.weight)
                module.filters[0].out.weight.data.copy_(kernel[:, : module.filters[0].out.in_channels])
        return network.eval()

    backbone = TimmFeatures(name="resnet10t", output_stride=8)
    paper = make_segmentor(backbone, {"type": "BlockHead", "block": "SpectralNonlocal", "channels": 32}, [], 5)
    plugged = make_segmentor(backbone, {"type": "FCNHead", "channels": 32}, [], 5)
    plug(plugged, SpectralNonlocal, "decode_head.convs.0", quiet=True)
    state = {
        key.replace("decode_head.convs.0.host.", "decode_head.convs.0.").replace("convs.0.block.", "block."): value
        for key, value in plugged.state_dict().items()
    }
    paper.load_state_dict(state)
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = opened(plugged)(x)
        assert torch.equal(opened(paper)(x), expected)
        assert not torch.equal(head_without_block(paper)(x), expected)


def head_without_block(segmentor: nn.Module) -> nn.Module:
    segmentor.decode_head.block = nn.Identity()
    return segmentor


def test_parameters_in_closed_form():
    """Three 3×3 convolutions with BN, the classifier, and SNL's 5 C c + 2 C."""
    wide, width, classes = 2048, 512, 19
    block = 5 * width * (width // 2) + 2 * width
    convolutions = 9 * width * (wide + width + (wide + width)) + 3 * 2 * width
    paper = head(in_channels=wide, channels=width, num_classes=classes)
    assert count_parameters(paper) == convolutions + block + classes * (width + 1)


OURS = {cls.__name__: cls for cls in list_blocks() if cls.__module__.startswith("blockyard")}
PLACED = [name for name, cls in OURS.items() if {"size", "host"} & set(inspect.signature(cls).parameters)]


@pytest.mark.parametrize("name", [name for name in OURS if name not in PLACED])
def test_holds_any_block(name: str):
    paper = head({"type": name}).train()
    paper([torch.randn(2, 48, 8, 8)]).sum().backward()
    assert [key for key, p in paper.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", PLACED)
def test_refuses_what_depends_on_its_place(name: str):
    with pytest.raises(ValueError, match=f"{name} depends on where it is plugged"):
        head({"type": name})


@pytest.mark.parametrize(
    "config",
    [
        {"type": "SpectralNonlocal", "order": 2},
        {"class_path": "SpectralNonlocal", "init_args": {"order": 2}},
        {"class_path": "blockyard.blocks.SpectralNonlocal", "init_args": {"order": 2}},
        {"class_path": "blockyard.blocks.nonlocals.spectral.SpectralNonlocal", "init_args": {"order": 2}},
    ],
)
def test_a_block_can_be_written_as_elsewhere(config: dict[str, Any]):
    assert head(config).block.filters[0].order == 2


def test_no_class_is_imported_by_name():
    with pytest.raises(ValueError, match=r"there is no block 'os\.path\.join'"):
        head({"class_path": "os.path.join"})


def test_the_rest_of_the_network_does_not_depend_on_the_block():
    weights = []
    for block in ("SpectralNonlocal", "GlobalContext"):
        torch.manual_seed(3)
        weights.append({k: v for k, v in head(block).state_dict().items() if not k.startswith("block.")})
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


class Largest(TorchDispatchMode):
    """The most numbers that any tensor had."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


def test_no_matrix_between_positions_is_ever_made():
    side = 64  # N = 4096, many times the channels
    maps = [torch.randn(1, 48, side, side)]
    largest = {}
    for evaluation in ("auto", "dense"):
        paper = head({"type": "SpectralNonlocal", "evaluation": evaluation})
        with Largest() as seen:
            paper(maps).sum().backward()
        largest[evaluation] = seen.numbers
    assert largest["dense"] == side**4
    assert largest["auto"] <= (48 + 32) * side**2  # the concatenation


def test_two_convolutions_only():
    with pytest.raises(ValueError, match="two convolutions"):
        head(num_convs=3)
