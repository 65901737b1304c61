import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import DataError
from blockyard.datamodules.segmentation.masks import voc_palette
from blockyard.samples.modules.scenes import Scenes
from blockyard.samples.scenes import draw_scene, read_material, scene_classes, write_scenes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes") / "set", train=20, val=5, size=(64, 80))


@pytest.fixture(scope="module")
def material():
    return read_material("train", digits=3)


def scenes(material, count=40):
    return [draw_scene(np.random.default_rng(number), material, (96, 128)) for number in range(count)]


def test_the_layout_is_pascal_vocs(root):
    voc = root / "VOCdevkit" / "VOC2012"
    names = (voc / "ImageSets" / "Segmentation" / "trainval.txt").read_text().split()
    assert names == [f"2012_{number:06d}" for number in range(25)]
    assert (voc / "ImageSets" / "Segmentation" / "val.txt").read_text().split() == names[20:]
    with Image.open(voc / "SegmentationClass" / "2012_000000.png") as mask:
        assert mask.mode == "P"
        assert mask.getpalette()[: 3 * 256] == [channel for colour in voc_palette(256) for channel in colour]
    with Image.open(voc / "JPEGImages" / "2012_000000.jpg") as picture:
        assert (picture.format, picture.mode) == ("JPEG", "RGB")


def test_scenes_differ_and_show_every_class(material):
    drawn = scenes(material)
    assert {mask.shape for _, mask in drawn} == {(96, 128), (128, 96)}
    assert len({picture.tobytes() for picture, _ in drawn}) == len(drawn)
    values = set(np.unique(np.concatenate([mask.ravel() for _, mask in drawn])).tolist())
    assert values == {0, 1, 2, 3, 4, 255}
    assert scene_classes(3) == ["background", "digit 0", "digit 1", "digit 2", "flower"]


def test_objects_are_where_the_mask_says(material):
    """Without its objects a scene is smooth: what the mask calls an object differs from what is around it."""
    for picture, mask in scenes(material, 20):
        for value in set(np.unique(mask)) - {0, 255}:
            inside, outside = picture[mask == value].astype(int).mean(0), picture[mask == 0].astype(int).mean(0)
            assert np.abs(inside - outside).max() > 15, value


def test_masks_are_exact(material, monkeypatch):
    """White objects on black: what is no object is black, what is one is white, and only what is blended is ignored."""
    monkeypatch.setattr("blockyard.samples.scenes._light", lambda random, colours: np.full_like(colours, 255))
    black = material._replace(grounds=[np.zeros_like(ground) for ground in material.grounds])
    grey = 0
    for picture, mask in scenes(black, 20):
        white = int(picture.max())
        assert picture[mask == 0].max() <= 3, "one hundredth of 255 · 1.15"
        assert picture[(mask > 0) & (mask < 255)].min() >= 0.98 * white
        grey += int((picture[mask == 255, 0] < 0.9 * white).sum())
        assert (mask == 255).mean() < 0.15
    assert grey > 2000


def test_the_flower_is_cut_out_round(material):
    opacity = material.flower.opacity
    rows, columns = np.nonzero(opacity)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert 200 < height < 285
    assert 200 < width < 295
    # An ellipse fills π / 4 of the rectangle around it.
    assert abs(opacity.sum() / (height * width) - np.pi / 4) < 0.05


def test_validation_shows_other_digits(material):
    other = read_material("test", digits=3)
    seen = {digit.tobytes() for digit in material.digits}
    assert len(seen) == 3 * 350
    assert not any(digit.tobytes() in seen for digit in other.digits)


def test_the_same_seed_gives_the_same_files(root, tmp_path):
    again = write_scenes(tmp_path / "again", train=20, val=5, size=(64, 80))
    other = write_scenes(tmp_path / "other", train=20, val=5, size=(64, 80), seed=1)
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert len(files) == 2 * 25 + 3 + 1
    assert all((root / file).read_bytes() == (again / file).read_bytes() for file in files)
    picture = "VOCdevkit/VOC2012/JPEGImages/2012_000003.jpg"
    assert (root / picture).read_bytes() != (other / picture).read_bytes()


def test_what_is_finished_is_left_alone_and_nothing_else_is_touched(root, tmp_path, one_line):
    before = (root / "recipe.json").stat().st_mtime_ns
    write_scenes(root, train=20, val=5, size=(64, 80))
    assert (root / "recipe.json").stat().st_mtime_ns == before
    with pytest.raises(DataError) as error:
        write_scenes(root, train=21, val=5, size=(64, 80))
    one_line(error, root, "another train")
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(DataError, match="choose another folder"):
        write_scenes(tmp_path)


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("blockyard.samples.scenes.write_list", stop)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "set", train=2, val=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"train": 0}, {"val": 0}, {"digits": 11}, {"size": (40, 96)}])
def test_options_out_of_range_are_refused_before_anything_is_written(tmp_path, options, one_line):
    with pytest.raises(ValueError, match=next(iter(options))) as error:
        write_scenes(tmp_path / "set", **options)
    one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_the_data_module_writes_them_on_first_use(tmp_path, recwarn):
    data = Scenes(tmp_path / "set", pictures=20, test_pictures=4, digits=2, batch_size=4, num_workers=0)
    assert data.classes == ["background", "digit 0", "digit 1", "flower"]
    assert not (tmp_path / "set").exists(), "the classes are known without the pictures"
    batches = list(data.train_dataloader())
    assert [len(data.names(split)) for split in ("train", "val", "test", "predict")] == [18, 2, 4, 4]
    assert all(batch["input"].shape == (4, 3, 96, 96) for batch in batches)
    assert not list(data.check("train"))
    assert not [warning for warning in recwarn if "published" in str(warning.message)]
