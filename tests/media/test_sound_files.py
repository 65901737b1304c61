"""Sound files as mono at one rate."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from blockyard.media.sound_files import AudioError, Sound, resample
from blockyard.samples.speech_layout import write_wav

soundfile = pytest.importorskip("soundfile")


def noise(samples=8000, channels=1):
    random = np.random.default_rng(0)
    return (0.1 * random.standard_normal((samples, channels)).squeeze()).astype(np.float32)


def heard(path, rate=16_000, start=0, count=10**9):
    with Sound(path, rate) as sound:
        return sound.read(start, count)


@pytest.mark.parametrize(
    ("kind", "subtype", "step"),
    [("wav", "PCM_16", 2**-15), ("wav", "PCM_24", 2**-23), ("wav", "FLOAT", 0), ("flac", "PCM_16", 2**-15)],
)
def test_kinds_and_depths(tmp_path, kind, subtype, step):
    soundfile.write(tmp_path / f"a.{kind}", noise(), 16_000, subtype=subtype)
    waveform = heard(tmp_path / f"a.{kind}")
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, noise(), atol=step)


@pytest.mark.parametrize(("kind", "subtype"), [("wav", "IMA_ADPCM"), ("wav", "ULAW"), ("ogg", "VORBIS")])
def test_lossy_kinds(tmp_path, kind, subtype):
    soundfile.write(tmp_path / f"a.{kind}", noise(), 16_000, subtype=subtype)
    waveform = heard(tmp_path / f"a.{kind}")
    assert 8000 <= len(waveform) < 8512  # whole blocks
    assert np.corrcoef(waveform[:8000], noise())[0, 1] > 0.9


def test_channels_are_averaged(tmp_path):
    stereo = noise(channels=2)
    soundfile.write(tmp_path / "a.wav", stereo, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(heard(tmp_path / "a.wav"), stereo.mean(1), atol=1e-7)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_a_stretch_is_read_alone(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, noise(60_000), 16_000)
    np.testing.assert_array_equal(heard(path, start=31_234, count=500), heard(path)[31_234:31_734])
    assert len(heard(path, start=59_900, count=500)) == 100


@pytest.mark.parametrize("source", [8_000, 11_025, 22_050, 44_100, 48_000, 12_345])
def test_a_resampled_stretch_is_that_stretch_of_the_whole(tmp_path, source):
    path = tmp_path / "a.wav"
    samples = noise(2 * source)
    soundfile.write(path, samples, source, subtype="FLOAT")
    whole = heard(path)
    assert len(whole) == 32_000
    np.testing.assert_allclose(whole, resample_poly(samples.astype(np.float64), 16_000, source), atol=1e-6)
    for start in (0, 1, 777, 16_000, 31_990):
        # float32 sums of at most a few hundred products
        np.testing.assert_allclose(heard(path, start=start, count=500), whole[start : start + 500], atol=1e-6)


def test_a_tone_keeps_its_pitch_and_what_is_too_high_is_gone():
    times = np.arange(44_100) / 44_100
    low, high = (np.sin(2 * np.pi * pitch * times).astype(np.float32) for pitch in (1000, 12_000))
    spectrum = np.abs(np.fft.rfft(resample(low, 44_100, 16_000)))
    assert spectrum.argmax() == 1000
    assert np.abs(resample(high, 44_100, 16_000)[100:-100]).max() < 0.01


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("share", [0.7, 0.3, 0.01, 0])
def test_a_file_that_was_cut_off_is_refused(tmp_path, cut_off, one_line, kind, share):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, noise(60_000), 16_000)
    cut_off(path, share)
    with pytest.raises(AudioError) as error:
        heard(path)
    one_line(error, path)


def test_what_else_can_not_be_read(tmp_path, one_line):
    (tmp_path / "text.wav").write_text("not a sound")
    soundfile.write(tmp_path / "empty.wav", noise(0), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.full(9, np.nan), 16_000, subtype="FLOAT")
    write_wav(tmp_path / "slow.wav", noise(), 3)
    (tmp_path / "folder.wav").mkdir()
    told = {
        "text.wav": "no sound file",
        "empty.wav": "no sample",
        "nan.wav": "no numbers",
        "slow.wav": "3 Hz",
        "gone.wav": "missing",
        "folder.wav": "missing",
    }
    for name, part in told.items():
        with pytest.raises(AudioError) as error:
            heard(tmp_path / name)
        one_line(error, tmp_path / name, part)


def test_a_file_written_to_a_pipe_is_whole(tmp_path):
    """Its header could not know the length."""
    path = tmp_path / "a.wav"
    write_wav(path, noise())
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(heard(path)) == 8000
