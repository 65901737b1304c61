"""Pascal VOC's layout, and XML that is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import DataError, VOCDetection
from blockyard.datamodules.detection.voc import parse, read_annotation

OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
SIZE = "<size><width>60</width><height>40</height><depth>3</depth></size>"


def write(root, objects=(("cat", 0, 1, 1, 10, 20), ("dog", 1, 11, 5, 60, 40)), count=3):
    text = f"<annotation>{SIZE}{''.join(OBJECT.format(*one) for one in objects)}</annotation>"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (root / "Annotations" / f"{number}.xml").write_text(text)
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(root / "JPEGImages" / f"{number}.jpg")
    for name in ("train", "val"):
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{n}\n" for n in range(count)))
    return root


def data(root, **options):
    plain = {"size": (48, 48), "batch_size": 2, "num_workers": 0, "seed": 0, "val_fraction": 0}
    return VOCDetection(str(root), **(plain | options))


@pytest.mark.parametrize("below", ["", "VOCdevkit/VOC2012"])
def test_pixels_are_counted_from_one_and_both_ends_belong_to_a_box(tmp_path, below):
    write(tmp_path / below)
    (truth, *_) = data(tmp_path).split("test").listing.boxes
    assert truth.corners.tolist() == [[0, 0, 10, 20], [10, 4, 60, 40]]
    assert data(tmp_path).classes[truth.labels[0]] == "cat"
    assert truth.crowd.tolist() == [False, True]  # what is difficult need not be found


@pytest.mark.parametrize("width", [10**400, -60], ids=["huge", "negative"])
def test_a_size_that_no_picture_has_is_told(tmp_path, width):
    write(tmp_path)
    file = tmp_path / "Annotations" / "1.xml"
    file.write_text(file.read_text().replace("<width>60", f"<width>{width}"))
    with pytest.raises(DataError, match=r"1\.xml: width .*: a whole number of pixels expected, 9,999,999 at most"):
        data(tmp_path).split("test")


def test_classes_of_ones_own(tmp_path):
    write(tmp_path)
    module = data(tmp_path, class_names=["dog", "cat"])
    assert module.split("test").listing.boxes[0].labels.tolist() == [1, 0]
    with pytest.raises(ValueError, match="class_names must be different names"):
        data(tmp_path, class_names=["cat", "cat"])


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (("kat", 0, 1, 1, 9, 9), r"object 1: there is no class 'kat'; did you mean c"),
        (("cat", 0, 5, 1, 4, 9), "is empty"),
        (("cat", 0, 1, 1, 70, 9), "reaches beyond its picture of 60×40 pixels"),
        (("cat", 0, "a", 1, 9, 9), "a box of four numbers expected"),
        (("cat", 0, "inf", 1, 9, 9), "a box of four numbers expected"),
        (("cat", 0, "", 1, 9, 9), "a box of four numbers expected"),
    ],
)
def test_faulty_boxes_are_told_in_one_line(tmp_path, one, said):
    write(tmp_path, [one])
    with pytest.raises(DataError, match=said) as refused:
        data(tmp_path).split("test")
    assert "\n" not in str(refused.value)


def test_faulty_boxes_may_be_left_out(tmp_path):
    write(tmp_path, [("cat", 0, 5, 1, 4, 9), ("cat", 0, 1, 1, 9, 9)])
    with pytest.warns(UserWarning, match=r"3 boxes of .*val\.txt are left out"):
        assert len(data(tmp_path, leave_out_faulty=True).split("test").listing.boxes[0]) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://localhost/a.dtd">',
    ],
)
def test_entities_are_refused_before_anything_is_expanded(tmp_path, declared, encoding):
    file = tmp_path / "a.xml"
    file.write_bytes(f"<?xml version='1.0' encoding='{encoding}'?>{declared}<a>&b;</a>".encode(encoding))
    with pytest.raises(DataError, match="a document type or entity is declared"):
        parse(file)


def test_what_is_no_xml_is_told(tmp_path):
    file = tmp_path / "a.xml"
    file.write_text("<a>")
    with pytest.raises(DataError, match="no XML"):
        read_annotation(file, ["cat"])
    file.write_bytes(b" " * (1 << 20) + b"<a/>")
    with pytest.raises(DataError, match="larger than a MiB"):
        parse(file)


@pytest.mark.parametrize("encoding", ["foo", "shift_jis", "gb2312", "base64", "idna"])
def test_an_encoding_that_is_not_read_is_told(tmp_path, encoding):
    write(tmp_path)
    file = tmp_path / "Annotations" / "1.xml"
    file.write_text(f'<?xml version="1.0" encoding="{encoding}"?>{file.read_text()}')
    said = r"1\.xml: in an encoding that is not read \(.*\); save it anew in UTF-8$"
    with pytest.raises(DataError, match=said) as refused:
        data(tmp_path).split("test")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_encodings_that_are_read(tmp_path, encoding):
    file = tmp_path / "a.xml"
    one = OBJECT.format("chaise à bras", 0, 1, 1, 9, 9)
    file.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?><annotation>{one}</annotation>'.encode(encoding))
    assert len(read_annotation(file, ["chaise à bras"])[0]) == 1


def test_a_list_that_is_not_in_utf8_is_told(tmp_path):
    write(tmp_path)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_bytes(b"0\n\xe9\n")
    with pytest.raises(DataError, match=r"train\.txt: not in UTF-8 \(byte 2\); save it anew in UTF-8$"):
        data(tmp_path).split("train")


def test_names_in_lists_lead_nowhere_else(tmp_path):
    write(tmp_path)
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("../0\n")
    with pytest.raises(DataError, match="without folder and suffix"):
        data(tmp_path).split("test")
