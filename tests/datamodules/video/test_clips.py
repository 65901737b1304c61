"""From a video to the network: views, crops, augmentation, and videos that can't be decoded."""

import warnings

import albumentations as A
import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from blockyard.datamodules import DataError, VideoFolder
from blockyard.datamodules.holding_out import hold_out_groups
from blockyard.datamodules.video.base import Mirror
from blockyard.datamodules.video.clips import crop_frames


@pytest.fixture
def root(tmp_path, write_video):
    """Two classes of six videos, 50 frames each, that show the number of each frame in bars."""
    for split, count in (("train", 6), ("val", 1), ("test", 3)):
        for name in ("run", "walk"):
            for number in range(count):
                write_video(tmp_path / split / name / f"{number}.avi")
    return tmp_path


def folder(root, **options):
    small = {"frames": 4, "stride": 3, "size": 48, "resize": 48, "batch_size": 4, "num_workers": 0, "seed": 0}
    return VideoFolder(root, **{**small, **options})


def break_videos(root, cut_off, *names):
    for name in names:
        cut_off(root / name, share=0.3)


def test_views_of_a_video_follow_each_other(root, numbers, monkeypatch):
    data = folder(root, clips=3, crops=3)
    split = data.split("test")
    assert split.views == 9
    assert len(split) == 9 * len(split.names) == 9 * 6
    monkeypatch.setattr(
        "blockyard.datamodules.video.clips.crop_frames", lambda frames, size, crop, crops: (crop, frames)
    )
    views = [split[index]["input"] for index in range(9)]
    assert [crop for crop, _ in views] == [0, 1, 2] * 3
    clips = [numbers(frames) for _, frames in views]
    assert clips == [[0, 3, 6, 9]] * 3 + [[20, 23, 26, 29]] * 3 + [[40, 43, 46, 49]] * 3


def test_crops_reach_from_end_to_end_of_the_long_side():
    wide = np.arange(20)[None, None, :, None] + np.zeros((2, 10, 1, 3), int)
    lefts = [crop_frames(wide, 8, crop, 3)[0, 0, 0, 0] for crop in range(3)]
    assert lefts == [0, 6, 12]
    assert crop_frames(wide, 8, 0, 1)[0, 0, 0, 0] == 6
    tall = wide.swapaxes(1, 2)
    assert [crop_frames(tall, 8, crop, 3)[0, 0, 0, 0] for crop in range(3)] == lefts
    assert crop_frames(tall, 8, 2, 3).shape == (2, 8, 8, 3)


@pytest.mark.parametrize("scale", [None, (0.3, 0.9)])
def test_all_frames_of_a_clip_are_augmented_alike(root, scale):
    data = folder(root, size=20, resize=24, scale=scale)
    still = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), dtype=np.uint8), 5, axis=0)
    transform = data.split("train").transform
    seen = set()
    for seed in range(8):
        transform.set_random_seed(seed)
        clip = transform(images=still)["images"]
        assert (clip.shape, clip.dtype) == ((5, 20, 20, 3), np.uint8)
        assert (clip == clip[:1]).all()
        seen.add(clip.tobytes())
    assert len(seen) > 4


def test_resizing_frame_by_frame_equals_albumentations(root):
    clip = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    ours = folder(root, size=20, resize=24).split("test").transform(images=clip)["images"]
    theirs = np.stack([A.SmallestMaxSize(24)(image=frame)["image"] for frame in clip])
    assert np.array_equal(ours, theirs)


def test_flipping_frame_by_frame_equals_albumentations():
    clip = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    ours = A.Compose([Mirror(p=1)])(images=clip)["images"]
    assert np.array_equal(ours, A.Compose([A.HorizontalFlip(p=1)])(images=clip)["images"])
    assert np.array_equal(ours, clip[:, :, ::-1])


def test_inputs_are_normalised_by_channel(root):
    data = folder(root, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0), clips=1, size=48)
    batch = next(iter(data.test_dataloader()))
    pixels = np.stack([data.split("test")[index]["input"] for index in range(4)])
    for channel, (mean, std) in enumerate(((0.5, 0.5), (0.25, 0.25), (0.0, 1.0))):
        expected = (torch.from_numpy(pixels[..., channel]) / 255 - mean) / std
        torch.testing.assert_close(batch["input"][:, channel], expected)  # (B, T, H, W)
    assert batch["input"].is_contiguous()


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_test_a_damaged_video_stays_and_is_marked(root, cut_off, workers):
    break_videos(root, cut_off, "test/run/1.avi", "test/walk/2.avi")
    data = folder(root, clips=2, num_workers=workers)
    batches = list(data.test_dataloader())
    index, valid, inputs, target = (
        torch.cat([batch[key] for batch in batches]) for key in ("index", "valid", "input", "target")
    )
    assert index.tolist() == list(range(12))
    assert [data.names("test")[i // 2] for i in index[~valid].tolist()] == ["run/1.avi"] * 2 + ["walk/2.avi"] * 2
    assert (inputs[~valid] == 0).all()
    assert (inputs[valid].flatten(1).std(1) > 0).all()
    assert target.tolist() == [0] * 6 + [1] * 6


def test_in_training_a_damaged_video_is_replaced_by_another(root, cut_off):
    break_videos(root, cut_off, "train/run/1.avi", "train/walk/2.avi")

    def epoch(workers):
        batches = list(folder(root, num_workers=workers).train_dataloader())
        return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}

    one, other = epoch(0), epoch(2)
    assert all(torch.equal(one[key], other[key]) for key in one), "a function of (seed, epoch, index)"
    assert sorted(one["index"].tolist()) == list(range(12))
    assert sorted(one["index"][one["replaced"]].tolist()) == [1, 8]
    assert one["valid"].all()
    assert (one["input"].flatten(1).std(1) > 0).all()


class Idle(LightningModule):
    def training_step(self, batch, batch_idx):
        assert "replaced" not in batch

    def configure_optimizers(self):
        return None


@pytest.mark.filterwarnings("ignore:.*configure_optimizers.*", "ignore:.*training_step.*", "ignore:.*num_workers.*")
def test_replacements_are_counted_and_each_file_is_warned_of_once(root, cut_off, tmp_path):
    break_videos(root, cut_off, "train/run/1.avi", "train/walk/2.avi")
    data = folder(root)
    silent = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "limit_val_batches"), False
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = Trainer(max_epochs=3, accelerator="cpu", default_root_dir=tmp_path, **silent)
        trainer.fit(Idle(), datamodule=data)
    told = sorted(str(w.message).split()[0] for w in caught if "another sample takes its place" in str(w.message))
    assert told == ["run/1.avi", "walk/2.avi"]
    assert data.replaced == {"run/1.avi": 3, "walk/2.avi": 3}


def test_when_all_videos_are_damaged_training_stops(root, cut_off, one_line):
    break_videos(root, cut_off, *(f"train/{name}/{number}.avi" for name in ("run", "walk") for number in range(6)))
    with pytest.raises(DataError) as error:
        list(folder(root, num_workers=1).train_dataloader())
    one_line(error, "can't be decoded", str(root))


@pytest.mark.parametrize("workers", [0, 2])
def test_check_reads_everything_and_names_what_is_bad(root, cut_off, scribble, workers):
    break_videos(root, cut_off, "train/run/1.avi")
    scribble(root / "train/walk/2.avi", frames=[20, 21])
    data = folder(root, num_workers=workers, clips=2)
    problems = dict(data.check("train"))
    assert set(problems) == {"run/1.avi", "walk/2.avi"}
    assert "of 50 frames are damaged" in problems["walk/2.avi"]
    assert list(data.check("test")) == []


def test_groups_are_held_out_whole():
    targets = np.repeat([0, 1], 10)
    groups = [f"g{number // 2}" for number in range(10)] + [f"g{number // 5}" for number in range(10)]
    stay, held = hold_out_groups(targets, groups, 0.3, ["a", "b"])
    assert held.tolist() == [6, 7, 8, 9, 15, 16, 17, 18, 19]
    assert sorted([*stay, *held]) == list(range(20))
    with pytest.raises(DataError, match="class a has one group"):
        hold_out_groups(np.zeros(3, int), ["g", "g", "g"], 0.3, ["a"])
