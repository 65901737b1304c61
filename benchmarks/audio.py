"""How many training clips a second the data module gives, beside torchaudio's data set of the same files.

Both read Speech Commands (clips of one second at 16 kHz, written by the sample generator in the published layout) in
random order and stack 128 of them; the second pair also mixes noise in at a random ratio. torchaudio reads through
torchcodec, which needs FFmpeg's libraries. Run: python benchmarks/audio.py [--csv FILE]
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torchaudio.datasets import SPEECHCOMMANDS

from blockyard.datamodules.audio.speech_commands import SpeechCommands
from blockyard.datamodules.audio.speech_commands_rules import COMMANDS
from blockyard.samples.coloured_noise import coloured
from blockyard.samples.speech_layout import NOISE, RATE, speaker_name, write_lists, write_wav

BATCH_SIZE = 128
SNR = (0.0, 20.0)
COLUMNS = ("library", "noise", "workers", "clips/s", "times torchaudio")


def write_clips(root: Path, speakers: int) -> None:
    """Noise for words: what is in the clips does not change how long reading takes."""
    folder = root / "SpeechCommands" / "speech_commands_v0.02"
    random = np.random.default_rng(0)
    for number in range(speakers):
        for word in COMMANDS:
            write_wav(folder / word / f"{speaker_name(number, 0)}_nohash_0.wav", 0.1 * random.standard_normal(RATE))
    write_wav(folder / NOISE / "pink_noise.wav", 0.1 * coloured(random, 60 * RATE, 1))
    write_lists(folder)


class Collate:
    """What torchaudio's tutorial does to a batch, and its ``add_noise`` if there is noise.

    Args:
        noise: ``(n,)`` to take random stretches of, or None.
    """

    def __init__(self, noise: Tensor | None) -> None:
        self.noise = noise

    def __call__(self, samples: Sequence[tuple[Any, ...]]) -> dict[str, Tensor]:
        """Waveforms ``(1, L')`` to ``(B, 1, L)``."""
        batch = torch.stack([torch.nn.functional.pad(sample[0], (0, RATE - sample[0].shape[-1])) for sample in samples])
        if self.noise is not None:
            starts = torch.randint(len(self.noise) - RATE, (len(batch),))
            noise = torch.stack([self.noise[start : start + RATE] for start in starts])[:, None]
            batch = torchaudio.functional.add_noise(batch, noise, torch.empty(len(batch), 1).uniform_(*SNR))
        return {"input": batch, "target": torch.tensor([COMMANDS.index(sample[2]) for sample in samples])}


def ours(root: Path, workers: int, noise: bool) -> Callable[[], DataLoader]:
    """Loader of the data module."""
    options = {"snr": SNR, "noise_probability": 1.0} if noise else {}
    data = SpeechCommands(str(root), verify=False, batch_size=BATCH_SIZE, num_workers=workers, **options)
    return data.train_dataloader


def theirs(root: Path, workers: int, noise: bool) -> Callable[[], DataLoader]:
    """Loader of torchaudio; the noise lies in memory, as in its tutorials."""
    source = SPEECHCOMMANDS(str(root), subset="training")
    place = root / "SpeechCommands" / "speech_commands_v0.02" / NOISE / "pink_noise.wav"
    collate = Collate(torchaudio.load(str(place))[0][0] if noise else None)
    options = {"shuffle": True, "drop_last": True, "num_workers": workers, "persistent_workers": workers > 0}
    return lambda: DataLoader(source, BATCH_SIZE, collate_fn=collate, **options)  # type: ignore[arg-type]


def clips_a_second(makers: Sequence[Callable[[], DataLoader]], epochs: int) -> list[float]:
    """Best of some epochs of each, taken in turns because machines have moods; a first one starts the workers."""
    loaders = [make() for make in makers]
    best = [0.0] * len(loaders)
    for epoch in range(1 + epochs):
        for number, loader in enumerate(loaders):
            start = time.perf_counter()
            count = sum(len(batch["target"]) for batch in loader)
            rate = count / (time.perf_counter() - start)
            best[number] = max(best[number], rate if epoch else 0.0)
    return best


def measure(speakers: int, epochs: int) -> list[tuple[object, ...]]:
    """Rows under :data:`COLUMNS`."""
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_clips(root, speakers)
        for noise in (False, True):
            for workers in (0, 2):
                base, rate = clips_a_second([theirs(root, workers, noise), ours(root, workers, noise)], epochs)
                told = "0 to 20 dB" if noise else "none"
                rows.append(("torchaudio", told, workers, f"{base:.0f}", "1.00"))
                rows.append(("blockyard", told, workers, f"{rate:.0f}", f"{rate / base:.2f}"))
    return rows


def main() -> None:
    """Print the table, and write it with ``--csv``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speakers", type=int, default=400, help="how many speakers of ten words to write and read")
    parser.add_argument("--epochs", type=int, default=3, help="epochs to take the best of")
    parser.add_argument("--csv", type=Path, help="file to write the table to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = measure(arguments.speakers, arguments.epochs)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
    if arguments.csv:
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        with arguments.csv.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
