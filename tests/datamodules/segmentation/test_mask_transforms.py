import random

import albumentations as A
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockyard.datamodules.segmentation.mask_transforms import CategoryCrop, Rescale, photometric_distortion

SIDES = st.integers(1, 60)


def seeded(transforms, seed):
    pipeline = A.Compose(transforms)
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return pipeline


def blocks(height, width, seed=0, values=(0, 1, 2, 255)):
    """A mask of coarse blocks."""
    coarse = np.random.default_rng(seed).choice(values, size=(3, 4)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


def picture_of(mask):
    return np.repeat(mask[..., None], 3, axis=-1)


@given(height=SIDES, width=SIDES, factor=st.floats(0.3, 3), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_mask_is_rescaled_to_the_label_under_the_centre_of_each_pixel(height, width, factor, seed):
    mask = blocks(height, width, seed)
    result = seeded([Rescale(None, (factor, factor))], 0)(image=picture_of(mask), mask=mask)
    new = result["mask"].shape
    assert new == result["image"].shape[:2] == tuple(max(1, round(side * factor)) for side in (height, width))
    centres = [(np.arange(want) + 0.5) * have / want for have, want in zip(mask.shape, new, strict=True)]
    expected = mask[np.ix_(*(centre.astype(int) for centre in centres))]
    # OpenCV computes in fixed point: a centre within 1/100 of two pixels' edge may go to either.
    sure = np.ix_(*(np.abs(centre - np.round(centre)) > 0.01 for centre in centres))
    assert np.array_equal(result["mask"][sure], expected[sure])


@pytest.mark.parametrize(
    ("shape", "expected"), [((500, 400), (640, 512)), ((1000, 400), (1280, 512)), ((100, 900), (228, 2048))]
)
def test_a_frame_is_filled_as_far_as_the_proportions_allow(shape, expected):
    picture = np.zeros((*shape, 3), dtype=np.uint8)
    assert A.Compose([Rescale((2048, 512))])(image=picture)["image"].shape[:2] == expected


def test_factors_are_drawn_evenly():
    pipeline = seeded([Rescale(None, (0.5, 2.0))], 0)
    picture = np.zeros((400, 4, 3), dtype=np.uint8)
    factors = np.array([pipeline(image=picture)["image"].shape[0] / 400 for _ in range(400)])
    assert factors.min() >= 0.5
    assert factors.max() <= 2.0
    assert abs(factors.mean() - 1.25) < 0.09, "four standard errors of an even distribution, 0.0217 each"


@given(height=SIDES, width=SIDES, seed=st.integers(0, 999), share=st.sampled_from([0.75, 1.0]))
@settings(max_examples=60, deadline=None)
def test_a_crop_is_a_window_of_both(height, width, seed, share):
    mask = np.arange(height * width).reshape(height, width).astype(np.uint8)
    result = seeded([CategoryCrop((20, 30), share)], seed)(image=picture_of(mask), mask=mask)
    assert result["mask"].shape == (min(height, 20), min(width, 30))
    assert np.array_equal(result["image"], picture_of(result["mask"]))


def test_crops_that_one_class_covers_are_drawn_again():
    """A tenth of the picture is of another class: a plain crop would mostly miss it."""
    mask = np.zeros((100, 100), dtype=np.uint8)
    mask[45:55] = 1
    image = picture_of(mask)
    shares = {}
    for limit in (0.75, 1.0):
        crops = [seeded([CategoryCrop((20, 20), limit)], seed)(image=image, mask=mask)["mask"] for seed in range(200)]
        shares[limit] = np.mean([0.25 < crop.mean() < 0.75 for crop in crops])
    # Of the 81 rows a window can start in, 11 show between a quarter and three quarters of class 1 (5 < rows < 15,
    # of 10 at most): one try succeeds in about 11 of 81 crops, ten tries in 1 - (70/81)^10 = 77 %.
    assert shares[0.75] > 0.6
    assert shares[1.0] < 0.3


def test_what_is_ignored_does_not_count_as_a_class():
    """Three quarters are not labelled; of the rest two classes have half each, so the first window is good."""
    mask = np.full((40, 40), 255, dtype=np.uint8)
    mask[:10, :20], mask[:10, 20:] = 0, 1
    crop = CategoryCrop((40, 40), 0.75)
    calls = []
    crop._window = lambda shape: (calls.append(shape), (slice(0, 40), slice(0, 40)))[1]
    A.Compose([crop])(image=picture_of(mask), mask=mask)
    assert len(calls) == 1


def test_photometric_distortion_changes_colours_and_no_mask():
    mask = blocks(32, 32)
    image = np.random.default_rng(0).integers(0, 256, size=(32, 32, 3), dtype=np.uint8)
    results = [seeded(photometric_distortion(), seed)(image=image, mask=mask) for seed in range(100)]
    assert all(np.array_equal(result["mask"], mask) for result in results)
    unchanged = np.mean([np.array_equal(result["image"], image) for result in results])
    assert 0 < unchanged < 0.2, "all four are left out in one picture of sixteen"
