"""What every data module of pictures with masks promises."""

import random
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from blockyard.datamodules import DataError
from blockyard.datamodules.images import IMAGENET_MEAN
from blockyard.datamodules.loading import EvaluationSampler, SeededSplit, make_loader
from blockyard.datamodules.segmentation.image_mask_folder import ImageMaskFolder
from blockyard.datamodules.segmentation.listing import hold_out_evenly
from blockyard.samples.tiny_scenes import draw
from blockyard.samples.voc_layout import save_mask, save_picture


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Four classes; red tells the label, so that a picture and its mask can be compared wherever they went."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "classes.txt").write_text("ground\nleaf\nstone #102030\nwater\n")
    for part, count in (("train", 10), ("test", 5)):
        for number in range(count):
            _, mask = draw(number, (30 + number, 40 - number), range(4), border=255)
            others = np.random.default_rng(number).integers(0, 256, (*mask.shape, 2), dtype=np.uint8)
            save_picture(folder / "images" / part / f"{number}.png", np.dstack([mask, others]))
            save_mask(folder / "masks" / part / f"{number}.png", mask)
    return folder


@pytest.fixture
def root(pictures, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(pictures, tmp_path / "copy")


def data_of(root, **options):
    return ImageMaskFolder(
        root, **{"size": (24, 32), "batch_size": 2, "num_workers": 0, "photometric": False, **options}
    )


def red(pixels):
    """Red of normalised pictures ``(…, 3, H, W)``, in 0 … 255."""
    return (pixels[..., 0, :, :] * 0.229 + IMAGENET_MEAN[0]).mul(255).round().long()


def test_a_training_batch_is_one_tensor_each(pictures):
    data = data_of(pictures)
    batches = list(data.train_dataloader())
    assert len(batches) == 4, "one of ten pictures is held out, and one fills no batch"
    for batch in batches:
        assert batch["input"].shape == (2, 3, 24, 32)
        assert batch["target"].shape == (2, 24, 32)
        assert batch["input"].dtype == torch.float32
        assert batch["target"].dtype == batch["index"].dtype == torch.int64
    assert data.input_shape == (3, 24, 32)
    assert data.ignore_index == 255


@given(seed=st.integers(0, 10_000), index=st.integers(0, 8), height=st.integers(8, 60), width=st.integers(8, 60))
@settings(max_examples=60, deadline=None)
def test_picture_and_mask_stay_together_and_padding_is_ignored(pictures, seed, index, height, width):
    data = data_of(pictures, scale=(1, 1), size=(height, width))
    split = SeededSplit(data.split("train"), seed)
    batch = split.collate([split[0, index]])
    target, pixels = batch["target"][0], batch["input"][0]
    rows, columns = split.split.images[index].shape[:2]
    assert torch.equal(red(pixels)[:rows, :columns], target[:rows, :columns])
    outside = torch.ones(height, width, dtype=torch.bool)
    outside[:rows, :columns] = False
    assert (target[outside] == 255).all()
    # The mean colour, which normalises to zero, rounded to one of 256 steps of 1 / (255 · 0.225).
    assert (pixels[:, outside].abs() < 0.01).all()


@given(seed=st.integers(0, 10_000), index=st.integers(0, 8))
@settings(max_examples=80, deadline=None)
def test_255_is_kept_through_every_transform(pictures, seed, index):
    """Between two ignored pixels there is nothing but 255, between two labelled ones never: whatever the scale."""
    data = data_of(pictures, scale=(0.5, 2.0), size=(70, 70))
    split = data.split("train")
    mask = split.masks[index]
    ignored = np.where(mask == 255, 255, 0).astype(np.uint8)
    split.transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    result = split.transform(image=np.dstack([ignored] * 3), mask=mask)
    seen, target = result["image"][..., 0], result["mask"]
    assert (target[seen == 255] == 255).all()
    assert (target[seen == 0] != 255).all(), "the padding is of the mean colour, not of 0"
    assert set(np.unique(target)) <= {*np.unique(mask), 255}


def test_evaluation_keeps_every_mask_as_it_is(pictures):
    data = data_of(pictures, batch_size=3)
    first, last = data.test_dataloader()
    assert [len(batch["input"]) for batch in (first, last)] == [3, 2]
    for number, (pixels, target) in enumerate(zip(first["input"], first["target"], strict=True)):
        assert pixels.shape == (3, 30 + number, 40 - number)
        assert torch.equal(red(pixels), target)
        assert target.dtype == torch.int64
    assert first["index"].tolist() == [0, 1, 2]


def test_a_resized_picture_has_its_mask_at_the_original_size(pictures):
    batch = next(iter(data_of(pictures, resize=(80, 60)).test_dataloader()))
    assert [tuple(pixels.shape) for pixels in batch["input"]] == [(3, 60, 80), (3, 60, 75)]
    assert [tuple(target.shape) for target in batch["target"]] == [(30, 40), (31, 39)]


def test_predict_reads_any_folder_and_tells_original_sizes(tmp_path, pictures):
    save_picture(tmp_path / "b" / "one.jpg", np.zeros((20, 30, 3), np.uint8), "CMYK")
    save_picture(tmp_path / "a.png", np.zeros((7, 9, 3), np.uint8), "L")
    data = data_of(pictures, predict_folder=tmp_path, resize=(60, 40))
    (batch,) = data.predict_dataloader()
    assert data.names("predict") == ["a.png", "b/one.jpg"]
    assert batch["size"].tolist() == [[7, 9], [20, 30]]
    assert [tuple(pixels.shape) for pixels in batch["input"]] == [(3, 40, 51), (3, 40, 60)]
    assert "target" not in batch


def test_a_rank_without_a_sample_gets_empty_lists(pictures):
    data = data_of(pictures)
    split = data.split("test")
    (batch,) = make_loader(SeededSplit(split, 0), EvaluationSampler(len(split), 5, 6), 4, 0)
    assert batch["input"] == batch["target"] == []
    assert batch["index"].shape == (0,)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_depends_on_seed_epoch_and_index_alone(pictures, workers):
    batches = [
        list(data_of(pictures, photometric=True, seed=3, num_workers=count).train_dataloader())
        for count in (0, workers)
    ]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one["input"], other["input"])
        assert torch.equal(one["target"], other["target"])
    seen = torch.cat([batch["target"] for batch in batches[0]])
    assert len({tuple(target.flatten().tolist()) for target in seen}) == len(seen)


def test_check_finds_every_wrong_mask(root, one_line):
    """Out of range, of another size, with colours, cut off, and a picture that is none."""
    masks = root / "masks" / "test"
    shape = np.asarray(Image.open(masks / "0.png")).shape
    save_mask(masks / "0.png", np.full(shape, 9, np.uint8))
    save_mask(masks / "1.png", np.zeros((5, 6), np.uint8))
    save_picture(masks / "2.png", np.full((32, 38, 3), 7, np.uint8))
    (masks / "3.png").write_bytes((masks / "3.png").read_bytes()[:60])
    (root / "images" / "test" / "4.png").write_bytes(b"no picture")
    problems = dict(data_of(root, num_workers=1).check("test"))
    assert list(problems) == [f"{number}.png" for number in range(5)]
    said = (("value 9", "0 to 3, 255"), ("6×5", "39×31"), ("mode RGB", "(7, 7, 7)"), ("damaged",), ("damaged",))
    for number, (parts, problem) in enumerate(zip(said, problems.values(), strict=True)):
        assert "\n" not in problem
        for part in (*parts, f"{'images' if number == 4 else 'masks'}/test/{number}.png"):
            assert part in problem
    assert not list(data_of(root).check("train"))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"size": (0, 4)}, "size"),
        ({"resize": (0, 4)}, "resize"),
        ({"scale": (2, 1)}, "scale"),
        ({"val_fraction": 1}, "val_fraction"),
        ({"largest_share": 0}, "largest_share"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_options_out_of_range_are_refused(pictures, options, part):
    with pytest.raises(ValueError, match=part):
        data_of(pictures, **options)


def test_hyperparameters_are_plain(pictures):
    """A path among them would make checkpoints unreadable."""
    data = data_of(pictures, predict_folder=pictures)
    assert data.hparams["root"] == str(pictures)
    assert {type(value) for value in data.hparams.values()} <= {int, float, str, bool, tuple, list, type(None)}


@given(count=st.integers(0, 500), share=st.floats(0, 0.9))
def test_what_is_held_out_is_spread_evenly(count, share):
    expected = max(1, round(share * count)) if share and count else 0
    if expected >= count > 0:
        with pytest.raises(DataError, match="can't be held out"):
            hold_out_evenly(count, share)
        return
    stay, held = hold_out_evenly(count, share)
    assert sorted([*stay, *held]) == list(range(count))
    assert len(held) == expected
    if expected:
        gaps = np.diff([-1, *held])
        assert gaps.max() - gaps.min() <= 1


def test_pixels_are_counted_of_training_masks_alone_and_each_once_over_all_processes(pictures, monkeypatch):
    whole = data_of(pictures).pixel_counts()
    masks = data_of(pictures).load("train").masks
    assert whole[0].tolist() == [sum(int((mask == k).sum()) for mask in masks) for k in range(4)]
    assert whole[1].tolist() == [sum(int((mask != 255).sum()) for mask in masks if (mask == k).any()) for k in range(4)]
    parts = []
    for rank in range(3):
        data = data_of(pictures)
        monkeypatch.setattr(data, "_place", lambda rank=rank: (rank, 3))
        parts.append(data.pixel_counts())
    assert np.array_equal(sum(parts), whole)
