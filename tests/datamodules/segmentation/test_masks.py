import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from blockyard.datamodules import DataError
from blockyard.datamodules.segmentation.masks import MaskFiles, class_labels, reduce_zero, spans, voc_palette


@pytest.fixture
def read(tmp_path):
    """Save values as a picture and read them as a mask of 21 classes."""

    def save_and_read(values, name="mask.png", labels=None, palette=None, **options):
        image = Image.fromarray(np.asarray(values))
        if palette:
            image.putpalette([channel for colour in palette for channel in colour])
        image.save(tmp_path / name, **options)
        return MaskFiles([tmp_path / name], labels or class_labels(21))[0]

    return save_and_read


def test_of_a_palette_the_index_is_read(read):
    values = np.array([[0, 1, 2], [20, 255, 3]], dtype=np.uint8)
    assert np.array_equal(read(values, palette=voc_palette(256)), values)
    assert np.array_equal(read(values, palette=[(0, 0, 0)] * 256), values), "whatever the colours are"


def test_kinds_of_index_pictures(read):
    values = np.array([[0, 1, 1], [0, 0, 1]], dtype=np.uint8)
    for kind, suffix in ((np.uint8, "png"), (np.uint16, "png"), (np.int32, "tif"), (bool, "png")):
        mask = read(values.astype(kind), name=f"mask.{suffix}")
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, values), kind


def test_values_of_two_bytes(read, one_line):
    values = np.array([[0, 1000, 65535], [255, 256, 1000]], dtype=np.uint16)
    labels = {0: 0, 256: 1, 1000: 2, 65535: 3, 255: 255}
    for kind, suffix in ((np.uint16, "png"), (np.int32, "tif")):
        mask = read(values.astype(kind), name=f"mask.{suffix}", labels=labels)
        assert mask.dtype == np.uint8
        assert mask.tolist() == [[0, 2, 3], [255, 1, 2]]
    assert read(np.array([[0, 255]], np.uint8), labels=labels).tolist() == [[0, 255]]
    with pytest.raises(DataError) as error:
        read(values + np.uint16(1), labels=labels)  # 65535 becomes 0
    one_line(error, "value 1001", "4 of 6 pixels", "0, 255 to 256, 1000, 65535")


@pytest.mark.parametrize(("value", "kind"), [(21, np.uint8), (254, np.uint8), (300, np.uint16), (65535, np.uint16)])
def test_a_value_that_is_no_class_is_named_with_its_file(read, tmp_path, one_line, value, kind):
    values = np.zeros((4, 5), dtype=kind)
    values[2, 1:3] = value
    with pytest.raises(DataError) as error:
        read(values)
    one_line(error, tmp_path / "mask.png", f"value {value}", "2 of 20 pixels", "0 to 20, 255")


def test_colours_are_refused_with_an_example(read, tmp_path, one_line):
    colours = np.zeros((4, 5, 3), dtype=np.uint8)
    colours[1, 1] = 128, 64, 32
    for mode in ("RGB", "RGBA"):
        with pytest.raises(DataError) as error:
            read(np.asarray(Image.fromarray(colours).convert(mode)))
        one_line(error, tmp_path / "mask.png", f"mode {mode}", "(128, 64, 32)", "one class index a pixel")


def test_jpeg_is_refused_because_it_changes_values(read, one_line):
    with pytest.raises(DataError) as error:
        read(np.zeros((8, 8), dtype=np.uint8), name="mask.jpg")
    one_line(error, "mask.jpg", "JPEG")


def test_damaged_and_missing_files_are_named(tmp_path, one_line):
    path = tmp_path / "mask.png"
    for content in (None, b"not a picture"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError) as error:
            _ = MaskFiles([path], class_labels(3))[0]
        one_line(error, path)


def test_zero_is_reduced_once_and_nothing_wraps_around(read):
    mask = read(np.array([[0, 1, 2, 150]], dtype=np.uint8), labels=reduce_zero(150))
    assert mask.tolist() == [[255, 0, 1, 149]]
    with pytest.raises(DataError, match="value 255"):
        read(np.array([[255]], dtype=np.uint8), labels=reduce_zero(150))


def test_boundaries_are_read_from_mat_files(tmp_path, one_line):
    values = np.array([[0, 7], [20, 0]], dtype=np.uint8)
    savemat(tmp_path / "a.mat", {"GTcls": {"Segmentation": values, "Boundaries": np.zeros(3)}})
    assert np.array_equal(MaskFiles([tmp_path / "a.mat"], class_labels(21))[0], values)
    savemat(tmp_path / "b.mat", {"GTinst": values})
    (tmp_path / "c.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:150])
    for name in ("b.mat", "c.mat", "missing.mat"):
        with pytest.raises(DataError) as error:
            _ = MaskFiles([tmp_path / name], class_labels(21))[0]
        one_line(error, tmp_path / name)


def test_the_palette_is_pascal_vocs():
    palette = voc_palette(256)
    assert palette[:5] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert palette[20] == (0, 64, 128)
    assert palette[255] == (224, 224, 192)
    assert len(set(palette)) == 256


def test_numbers_in_short():
    assert spans([0, 1, 2, 5, 254, 255]) == "0 to 2, 5, 254 to 255"
