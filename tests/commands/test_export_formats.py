"""Networks as graphs: what they give at sizes that they were not captured at."""

from __future__ import annotations

import io
import json
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from torch import nn

from blockyard import blocks, plug
from blockyard.backbones import FrontEnded, LogMel, PreResNet
from blockyard.blocks import list_blocks
from blockyard.commands.export import TOLERANCE, export
from blockyard.commands.export_formats import CARD_FILE
from blockyard.poolings import MPNCov
from blockyard.portable import Card, Portable

CLASSES = 5
AFTER = [
    kind
    for kind in list_blocks()
    if kind.__module__.startswith("blockyard.") and kind.slot == "after" and 2 in kind.ranks
]
OPTIONS = {"HaloAttention": {"block_size": 4, "halo_size": 1}, "GSoP": {"inner": 16}}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("CrissCross", "HaloAttention")]  # large graphs
MOST_USED = ["SpectralNonlocal", "Nonlocal", "SqueezeExcitation", "ECA", "GlobalContext", *SLOW]


def card(shape=(3, 32, 32), **fields) -> Card:
    normalised = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25)} if len(shape) == 3 and shape[0] == 3 else {}
    model = {"class_path": "ImageClassification"}
    return Card("ImageClassification", CLASSES, shape, "logits", model, **{**normalised, **fields})


def awake(network: nn.Module) -> nn.Module:
    """Let blocks that start as the identity do something."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.constant_(parameter, 0.3)
    return network.eval()


def small(kind) -> Portable:
    """A convolution of stride 2 with a block after it, and a classifier."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES)
    )
    plug(
        network,
        partial(kind, **OPTIONS.get(getattr(kind, "__name__", ""), {})),
        "0",
        example=(1, 3, 32, 32),
        quiet=True,
    )
    return Portable(awake(network), card()).eval()


def onnx_run(content: bytes, x: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(content)
    return torch.from_numpy(session.run(None, {"input": x.numpy()})[0])


def assert_same(given: torch.Tensor, expected: torch.Tensor) -> None:
    """Engines differ in the order of their sums."""
    torch.testing.assert_close(given, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))


@pytest.mark.parametrize("kind", AFTER, ids=lambda kind: kind.__name__)
def test_every_block_exports_in_a_network_of_any_batch_and_size(kind):
    portable = small(kind)
    content, report = export(portable, "torch")
    assert "(batch, 3, height, width)" in report[0]
    program = torch.export.load(io.BytesIO(content)).module()
    for shape in [(1, 3, 64, 48), (5, 3, 34, 50)]:
        x = torch.rand(shape)
        assert_same(program(x), portable(x))


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_wrappers_export_too(name):
    torch.manual_seed(0)
    network = PreResNet(CLASSES)
    plug(network, blocks.ParallelSum, "stage2", mode="around", quiet=True)
    plug(network, blocks.SelectiveDepth, "stage3", mode="around", quiet=True)
    portable = Portable(awake(network), card()).eval()
    content, report = export(portable, name)
    assert "(batch, 3, height, width)" in report[0]
    run = torch.export.load(io.BytesIO(content)).module() if name == "torch" else partial(onnx_run, content)
    for shape in [(1, 3, 64, 48), (5, 3, 34, 50)]:
        x = torch.rand(shape)
        assert_same(run(x), portable(x))


class Branching(nn.Module):
    """Looks at small maps otherwise, of which a graph keeps the branch that it was captured in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) if x.shape[-1] > 12 else x.amax((2, 3))


def test_a_program_that_refuses_small_maps_says_so():
    content, report = export(Portable(Branching(), card()).eval(), "torch")
    assert "(batch, 3, height, width)" in report[0]
    assert report[-1] == "refuses 1×3×9×9 and 1×3×2×2 and 3×3×1×1 and 1×3×1×1, which the network takes"
    program = torch.export.load(io.BytesIO(content)).module()
    with pytest.raises(Exception, match="Guard failed"):
        program(torch.rand(1, 3, 9, 9))


def test_a_graph_that_takes_the_wrong_branch_at_other_sizes_keeps_its_own():
    """ONNX has no guards: it would give a mean where the network takes the maximum."""
    portable = Portable(Branching(), card()).eval()
    content, report = export(portable, "onnx")
    assert "(batch, 3, 32, 32)" in report[0]
    assert "height and width can't change: at 1×3×9×9 what was exported differs from the network by" in report[0]
    x = torch.rand(5, 3, 32, 32)
    assert_same(onnx_run(content, x), portable(x))
    with pytest.raises(Exception, match="invalid dimensions"):
        onnx_run(content, torch.rand(1, 3, 9, 9))


def test_pooling_to_cells_is_right_at_its_own_size_and_takes_no_other_in_onnx():
    """Adaptive pooling of a map of any size to 2×2 cells has no counterpart there."""
    portable = small(partial(blocks.AsymmetricNonlocal, bins=(1, 2)))
    content, report = export(portable, "onnx")
    assert "(batch, 3, 32, 32)" in report[0]
    assert "height and width can't change" in report[0]
    x = torch.rand(3, 3, 32, 32)
    assert_same(onnx_run(content, x), portable(x))


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_the_smallest_maps(name):
    portable = small(blocks.SqueezeExcitation)
    content, report = export(portable, name)
    assert "1×3×1×1: differs" in report[1]
    run = torch.export.load(io.BytesIO(content)).module() if name == "torch" else partial(onnx_run, content)
    for shape in [(1, 3, 1, 1), (3, 3, 1, 1), (1, 3, 2, 64)]:
        x = torch.rand(shape)
        assert_same(run(x), portable(x))


@pytest.mark.parametrize("name", MOST_USED)
def test_onnx_of_the_most_used_blocks_takes_any_batch_and_size(name):
    portable = small(getattr(blocks, name))
    content, report = export(portable, "onnx")
    assert "(batch, 3, height, width)" in report[0]
    # Smaller, odd, larger than at capture and comparison: HaloAttention pads to multiples of its block.
    for shape in [(1, 3, 24, 40), (2, 3, 37, 51), (4, 3, 96, 64)]:
        x = torch.rand(shape)
        assert_same(onnx_run(content, x), portable(x))


def test_onnx_names_its_axes_and_says_what_it_is():
    content, _ = export(small(blocks.ECA), "onnx")
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model)
    (entry,), (leaving,) = model.graph.input, model.graph.output
    assert [axis.dim_param or axis.dim_value for axis in entry.type.tensor_type.shape.dim] == [
        "batch",
        3,
        "height",
        "width",
    ]
    assert [axis.dim_param or axis.dim_value for axis in leaving.type.tensor_type.shape.dim] == ["batch", CLASSES]
    props = {one.key: one.value for one in model.metadata_props}
    assert json.loads(props["mean"]) == [0.5, 0.4, 0.3]
    assert "from 0 to 1" in props["takes"]
    assert Card.of({key: _plain(value) for key, value in props.items()}) == card()


def _plain(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def test_a_program_holds_its_card():
    content, _ = export(small(blocks.ECA), "torch")
    files = {CARD_FILE: ""}
    torch.export.load(io.BytesIO(content), extra_files=files)
    assert Card.of(json.loads(files[CARD_FILE])) == card()


def test_normalisation_is_inside():
    portable = small(blocks.ECA)
    x = torch.rand(2, 3, 32, 32)
    normalised = (x - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.25]).view(3, 1, 1)
    assert_same(onnx_run(export(portable, "onnx")[0], x), portable.network(normalised))


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_a_fixed_size_is_said_and_kept(name):
    """As of a vision transformer with learned positions."""
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=CLASSES, depth=1).eval()
    content, report = export(Portable(network, card()).eval(), name)
    assert "(batch, 3, 32, 32)" in report[0]
    assert "height and width can't change" in report[0]
    run = torch.export.load(io.BytesIO(content)).module() if name == "torch" else partial(onnx_run, content)
    with pytest.raises(Exception, match=r"32|dimension"):
        run(torch.rand(1, 3, 48, 48))


class TestSound:
    def heard(self, **options) -> Portable:
        front_end = LogMel(8000, n_mels=16, **options)
        network = FrontEnded(CLASSES, 1, front_end, partial(PreResNet, depth=8))
        fields = card((1, 4000), sample_rate=8000)
        return Portable(awake(network), fields).eval()

    @pytest.mark.parametrize("name", ["torch", "onnx"])
    def test_the_spectrogram_is_inside_and_takes_any_length(self, name):
        portable = self.heard()
        content, report = export(portable, name)
        assert "(batch, 1, length), waveforms from -1 to 1 of 8000 samples a second" in report[0]
        run = torch.export.load(io.BytesIO(content)).module() if name == "torch" else partial(onnx_run, content)
        for shape in [(1, 1, 3000), (3, 1, 7777)]:
            x = torch.rand(shape) * 2 - 1
            assert_same(run(x), portable(x))

    def test_decibels_below_the_loudest_too(self):
        portable = self.heard(scale="db", top_db=60.0, normalise=None)
        x = torch.from_numpy(np.sin(np.arange(6000) / 7).astype(np.float32)).view(1, 1, -1)
        assert_same(onnx_run(export(portable, "onnx")[0], x), portable(x))


class Wrong(nn.Module):
    """Decides by values, of which a capture knows none."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) * (2.0 if x.mean() > 2 else 1.0)


def test_what_no_graph_can_say_ends_in_one_line():
    with pytest.raises(ValueError, match=r"Wrong can't be exported") as error:
        export(Portable(Wrong(), card()).eval(), "torch")
    assert "\n" not in str(error.value)


def test_what_onnx_does_not_know_ends_in_one_line():
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), MPNCov(4))
    with pytest.raises(ValueError, match=r"can't be exported: ONNX has no counterpart: .*eigh") as error:
        export(Portable(pooled, card()).eval(), "onnx")
    assert "\n" not in str(error.value)


def test_a_difference_to_the_network_is_an_error(monkeypatch):
    portable = small(blocks.ECA)
    faithful = torch.export.load

    class Off:
        def __init__(self, file):
            self.program = faithful(file)

        def module(self):
            run = self.program.module()
            return lambda x: run(x) * (1 + 10 * TOLERANCE)

    monkeypatch.setattr(torch.export, "load", Off)
    with pytest.raises(ValueError, match=r"differs from the network by 1\.0e-03 .* nothing was written"):
        export(portable, "torch")
