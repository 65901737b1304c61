"""Pictures with boxes in Pascal VOC's layout."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from xml.parsers import expat

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from blockyard.datamodules.detection.base import DetectionDataModule
from blockyard.datamodules.detection.boxes import BoxedListing, Boxes, checked_corners, stated_size
from blockyard.datamodules.listing import check_files
from blockyard.datamodules.segmentation.pascal_voc import PascalVOC
from blockyard.mistakes import DataError, nearest, printable

USES = (("train", "trainval"), ("test", "val"))
"""What lists to train on and to be judged by are called."""
LARGEST = 1 << 20
"""Bytes that an annotation may have."""


class VOCDetection(DetectionDataModule):
    """Boxes in ``Annotations/*.xml``, pictures in ``JPEGImages``, sets in ``ImageSets/Main/NAME.txt``.

    All of it below ``root/VOCdevkit/VOC2012`` where that is a folder, else below ``root``. VOC counts pixels from 1 and
    means them by its corners: a box from 1 to 10 is ten pixels wide. What is marked as difficult is treated as COCO
    treats crowds. The published test set has no boxes, so ``val`` is what is tested on, as in the literature.

    Args:
        root: Folder of the data.
        class_names: Names of the classes, in the order of their labels; None means VOC's twenty.
        test_set: Name of the set that is tested on.
        options: Those of :class:`~blockyard.datamodules.detection.base.DetectionDataModule`.

    Raises:
        ValueError: If a number is out of range, or classes are none or the same.
    """

    laid_out = "DIR/Annotations/*.xml and DIR/ImageSets/Main/train.txt"

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """The folder of boxes, and the lists to train on and to be judged by."""
        sets = _sets(root)
        return ["Annotations", *(f"ImageSets/Main/{name}.txt" for name in sets.values())] if sets else []

    @classmethod
    def opening(cls, root: Path) -> dict[str, Any]:
        """The folder, what its sets are called, and the classes that its boxes are of, unless all are VOC's."""
        sets = _sets(root)
        stems = _stems(root / "ImageSets" / "Main" / f"{sets['train_set']}.txt")
        files = [file for stem in stems if (file := root / "Annotations" / f"{stem}.xml").is_file()]
        found = {(one.findtext("name") or "").strip() for file in files for one in parse(file).iter("object")} - {""}
        own = {} if found <= set(cls.voc_names) else {"class_names": sorted(found)}
        return {"root": str(root), **sets, **own}

    voc_names: ClassVar[tuple[str, ...]] = PascalVOC.class_names[1:]

    def __init__(
        self, root: str = "data", class_names: list[str] | None = None, test_set: str = "val", **options: Any
    ) -> None:
        super().__init__(test_set=test_set, **options)
        if class_names is not None and (not class_names or len(set(class_names)) < len(class_names)):
            raise ValueError(f"VOCDetection: class_names must be different names, got {class_names}")
        self.root, self.class_names = Path(root), class_names

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of their labels."""
        return list(self.class_names or self.voc_names)

    @property
    def _voc(self) -> Path:
        published = self.root / "VOCdevkit" / "VOC2012"
        return published if published.is_dir() else self.root

    def list_boxes(self, name: str) -> BoxedListing:
        """The pictures of a list, in its order, with their boxes."""
        file = self._voc / "ImageSets" / "Main" / f"{name}.txt"
        stems = _stems(file)
        paths = [self._voc / "JPEGImages" / f"{stem}.jpg" for stem in stems]
        sources = [self._voc / "Annotations" / f"{stem}.xml" for stem in stems]
        check_files([str(path) for path in (*paths, *sources)], file)
        known, faulty = [], []
        for source in sources:
            boxes, size, left_out = read_annotation(source, self.classes, self.leave_out_faulty)
            known.append((boxes, size))
            faulty += left_out
        if faulty:
            rank_zero_warn(f"{len(faulty)} boxes of {file} are left out; the first: {faulty[0]}")
        names, sizes = [path.name for path in paths], [size for _, size in known]
        return BoxedListing(paths, names, [boxes for boxes, _ in known], sources, sizes)


def _sets(root: Path) -> dict[str, str]:
    """Options that say which lists are for what; none without boxes, pictures and a list to train on."""
    lists = root / "ImageSets" / "Main"
    if not all((root / name).is_dir() for name in ("Annotations", "JPEGImages")):
        return {}
    train, test = (next((name for name in names if (lists / f"{name}.txt").is_file()), None) for names in USES)
    return {"train_set": train, **({"test_set": test} if test else {})} if train else {}


def _stems(file: Path) -> list[str]:
    """The names of pictures that a list has, a line each, of which the first word counts."""
    if not file.is_file():
        raise DataError(f"{file} is missing: the names of pictures, one a line, without folder and suffix")
    try:
        stems = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not in UTF-8 (byte {error.start}); save it anew in UTF-8") from error
    for stem in stems:
        if Path(stem).name != stem:  # it becomes part of a path
            raise DataError(f"{file}: names of pictures without folder and suffix expected, found {stem!r:.60}")
    return stems


def read_annotation(
    file: Path, classes: Sequence[str], leave_out_faulty: bool = False
) -> tuple[Boxes, tuple[int, int] | None, list[str]]:
    """Boxes, height and width of the picture where they are stated, and what was wrong with boxes left out.

    Raises:
        DataError: If it is damaged, or a box is faulty or of no known class; one line.
    """
    root = parse(file)
    size = _size(root, file)
    rows, faulty = [], []
    for number, found in enumerate(root.iter("object"), 1):
        name = (found.findtext("name") or "").strip()
        where = f"{file}: object {number}"
        if name not in classes:
            raise DataError(f"{where}: there is no class {printable(name)[:60]!r}; {nearest(name, classes)}")
        try:
            corners = checked_corners(_corners(found), size, where)
        except DataError as error:
            if not leave_out_faulty:
                raise
            faulty.append(str(error))
            continue
        difficult = (found.findtext("difficult") or "0").strip() == "1"
        rows.append((corners, classes.index(name), difficult, None))
    return Boxes.of(rows), size, faulty


def parse(file: Path) -> ET.Element:
    """The root of an XML file that declares no entities: these could expand without end, or read other files.

    Raises:
        DataError: If it is too large, damaged, in an encoding that is not read, or declares a document type; one line.
    """

    def refuse(*_: Any) -> NoReturn:
        raise DataError(f"{file}: a document type or entity is declared, which annotations have no use for")

    content = file.read_bytes() if file.stat().st_size <= LARGEST else None
    if content is None:
        raise DataError(f"{file}: larger than a MiB, which no annotation is")
    checker = expat.ParserCreate()
    checker.StartDoctypeDeclHandler = refuse
    checker.EntityDeclHandler = refuse
    try:
        checker.Parse(content, True)
        return ET.fromstring(content)
    except (expat.ExpatError, ET.ParseError) as error:
        raise DataError(f"{file}: no XML: {error}") from error
    except DataError:
        raise
    except (LookupError, ValueError) as error:  # of the encoding that it declares
        said = " ".join(str(error).split())
        raise DataError(f"{file}: in an encoding that is not read ({said:.60}); save it anew in UTF-8") from error


def _size(root: ET.Element, file: Path) -> tuple[int, int] | None:
    try:
        height, width = (int(root.findtext(f"size/{name}") or 0) for name in ("height", "width"))
    except ValueError:
        return None
    return stated_size(height, width, str(file))


def _corners(found: ET.Element) -> list[Any]:
    texts = [found.findtext(f"bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax")]
    try:
        left, top, right, bottom = (float(text or "nan") for text in texts)
    except ValueError:
        return texts
    return [left - 1, top - 1, right, bottom]
