"""Synthetic voices in the layout of Speech Commands."""

import wave
from collections import Counter

import numpy as np
import pytest

from blockyard.datamodules.audio.speech_commands_rules import COMMANDS, speaker_split
from blockyard.mistakes import DataError
from blockyard.samples import packages
from blockyard.samples.coloured_noise import coloured, noises
from blockyard.samples.espeak import ACCENTS, Synthesiser, variants
from blockyard.samples.modules.spoken_commands import SpokenCommands
from blockyard.samples.speech_layout import speaker_name
from blockyard.samples.spoken_commands import record, write_spoken_commands

pytest.importorskip("espeakng_loader")
pytest.importorskip("soundfile")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_spoken_commands(tmp_path_factory.mktemp("spoken") / "set", voices=10, takes=1)


def read(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(10**6), np.int16) / 32768


def test_of_ten_voices_one_is_for_validation_and_one_for_the_test():
    names = [speaker_name(number, 0) for number in range(100)]
    assert len(set(names)) == 100
    assert Counter(speaker_split(f"{name}_nohash_0.wav") for name in names) == {"train": 80, "val": 10, "test": 10}


def test_the_layout_is_that_of_speech_commands(root):
    words = {path.name for path in root.iterdir() if path.is_dir()}
    assert words == {*COMMANDS, "_background_noise_"}
    assert len(list((root / "_background_noise_").glob("*.wav"))) == 6
    for path in root.glob("[a-z]*/*.wav"):
        waveform = read(path)
        assert len(waveform) == 16_000
        assert 0.005 < np.sqrt(np.mean(waveform**2)) < 0.5
    data = SpokenCommands(root, voices=10, takes=1, batch_size=10, num_workers=0)
    assert data.classes == sorted(COMMANDS)
    assert [len(data.names(split)) for split in ("train", "val", "test")] == [80, 10, 10]
    speakers = [{name[-21:-13] for name in data.names(split)} for split in ("train", "val", "test")]
    assert [len(of_split) for of_split in speakers] == [8, 1, 1]
    assert len(set.union(*speakers)) == 10


def test_the_data_module_writes_what_is_missing_and_leaves_what_is_there(root, tmp_path):
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")}
    SpokenCommands(root, voices=10, takes=1).setup("fit")
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")}
    with pytest.raises(DataError, match="another takes"):
        SpokenCommands(root, voices=10, takes=2).setup("fit")


def test_a_speaker_is_a_function_of_number_and_seed(root, tmp_path):
    record(tmp_path, number=3, takes=1, seed=0)
    files = sorted(tmp_path.rglob("*.wav"))
    assert len(files) == len(COMMANDS)
    for file in files:
        assert file.read_bytes() == (root / file.relative_to(tmp_path)).read_bytes()
    record(tmp_path / "other", number=3, takes=1, seed=1)
    assert not {file.name for file in files} & {file.name for file in (tmp_path / "other").rglob("*.wav")}


@pytest.mark.slow
def test_the_number_of_processes_changes_no_byte(root, tmp_path):
    two = write_spoken_commands(tmp_path / "set", voices=10, takes=1, workers=2)
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert len(files) == 100 + 6 + 2 + 1
    for file in files:
        assert (root / file).read_bytes() == (two / file).read_bytes()


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_accent_speaks(accent):
    with Synthesiser() as synthesiser:
        said = synthesiser.say("seven", "f1", accent, 160, 50, 50)
        assert 0.2 < len(said) / 22_050 < 1.2
        assert np.abs(said).max() > 0.05
        with pytest.raises(DataError, match="no voice nobody"):
            synthesiser.say("seven", "nobody", accent, 160, 50, 50)


def say(voice, speed=160):
    with Synthesiser() as synthesiser:
        return synthesiser.say("go", voice, "en", speed, 50, 50)


def test_the_104_voices_all_differ_and_speak_faster_if_asked_to():
    said = {name: say(name) for name in variants()}
    assert len({waveform.tobytes() for waveform in said.values()}) == 104
    assert all(np.abs(waveform).max() > 0.01 for waveform in said.values())
    np.testing.assert_array_equal(said["m1"], say("m1"))
    assert len(say("m1", 110)) > 1.3 * len(say("m1", 220))


@pytest.mark.parametrize("slope", [0, 1, 2])
def test_noise_has_its_colour(slope):
    power = np.abs(np.fft.rfft(coloured(np.random.default_rng(0), 160_000, slope))) ** 2
    low, high = power[1_000:2_000].mean(), power[10_000:20_000].mean()
    assert np.log10(low / high) == pytest.approx(slope, abs=0.15)


def test_noises_differ_and_stay_in_range():
    made = noises(np.random.default_rng(0), 48_000, 16_000)
    assert len(made) == 6
    for noise in made.values():
        assert noise.shape == (48_000,)
        assert np.abs(noise).max() == pytest.approx(0.5)


def test_without_the_package_one_line_says_what_to_install(tmp_path, monkeypatch, one_line):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="espeakng-loader") as error:
        write_spoken_commands(tmp_path / "set")
    one_line(error, "pip install 'blockyard[samples]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"voices": 9}, {"voices": 105}, {"takes": 0}, {"workers": 0}])
def test_mistakes_are_answered_in_one_line(tmp_path, options, one_line):
    with pytest.raises(ValueError, match="voices=") as error:
        write_spoken_commands(tmp_path / "set", **options)
    one_line(error, "10 to 104")
