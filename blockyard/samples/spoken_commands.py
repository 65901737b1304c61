"""Ten spoken words by many synthetic voices, in the layout of Speech Commands."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.audio.speech_commands_rules import COMMANDS
from blockyard.media.sound_files import resample
from blockyard.progress import at_work
from blockyard.samples.coloured_noise import coloured, noises
from blockyard.samples.espeak import ACCENTS, Synthesiser, variants
from blockyard.samples.espeak import RATE as SPOKEN_RATE
from blockyard.samples.new_folder import new_folder
from blockyard.samples.speech_layout import NOISE, RATE, speaker_name, write_lists, write_wav

Random = np.random.Generator
NOISE_SECONDS = 20
VOICES = 104


def write_spoken_commands(
    root: str | Path, voices: int = VOICES, takes: int = 3, seed: int = 0, workers: int = 1
) -> Path:
    """Let voices of eSpeak NG say ten commands, in Speech Commands' layout: clips of a second at 16 kHz.

    A speaker is one of the 104 voices with an accent of English, a pitch and a background of its own; its takes differ
    in speed, pitch, loudness, place in the second and noise. So splits by speaker are splits by voice: of ten voices
    one is for validation and one for the test, by the published rule. The noise, also that in ``_background_noise_``,
    is made by formula; the words are synthetic: the data set is for trying things, not for results.

    A data set that was finished before is left as it is; one that is interrupted leaves nothing.

    Args:
        root: Folder to write ``<word>/<speaker>_nohash_<take>.wav``, the two lists and ``_background_noise_`` into; new
            or empty.
        voices: Speakers, 10 to 104.
        takes: Clips of each word by each speaker.
        seed: The same seed gives the same files.
        workers: Processes, which pay for many thousand clips alone: starting one takes as long as writing a thousand.
            A script that asks for more than one needs its ``if __name__ == "__main__"``.

    Returns:
        ``root``.

    Raises:
        ValueError: If an argument is out of range.
        DataError: If espeakng-loader is not installed, or ``root`` holds something else.
    """
    if not 10 <= voices <= VOICES or takes < 1 or workers < 1:
        raise ValueError(f"voices={voices} must be 10 to {VOICES}, takes={takes} and workers={workers} positive")
    root = Path(root)
    recipe = {"generator": "spoken_commands", "voices": voices, "takes": takes, "seed": seed}
    with new_folder(root, recipe) as folder:
        if folder is not None:
            say = partial(record, folder, takes=takes, seed=seed)
            with at_work("speaking commands", voices) as step:
                if workers == 1:
                    for number in range(voices):
                        say(number)
                        step()
                else:
                    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                        for _ in pool.map(say, range(voices)):
                            step()
            for name, noise in noises(np.random.default_rng([seed, 1]), NOISE_SECONDS * RATE, RATE).items():
                write_wav(folder / NOISE / f"{name}.wav", noise)
            write_lists(folder)
    return root


def record(folder: Path, number: int, takes: int, seed: int) -> None:
    """Write the clips of a speaker; they are a function of number and seed, whatever was recorded before."""
    known = variants()
    voice = known[int(np.random.default_rng([seed, 2]).permutation(len(known))[number])]
    random = np.random.default_rng([seed, 3, number])
    accent, pitch, background = str(random.choice(ACCENTS)), random.uniform(20, 80), random.uniform(0, 2)
    name = speaker_name(number, seed)
    with Synthesiser() as synthesiser:
        for word in COMMANDS:
            for take in range(takes):
                speed = int(random.uniform(120, 210))
                said = synthesiser.say(
                    word,
                    voice,
                    accent,
                    speed,
                    int(np.clip(random.normal(pitch, 8), 0, 99)),
                    int(random.uniform(20, 80)),
                )
                write_wav(folder / word / f"{name}_nohash_{take}.wav", _place(said, random, background))


def _place(said: NDArray[np.float32], random: Random, slope: float) -> NDArray[np.floating]:
    """A second at 16 kHz: the word ``(n,)`` somewhere in it, over noise of this colour."""
    word = resample(said, SPOKEN_RATE, RATE)[:RATE]
    second = np.zeros(RATE)
    start = random.integers(RATE - len(word) + 1)
    second[start : start + len(word)] = word
    level = np.sqrt(np.mean(word**2)) or 1.0
    second = second / level + coloured(random, RATE, slope) * 10 ** (-random.uniform(0, 25) / 20)
    return second * 10 ** (random.uniform(-35, -18) / 20)
