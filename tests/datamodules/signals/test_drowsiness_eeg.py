"""The published file of drivers' EEG: what a sample is, who is in which split, and what is wrong with other files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from blockyard.datamodules import DrowsinessEEG
from blockyard.datamodules.signals.drowsiness_eeg import ELECTRODES
from blockyard.mistakes import DataError

WHO = [2, 10, 1, 2, 1, 10, 10]
STATES = [0, 1, 0, 1, 1, 0, 1]


def contents(**others) -> dict[str, np.ndarray]:
    """Value t of electrode c of sample n is 10⁵ n + 10³ c + t."""
    n, c, t = np.ogrid[: len(WHO), : len(ELECTRODES), :384]
    states, subjects = (np.array(column)[:, None] for column in (STATES, WHO))
    return {"EEGsample": 1e5 * n + 1e3 * c + t, "substate": states, "subindex": subjects} | others


def of(root, file=None, **options) -> DrowsinessEEG:
    if file is not None:
        savemat(root / "dataset.mat", file)
    return DrowsinessEEG(str(root), verify=False, **{"normalise": None, "num_workers": 0, "batch_size": 3} | options)


@pytest.fixture
def root(tmp_path):
    savemat(tmp_path / "dataset.mat", contents())
    return tmp_path


pytestmark = pytest.mark.filterwarnings("ignore:.*as published")


def test_a_sample_is_what_the_file_says(root):
    data = of(root, fold=1)
    assert data.names("test") == ["1-0002", "1-0004"], "in the order of the file"
    sample = data.split("test")[1]
    assert sample["input"].shape == data.input_shape == (30, 384)
    assert sample["input"][3, 5] == 4e5 + 3e3 + 5
    assert sample["target"] == 1
    assert sample["valid"]
    assert data.split("test").stored_shape(0) == (384, 30)
    assert data.classes == ["alert", "drowsy"]
    assert data.layout.names[:2] == ("Fp1", "Fp2")
    assert len(set(ELECTRODES)) == 30


def test_one_subject_is_the_test_the_next_one_validates(root):
    people = {1: {"1"}, 2: {"2"}, 3: {"10"}}
    for fold, who in people.items():
        data = of(root, fold=fold)
        found = {split: {name.partition("-")[0] for name in data.names(split)} for split in ("train", "val", "test")}
        assert found["test"] == who
        assert found["val"] == people[fold % 3 + 1]
        assert set.union(*found.values()) == {"1", "2", "10"}
        assert sum(len(data.names(split)) for split in found) == len(WHO)
    data = of(root, fold=2, validation="none")
    assert {name.partition("-")[0] for name in data.names("train")} == {"1", "10"}
    assert data.val_dataloader() == []
    assert "target" not in data.split("predict")[0]
    assert data.names("predict") == data.names("test")


def test_electrodes_go_by_name_and_another_rate_is_resampled(root):
    data = of(root, channels=["Cz", "Oz"], sample_rate=64)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == (3, 2, 192)
    gap = batch["input"][:, 1, 50:150] - batch["input"][:, 0, 50:150]
    assert (gap - 1e3 * (ELECTRODES.index("Oz") - ELECTRODES.index("Cz"))).abs().max() < 1
    assert data.split("test").note(0) == "128 Hz, resampled to 64 Hz"


def test_each_electrode_is_normalised_over_the_training(root):
    data = of(root, normalise="training")
    rows = [row for row, who in enumerate(WHO) if who == 10]
    assert data.mean[4] == pytest.approx(1e5 * np.mean(rows) + 4e3 + 191.5)


def test_values_tell_data_apart_for_there_is_one_file(root, tmp_path):
    before = of(root)
    before.setup("fit")
    assert before.split("train").files(0) == ()
    first = [np.array(column) for column in before.split("train").described()]
    changed = contents()
    changed["EEGsample"][1, 0, 0] += 1
    second = [np.array(column) for column in of(tmp_path, changed).split("train").described()]
    assert [np.array_equal(*pair) for pair in zip(first, second, strict=True)] == [True, False]


def test_published_counts_are_checked(root):
    with pytest.raises(DataError, match="7 samples, not 2,022; 3 subjects, not 11 as published"):
        DrowsinessEEG(str(root)).names("train")
    with pytest.warns(UserWarning, match="7 samples, not 2,022"):
        of(root).names("train")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"EEGsample": np.zeros((7, 384, 30))}, "EEGsample is 7 × 384 × 30, where samples × 30 × time is read"),
        ({"EEGsample": np.zeros((7, 30, 0))}, "EEGsample is 7 × 30 × 0, 0 s at 128 Hz, where a window has 3 s"),
        ({"EEGsample": np.zeros((7, 30, 5))}, "0.0391 s at 128 Hz, where a window has 3 s: a longer series or a small"),
        ({"EEGsample": np.zeros((7, 30, 383))}, "EEGsample is 7 × 30 × 383, 2.99 s at 128 Hz"),
        ({"EEGsample": np.zeros((7, 30))}, "an array of numbers of 3 axes called EEGsample expected"),
        ({"EEGsample": "text"}, "an array of numbers of 3 axes called EEGsample expected"),
        ({"substate": np.zeros((6, 1))}, "7 of EEGsample, 6 of substate, 7 of subindex"),
        ({"substate": np.full((7, 1), 2)}, "substate 2 of sample 0 must be 0, alert, or 1, drowsy"),
        ({"subindex": np.full((7, 1), 0.5)}, "subindex must hold whole numbers"),
        ({"substate": np.full((7, 1), np.nan)}, "substate must hold whole numbers"),
        ({"subindex": np.full((7, 1), 1e300)}, "subindex must hold whole numbers"),
        ({"subindex": np.ones((7, 1))}, "fold=1 must be 1 to 1, the number of subjects, of which there must be 3"),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_other_files_are_refused_in_one_line(tmp_path, one_line, change, said):
    with pytest.raises(DataError) as error:
        of(tmp_path, contents(**change)).names("train")
    one_line(error, said)


@pytest.mark.parametrize(
    ("samples", "rate", "window"), [(5, 128, 5 / 128), (384, 100.5, 3), (384, 64, 3), (256, 128, 2)]
)
def test_a_window_may_be_as_long_as_a_sample(tmp_path, samples, rate, window):
    data = of(tmp_path, contents(EEGsample=contents()["EEGsample"][:, :, :samples]), sample_rate=rate, window=window)
    assert len(data.split("train")) == len(data.names("train"))
    with pytest.raises(DataError, match="where a window has"):
        of(tmp_path, sample_rate=rate, window=window * 1.21).names("train")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_number_too_large_is_told_and_nothing_else(tmp_path):
    large = contents()
    large["EEGsample"][0, 14, 7] = 1e300
    (line,) = of(tmp_path, large, fold=1).split("val").damaged
    assert line.endswith("2-0000: sample 7 of channel Cz is infinite")


def test_what_is_missing_is_said(tmp_path, one_line, root):
    with pytest.raises(DataError) as error:
        DrowsinessEEG(str(tmp_path / "nowhere")).names("train")
    one_line(error, "dataset.mat is missing: get it from https://figshare.com")
    gap = contents()
    gap["EEGsample"][0, 14, 7] = np.nan
    data = of(tmp_path, gap, fold=1)
    (line,) = data.split("val").damaged
    assert line.endswith("2-0000: sample 7 of channel Cz is missing")
    with pytest.raises(ValueError, match="validation=half must be subject or none"):
        of(root, validation="half")
    with pytest.raises(DataError, match="fold=4 must be 1 to 3"):
        of(root, contents(), fold=4).names("test")
