"""Changes of waveforms in training."""

import numpy as np
import pytest

from blockyard.datamodules.audio.augmentation import Augmentation, Noise, add_noise, shift
from blockyard.samples.speech_layout import write_wav

pytest.importorskip("soundfile")


def sound(samples=1000, seed=0):
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_noise_is_added_at_the_ratio_that_was_asked_for(snr):
    signal, noise = sound(), 7 * sound(seed=1)
    added = add_noise(signal, noise, snr) - signal
    assert 10 * np.log10(np.mean(signal**2) / np.mean(added**2)) == pytest.approx(snr, abs=1e-3)
    assert np.corrcoef(added, noise)[0, 1] == pytest.approx(1)


def test_silence_has_no_ratio():
    np.testing.assert_array_equal(add_noise(np.zeros(9, np.float32), sound(9), 0), np.zeros(9))
    np.testing.assert_array_equal(add_noise(sound(9), np.zeros(9, np.float32), 0), sound(9))


def test_a_shift_moves_zeros_in():
    waveform = np.arange(1, 6, dtype=np.float32)
    assert shift(waveform, 2).tolist() == [0, 0, 1, 2, 3]
    assert shift(waveform, -2).tolist() == [3, 4, 5, 0, 0]
    assert shift(waveform, 0).tolist() == waveform.tolist()


def test_amounts_stay_in_their_ranges():
    impulse = np.zeros(101, np.float32)
    impulse[50] = 1
    change = Augmentation(shift=10, gain=(-6.0, 6.0))
    changed = [change(impulse, np.random.default_rng(seed)) for seed in range(300)]
    places = {int(waveform.argmax()) for waveform in changed}
    assert places == set(range(40, 61))
    gains = 20 * np.log10([waveform.max() for waveform in changed])
    assert -6 <= gains.min() < -5.5
    assert 5.5 < gains.max() <= 6


def test_noise_comes_to_its_share_of_the_waveforms(tmp_path):
    write_wav(tmp_path / "n.wav", 0.1 * sound(5000))
    change = Augmentation(noise=Noise([tmp_path / "n.wav"], 16_000), snr=(0.0, 0.0), noise_probability=0.25)
    signal = sound()
    changed = [not np.array_equal(change(signal, np.random.default_rng(seed)), signal) for seed in range(400)]
    assert np.mean(changed) == pytest.approx(0.25, abs=0.07)  # three standard deviations


def test_noise_is_any_stretch_of_any_file_and_repeats_where_it_is_short(tmp_path):
    for number in range(2):
        write_wav(tmp_path / f"{number}.wav", np.linspace(0.5 * number, 0.5 * number + 0.4, 4000))
    noise = Noise([tmp_path / "0.wav", tmp_path / "1.wav"], 16_000)
    starts = np.array([noise.draw(np.random.default_rng(seed), 1000)[0] for seed in range(200)])
    for number in range(2):
        of_file = starts[(starts >= 0.5 * number) & (starts <= 0.5 * number + 0.31)]
        assert 70 < len(of_file) < 130
        assert np.ptp(of_file) > 0.25
    long = noise.draw(np.random.default_rng(0), 9000)
    np.testing.assert_array_equal(long[:4000], long[4000:8000])


def test_nothing_asked_for_changes_nothing():
    np.testing.assert_array_equal(Augmentation()(sound(), np.random.default_rng(0)), sound())
