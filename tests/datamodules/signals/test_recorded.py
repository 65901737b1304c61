"""Recordings at one rate, their channels in one order, and in bounded memory."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from blockyard.datamodules.signals import recorded as module
from blockyard.datamodules.signals.channels import Channels, all_of
from blockyard.datamodules.signals.recorded import Recorded, Recordings, resample
from blockyard.media.signal_files import SignalError

from .conftest import ramps, write_csv

XYZ = Channels(("ax", "ay", "az"), "first")


def test_a_long_file_stays_on_disk_and_only_windows_are_read(tmp_path):
    np.save(tmp_path / "a.npy", ramps(5000).astype(np.int16))
    recorded = Recorded(Recordings([tmp_path / "a.npy"], ["a"]), XYZ, 100)
    assert isinstance(recorded.read(0), np.memmap)
    assert np.array_equal(recorded.stretch(0, 4000, 10), ramps(10, 4000))
    assert recorded.stretch(0, 4995, 10).shape == (5, 3)
    assert recorded.stretch(0, 0, 10).dtype == np.float32
    assert not recorded._kept


def test_no_more_is_kept_in_memory_than_allowed(tmp_path, monkeypatch):
    paths = [tmp_path / f"{k}.csv" for k in range(4)]
    for path in paths:
        write_csv(path, ramps(100))
    monkeypatch.setattr(module, "MEMORY", 2 * 100 * 3 * 4)
    recorded = Recorded(Recordings(paths, ["a", "b", "c", "d"]), XYZ, 100)
    read = [recorded.read(k) for k in range(4)]
    assert [recorded.read(k) is read[k] for k in range(4)] == [True, True, False, False]


def test_a_manifest_s_rate_goes_before_the_file_s(tmp_path):
    np.savez(tmp_path / "a.npz", series=ramps(100), rate=50)
    for rate, samples in ((None, 200), (100, 100), (200, 50), (100.05, 100)):
        listed = Recordings([tmp_path / "a.npz"], ["a"], None, [rate])
        assert len(Recorded(listed, XYZ, 100).read(0)) == samples


@pytest.mark.parametrize(("ratio", "samples"), [(Fraction(1, 2), 50), (Fraction(3, 2), 150), (Fraction(64, 50), 128)])
def test_resampling_keeps_slow_waves_and_offsets(ratio, samples):
    time = np.arange(100) / 100
    waves = np.sin(2 * np.pi * 2 * time)[:, None] + [0, 1000]
    found = resample(waves, ratio)
    expected = np.sin(2 * np.pi * 2 * np.arange(samples) / (100 * float(ratio)))[:, None] + [0, 1000]
    assert found.shape == (samples, 2)
    np.testing.assert_allclose(found, expected, atol=0.03)  # at the ends, where the filter guesses
    assert np.abs(found - expected)[10:-10].max() < 3e-3


def test_resampling_takes_out_what_the_lower_rate_can_not_hold():
    fast = np.sin(2 * np.pi * 40 * np.arange(1000) / 100)[:, None]
    assert np.abs(resample(fast, Fraction(1, 4))[20:-20]).max() < 0.01


def test_rates_that_are_too_far_apart_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", series=ramps(100), rate=1e6)
    with pytest.raises(SignalError, match=r"a\.npz: 1e\+06 Hz can't be resampled to 100 Hz"):
        Recorded(Recordings([tmp_path / "a.npz"], ["a"]), XYZ, 100).read(0)


@pytest.mark.parametrize(
    ("names", "channels", "expected"),
    [
        ("az,ax,ay", XYZ, [1, 2, 0]),
        ("az,ax,ay", Channels(("ay", "0"), "user"), [2, 0]),
        ("az,ax,ay", Channels(("ax",), "checkpoint"), [1]),
        ("", XYZ, [0, 1, 2]),
        ("", Channels(("ax", "ay", "az"), "checkpoint"), [0, 1, 2]),
        ("", Channels(("2", "0"), "user"), [2, 0]),
    ],
)
def test_channels_are_found_by_name_or_position(names, channels, expected, tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, ramps(5), names) if names else np.savetxt(path, ramps(5), delimiter=",")
    recorded = Recorded(Recordings([path], ["a"]), channels, 100)
    assert np.array_equal(recorded.read(0), ramps(5)[:, expected])


@pytest.mark.parametrize(
    ("names", "channels", "said"),
    [
        ("bx,by,bz", XYZ, r"no channel ax; did you mean"),
        ("ax,ay,az", Channels(("ax", "temperature"), "user"), "no channel temperature; allowed: ax, ay, az"),
        ("ax,ay,az", Channels(("3",), "user"), "no channel 3, it has 3, counted from 0"),
        ("", Channels(("ax", "ay", "az"), "user"), "no channel ax; its channels have no names, give their numbers"),
        ("", Channels(("ax", "ay"), "checkpoint"), "no channel ax; its channels have no names"),
        ("", Channels(("0", "1"), "first"), r"3 channels where 2 \(0, 1\) are"),
    ],
)
def test_a_file_without_a_channel_is_refused(names, channels, said, tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, ramps(5), names) if names else np.savetxt(path, ramps(5), delimiter=",")
    with pytest.raises(SignalError, match=rf"a\.csv: {said}"):
        Recorded(Recordings([path], ["a"]), channels, 100).read(0)


def test_the_first_file_that_can_be_read_says_which_channels_there_are(tmp_path):
    (tmp_path / "a.csv").write_text("")
    write_csv(tmp_path / "b.csv", ramps(3))
    assert all_of([tmp_path / "a.csv", tmp_path / "b.csv"]) == XYZ
    with pytest.raises(SignalError, match=r"none of 1 files can be read; the last one: .*a\.csv: empty file"):
        all_of([tmp_path / "a.csv"])
