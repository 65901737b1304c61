"""Polynomials of complex numbers that speak: short-time spectra of ten words, made of noise.

After APOLLO: Complex-valued Polynomial Networks (arXiv 2022): x_1 = A_1 z, x_n = (A_n z) * x_{n-1} + x_{n-1}, all
complex; C x_N is the spectrum. No adversary: what falls is the energy distance to voices; real numbers stand beside it.

    python examples/apollo.py --seed 0
"""

from __future__ import annotations

import argparse
import logging

import lightning
import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from blockyard.datamodules.audio.speech_commands_rules import COMMANDS
from blockyard.media.sound_files import resample
from blockyard.mistakes import between, new_file
from blockyard.samples.espeak import ACCENTS, RATE, Synthesiser, variants

SAMPLES, HEARD, BATCH, WINDOW = 2400, 4000, 16, torch.hann_window(128)


def spectra(voices: list[str], random: np.random.Generator) -> Tensor:
    """What each voice says, ``(voices, words, F T)``, complex: spectra whose magnitudes are square roots."""
    clips = np.zeros((len(voices), len(COMMANDS), SAMPLES), np.float32)
    with Synthesiser() as synthesiser:
        for voice, name in enumerate(voices):
            accent, pitch = str(random.choice(ACCENTS)), int(random.integers(20, 80))
            for word, text in enumerate(COMMANDS):
                said = resample(synthesiser.say(text, name, accent, 170, pitch, 50), RATE, HEARD)[:SAMPLES]
                clips[voice, word, : len(said)] = said / np.abs(said).max()
    found = torch.stft(torch.from_numpy(clips).flatten(0, 1), 128, 64, window=WINDOW, return_complex=True)
    return (found / found.abs().clamp_min(1e-6).sqrt()).flatten(1).unflatten(0, clips.shape[:2])


class Product(nn.Module):
    """C x_N of z ``(…, latent)``, a polynomial of degree N, of complex numbers or real ones."""

    def __init__(self, latent: int, width: int, out: int, degree: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.maps = nn.ParameterList(torch.randn(width, latent, dtype=dtype) / latent**0.5 for _ in range(degree))
        self.out = nn.Parameter(torch.randn(out, width, dtype=dtype) / width**0.5)

    def forward(self, z: Tensor) -> Tensor:
        """What it makes of z, ``(…, latent)``, is ``(…, out)``."""
        x = z @ self.maps[0].T
        for weight in list(self.maps)[1:]:
            x = (z @ weight.T) * x + x
        return x @ self.out.T


def energy(real: Tensor, made: Tensor) -> Tensor:
    """The energy distance of ``(words, n, F T)`` and ``(words, m, F T)``, by coefficients and magnitudes; a scalar."""
    a, b = (torch.cat([torch.view_as_real(x).flatten(2), x.abs()], 2) for x in (real, made))
    own = [torch.cdist(x, x).sum((1, 2)) / (x.shape[1] * (x.shape[1] - 1)) for x in (a, b)]
    return (2 * torch.cdist(a, b).mean((1, 2)) - own[0] - own[1]).mean()


class Speaking(lightning.LightningModule):
    """Makes spectra of words: noise around a point for each word, and a polynomial of it."""

    def __init__(self, out: int, latent: int, width: int, degree: int, is_complex: bool) -> None:
        super().__init__()
        parts, dtype = (1, torch.cfloat) if is_complex else (2, torch.float)
        self.network = Product(parts * latent, width, parts * out, degree, dtype)
        self.words = nn.Parameter(torch.randn(len(COMMANDS), 1, parts * latent, dtype=dtype))

    def forward(self, count: int) -> Tensor:
        """So many spectra of each word, ``(words, count, F T)``."""
        made: Tensor = self.network(self.words + 0.5 * torch.randn_like(self.words.expand(-1, count, -1)))
        return made if made.is_complex() else torch.view_as_complex(made.unflatten(2, (-1, 2)))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """The energy distance to spectra ``(voices, words, F T)``, a scalar."""
        return energy(batch[0].transpose(0, 1), self(len(batch[0])))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def main(arguments: list[str] | None = None) -> dict[str, tuple[float, float]]:
    """Train both, and compare what they make with voices that neither heard: energy distance, share of right words."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seed", type=between(0, 10**6), default=0, help="of voices and weights")
    parser.add_argument("--voices", type=between(BATCH, len(variants()) * 4 // 5), default=64, help="to learn from")
    sizes = {"epochs": (80, "of training"), "latent": (16, "of the noise"), "width": (64, "of x_n"), "degree": (4, "N")}
    for name, (value, what) in sizes.items():
        parser.add_argument(f"--{name}", type=between(1, 10**4), default=value, help=what)
    parser.add_argument("--output", type=new_file(".wav"), help="a WAV file for what the complex one says")
    options = parser.parse_args(arguments)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    count, random = options.voices, np.random.default_rng(options.seed)
    drawn = random.permutation(variants()).tolist()
    train, test = spectra(drawn[:count], random), spectra(drawn[count : count * 5 // 4], random).transpose(0, 1)
    made, found = {"training voices": train.transpose(0, 1)}, {}
    for name in ("real", "complex"):
        lightning.seed_everything(options.seed, verbose=False)
        task = Speaking(train.shape[2], options.latent, options.width, options.degree, name == "complex")
        loader = DataLoader(TensorDataset(train), BATCH, shuffle=True, drop_last=True)
        lightning.Trainer(max_epochs=options.epochs, barebones=True, accelerator="cpu").fit(task, loader)
        made[f"{name} polynomial"] = task(count).detach()
    for name, clips in made.items():
        right = torch.arange(len(COMMANDS)) == torch.cdist(clips.abs(), train.abs().mean(0)[None]).argmin(2).T
        found[name] = float(energy(test, clips)), float(right.float().mean())
        print(f"{name:20} energy distance {found[name][0]:6.3f}, {100 * found[name][1]:5.1f} % nearest to their word")
    if options.output:
        x = made["complex polynomial"][:, 0].unflatten(1, (65, -1))
        soundfile.write(options.output, torch.istft(x * x.abs(), 128, 64, window=WINDOW).flatten().numpy(), HEARD)
    return found


if __name__ == "__main__":
    main()
