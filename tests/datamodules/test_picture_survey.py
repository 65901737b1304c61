"""What pictures are like, and what follows."""

from __future__ import annotations

import numpy as np
import pytest

from blockyard.datamodules.picture_survey import SMALLEST, survey_pictures


def pictures(height: int, width: int, grey: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [rng.integers(0, 256, (height, width, 1 if grey else 3), dtype=np.uint8) for _ in range(5)]
    return [picture.repeat(3, axis=2) if grey else picture for picture in found]


def test_moments_are_those_of_the_pixels():
    files = pictures(20, 30, grey=False)
    found = survey_pictures(files)
    every = np.stack(files).reshape(-1, 3) / 255
    assert (found.height, found.width, found.grey) == (20, 30, False)
    assert found.mean == pytest.approx(every.mean(0), abs=1e-3)
    assert found.std == pytest.approx(every.std(0), abs=1e-3)


def test_a_picture_of_one_colour_can_still_be_divided_by_its_deviation():
    assert min(survey_pictures([np.zeros((4, 4, 3), np.uint8)]).std) > 0


def test_grey_pictures_are_not_mirrored():
    assert survey_pictures(pictures(8, 8, grey=True)).flip().value is False
    assert survey_pictures(pictures(8, 8, grey=False)).flip().value is True


def test_a_mask_is_mirrored_with_its_picture():
    grey = survey_pictures(pictures(8, 8, grey=True))
    assert grey.flip(["ground", "thing"], masks=True).value is True
    assert grey.flip(["left lung", "right lung"], masks=True).value is False


def test_pictures_are_alike_if_all_have_one_size():
    few = pictures(8, 8, grey=True)
    assert survey_pictures(few).alike
    assert not survey_pictures([*few, few[0][1:]]).alike


@pytest.mark.parametrize("name", ["turn left", "right_hand", "TurnLeft", "clockwise", "Counter-Clockwise"])
def test_classes_with_a_side_are_not_mirrored(name):
    photographs = survey_pictures(pictures(8, 8, grey=False))
    why = f"the class {name} has a side, and a mirror image the other one"
    assert photographs.flip(["straight on", name]) == (False, why)
    assert photographs.flip(["bright", "leftovers", "upright"]).value is True


@pytest.mark.parametrize(
    ("short", "weights", "side"), [(8, False, SMALLEST), (50, False, 48), (500, False, 128), (500, True, 224)]
)
def test_inputs_are_as_large_as_the_pictures_up_to_a_bound(short, weights, side):
    assert survey_pictures(pictures(short, short + 9, grey=True)).side(weights).value == side


def test_trained_weights_see_what_they_were_trained_on():
    found = survey_pictures(pictures(8, 8, grey=True))
    assert found.normalisation(True)["mean"].value == [0.485, 0.456, 0.406]
    assert found.normalisation(False)["mean"].value == list(found.mean)
