"""Compressed sounds: any stretch is that of the whole file, whose length is what decoding it gives."""

import numpy as np
import pytest

from blockyard.datamodules.audio.clips import AudioClips
from blockyard.datamodules.audio.listing import Recordings
from blockyard.media.sound_files import AudioError, Sound
from blockyard.media.sound_streams import mp3_samples, mp3_states_length, ogg_end

soundfile = pytest.importorskip("soundfile")
TOLERANCE = 1e-6
"""Decoders that start elsewhere add up the same products in another order, in float32."""


def signal(kind, rate, seconds, channels):
    times = np.arange(int(rate * seconds)) / rate
    tone, noise = np.sin(2 * np.pi * 440 * times), np.random.default_rng(0).standard_normal(len(times))
    one = {"tone": 0.5 * tone, "noise": 0.1 * noise, "bursts": 0.5 * tone * (np.sin(9 * times) > 0)}[kind]
    return np.stack([one, *[0.3 * one] * (channels - 1)], axis=1).astype(np.float32)


def write(path, kind, rate, seconds=4.0, channels=1):
    options = {"mp3": ("MP3", None), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}
    container, codec = options[path.suffix[1:]]
    soundfile.write(path, signal(kind, rate, seconds, channels), rate, codec, format=container)
    return path


@pytest.mark.parametrize("kind", ["tone", "noise", "bursts"])
@pytest.mark.parametrize(
    ("suffix", "rate", "channels"),
    [("mp3", 22_050, 1), ("mp3", 44_100, 2), ("ogg", 8_000, 2), ("ogg", 44_100, 1), ("opus", 16_000, 1)],
)
def test_any_stretch_is_that_of_the_whole_file(tmp_path, kind, suffix, rate, channels):
    path = write(tmp_path / f"a.{suffix}", kind, rate, channels=channels)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(1)
    random = np.random.default_rng(1)
    starts = [*random.integers(0, len(whole), 20), *(len(whole) - random.integers(1, rate, 20)), 0, len(whole) - 1]
    with Sound(path, rate) as sound:
        assert sound.samples == len(whole)
        for start in map(int, starts):  # of one open file, forwards and backwards
            np.testing.assert_allclose(sound.read(start, 700), whole[start : start + 700], atol=TOLERANCE)


def test_a_resampled_stretch_of_an_mp3(tmp_path):
    path = write(tmp_path / "a.mp3", "tone", 44_100)
    with Sound(path, 16_000) as sound:
        whole = sound.read(0, sound.samples)
        np.testing.assert_allclose(sound.read(40_000, 900), whole[40_000:40_900], atol=TOLERANCE)


def without_length(path):
    """Make the first frame of an MP3 file, in which its length stands, one of silence."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Xing", bytes(4), 1).replace(b"Info", bytes(4), 1))


def test_an_mp3_that_does_not_say_how_long_it_is(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, signal("tone", 44_100, 4.0, 1), 44_100, compression_level=0.5, bitrate_mode="CONSTANT")
    assert mp3_states_length(path)
    without_length(path)
    assert not mp3_states_length(path)
    with soundfile.SoundFile(path) as file:
        guessed, decoded = file.frames, len(file.read(dtype="float32"))
    assert guessed > decoded == mp3_samples(path, 0) > 4 * 44_100  # with the silence that encoders add
    with Sound(path, 44_100) as sound:
        assert sound.samples == decoded
        assert len(sound.read(decoded - 500, 1000)) == 500


def test_an_mp3_that_can_only_be_read_in_part_is_named(tmp_path, one_line):
    path = write(tmp_path / "a.mp3", "bursts", 44_100)  # its first frames take more bits than the others
    without_length(path)
    assert soundfile.info(path).frames < 2 * 44_100
    with pytest.raises(AudioError) as error:
        Sound(path, 44_100)
    one_line(error, path, "can be read", "ffmpeg")


@pytest.mark.parametrize("rates", [(44_100, 44_100), (22_050, 22_050), (8_000, 8_000)])
def test_mp3_files_put_in_a_row_are_named(tmp_path, rates):
    parts = [write(tmp_path / f"{n}.mp3", "noise", rate) for n, rate in enumerate(rates)]
    assert [clips_problem(part) for part in parts] == [None, None]
    both = tmp_path / "both.mp3"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert soundfile.info(both).frames == 4 * rates[0]
    assert "can be read" in clips_problem(both)


def clips_problem(path):
    return AudioClips(Recordings([path], ["a"]), 16_000, 16_000, 16_000, training=True).problem(0)


def test_a_tag_before_an_mp3_may_hold_a_picture(tmp_path):
    path = write(tmp_path / "a.mp3", "noise", 16_000, seconds=0.5)
    tag = b"ID3\4\0\0" + bytes([0, 1, 0, 0]) + bytes(1 << 14)  # four times seven bits: 2^14
    path.write_bytes(tag + path.read_bytes())
    assert mp3_states_length(path)
    with Sound(path, 16_000) as sound:
        assert sound.samples == 8_000


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_the_end_of_an_ogg_stream(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", "noise", 48_000)
    marked, samples = ogg_end(path)
    assert marked
    assert 0 < samples < 4 * 48_000
    content = path.read_bytes()
    for lost in (1, 400, len(content) // 2):
        path.write_bytes(content[:-lost])
        assert not ogg_end(path).marked
        with pytest.raises(AudioError, match="cut off"):
            Sound(path, 48_000)


def test_opus_is_heard_at_the_rate_that_it_was_made_at(tmp_path):
    """Inside, it is always at 48 kHz."""
    for rate in (8_000, 16_000, 24_000):
        path = write(tmp_path / "a.opus", "tone", rate, seconds=1.0)
        with Sound(path, rate) as sound:
            assert (sound.source_rate, sound.samples) == (rate, rate)
            spectrum = np.abs(np.fft.rfft(sound.read(0, rate)))
        assert spectrum.argmax() == 440
