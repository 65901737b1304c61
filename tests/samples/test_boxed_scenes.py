"""Sample pictures with boxes."""

from __future__ import annotations

import numpy as np
import pytest

from blockyard.datamodules import DataError
from blockyard.samples.boxed_scenes import write_boxed_scenes
from blockyard.samples.modules.boxed_scenes import BoxedScenes
from blockyard.samples.scenes import draw_objects, draw_scene, read_material


@pytest.fixture(scope="module")
def material():
    return read_material("train", digits=3)


def test_boxes_bound_what_the_mask_says_can_be_seen(material):
    """Of a class that one object alone is of, by all that is surely its; blended edges reach a few pixels further."""
    looked_at = 0
    for number in range(30):
        picture, mask, objects = draw_objects(np.random.default_rng(number), material, (96, 128))
        again = draw_scene(np.random.default_rng(number), material, (96, 128))
        assert np.array_equal(picture, again[0])
        assert np.array_equal(mask, again[1])
        labels = [label for label, _ in objects]
        for label, (left, top, right, bottom) in objects:
            assert 0 <= left < right <= mask.shape[1]
            assert 0 <= top < bottom <= mask.shape[0]
            if labels.count(label) == 1 and np.isin(mask, label).sum() > 50:
                inside = np.isin(mask[top:bottom, left:right], label).sum()
                looked_at += 1
                assert inside >= 0.6 * np.isin(mask, label).sum()
    assert looked_at > 20


def test_the_same_seed_writes_the_same_and_another_recipe_is_refused(tmp_path):
    for name in ("a", "b"):
        write_boxed_scenes(tmp_path / name, train=4, test=2, size=(64, 80))
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 4 + 2 + 2 + 1
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    with pytest.raises(DataError, match="another train"):
        write_boxed_scenes(tmp_path / "a", train=5, test=2, size=(64, 80))


def test_the_data_module_reads_what_it_writes(tmp_path):
    data = BoxedScenes(str(tmp_path / "set"), pictures=10, test_pictures=3, num_workers=0)
    assert data.classes == ["digit 0", "digit 1", "digit 2", "digit 3", "digit 4", "flower"]
    assert [len(data.split(name)) for name in ("train", "val", "test", "predict")] == [9, 1, 3, 3]
    assert data.split("test")[0]["input"].shape == (128, 128, 3)


@pytest.mark.parametrize("options", [{"train": 0}, {"digits": 11}, {"size": (40, 64)}])
def test_numbers_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=r"digits=.* 1 to 10"):
        write_boxed_scenes(tmp_path, **options)
