"""MACs of every kind of layer by its closed form, and of everything that the suite is made of."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from math import prod

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence
from torch.overrides import TorchFunctionMode

from blockyard.backbones import Framewise, LogMel, PDCNet, PreResNet, PyTorchVideoBackbone, TimmBackbone, TimmFeatures
from blockyard.blocks import list_blocks
from blockyard.blocks.nonlocals.kernel_operators import Softmax
from blockyard.costs import count_macs
from blockyard.heads import make_segmentor
from blockyard.plugging import undisturbed
from blockyard.poolings import list_poolings

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
T, D, H, P = 7, 12, 8, 5  # steps, inputs, hidden units, projected units


class First(nn.Module):
    """What a layer of several results gives first."""

    def __init__(self, layer: nn.Module, call=lambda layer, x: layer(x)) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layer, x)[0]


def packed(layer: nn.Module, x: Tensor) -> Tensor:
    """Two copies of a sequence, the second shorter by 3 steps."""
    both = pack_padded_sequence(torch.cat([x, x]), [T, T - 3], batch_first=True)
    return layer(both)[0]


recurrent = partial(nn.LSTM, D, H, batch_first=True)
LAYERS = {
    "Conv1d": (nn.Conv1d(4, 6, 3), (4, 9), 7 * 6 * 4 * 3),
    "Conv2d grouped": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 5, 5), 25 * 6 * 2 * 9),
    "Conv2d depthwise": (nn.Conv2d(4, 4, 3, 2, 1, groups=4), (4, 6, 6), 9 * 4 * 9),
    "Conv2d dilated": (nn.Conv2d(4, 6, 3, dilation=2), (4, 7, 7), 9 * 6 * 4 * 9),
    "Conv3d": (nn.Conv3d(2, 3, 2), (2, 3, 3, 3), 8 * 3 * 2 * 8),
    "ConvTranspose1d": (nn.ConvTranspose1d(4, 6, 3, 2), (4, 5), 5 * 4 * 6 * 3),
    "ConvTranspose2d grouped": (nn.ConvTranspose2d(4, 6, 2, 2, 0, 1, 2), (4, 5, 5), 25 * 4 * 3 * 4),
    "ConvTranspose3d": (nn.ConvTranspose3d(2, 3, 2), (2, 3, 3, 3), 27 * 2 * 3 * 8),
    "Linear": (nn.Linear(7, 5), (3, 7), 3 * 35),
    "Linear without bias": (nn.Linear(7, 5, bias=False), (7,), 35),
    "Bilinear": (First(nn.Bilinear(3, 4, 5), lambda b, x: [b(x, F.pad(x, (0, 1)))]), (3,), 3 * 4 * 5),
    "LSTM": (First(recurrent()), (T, D), T * 4 * H * (D + H)),
    "LSTM, steps first": (First(nn.LSTM(D, H), lambda r, x: r(x.transpose(0, 1))), (T, D), T * 4 * H * (D + H)),
    "LSTM without bias": (First(recurrent(bias=False)), (T, D), T * 4 * H * (D + H)),
    "LSTM of 3 layers": (First(recurrent(num_layers=3)), (T, D), T * 4 * H * (D + 5 * H)),
    "LSTM both ways": (First(recurrent(bidirectional=True)), (T, D), 2 * T * 4 * H * (D + H)),
    "LSTM of 2 layers both ways": (
        First(recurrent(num_layers=2, bidirectional=True, dropout=0.5)),
        (T, D),
        2 * T * 4 * H * (D + H + 2 * H + H),
    ),
    "LSTM with projections": (First(recurrent(proj_size=P)), (T, D), T * (4 * H * (D + P) + H * P)),
    "LSTM with a state": (
        First(recurrent(), lambda r, x: r(x, (torch.ones_like(x[None, :, 0, :H]),) * 2)),
        (T, D),
        T * 4 * H * (D + H),
    ),
    "LSTM unbatched": (First(nn.LSTM(D, H), lambda r, x: r(x[0])), (T, D), T * 4 * H * (D + H)),
    "LSTM of packed sequences": (First(recurrent(), packed), (T, D), (2 * T - 3) * 4 * H * (D + H)),
    "GRU": (First(nn.GRU(D, H, batch_first=True)), (T, D), T * 3 * H * (D + H)),
    "GRU of 2 layers both ways": (
        First(nn.GRU(D, H, 2, bidirectional=True), lambda r, x: r(x.transpose(0, 1))),
        (T, D),
        2 * T * 3 * H * (D + H + 2 * H + H),
    ),
    "RNN": (First(nn.RNN(D, H, batch_first=True, nonlinearity="relu")), (T, D), T * H * (D + H)),
    "LSTMCell": (First(nn.LSTMCell(D, H)), (D,), 4 * H * (D + H)),
    "GRUCell": (nn.GRUCell(D, H), (D,), 3 * H * (D + H)),
    "RNNCell": (nn.RNNCell(D, H), (D,), H * (D + H)),
    "MultiheadAttention": (
        First(nn.MultiheadAttention(D, 3, batch_first=True), lambda a, x: a(x, x, x, need_weights=False)),
        (T, D),
        T * 4 * D * D + 2 * T * T * D,
    ),
    "MultiheadAttention with weights": (
        First(nn.MultiheadAttention(D, 3, batch_first=True), lambda a, x: a(x, x, x)),
        (T, D),
        T * 4 * D * D + 2 * T * T * D,
    ),
    "TransformerEncoderLayer": (
        nn.TransformerEncoderLayer(D, 2, H, batch_first=True),
        (T, D),
        T * (4 * D * D + 2 * D * H) + 2 * T * T * D,
    ),
    "LogMel": (LogMel(n_mels=40), (1, 1600), 40 * 201 * 11),
    "norms and activations": (nn.Sequential(nn.BatchNorm2d(4), nn.GELU(), nn.GroupNorm(2, 4)), (4, 5, 5), 0),
}


class Product(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


FUNCTIONS = {  # of a matrix x of 1×6×8
    "matmul": (lambda x: x @ x.mT, 6 * 8 * 6),
    "einsum": (lambda x: torch.einsum("bnc,bmc->bnm", x, x), 6 * 8 * 6),
    "einsum of three": (lambda x: torch.einsum("bnc,bmc,bmd->bnd", x, x, x), 6 * 8 * 6 + 6 * 6 * 8),
    "outer product": (lambda x: torch.einsum("bn,bm->bnm", x[:, 0], x[:, 1]), 0),
    "baddbmm": (lambda x: torch.baddbmm(x, x @ x.mT, x), 6 * 8 * 6 + 6 * 6 * 8),
    "addbmm": (lambda x: torch.addbmm(x[0], x[:, :, :6], x), 6 * 6 * 8),
    "tensordot": (lambda x: torch.tensordot(x, x, ([2], [2])), 6 * 8 * 6),
    "attention": (lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None, ..., :3]), 6 * 6 * (8 + 3)),
    "grouped queries": (
        lambda x: F.scaled_dot_product_attention(
            x.expand(4, -1, -1)[None], x.expand(2, -1, -1)[None], x.expand(2, -1, -1)[None], enable_gqa=True
        ),
        4 * 6 * 6 * (8 + 8),
    ),
    "attention of unequal widths": (lambda x: Softmax(x[:, :2], x[:, :2], 1.0).apply(x), 8 * 8 * (2 + 6)),
    "attention by keywords": (
        lambda x: F.scaled_dot_product_attention(
            F.pad(x, (0, 2)), key=F.pad(x, (0, 2)), value=F.pad(input=x, pad=(0, 2))
        ),
        6 * 6 * (8 + 8),
    ),
    "attention of wider queries": (lambda x: Softmax(x, x, 1.0).apply(x[:, :2]), 8 * 8 * (6 + 2)),
}
PRODUCTS = {name: (Product(function), (6, 8), macs) for name, (function, macs) in FUNCTIONS.items()}
SURROUNDINGS = {
    "grad": nullcontext,
    "no grad": torch.no_grad,
    "inference": torch.inference_mode,
    "without oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("name", [*LAYERS, *PRODUCTS])
def test_closed_forms_hold_in_every_mode_on_every_device(name, around, device):
    layer, shape, macs = (LAYERS | PRODUCTS)[name]
    layer.to(device)
    for training in (True, False):
        with SURROUNDINGS[around]():
            assert count_macs(layer.train(training), shape) == macs
        assert layer.training == training


def test_kernels_of_other_devices_count_by_the_same_form():
    """No machine has all of them: what matters is which of a kernel's arguments are the weights."""
    from blockyard.costs import _UNCOUNTED

    x, weights = (T, 2, D), [(4 * H, D), (4 * H, H), (4 * H,), (4 * H,), (P, H)]
    macs = 2 * T * (4 * H * (D + H) + P * H)
    aten = torch.ops.aten
    for kernel in (aten._cudnn_rnn, aten.miopen_rnn):
        assert [a.name for a in kernel.default._schema.arguments[:2]] == ["input", "weight"]
        assert _UNCOUNTED[kernel](x, weights, 4, None) == 2 * macs
        assert _UNCOUNTED[kernel]((2 * T, D), weights, 4, None) == 2 * macs  # packed
    assert [a.name for a in aten._lstm_mps.default._schema.arguments[:3]] == ["input", "hx", "params"]
    assert _UNCOUNTED[aten._lstm_mps](x, [(1, 2, H)], weights, True) == 2 * macs


class ByHand(TorchFunctionMode):
    """Adds up the closed forms of all products that Python calls, by their shapes.

    It stands above what dispatches to kernels, so that it sees other operations than the counter does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs, self.unknown = 0, set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.__name__.strip("_").removeprefix("r")
        if name in FORMS:
            self.macs += FORMS[name](args, result)
        elif any(part in name for part in ("conv", "mm", "mv", "dot", "linear", "rnn", "gru", "attention", "inner")):
            self.unknown.add(name)
        return result


def of_convolution(args, result):
    return result.numel() * args[1][0].numel()


def of_matrices(args, result, first=0):
    return result.numel() * args[first].shape[-1]


def of_einsum(args, result):
    equation, *operands = args
    left, right = equation.split("->")
    terms, axes = left.split(","), "ABCDEFG"  # what an ellipsis stands for
    for i, (term, operand) in enumerate(zip(terms, operands, strict=True)):
        rest = axes[: operand.ndim - len(term) + 3] if "..." in term else ""
        terms[i], right = term.replace("...", rest), right.replace("...", rest) if rest else right
    shapes = zip(terms, operands, strict=True)
    sizes = {axis: n for term, operand in shapes for axis, n in zip(term, operand.shape, strict=True)}
    total, done = 0, terms[0]
    for i, term in enumerate(terms[1:], 1):
        kept = set("".join(terms[i + 1 :]) + right)
        joint = set(done) | set(term)
        if joint - kept:  # nothing to add up: a product of numbers, as in an outer product
            total += prod(sizes[axis] for axis in joint)
        done = "".join(joint & kept)
    return total


def of_attention(args, result):
    query, key, value = args[:3]
    return query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def of_recurrence(args, result):
    x, _, weights = args[:3]
    return x.shape[:-1].numel() * sum(weight.numel() for weight in weights if weight.ndim == 2)


FORMS = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), of_convolution),
    "linear": lambda args, result: result.numel() * args[0].shape[-1],
    **dict.fromkeys(("matmul", "bmm", "mm"), of_matrices),
    "baddbmm": lambda args, result: of_matrices(args, result, 1),
    "einsum": of_einsum,
    "scaled_dot_product_attention": of_attention,
    "lstm": of_recurrence,
}
HEADS = [
    {"type": "AsymmetricNonlocalHead"},
    {"type": "BlockHead", "block": "SpectralNonlocal"},
    {"type": "DAHead", "pam_channels": 8},
    *({"type": name} for name in ("FCNHead", "NLHead", "GCHead", "DNLHead", "ASPPHead", "PSPHead")),
]


def parts():
    """What the suite is made of: a name, how to make it, and the shape of one sample."""
    for cls in list_blocks():
        if cls.__module__.startswith("blockyard."):
            yield from ((f"{cls.__name__} {r}", partial(cls, 32, r), (32, *(6, 8, 4)[:r])) for r in cls.ranks)
    for cls in list_poolings():
        yield cls.__name__, partial(cls, 32), (32, 6, 5)
    for temporal in ("mean", "attention", "lstm", "consensus"):
        yield f"Framewise {temporal}", partial(Framewise, 5, 3, "resnet10t", temporal), (3, 3, 32, 32)
    for rank in (2, 3):
        yield f"PreResNet {rank}", partial(PreResNet, 5, depth=8, spatial_dims=rank), (3, *(6, 16, 16)[-rank:])
    for name in ("mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224", "resnet10t"):
        yield name, partial(TimmBackbone, 5, 3, name), (3, 224, 224)
    for name, clip_size in (("x3d_xs", None), ("mvit_base_16x4", (4, 64, 64))):
        yield name, partial(PyTorchVideoBackbone, 5, 3, name, clip_size=clip_size), (3, 4, 64, 64)
    yield "PDCNet", partial(PDCNet, 5), (3, 64, 64)
    for config in HEADS:
        channels = {"channels": 8} | config
        yield config["type"], partial(segmentor, channels), (3, 64, 64)


def segmentor(head):
    return make_segmentor(TimmFeatures(0, 3, "resnet10t"), head, [], 5)


PARTS = {name: (make, shape) for name, make, shape in parts()}
PADDED = {f"PositionAttention {r}": n * 32 * (4 + 4 + 32) + n * n * (4 + 32) for r, n in ((1, 6), (2, 48), (3, 192))}
"""Attention of 4 channels on values of 32: on the CPU what Python calls has zeros in it."""
ZEROS = {f"GhostAttention {r}": n * n * 28 for r, n in ((2, 48), (3, 192))}
"""Products with such zeros in it, which are not counted."""


@pytest.mark.parametrize("name", PARTS)
def test_everything_the_suite_is_made_of_counts_by_hand(name):
    make, shape = PARTS[name]
    module, by_hand = make(), ByHand()
    with undisturbed(module), by_hand:
        module(torch.zeros(1, *shape))
    assert not by_hand.unknown
    assert count_macs(module, shape) == PADDED.get(name, by_hand.macs - ZEROS.get(name, 0))
