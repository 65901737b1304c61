"""The training split as evaluation reads: in order, each sample once, without augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blockyard.datamodules import UCF101, Digits, PascalVOC, SpeechCommands
from blockyard.datamodules.loading import Split
from blockyard.samples.tiny_audio import write_tiny_audio
from blockyard.samples.tiny_scenes import write_tiny_voc
from blockyard.samples.tiny_videos import write_tiny_videos

pytestmark = pytest.mark.filterwarnings("ignore:.*published.*")


def batches(data):
    """All inputs, targets and indices of the plain training split, lists of samples."""
    found = list(data.plain_dataloader("train"))
    return [[sample for batch in found for sample in batch[name]] for name in ("input", "target", "index")]


def test_pictures_are_not_augmented():
    plain, bare = Digits("8x8", batch_size=100), Digits("8x8", augment=False, batch_size=100)
    inputs, targets, index = batches(plain)
    assert [int(i) for i in index] == list(range(1257))
    expected = bare.split("train")
    assert [int(target) for target in targets] == expected.targets.tolist()
    assert torch.equal(torch.stack(inputs[:100]), next(iter(bare.plain_dataloader("train")))["input"])
    augmented = plain.split("train")
    assert augmented.transform is not None, "the split that trains stays as it was"
    assert np.array_equal(augmented.images, expected.images)


def test_other_splits_are_those_of_evaluation():
    data = Digits("8x8", batch_size=100)
    for name, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        for one, other in zip(data.plain_dataloader(name), loader, strict=True):
            assert torch.equal(one["input"], other["input"])


def test_videos_show_their_middle(tmp_path):
    data = UCF101(write_tiny_videos(tmp_path), verify=False, frames=4, size=32, clips=3, batch_size=4, num_workers=0)
    inputs, targets, _ = batches(data)
    assert len(inputs) == len(data.names("train"))
    assert [int(target) for target in targets] == data.split("train").targets.tolist()
    assert all(torch.equal(one, other) for one, other in zip(inputs, batches(data)[0], strict=True)), "none is random"
    middle = data.split("val").over(data.split("train"))
    assert (middle.views, middle.training) == (1, False)
    assert data.split("val").names != middle.names, "the validation split stays as it was"


def test_sounds_are_heard_in_windows(tmp_path):
    data = SpeechCommands(write_tiny_audio(tmp_path), verify=False, duration=0.4, shift=0.1, snr=(0, 20), num_workers=0)
    inputs, targets, _ = batches(data)
    split = data.split("val").over(data.split("train"))
    assert len(inputs) == len(split) == len(split.owner) > len(split.names) == len(data.names("train"))
    labels = data.split("train").recordings.targets
    assert [int(target) for target in targets] == [int(labels[split.sample_of(item)]) for item in range(len(split))]
    assert all(torch.equal(one, other) for one, other in zip(inputs, batches(data)[0], strict=True))


def test_pictures_come_whole_with_their_masks(tmp_path):
    data = PascalVOC(write_tiny_voc(tmp_path), "train", False, size=(16, 16), val_fraction=0.25, num_workers=0)
    inputs, targets, _ = batches(data)
    assert len(inputs) == len(data.names("train"))
    for position, (picture, mask) in enumerate(zip(inputs, targets, strict=True)):
        assert picture.shape[1:] == mask.shape
        assert np.array_equal(mask, data.split("train").masks[position])


def test_a_split_that_can_not_is_told_apart():
    class Bare(Split):
        names = ()

    with pytest.raises(ValueError, match="Bare can't read the samples of another split"):
        Bare().over(Bare())
