"""Scalograms: the sum that defines them, waves at their scales, clip by clip, in every precision."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.export import Dim, export

from blockyard.backbones import FrontEnded, PreResNet, Scalogram

RATE = 4000
SMALL = partial(Scalogram, RATE, n_scales=12, f_min=100.0, hop_length=40)


def waves(frequencies: list[float], length: int = 2000) -> torch.Tensor:
    time = torch.arange(length, dtype=torch.float64) / RATE
    return torch.stack([torch.sin(2 * math.pi * f * time + 0.3) for f in frequencies])[:, None].float()


@pytest.mark.parametrize("norm", ["amplitude", "energy"])
@pytest.mark.parametrize("omega", [5.0, 8.0])
def test_values_are_the_sum_that_defines_them(norm: str, omega: float):
    x = torch.randn(2, 1, 333)
    found = SMALL(norm=norm, omega=omega, normalise=None)(x)
    assert found.shape == (2, 1, 12, 1 + 333 // 40)
    n = np.arange(-3000, 3000)
    for k, f in enumerate(np.geomspace(100, 2000, 12)):
        s = omega * RATE / (2 * np.pi * f)
        c = np.pi**-0.25 / np.sqrt(s) if norm == "energy" else 2 / np.exp(-((n / s) ** 2) / 2).sum()
        for j, t in enumerate(range(0, 334, 40)):
            u = (np.arange(333) - t) / s
            expected = abs(x[:, 0].double().numpy() @ (c * np.exp(-1j * omega * u - u**2 / 2)))
            np.testing.assert_allclose(found[:, 0, k, j], expected, atol=2e-4)  # the wavelets end at five widths


def test_a_wave_has_its_amplitude_at_its_scale_and_less_elsewhere():
    network = SMALL(normalise=None, f_max=1000.0)
    inside = network(waves(network.frequencies) / 2)[:, 0, :, 15:35]
    assert torch.equal(inside.argmax(1), torch.arange(12)[:, None].expand(-1, 20))
    torch.testing.assert_close(inside.diagonal().T, torch.full((12, 20), 0.5), rtol=0, atol=1e-3)


def test_wavelets_have_unit_energy():
    taps = SMALL(norm="energy").taps[:, 0]
    energy = taps.square().sum(1).view(2, 12).sum(0)
    torch.testing.assert_close(energy, torch.ones(12), rtol=1e-3, atol=0)


def test_the_scalogram_of_a_sum_is_at_most_the_sum_of_scalograms():
    network, x, y = SMALL(normalise=None), torch.randn(1, 1, 800), torch.randn(1, 1, 800)
    assert (network(x + y) <= network(x) + network(y) + 1e-5).all()
    torch.testing.assert_close(network(-3 * x), 3 * network(x))


def test_a_clip_is_alone_and_a_batch_may_be_empty():
    network, x = SMALL(), torch.randn(3, 1, 800) * torch.tensor([1.0, 10, 0])[:, None, None]
    for k in range(3):
        torch.testing.assert_close(network(x)[k : k + 1], network(x[k : k + 1]))
    assert network(x[:0]).shape == (0, 1, 12, 21)
    torch.testing.assert_close(network(x)[:2].mean((1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)
    assert not network(x)[2].any()


@pytest.mark.parametrize("scale", ["magnitude", "log"])
def test_gradients_are_those_of_the_sum_and_of_silence_finite(scale: str):
    network = SMALL(scale=scale, normalise=None)
    x = torch.randn(1, 1, 200, requires_grad=True)
    step = torch.randn(1, 1, 200)
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    with torch.no_grad():
        difference = (network(x + 1e-2 * step).sum() - network(x - 1e-2 * step).sum()) / 2e-2
    torch.testing.assert_close((gradient * step).sum(), difference, rtol=0.05, atol=0.1)
    silence = torch.zeros(1, 1, 200, requires_grad=True)
    network(silence).sum().backward()
    assert silence.grad.isfinite().all()


def test_it_saves_nothing_and_keeps_the_precision_of_the_network():
    network = SMALL()
    assert not network.state_dict()
    assert not list(network.parameters())
    assert network.bfloat16()(torch.randn(1, 1, 200).bfloat16()).dtype == torch.bfloat16


def test_exports_with_any_batch_and_length_before_a_network():
    whole = FrontEnded(3, 1, SMALL(as_channels=True), partial(PreResNet, depth=8, width=4, spatial_dims=1)).eval()
    shapes = ({0: Dim("batch"), 2: Dim("length", min=400, max=160_000)},)
    exported = export(whole, (torch.randn(2, 1, 800),), dynamic_shapes=shapes).module()
    x = torch.randn(5, 1, 1234)
    torch.testing.assert_close(exported(x), whole(x))
    assert torch.equal(whole(x), whole.backbone(SMALL()(x)[:, 0]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hop_length": -1}, "n_scales, hop_length and omega must be positive"),
        ({"omega": 0.0}, "n_scales, hop_length and omega must be positive"),
        ({"f_min": 3000.0}, "f_min=3000.0 and f_max=2000.0 must rise"),
        ({"f_max": 2001.0}, "lie between 0 and half of sample_rate=4000"),
        ({"norm": "unit"}, "norm must be amplitude or energy, got 'unit'"),
        ({"scale": "db"}, "scale must be magnitude or log, got 'db'"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SMALL(**options)
    with pytest.raises(ValueError, match=r"takes waveforms \(B, 1, L\), got \(2, 3, 50\)"):
        SMALL()(torch.zeros(2, 3, 50))
