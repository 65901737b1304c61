"""The kernels of the spectral filter, by Triton's interpreter and, where there is one, on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from blockyard.blocks.nonlocals.spectral_filter import _SpectralFilter, spectral_filter

pytest.importorskip("triton")
CASES = [(2, 32, 16, 49), (1, 24, 12, 70), (3, 8, 4, 5), (1, 80, 40, 33)]
"""Batch, C, c and N: powers of two and not, of less than a tile and more."""


def drawn(batch, channels, c, n, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(batch, n, channels, generator=generator).transpose(1, 2)  # channels last
    x[:, :, 2] = 0  # an isolated vertex
    shapes = (3 * c, channels), (channels, 2 * c)
    weights = [torch.randn(*shape, generator=generator) / shape[1] ** 0.5 for shape in shapes]
    return [tensor.to(device, dtype) for tensor in (x, *weights)]


def compare_by_interpreter() -> None:
    from blockyard.blocks.nonlocals.spectral_triton import spectral_forward

    for case in CASES:
        torch.testing.assert_close(spectral_forward(*drawn(*case)), _SpectralFilter.forward(*drawn(*case)))
    # The interpreter knows no bfloat16; float16 goes the same ways. Sums in another order, rounded to 11 bits.
    inputs = drawn(1, 32, 16, 70, torch.float16)
    torch.testing.assert_close(
        spectral_forward(*inputs)[0].float(), _SpectralFilter.forward(*inputs)[0].float(), rtol=2e-2, atol=2e-2
    )


def test_they_give_what_the_composed_filter_gives_by_the_interpreter():
    # In a process of its own: Triton decides while it is imported whether it interprets.
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_spectral_triton as t; "
    done = subprocess.run(
        [sys.executable, "-c", code + "t.compare_by_interpreter()"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", [*CASES, (4, 256, 128, 3136)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-4), (torch.bfloat16, 4e-2)])  # 23 and 8 bits
def test_they_give_the_same_values_and_gradients_on_a_gpu(monkeypatch, case, dtype, tolerance):
    results = []
    for wanted in ("0", "1"):
        monkeypatch.setenv("BLOCKYARD_TRITON", wanted)
        inputs = [tensor.requires_grad_() for tensor in drawn(*case, dtype, "cuda")]
        result = spectral_filter(*inputs)
        results.append([result, *torch.autograd.grad(result.float().square().mean(), inputs)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * other.abs().max().item())
