"""Speech Commands in its published layout."""

import math
import shutil

import numpy as np
import pytest

from blockyard.datamodules.audio.speech_commands import SpeechCommands
from blockyard.datamodules.audio.speech_commands_rules import COMMANDS, TWELVE, speaker_split, twelve_classes
from blockyard.media.sound_files import Sound
from blockyard.mistakes import DataError
from blockyard.samples.tiny_audio import WORDS, write_tiny_audio

pytest.importorskip("soundfile")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tiny_audio(tmp_path_factory.mktemp("speech") / "set")


@pytest.fixture
def root(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "set")


def speech(root, **options):
    return SpeechCommands(root, **{"verify": False, "batch_size": 8, "num_workers": 0, "seed": 0, **options})


pytestmark = pytest.mark.filterwarnings("ignore:.*as published")


@pytest.mark.parametrize(
    ("split", "speakers"),
    [  # the first ones of the lists of version 1, whose 13,633 lines all obey the rule
        ("test", "2aa787cf ffa76c4a 24ad3ebe d7467392 5828dfa2 91223b83 f0ae7203 95ba4996 94de6a6a caf9fceb"),
        ("val", "8b775397 2643992f 060cd039 f5e5e8b0 dbb40d24 d57febf0 16db1582 171b56dc 66cff190 22aa3665"),
    ],
)
def test_the_rule_of_the_tool_gives_the_published_lists(split, speakers):
    for speaker in speakers.split():
        assert speaker_split(f"{speaker}_nohash_0.wav") == split


def test_the_lists_of_a_tree_are_those_of_the_rule(tree):
    data = speech(tree)
    for split, speakers in (("train", 16), ("val", 2), ("test", 2)):
        assert len(data.names(split)) == speakers * len(WORDS)
        for name in data.names(split):
            assert speaker_split(name.partition("/")[2]) == split


def test_the_rule_divides_speakers_in_the_shares_asked_for():
    names = [f"{number:08x}_nohash_3.wav" for number in range(20_000)]
    splits = [speaker_split(name) for name in names]
    assert splits.count("val") / len(names) == pytest.approx(0.1, abs=0.007)  # three standard deviations
    assert splits.count("test") / len(names) == pytest.approx(0.1, abs=0.007)
    assert {speaker_split(name, 0, 0) for name in names} == {"train"}
    assert {speaker_split(name, 1.1, 0) for name in names} == {"val"}
    assert all(speaker_split(name.replace("_3", "_0")) == split for name, split in zip(names, splits, strict=True))


def test_35_classes_are_all_words_in_order(tree):
    data = speech(tree)
    assert data.classes == sorted(WORDS)
    assert data.input_shape == (1, 16_000)
    for split in ("train", "val", "test"):
        labels = [data.classes[target] for target in data.split(split).recordings.targets]
        assert labels == [name.partition("/")[0] for name in data.names(split)]
    assert not any("_background_noise_" in name for name in data.names("train"))
    lists = (tree / "speech_commands_v0.02" / "validation_list.txt").read_text().split()
    assert data.names("val") == lists


def test_a_clip_below_a_second_is_filled_up(tree):
    split = speech(tree).split("train")
    silent_ends = sum(not split[item]["input"][0, 9600:].any() for item in range(len(split)))
    assert silent_ends == 2 * len(WORDS)


@pytest.mark.parametrize("below", [".", "speech_commands_v0.02"])
def test_the_tree_is_found_by_itself_and_from_above(tree, below):
    assert speech(tree / below).folder == tree / "speech_commands_v0.02"


@pytest.mark.filterwarnings("ignore:12-class")
def test_12_classes_have_a_tenth_of_silence_and_of_unknown_words(tree):
    data = speech(tree, classes=12)
    assert data.classes == ["_silence_", "_unknown_", *COMMANDS]
    for split, commands in (("train", 160), ("val", 20), ("test", 20)):
        targets = data.split(split).recordings.targets
        assert np.bincount(targets, minlength=12)[:2].tolist() == [math.ceil(commands / 10)] * 2
        for name, target in zip(data.names(split), targets, strict=True):
            word = name.partition("/")[0]
            assert data.classes[target] == (word if word in TWELVE else "_unknown_")
            assert target == 0 or speaker_split(name.partition("/")[2]) == split


def test_the_12_class_rule_gives_the_published_counts():
    commands = {"train": 30_769, "val": 3_703, "test": 4_074}
    others = 20_000
    splits = {
        split: [f"yes/{n}" for n in range(count)] + [f"bed/{n}" for n in range(others)]
        for split, count in commands.items()
    }
    chosen = twelve_classes(splits)
    totals = {split: len(part.commands) + len(part.unknown) + part.silence for split, part in chosen.items()}
    assert totals == {"train": 36_923, "val": 4_445, "test": 4_890}
    assert chosen["test"].silence == 408
    assert chosen == twelve_classes({split: names[::-1] for split, names in splits.items()})  # not how they are listed
    assert len(set(chosen["train"].unknown)) == 3_077


@pytest.mark.filterwarnings("ignore:12-class")
def test_silence_stays_the_same_in_evaluation_and_changes_in_training(tree):
    def silence(split, seed, epoch):
        data = speech(tree, classes=12, seed=seed)
        loader = data.train_dataloader() if split == "train" else data.val_dataloader()
        if split == "train":
            loader.sampler.set_epoch(epoch)
        clips = [
            (int(index), waveform)
            for batch in loader
            for index, target, waveform in zip(batch["index"], batch["target"], batch["input"], strict=True)
            if target == 0
        ]
        return dict(clips)

    one, other = silence("val", 0, 0), silence("val", 1, 0)
    assert len(one) == 2
    assert all(one[index].equal(other[index]) for index in one)
    first, second = silence("train", 0, 0), silence("train", 0, 1)
    both = first.keys() & second.keys()
    assert len(both) > 10
    assert not any(first[index].equal(second[index]) for index in both)
    noise = tree / "speech_commands_v0.02" / "_background_noise_"
    peaks = [float(waveform.abs().max()) for waveform in first.values()]
    with Sound(noise / "pink_noise.wav", 16_000) as sound:
        assert max(peaks) <= np.abs(sound.read(0, 48_000)).max() * 1.2  # volumes are from 0 to 1
    assert max(peaks) > 4 * min(peaks)


def test_the_fixed_test_archive(tree):
    archive = tree / "speech_commands_test_set_v0.02"
    data = speech(tree, classes=12, test_archive=archive)
    names = data.names("test")
    assert len(names) == 13
    assert [name for name in names if name.endswith(".wav.wav")] == [names[2]]
    labels = [data.classes[target] for target in data.split("test").recordings.targets]
    assert labels == [name.partition("/")[0] for name in names]
    assert not data.split("test")[0]["input"].any()
    assert data.names("predict") == names
    assert "target" not in data.split("predict")[0]


def test_without_it_a_warning_tells_what_is_tested(tree):
    with pytest.warns(UserWarning, match="12-class test without test_archive"):
        speech(tree, classes=12).split("test")


def test_noise_is_that_of_the_data_set(tree):
    data = speech(tree, snr=(0.0, 0.0), noise_probability=1.0)
    plain, noisy = speech(tree).split("train")[0]["input"], data.split("train")[0]["input"]
    assert ((noisy - plain) ** 2).mean().item() == pytest.approx((plain**2).mean().item(), rel=1e-3)  # 0 dB


def test_published_counts_are_checked(tree, one_line):
    with pytest.raises(DataError) as error:
        SpeechCommands(tree).split("train")
    one_line(error, "12 words, not 35", "240 clips, not 105,829", "verify=False")
    with pytest.raises(DataError) as error:
        SpeechCommands(tree, classes=12, test_archive=tree / "speech_commands_test_set_v0.02").split("test")
    one_line(error, "13 clips, not 4,890", "verify=False")


def test_a_listed_clip_that_is_missing(root, one_line):
    home = root / "speech_commands_v0.02"
    gone = (home / "testing_list.txt").read_text().split()[0]
    (home / gone).unlink()
    with pytest.raises(DataError) as error:
        SpeechCommands(root).split("test")
    one_line(error, gone, "missing")
    data = speech(root)
    with pytest.warns(UserWarning, match="1 of 24 clips are missing"):
        split = data.split("test")
    assert [split[item]["valid"] for item in range(3)] == [False, True, True]
    assert [name for name, _ in data.check("test")] == [gone]


def test_a_rate_that_was_not_published_is_named_by_a_check(root):
    from blockyard.samples.speech_layout import write_wav

    data = speech(root)
    name = data.names("val")[1]
    write_wav(data.folder / name, 0.1 * np.ones(8000), 8000)
    ((found, problem),) = data.check("val")
    assert found == name
    assert "8000 Hz, not the published 16000" in problem
    sample = data.split("val")[1]
    assert sample["valid"]
    assert sample["input"].shape == (1, 16_000)


def test_lists_that_name_other_files_are_refused(root, one_line):
    path = root / "speech_commands_v0.02" / "testing_list.txt"
    path.write_text("../../secret.wav\n")
    with pytest.raises(DataError) as error:
        speech(root).split("test")
    one_line(error, path, "../../secret.wav")


def test_what_is_missing_is_told_with_where_to_get_it(tmp_path, one_line):
    with pytest.raises(DataError) as error:
        SpeechCommands(tmp_path).split("train")
    one_line(error, tmp_path / "speech_commands_v0.02" / "testing_list.txt", "speech_commands_v0.02.tar.gz")
    (tmp_path / "speech_commands_v0.02.tar.gz").write_bytes(b"x")
    with pytest.raises(DataError) as error:
        SpeechCommands(tmp_path).split("train")
    one_line(error, "not the published archive")


@pytest.mark.parametrize(("options", "part"), [({"classes": 10}, "35 or 12"), ({"test_archive": "x"}, "classes=12")])
def test_mistakes_are_answered_in_one_line(options, part, one_line):
    with pytest.raises(ValueError, match=part) as error:
        SpeechCommands("data", **options)
    one_line(error, part)
