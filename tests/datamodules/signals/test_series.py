"""Windows of series: training, evaluation, normalisation, damaged files; by folders, the plainest data module."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blockyard.datamodules import SignalFolder
from blockyard.datamodules.checking import Findings
from blockyard.mistakes import DataError

from .conftest import ramps, write_csv


def folder(root, **options):
    plain = {"sample_rate": 10, "window": 1.0, "normalise": None, "batch_size": 4, "num_workers": 0, "seed": 0}
    return SignalFolder(str(root), **{**plain, **options})


def batches(loader):
    found = list(loader)
    return {key: torch.cat([batch[key] for batch in found]) for key in found[0]}


def test_training_has_as_many_random_windows_as_fit_side_by_side(root):
    data = folder(root)
    assert data.input_shape == (3, 10)
    split = data.split("train")
    assert split.names == [f"{name}/{number}.csv" for name in ("run", "walk") for number in range(3)]
    assert split.owner == [0, 0, 1, 1, 1, 1, 2, 3, 3, 4, 4, 4, 4, 5]
    assert split.windows is None
    starts = set()
    loader = data.train_dataloader()
    for epoch in range(40):
        loader.sampler.set_epoch(epoch)
        batch = batches(loader)
        assert len(batch["index"]) == 12, "the last, incomplete batch is dropped"
        for window, target, index in zip(batch["input"], batch["target"], batch["index"], strict=True):
            owner = split.owner[index]
            first, length = int(window[0, 0]) - 100 * int(target), min(10, (25, 40, 5)[owner % 3])
            assert torch.equal(window[:, :length], torch.from_numpy(ramps(length, int(window[0, 0]))).T.float())
            assert not window[:, length:].any()
            assert 0 <= first <= max(0, (25, 40, 5)[owner % 3] - 10)
            if owner % 3 == 1:
                starts.add(first)
    assert starts == set(range(31)), "every place within a recording"


def test_the_order_and_the_windows_depend_on_seed_and_epoch_alone(root):
    one, other, third = (batches(folder(root, **o).train_dataloader()) for o in ({}, {"num_workers": 1}, {"seed": 1}))
    assert torch.equal(one["input"], other["input"])
    assert not torch.equal(one["input"], third["input"])


def test_evaluation_covers_recordings_with_windows(root):
    data = folder(root, hop=0.5)
    batch = batches(data.test_dataloader())
    split = data.split("test")
    assert split.owner == [0] * 4 + [1] * 4
    assert split.windows[:4] == [(0, 1), (0.5, 1.5), (1, 2), (1.3, 2.3)]
    assert batch["input"][:, 1, 0].tolist() == [1000, 1005, 1010, 1013, 1100, 1105, 1110, 1113]
    assert batch["target"].tolist() == [0] * 4 + [1] * 4
    assert batch["valid"].all()
    assert batch["input"].dtype == torch.float32


def test_training_moments_are_those_of_all_training_samples(root):
    data = folder(root, normalise="training")
    whole = np.concatenate([ramps(n, 100 * label) for label in (0, 1) for n in (25, 40, 5)])
    np.testing.assert_allclose(data.mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(data.std, whole.std(0), rtol=1e-12)
    window = data.split("test")[0]["input"].numpy()
    np.testing.assert_allclose(window.T, (ramps(10) - whole.mean(0)) / whole.std(0), rtol=1e-6)
    assert data.vocabulary.mean == data.mean


def test_a_checkpoint_s_moments_and_channels_go_before_those_of_the_data(root, tmp_path):
    data, there = folder(root, normalise="training"), folder(tmp_path / "gone", normalise="training")
    there.known = data.vocabulary
    write_csv(tmp_path / "new" / "a.csv", ramps(10)[:, [2, 0, 1]], "az,ax,ay")
    there.predict_folder = tmp_path / "new"
    assert there.input_shape == (3, 10)
    assert (there.layout.names, there.std) == (("ax", "ay", "az"), data.std)
    assert torch.equal(there.split("predict")[0]["input"], data.split("test")[0]["input"])


def test_each_recording_by_its_own_moments(root):
    data = folder(root, normalise="recording")
    assert data.mean is data.std is None
    windows = batches(data.test_dataloader())["input"]
    values = ramps(23)
    expected = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(windows[:3].numpy(), [expected[k : k + 10].T for k in (0, 10, 13)], rtol=1e-5, atol=1e-6)
    assert torch.equal(windows[:3], windows[3:]), "an offset of a recording does not matter"


def test_what_is_filled_up_is_the_mean(root):
    data = folder(root, normalise="training")
    short = data.split("train").owner.index(2)
    assert not data.split("train")[short]["input"][:, 5:].any()


def test_a_channel_that_does_not_vary_is_not_blown_up(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            for number in range(3):
                values = ramps(20).astype(float)
                values[:, 1] = 0.1
                write_csv(tmp_path / split / name / f"{number}.csv", values)
    data = folder(tmp_path, normalise="training")
    assert data.std[1] == 1
    assert data.split("test")[0]["input"][1].abs().max() < 1e-6


def test_plain_training_data_are_read_as_validation_is(root):
    data = folder(root)
    batch = batches(data.plain_dataloader("train"))
    assert len(batch["index"]) == 3 + 4 + 1 + 3 + 4 + 1


def test_balanced_classes_and_few_labels_count_windows_and_recordings(root):
    data = folder(root, labels_per_class=1, class_sampling="balanced", batch_size=1)
    owners = {data.split("train").owner[int(k)] for k in batches(data.train_dataloader())["index"]}
    assert len(owners) == 2
    windows = [(2, 4, 1)[owner % 3] for owner in sorted(owners)]
    assert data.class_counts() == windows
    assert len(batches(data.plain_dataloader("train"))["index"]) == sum((3, 4, 1)[owner % 3] for owner in owners)


def test_damaged_training_recordings_are_refused_before_the_training(root):
    (root / "train" / "run" / "1.csv").write_text("ax,ay,az\n1,2,3\n1,,3\n")
    with pytest.raises(DataError, match=r"run/1\.csv, line 3, column ay: '' is no number; .*missing$"):
        folder(root).setup("fit")
    (root / "train" / "walk" / "0.csv").write_text("ax,ay,az\n1,nan,3\n")
    data = folder(root, normalise="training")
    with pytest.raises(DataError, match=r"run/1\.csv, .* \(1 more like it: check-data lists them\)$"):
        data.setup("fit")
    found = [data.split("train").problem(k) for k in range(6)]
    assert [bool(said) for said in found] == [False, True, False, True, False, False]
    assert found[3].endswith("walk/0.csv: sample 0 of channel ay is missing")
    assert all(len(said.splitlines()) == 1 for said in found if said)


def test_missing_values_in_a_file_on_disk_are_found_before_the_training(root):
    values = ramps(30).astype(np.float32)
    values[17, 1] = np.nan
    np.save(root / "train" / "run" / "0.npy", values)
    (root / "train" / "run" / "0.csv").unlink()
    with pytest.raises(DataError, match=r"0\.npy: sample 17 of channel 1 is missing$"):
        folder(root, normalise="training").setup("fit")


def test_a_recording_that_cannot_be_read_stays_in_an_evaluation_as_not_valid(root):
    (root / "test" / "run" / "0.csv").write_text("ax,ay,az\n1,2\n")
    batch = batches(folder(root, normalise="recording").test_dataloader())
    assert batch["valid"].tolist() == [False, True, True, True]
    assert not batch["input"][0].any()


def test_other_channels_are_refused_in_one_line(root):
    write_csv(root / "train" / "run" / "2.csv", ramps(20, channels=4), "ax,ay,az,gx")
    with pytest.raises(DataError, match=r"run/2\.csv: 4 channels \(ax, ay, az, gx\) where 3 \(ax, ay, az\) are: set"):
        folder(root).setup("fit")
    data = folder(root, channels=["az", 0])
    data.setup("fit")
    assert data.input_shape == (2, 10)
    assert data.split("test")[0]["input"][:, 0].tolist() == [2000, 0]


def test_another_rate_is_resampled_and_told(root):
    time = np.arange(46) / 20
    tone = np.sin(2 * np.pi * 0.5 * time)[:, None] + [0, 10, 100]
    write_csv(root / "test" / "run" / "0.csv", np.column_stack([time, tone]), "time,ax,ay,az")
    data = folder(root)
    split = data.split("test")
    assert split.items_of(0) == range(3)
    assert split.stored_shape(0) == (46, 3)
    window = split[0]["input"].numpy()
    expected = np.sin(2 * np.pi * 0.5 * np.arange(10) / 10) + np.array([[0], [10], [100]])
    np.testing.assert_allclose(window, expected, atol=0.03)  # at its ends the filter guesses
    notes = [finding.note for finding in map(Findings(split, False).__getitem__, range(2))]
    assert notes == ["20 Hz, resampled to 10 Hz", None]


def test_axes_the_other_way_round_are_told(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(2):
                np.save(tmp_path / split / name / f"{number}.npy", ramps(100).T)
    split = folder(tmp_path).split("test")
    assert split.note(0) == "100 channels of 3 samples: rows are taken for time"
    assert split.problem(0) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample_rate": 0}, "sample_rate=0 and window=1.0 must be positive"),
        ({"window": 0.01}, "a sample at least"),
        ({"hop": 2.0}, "hop=2.0 must be a sample at least and window=1.0 s at most"),
        ({"hop": 0.0}, "hop=0.0 must be"),
        ({"normalise": "batch"}, "normalise='batch' must be training, recording or null"),
        ({"channels": []}, "must be names or positions, each once"),
        ({"channels": ["ax", "ax"]}, "must be names or positions, each once"),
    ],
)
def test_options_out_of_range(options, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        folder(tmp_path, **options)
