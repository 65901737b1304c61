"""Polynomials of complex numbers, and the distance by which they learn to speak."""

from __future__ import annotations

import apollo
import numpy as np
import pytest
import soundfile
import torch


def product(degree: int, dtype: torch.dtype = torch.cdouble) -> apollo.Product:
    torch.manual_seed(0)
    return apollo.Product(3, 5, 4, degree, dtype)


def blocks(weight: torch.Tensor) -> torch.Tensor:
    """A + iB as [[A, −B], [B, A]], which does to [x, y] what it does to x + iy."""
    return torch.cat([torch.cat([weight.real, -weight.imag], 1), torch.cat([weight.imag, weight.real], 1)])


def test_a_complex_layer_is_a_real_one_of_two_by_two_blocks():
    network, z = product(1), torch.randn(6, 3, dtype=torch.cdouble)
    made = torch.cat([z.real, z.imag], 1) @ (blocks(network.out) @ blocks(network.maps[0])).T
    torch.testing.assert_close(torch.cat([network(z).real, network(z).imag], 1), made)
    assert torch.linalg.matrix_rank(blocks(network.maps[0])) == 2 * torch.linalg.matrix_rank(network.maps[0])


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_the_recursion_is_a_product_and_its_highest_part_homogeneous(degree):
    """x_N = A_1 z * Π (A_n z + 1); what grows fastest with |z| is Π A_n z, c^N times itself for c z, c complex."""
    network, z = product(degree), torch.randn(6, 3, dtype=torch.cdouble)
    first, *others = (z @ weight.T for weight in network.maps)
    expected, pure = first, first
    for factor in others:
        expected, pure = expected * (factor + 1), pure * factor
    torch.testing.assert_close(network(z), expected @ network.out.T)

    def highest(z):
        """Σ over the (N + 1)-th roots of unity takes the powers apart."""
        roots = torch.exp(2j * torch.pi * torch.arange(degree + 1, dtype=torch.double) / (degree + 1))
        return sum(root**-degree * network(root * z) for root in roots) / (degree + 1)

    c = 0.6 - 1.1j
    torch.testing.assert_close(highest(z), pure @ network.out.T)
    torch.testing.assert_close(highest(c * z), c**degree * highest(z))
    assert (network(0 * z) == 0).all()


def test_real_numbers_have_as_many_weights():
    def weights(is_complex):
        parameters = apollo.Speaking(7, 3, 5, 4, is_complex).parameters()
        return sum(p.numel() * (1 + p.is_complex()) for p in parameters)

    assert weights(True) == weights(False)
    assert apollo.Speaking(7, 3, 5, 4, False)(2).shape == apollo.Speaking(7, 3, 5, 4, True)(2).shape == (10, 2, 7)


def test_the_energy_distance_by_hand_and_of_equal_distributions():
    """Of points on a line: 2 E|x − y| − E|x − x'| − E|y − y'|, coefficients and magnitudes together; its mean is 0."""
    real, made = torch.tensor([[[0j], [3 + 0j]]]), torch.tensor([[[4j], [-4j]]])
    # (re, im, |·|): 0, 0, 0 and 3, 0, 3; 0, 4, 4 and 0, −4, 4.
    between, own, others = (32**0.5 + 26**0.5) / 2, 18**0.5, 8.0
    assert float(apollo.energy(real, made)) == pytest.approx(2 * between - own - others)
    draws = torch.randn(400, 2, 4, 3, dtype=torch.cfloat, generator=torch.Generator().manual_seed(0))
    each = torch.stack([apollo.energy(a[None], b[None]) for a, b in draws])
    assert abs(each.mean()) < 4 * each.std() / 400**0.5


def test_spectra_give_back_what_was_said():
    """Square roots of magnitudes undone, what is back is a word: its peak is 1, as that of each clip."""
    (voice,) = apollo.spectra(apollo.variants()[:1], np.random.default_rng(0))
    first = voice.unflatten(1, (65, -1))
    sound = torch.istft(first * first.abs(), 128, 64, window=apollo.WINDOW)
    torch.testing.assert_close(sound.abs().amax(1), torch.ones(10), rtol=0, atol=1e-3)


def test_it_runs_and_speaks(tmp_path, capsys):
    file = tmp_path / "said.wav"
    found = apollo.main(["--voices", "16", "--epochs", "2", "--latent", "4", "--width", "8", "--output", str(file)])
    assert list(found) == ["training voices", "real polynomial", "complex polynomial"]
    assert found["training voices"][0] < min(found[f"{kind} polynomial"][0] for kind in ("real", "complex"))
    assert soundfile.info(file).samplerate == apollo.HEARD
    assert len(capsys.readouterr().out.splitlines()) == len(found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--voices", "2"], "argument --voices: it is a whole number from 16 to 83, not 2"),
        (
            ["--output", "nowhere/said.wav"],
            "argument --output: it is a .wav file in a folder that is there, not nowhere/",
        ),
        (["--degree", "0"], "argument --degree: it is a whole number from 1 to"),
    ],
)
def test_what_it_cannot_do_is_refused_at_once(arguments, said, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        apollo.main(arguments)
    assert f"error: {said}" in capsys.readouterr().err.splitlines()[-1]
