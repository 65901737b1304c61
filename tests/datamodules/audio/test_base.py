"""Windows of sounds: training, evaluation, damaged files; by folders of sounds, the plainest data module."""

import numpy as np
import pytest
import torch

from blockyard.datamodules.audio.audio_folder import AudioFolder
from blockyard.mistakes import DataError
from blockyard.samples.speech_layout import write_wav

pytest.importorskip("soundfile")
RATE = 1000


def ramp(samples, start=0):
    """Sample n has the value n / 10000, which sixteen bits keep to the fourth digit."""
    return (start + np.arange(samples)) / 10_000


def numbers(waveform):
    return np.round(np.asarray(waveform) * 10_000).astype(int).tolist()


@pytest.fixture
def root(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        for number in range(6):
            write_wav(tmp_path / "train" / name / f"{number}.wav", ramp(250, 1000 * label), RATE)
        write_wav(tmp_path / "test" / name / "short.wav", ramp(40), RATE)
        write_wav(tmp_path / "test" / name / "sub" / "long.wav", ramp(250), RATE)
    return tmp_path


def folder(root, **options):
    defaults = {"sample_rate": RATE, "duration": 0.1, "batch_size": 4, "num_workers": 0, "seed": 0}
    return AudioFolder(root, **{**defaults, **options})


def batches(loader):
    return {key: torch.cat([batch[key] for batch in loader]) for key in next(iter(loader))}


def test_training_takes_a_random_window_of_each_sound(root):
    data = folder(root)
    assert data.input_shape == (1, 100)
    assert not data.multi_label
    assert data.names("train")[:5] == [f"cat/{number}.wav" for number in range(5)]
    assert data.names("val") == ["cat/5.wav", "dog/5.wav"]
    starts = set()
    for _ in range(20):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(len(starts))
        for batch in loader:
            assert batch["input"].shape == (4, 1, 100)
            assert batch["input"].dtype == torch.float32
            for waveform, label in zip(batch["input"], batch["target"], strict=True):
                heard = numbers(waveform[0])
                assert heard == list(range(heard[0], heard[0] + 100))
                assert 1000 * label <= heard[0] <= 1000 * label + 150
                starts.add(heard[0] % 1000)
    assert min(starts) < 15
    assert max(starts) > 135


def test_evaluation_cuts_long_sounds_and_fills_up_short_ones(root):
    data = folder(root)
    split = data.split("test")
    assert data.names("test") == ["cat/short.wav", "cat/sub/long.wav", "dog/short.wav", "dog/sub/long.wav"]
    assert split.owner == [0, 1, 1, 1, 2, 3, 3, 3]
    assert split.windows[:4] == [(0, 0.04), (0, 0.1), (0.1, 0.2), (0.15, 0.25)]
    whole = batches(data.test_dataloader())
    assert whole["index"].tolist() == list(range(8))
    assert whole["valid"].all()
    assert whole["target"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert numbers(whole["input"][0, 0]) == list(range(40)) + [0] * 60
    assert [numbers(window[0])[0] for window in whole["input"][1:4]] == [0, 100, 150]
    assert folder(root, hop=0.05).split("test").owner == [0, 1, 1, 1, 1, 2, 3, 3, 3, 3]


def test_another_rate_is_resampled_and_times_are_those_of_the_file(root):
    times = np.arange(5000) / 2000
    write_wav(root / "test" / "cat" / "sub" / "long.wav", 0.5 * np.sin(2 * np.pi * 50 * times), 2000)
    data = folder(root)
    assert data.split("test").windows[1] == (0, 0.1)
    assert data.split("test").windows[25] == (2.4, 2.5)
    window = data.split("test")[13]["input"][0].numpy()
    np.testing.assert_allclose(window, 0.5 * np.sin(2 * np.pi * 50 * np.arange(100) / 1000), atol=2e-3)


def test_the_number_of_workers_changes_nothing(root):
    options = {"shift": 0.02, "gain": (-6.0, 6.0), "snr": (0.0, 10.0), "noise": root / "test"}
    alone, helped = (batches(folder(root, num_workers=n, **options).train_dataloader()) for n in (0, 2))
    for key in alone:
        assert torch.equal(alone[key], helped[key])
    assert not torch.equal(alone["input"], batches(folder(root, seed=1, **options).train_dataloader())["input"])


def test_a_damaged_sound_is_replaced_in_training_and_marked_in_a_test(root, cut_off):
    cut_off(root / "train" / "cat" / "2.wav")
    (root / "test" / "dog" / "sub" / "long.wav").write_bytes(b"")
    data = folder(root, batch_size=10)

    def train(epoch):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return [data.on_before_batch_transfer(batch, 0) for batch in loader]

    with pytest.warns(UserWarning, match=r"cat/2\.wav can't be read") as warned:
        epochs = [train(epoch) for epoch in range(3)]
    assert data.replaced == {"cat/2.wav": 3}
    assert len(warned) == 1
    for (batch,) in epochs:
        assert set(batch) == {"input", "valid", "target", "index"}
        for waveform, label in zip(batch["input"], batch["target"], strict=True):
            assert numbers(waveform[0])[0] // 1000 == label  # the label goes with the sound
    again = folder(root, batch_size=10)
    assert torch.equal(batches(again.train_dataloader())["input"], batches(data.train_dataloader())["input"])
    tested = batches(data.test_dataloader())
    assert tested["valid"].tolist() == [True] * 5 + [False]
    assert not tested["input"][5].any()
    assert data.split("test").owner[5] == 3
    assert [name for name, _ in data.check("test")] == ["dog/sub/long.wav"]
    assert [name for name, _ in data.check("train")] == ["cat/2.wav"]


def test_nothing_but_damaged_sounds_stops_the_training(root, one_line):
    for path in (root / "train").rglob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(DataError) as error:
        next(iter(folder(root).train_dataloader()))
    one_line(error, "10 files one after the other", "empty file")


def test_predict_takes_a_file_or_a_folder(root):
    data = folder(root, predict_path=root / "test")
    assert data.names("predict")[1] == "cat/sub/long.wav"
    assert "target" not in next(iter(data.predict_dataloader()))
    assert folder(root, predict_path=root / "test/cat/sub/long.wav").split("predict").owner == [0, 0, 0]
    assert data.hparams["predict_path"] == str(root / "test")


def test_validation_by_speakers_keeps_each_on_one_side(tmp_path):
    for name in ("no", "yes"):
        for speaker in "abcdefgh":
            for take in range(3):
                write_wav(tmp_path / "train" / name / f"{speaker}_{take}.wav", ramp(9), RATE)
    data = folder(tmp_path, speaker="^([a-z])_", val_fraction=0.25)
    train, val = ({name.partition("/")[2][0] for name in data.names(split)} for split in ("train", "val"))
    assert len(val) == 2
    assert not train & val
    assert len(data.names("train")) == 36
    with pytest.raises(DataError, match="matches nothing"):
        folder(tmp_path, speaker=r"^\d+").split("train")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"duration": 0}, "duration=0"),
        ({"hop": -1.0}, "hop=-1.0"),
        ({"shift": 0.1}, "shift=0.1"),
        ({"gain": (1.0, -1.0)}, "gain"),
        ({"noise": "here"}, "snr"),
        ({"speaker": "("}, "no regular expression"),
        ({"val_fraction": 1}, "val_fraction"),
    ],
)
def test_mistakes_are_answered_in_one_line(root, options, part, one_line):
    with pytest.raises(ValueError, match=part) as error:
        folder(root, **options)
    one_line(error, part)


def test_noise_without_a_place_to_take_it_from(root):
    with pytest.raises(ValueError, match="give noise="):
        folder(root, snr=(0.0, 10.0)).split("train")
    with pytest.raises(DataError, match="missing"):
        folder(root, snr=(0.0, 10.0), noise=root / "gone").split("train")


def test_what_is_missing_is_told_in_one_line(root, tmp_path, one_line):
    with pytest.raises(DataError) as error:
        folder(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / "train", "missing")
    (root / "test" / "cow").mkdir()
    with pytest.raises(DataError) as error:
        folder(root).setup("test")
    one_line(error, "cow (only in test)")
