"""ESC-50 and UrbanSound8K in their published layouts."""

import csv
import shutil
import warnings

import pytest

from blockyard.datamodules.audio.esc50 import ESC50
from blockyard.datamodules.audio.listing import hold_out_speakers
from blockyard.datamodules.audio.urbansound8k import CLASSES, UrbanSound8K
from blockyard.mistakes import DataError
from blockyard.samples.tiny_audio import write_tiny_audio

pytest.importorskip("soundfile")
pytestmark = pytest.mark.filterwarnings("ignore:.*as published", "ignore:.*fragments of one recording")
OPTIONS = {"verify": False, "batch_size": 8, "num_workers": 0, "seed": 0}


@pytest.fixture(scope="module")
def esc(tmp_path_factory):
    return write_tiny_audio(tmp_path_factory.mktemp("esc") / "set", "esc50")


@pytest.fixture(scope="module")
def urban(tmp_path_factory):
    return write_tiny_audio(tmp_path_factory.mktemp("urban") / "set", "urbansound8k")


def folds(data, split):
    return {name.partition("-")[0] for name in data.names(split)}


@pytest.mark.parametrize(("fold", "val"), [(1, 2), (3, 4), (5, 1)])
def test_esc_validates_on_the_fold_after_the_test_fold(esc, fold, val):
    data = ESC50(esc, fold=fold, **OPTIONS)
    assert folds(data, "test") == {str(fold)}
    assert folds(data, "val") == {str(val)}
    assert folds(data, "train") == set("12345") - {str(fold), str(val)}
    assert data.classes == ["dog", "rooster", "pig", "cow"]
    for split in ("train", "val", "test"):
        for name, target in zip(data.names(split), data.split(split).recordings.targets, strict=True):
            assert name.endswith(f"-{target}.wav")


def test_esc_validates_on_whole_sources_or_not_at_all(esc):
    data = ESC50(esc, fold=2, validation="sources", val_fraction=0.25, **OPTIONS)
    train, val = ({tuple(name.split("-")[:2]) for name in data.names(split)} for split in ("train", "val"))
    assert not train & val
    assert len(data.names("val")) == 16
    assert folds(data, "test") == {"2"}
    data = ESC50(esc, fold=2, validation="none", **OPTIONS)
    assert folds(data, "train") == set("1345")
    assert data.val_dataloader() == []


def test_esc10_keeps_what_is_marked_true(esc):
    data = ESC50(esc, subset=10, **OPTIONS)
    assert data.classes == ["dog", "rooster"]
    assert len(data.names("test")) == 8


def test_a_clip_of_five_seconds_at_16_khz(esc):
    data = ESC50(esc, **OPTIONS)
    assert data.input_shape == (1, 80_000)
    waveform = data.split("test")[0]["input"][0]
    assert waveform[:8000].std() > 0.05
    assert not waveform[8000:].any()


def test_urban_sounds_of_any_rate_and_channels(urban):
    data = UrbanSound8K(urban, fold=10, **OPTIONS)
    assert data.input_shape == (1, 64_000)
    assert data.classes == list(CLASSES)
    assert {len(data.names(split)) for split in ("val", "test")} == {10}
    assert len(data.names("train")) == 80
    assert all(name.startswith("fold1/") for name in data.names("val"))
    for batch in data.test_dataloader():
        assert batch["valid"].all()
        assert batch["input"].shape[1:] == (1, 64_000)
    assert not list(data.check("train"))


def test_urban_recordings_in_two_folds_are_warned_of(urban):
    with pytest.warns(UserWarning, match=r"77751 \(folds 2 and 7\)"):
        UrbanSound8K(urban, **OPTIONS).split("train")


def test_published_counts_are_checked(esc, urban, one_line):
    with warnings.catch_warnings(), pytest.raises(DataError) as error:
        ESC50(esc).split("train")
    one_line(error, "80 clips, not 2,000", "verify=False")
    with pytest.raises(DataError) as error:
        UrbanSound8K(urban).split("train")
    one_line(error, "100 clips, not 8,732", "of salience 1", "10 in fold 1, not 873", "10 of car_horn, not 429")


def test_published_counts_add_up():
    for prefix in ("in fold", "of salience"):
        assert sum(n for name, n in UrbanSound8K.published.items() if name.startswith(prefix)) == 8732
    assert sum(UrbanSound8K.published[f"of {name}"] for name in CLASSES) == 8732
    for counts in ESC50.published.values():
        assert sum(n for name, n in counts.items() if name.startswith("in fold")) == counts["clips"]


def test_the_label_is_the_table_s_and_wrong_rows_are_refused(urban, tmp_path, one_line):
    root = shutil.copytree(urban, tmp_path / "set")
    file = root / "UrbanSound8K/metadata/UrbanSound8K.csv"
    rows = list(csv.reader(file.open()))
    for column, value in ((0, "../../secret.wav"), (5, "11"), (5, "x"), (6, "3"), (7, "cat")):
        wrong = [list(row) for row in rows]
        wrong[5][column] = value
        with file.open("w", newline="") as out:
            csv.writer(out).writerows(wrong)
        with pytest.raises(DataError) as error:
            UrbanSound8K(root, **OPTIONS).split("train")
        one_line(error, file, "line 6")


def test_forks_that_renamed_files_are_refused(esc, tmp_path, one_line):
    root = shutil.copytree(esc, tmp_path / "set")
    file = root / "ESC-50-master/meta/esc50.csv"
    file.write_text(file.read_text().replace("1-1000-A-0.wav", "dog-1-1000-A-0.wav"))
    with pytest.raises(DataError) as error:
        ESC50(root, **OPTIONS).split("train")
    one_line(error, file, "dog-1-1000-A-0.wav")


@pytest.mark.parametrize("kind", [ESC50, UrbanSound8K])
def test_mistakes_are_answered_in_one_line(kind, tmp_path, one_line):
    with pytest.raises(ValueError, match="fold=0") as error:
        kind(tmp_path, fold=0)
    one_line(error, f"1 to {kind.folds}")
    with pytest.raises(ValueError, match="validation=some"):
        kind(tmp_path, validation="some")
    with pytest.raises(DataError, match="missing") as error:
        kind(tmp_path).split("train")
    one_line(error, tmp_path)


def test_speakers_are_held_out_whole_by_a_rule_without_random_numbers():
    speakers = [f"s{number % 50}" for number in range(1000)]
    kept, held = hold_out_speakers(speakers, 0.1)
    assert len(held) == 100
    assert not {speakers[row] for row in kept} & {speakers[row] for row in held}
    backwards = hold_out_speakers(speakers[::-1], 0.1)[1]
    assert {speakers[row] for row in held} == {speakers[::-1][row] for row in backwards}
    assert len(hold_out_speakers(speakers, 0)[1]) == 0
    with pytest.raises(DataError, match="1 speakers"):
        hold_out_speakers(["a", "a"], 0.1)
