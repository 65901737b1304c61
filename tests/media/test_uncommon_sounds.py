"""Sound files that are valid but uncommon, or that no player complains of: each is read, or named for what it is."""

import numpy as np
import pytest

from blockyard.datamodules.audio.audio_folder import AudioFolder
from blockyard.datamodules.audio.clips import AudioClips
from blockyard.datamodules.audio.listing import Recordings, find_audio
from blockyard.media.sound_files import AudioError, Sound

soundfile = pytest.importorskip("soundfile")
RATE = 16_000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


def problem(path):
    return AudioClips(Recordings([path], [path.name]), RATE, RATE, RATE, training=True).problem(0)


def heard(path):
    with Sound(path, RATE) as sound:
        return sound.read(0, sound.samples)


@pytest.mark.parametrize(
    ("suffix", "container", "subtype", "error"),
    [
        *[("wav", "WAV", kind, 2**-bits) for kind, bits in (("PCM_U8", 7), ("PCM_16", 15), ("PCM_24", 23))],
        *[("wav", "WAV", kind, 1e-7) for kind in ("PCM_32", "FLOAT", "DOUBLE")],
        *[("wav", "WAV", kind, 0.05) for kind in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")],
        *[("wave", "WAVEX", "PCM_16", 2**-15), ("w64", "W64", "PCM_16", 2**-15), ("rf64", "RF64", "PCM_16", 2**-15)],
        *[(suffix, "AIFF", "PCM_16", 2**-15) for suffix in ("aif", "aiff", "aifc")],
        *[(suffix, "AU", "PCM_16", 2**-15) for suffix in ("au", "snd")],
        *[("caf", "CAF", kind, 2**-15) for kind in ("PCM_16", "ALAC_16")],
        *[("flac", "FLAC", "PCM_16", 2**-15), ("ogg", "OGG", "VORBIS", 0.05), ("oga", "OGG", "VORBIS", 0.05)],
        *[("mp3", "MP3", "MPEG_LAYER_III", 0.05), ("opus", "OGG", "OPUS", 0.05)],
    ],
)
def test_all_that_the_reader_opens_is_found_and_read(tmp_path, suffix, container, subtype, error):
    path = tmp_path / f"a.{suffix.upper()}"
    soundfile.write(path, TONE, RATE, subtype, format=container)
    assert find_audio(tmp_path).names == [path.name]
    waveform = heard(path)
    assert RATE <= len(waveform) < RATE + 1020  # ADPCM and GSM come in whole blocks
    # A codec takes some hundredths of a second to settle.
    np.testing.assert_allclose(waveform[1000 : RATE - 1000], TONE[1000:-1000], atol=error)
    assert problem(path) is None


def test_a_folder_s_sounds_are_all_of_its_sounds(tmp_path):
    for split in ("train", "test"):
        for title in ("a", "b"):
            folder = tmp_path / split / title
            folder.mkdir(parents=True)
            for number, (suffix, kind) in enumerate({"wav": "WAV", "aiff": "AIFF", "mp3": "MP3"}.items()):
                soundfile.write(folder / f"{number}.{suffix}", TONE[:4000], RATE, format=kind)
            (folder / "x.m4a").touch()
    data = AudioFolder(tmp_path, val_fraction=0.4, num_workers=0, batch_size=1)
    with pytest.warns(UserWarning, match=r"train: 2 passed over in search of sounds: 2 \.m4a"):
        assert data.names("train") == ["a/0.wav", "a/1.aiff", "b/0.wav", "b/1.aiff"]
    assert data.names("val") == ["a/2.mp3", "b/2.mp3"]


@pytest.mark.parametrize("scale", [32767, 128, 2**23])
def test_floats_in_units_of_integers_are_refused(tmp_path, one_line, scale):
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE * scale, RATE, "FLOAT")
    with pytest.raises(AudioError) as error:
        heard(path)
    one_line(error, path, f"a peak of {scale / 2:g} where full scale is 1", "32768")
    assert problem(path) == str(error.value)


@pytest.mark.parametrize(("value", "told"), [(1e38, "damaged?"), (-1e30, "damaged?"), (np.inf, "no numbers")])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_damaged_floats_are_refused(tmp_path, one_line, value, told, subtype):
    samples = TONE.copy()
    samples[9000] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype)
    with pytest.raises(AudioError) as error:
        heard(tmp_path / "a.wav")
    one_line(error, tmp_path / "a.wav", told)


def test_floats_somewhat_beyond_full_scale_are_read_and_named(tmp_path):
    path = tmp_path / "a.wav"
    for peak in (1.0, 1.005):
        soundfile.write(path, TONE * 2 * peak, RATE, "FLOAT")
        assert problem(path) is None
    soundfile.write(path, TONE * 3, RATE, "FLOAT")
    np.testing.assert_array_equal(heard(path), TONE * 3)
    assert problem(path) == f"{path}: a peak of 1.5, beyond full scale, ±1; it is read as it is"


def test_channels_that_cancel_out_are_named(tmp_path):
    """As in a balanced recording of both wires."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([TONE, -TONE], axis=1), RATE)
    assert problem(path) == f"{path}: its 2 channels cancel out, their mean is silence: keep one of them"
    soundfile.write(path, np.stack([TONE, 0 * TONE], axis=1), RATE)
    assert problem(path) is None
    soundfile.write(path, np.zeros((RATE, 2)), RATE)  # a recording of silence is one
    assert problem(path) is None


def test_six_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "a.wav", TONE[:, None] * np.arange(6) / 5, RATE, "PCM_24")
    np.testing.assert_allclose(heard(tmp_path / "a.wav"), TONE / 2, atol=2**-22)
    assert problem(tmp_path / "a.wav") is None


def test_very_short_sounds(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE[:10], RATE)
    split = AudioClips(Recordings([path], ["a"]), RATE, 100, 100, training=False)
    ((sample),) = [split[item] for item in range(len(split))]
    np.testing.assert_allclose(sample["input"][0, :10], TONE[:10], atol=2**-15)
    assert not sample["input"][0, 10:].any()
    soundfile.write(path, TONE[:0], RATE)
    assert problem(path) == f"{path}: no sample in it"


def wav_with(path, length):
    soundfile.write(path, TONE, RATE)
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[4:8] = content[place : place + 4] = length.to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0xFFFF_FFDB, 0x8000_0000, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_header_written_before_the_length_was_known(tmp_path, length):
    """What ffmpeg, sox and arecord write to a pipe."""
    wav_with(tmp_path / "a.wav", length)
    np.testing.assert_allclose(heard(tmp_path / "a.wav"), TONE, atol=2**-15)


def test_a_length_that_was_never_filled_in_is_named(tmp_path):
    path = tmp_path / "a.wav"
    wav_with(path, 0)
    assert problem(path) == (
        f"{path}: no sample in it by its header, yet it has 32,044 bytes: never ended properly? Write it anew"
    )


def test_a_flac_stream_of_unknown_length_is_named(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, TONE, RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the last 36 bits before the digest
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert "does not say how long it is" in problem(path)


@pytest.mark.parametrize("kind", ["aiff", "au", "caf", "w64", "rf64", "mp3", "opus"])
@pytest.mark.parametrize("share", [0.97, 0.6, 0])
def test_what_was_cut_off_is_named(tmp_path, cut_off, kind, share):
    path = tmp_path / f"a.{kind}"
    container, subtype = {"opus": ("OGG", "OPUS")}.get(kind, (kind.upper(), None))
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE), RATE, subtype, format=container)
    cut_off(path, share)
    assert problem(path).startswith(f"{path}: ")
