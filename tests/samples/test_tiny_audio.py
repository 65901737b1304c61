"""Tiny sound data sets: the oddities that they are there for, and that a model could learn from them."""

import csv
import wave

import numpy as np
import pytest

from blockyard.datamodules.audio.speech_commands_rules import TWELVE
from blockyard.mistakes import DataError
from blockyard.samples.tiny_audio import chord, write_tiny_audio


def rate_and_channels(path):
    with wave.open(str(path)) as file:
        return file.getframerate(), file.getnchannels()


def test_speech_commands_has_lists_noise_short_clips_and_a_test_archive(tmp_path):
    root = write_tiny_audio(tmp_path / "set") / "speech_commands_v0.02"
    assert (root / "testing_list.txt").read_text().count("\n") == 24
    assert (root / "validation_list.txt").read_text().count("\n") == 24
    assert len(list((root / "_background_noise_").glob("*.wav"))) == 2
    assert min(path.stat().st_size for path in root.glob("yes/*.wav")) < 20_000
    archive = root.parent / "speech_commands_test_set_v0.02"
    assert {path.name for path in archive.iterdir()} == set(TWELVE)
    assert len(list(archive.glob("*/*.wav.wav"))) == 1


def test_esc50_says_true_and_false(tmp_path):
    root = write_tiny_audio(tmp_path / "set", "esc50") / "ESC-50-master"
    rows = list(csv.DictReader((root / "meta/esc50.csv").open()))
    assert {row["esc10"] for row in rows} == {"True", "False"}
    assert all(rate_and_channels(root / "audio" / row["filename"]) == (44_100, 1) for row in rows)


def test_urbansound8k_has_two_rates_and_a_source_in_two_folds(tmp_path):
    root = write_tiny_audio(tmp_path / "set", "urbansound8k") / "UrbanSound8K"
    rows = list(csv.DictReader((root / "metadata/UrbanSound8K.csv").open()))
    paths = [root / "audio" / f"fold{row['fold']}" / row["slice_file_name"] for row in rows]
    assert {rate_and_channels(path) for path in paths} == {(48_000, 2), (22_050, 1)}
    assert {row["fold"] for row in rows if row["fsID"] == "77751"} == {"2", "7"}


def test_a_class_is_heard_by_its_pitch():
    random = np.random.default_rng(0)
    for label in range(12):
        spectrum = np.abs(np.fft.rfft(chord(label, random)))
        assert sorted(np.argsort(spectrum)[-2:]) == [300 + 250 * label, 1100 + 250 * label]


def test_the_same_seed_gives_the_same_files_and_another_tree_is_left_alone(tmp_path, one_line):
    one, two, other = (
        write_tiny_audio(tmp_path / name, "esc50", seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    contents = [[path.read_bytes() for path in sorted(root.rglob("*.wav"))] for root in (one, two, other)]
    assert contents[0] == contents[1] != contents[2]
    assert write_tiny_audio(one, "esc50", 0) == one
    with pytest.raises(DataError) as error:
        write_tiny_audio(one, "esc50", 1)
    one_line(error, "another seed")
    with pytest.raises(ValueError, match="did you mean esc50") as error:
        write_tiny_audio(tmp_path / "d", "esc5")
    one_line(error, "esc5")
