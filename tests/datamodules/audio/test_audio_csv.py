"""Sounds listed in a CSV file."""

import numpy as np
import pytest

from blockyard.datamodules.audio.audio_csv import AudioCSV
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.mistakes import DataError
from blockyard.samples.speech_layout import write_wav

pytest.importorskip("soundfile")
RATE = 1000


@pytest.fixture
def manifest(tmp_path):
    for number in range(20):
        write_wav(tmp_path / "sounds" / f"{number}.wav", (number + np.arange(100) / 100) / 32, RATE)

    def write(header, *rows):
        path = tmp_path / "list.csv"
        path.write_text("\n".join((header, *rows)) + "\n")
        return path

    return write


def listed(path, **options):
    defaults = {"sample_rate": RATE, "duration": 0.1, "batch_size": 2, "num_workers": 0, "seed": 0}
    return AudioCSV(path, **{**defaults, **options})


def test_splits_are_those_of_the_file(manifest):
    rows = [f"sounds/{n}.wav,{'ab'[n % 2]},{('train', 'val', 'test', '')[n % 4]}" for n in range(20)]
    data = listed(manifest("path,label,split", *rows))
    assert data.classes == ["a", "b"]
    assert not data.multi_label
    assert data.names("val") == [f"sounds/{n}.wav" for n in range(1, 20, 4)]
    assert data.names("test") == data.names("predict") == [f"sounds/{n}.wav" for n in range(2, 20, 4)]
    assert len(data.names("train")) == 10
    assert data.split("test").recordings.targets.tolist() == [0] * 5
    assert "target" not in data.split("predict")[0]


def test_whole_speakers_are_held_out_where_the_file_does_not_say(manifest):
    path = manifest("path,label,speaker", *[f"sounds/{n}.wav,{'ab'[n % 2]},s{n // 2}" for n in range(20)])
    data = listed(path, val_fraction=0.2, test_fraction=0.2)
    names = {split: data.names(split) for split in ("train", "val", "test")}
    assert {split: len(of_split) for split, of_split in names.items()} == {"train": 12, "val": 4, "test": 4}
    speakers = [{int(name[7:-4]) // 2 for name in of_split} for of_split in names.values()]
    assert len(set.union(*speakers)) == sum(map(len, speakers)) == 10


def test_parts_of_a_file_stay_together_and_are_read_alone(manifest):
    rows = [
        f"sounds/{n}.wav,{'ab'[half]},{0.05 * half},{0.05 if not half else ''}" for n in range(20) for half in (0, 1)
    ]
    data = listed(manifest("path,label,start,end", *rows), duration=0.05)
    split = data.split("test")
    assert len(split) == 4
    assert data.names("test")[:2] == [name for n in range(20) for name in data.names("test")[:2] if f"/{n}.wav" in name]
    assert split.windows == [(0, 0.05), (0.05, 0.1)] * 2
    number = int(data.names("test")[0].partition(".")[0][7:])
    both = np.concatenate([split[item]["input"][0].numpy() for item in (0, 1)])
    np.testing.assert_allclose(both, (number + np.arange(100) / 100) / 32, atol=2**-15)


def test_several_labels_make_it_multi_label(manifest):
    rows = ["sounds/0.wav,a;c,train", "sounds/1.wav,,train", "sounds/2.wav,b,test", "sounds/3.wav,c; b,val"]
    data = listed(manifest("path,label,split", *rows))
    assert data.multi_label
    assert data.classes == ["a", "b", "c"]
    assert data.split("train").recordings.targets.tolist() == [[1, 0, 1], [0, 0, 0]]
    (batch,) = data.val_dataloader()
    assert batch["target"].tolist() == [[0, 1, 1]]
    assert batch["target"].dtype == batch["input"].dtype


def test_a_part_beyond_the_end_is_a_sound_that_can_not_be_read(manifest):
    rows = ["sounds/0.wav,a,train,,", "sounds/1.wav,b,test,0.5,0.6"]
    data = listed(manifest("path,label,split,start,end", *rows), val_fraction=0)
    assert not data.split("test")[0]["valid"]
    ((name, problem),) = data.check("test")
    assert name == "sounds/1.wav 0.5-0.6"
    assert "0.10 s long, nothing from 0.5 s to 0.6 s" in problem


@pytest.mark.parametrize(
    ("header", "row", "parts"),
    [
        ("file,label", "sounds/0.wav,a", ("path and label",)),
        ("path,label,speker", "sounds/0.wav,a,s", ("speker", "did you mean speaker?")),
        ("path,label,split", "sounds/0.wav,a,training", ("line 2", "train, val, test")),
        ("path,label", "sounds/0.wav,", ("line 2", "no label")),
        ("path,label,start,end", "sounds/0.wav,a,x,", ("line 2", "seconds")),
        ("path,label,start,end", "sounds/0.wav,a,2,1", ("line 2", "before the end")),
        ("path,label,start,end", "sounds/0.wav,a", ("line 2",)),
    ],
)
def test_mistakes_are_answered_in_one_line(manifest, one_line, header, row, parts):
    path = manifest(header, row, row.replace("0.wav", "1.wav"), row.replace("0.wav", "2.wav"))
    with pytest.raises(DataError) as error:
        listed(path).split("train")
    one_line(error, path, *parts)


def test_a_manifest_that_is_missing(tmp_path, one_line):
    with pytest.raises(DataError) as error:
        listed(tmp_path / "gone.csv").split("train")
    one_line(error, tmp_path / "gone.csv", "path,label,split")


def test_labels_that_are_numbers_are_in_the_order_of_numbers(manifest):
    rows = [f"sounds/{n}.wav,{n}" for n in range(12)]
    data = listed(manifest("path,label", *rows))
    assert data.classes == [str(n) for n in range(12)]
    targets = data.split("train").recordings.targets.tolist()
    assert [int(name[7:-4]) for name in data.names("train")] == targets


def test_a_checkpoint_with_labels_in_another_order_is_told_apart(manifest):
    """Until 0.1 they were in the order of text; its networks must not be tested with the wrong names."""
    data = listed(manifest("path,label", *[f"sounds/{n}.wav,{n}" for n in range(12)]))
    before = Vocabulary(12, tuple(sorted(data.classes)))
    assert before.difference(data.vocabulary) == "class 2 of the data is '2', the checkpoint's is '10'"


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (["sounds/0.wav,1", "sounds/1.wav,01"], ("'01' and '1' are one number",)),
        (["sounds/0.wav,a", "sounds/1.wav,b", "sounds/0.wav,b"], ("lines 2 and 4", "'a'", "'b'")),
    ],
)
def test_labels_that_contradict_each_other_are_refused(manifest, one_line, rows, parts):
    path = manifest("path,label", *rows)
    with pytest.raises(DataError) as error:
        _ = listed(path).classes
    one_line(error, path, *parts)
