"""Where people keep pictures and their masks: two folders by kind, by split, or all in one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, pairwise
from pathlib import Path

from blockyard.datamodules.folders import LeftOut
from blockyard.datamodules.segmentation.listing import Listing
from blockyard.mistakes import DataError

SPLITS = ("train", "val", "test")
PNG = "draw one grey PNG a picture, the class index of each pixel its value"
FOREIGN = {
    ".json": f"seems to be annotations as COCO's: {PNG} (pycocotools' annToMask makes the arrays)",
    ".txt": f"seems to be polygons as YOLO's: {PNG} (cv2.fillPoly does)",
    ".npy": "is an array of numpy's: save each as a grey PNG, PIL.Image.fromarray(array.astype('uint8')).save(…)",
}
"""What masks may be that are no pictures, and what to do about it."""
LOOKED_AT = 100


def places(root: Path, split: str, suffix: str | None) -> tuple[Path, Path]:
    """Folders of a split's pictures and masks; the same one if masks have a suffix and no folder of their own.

    Raises:
        DataError: If there are folders both by kind and by split.
    """
    by_split = [root / part / "images" for part in SPLITS if (root / part / "images").is_dir()]
    if by_split and (root / "images").is_dir():
        raise DataError(f"{root}: both {root / 'images'} and {by_split[0]}: one of the two layouts, not a mixture")
    if by_split:
        images, masks = root / split / "images", root / split / "masks"
    elif suffix and not (root / "images").is_dir():
        images = masks = root / split
    else:
        images, masks = root / "images" / split, root / "masks" / split
    return images, images if suffix and not masks.is_dir() else masks


def find_pairs(root: Path, split: str, suffix: str | None) -> Listing:
    """The pictures of a split, sorted by path, with their masks.

    Args:
        root: Folder of the data.
        split: Its name.
        suffix: What the name of a mask has after that of its picture.

    Raises:
        DataError: If there are none, a picture has no mask, or two have the same.
    """
    images, place = places(root, split, suffix)
    found = Listing.of_folder(images)
    masks = found if place == images else _masks(root, split, place)
    end = suffix or ""
    mask_of = {
        stem.removesuffix(end): path
        for path, stem in zip(masks.images, map(_stem, masks.names), strict=True)
        if stem.endswith(end)
    }
    apart = place == images
    files = found.take([row for row, name in enumerate(found.names) if not (apart and _stem(name).endswith(end))])
    stems = [_stem(name) for name in files.names]
    if not stems:
        raise DataError(f"{images}: all its pictures are called …{end}, as masks are: no picture has one")
    if lacking := [name for name, stem in zip(files.names, stems, strict=True) if stem not in mask_of]:
        name = f"called …{end}" if end else "of the same name"
        said = f"{place}: {len(lacking)} of {len(stems)} pictures have no mask {name}, the first is {lacking[0]}"
        raise DataError(said + _other_suffix(lacking[0], masks.names, end))
    if len(set(stems)) < len(stems):
        twice = next(stem for stem, following in pairwise(sorted(stems)) if stem == following)
        raise DataError(f"{images}: two pictures {twice}.* would have the same mask")
    left = LeftOut()
    for stem in sorted(mask_of.keys() - set(stems)):
        left.add("masks without a picture", stem)
    left.tell(place, "mask")
    return Listing(files.images, [mask_of[stem] for stem in stems], files.names)


def without_masks(files: Listing, suffix: str) -> Listing:
    """The pictures that are not the mask of another one among them."""
    stems = [_stem(name) for name in files.names]
    masks = {f"{stem}{suffix}" for stem in stems}
    return files.take([row for row, stem in enumerate(stems) if stem not in masks])


def _masks(root: Path, split: str, place: Path) -> Listing:
    """The pictures of a folder of masks; what is there in their place is named."""
    try:
        return Listing.of_folder(place)
    except DataError as error:
        elsewhere = (root / "annotations", root / "labels" / split, root / "labels", root / split / "labels", root)
        foreign = next(_foreign((place, place.parent, *elsewhere, root / split)), None)
        if foreign is None:
            raise
        raise DataError(f"{place} holds no mask: {foreign} {FOREIGN[foreign.suffix]}") from error


def _foreign(folders: Iterable[Path]) -> Iterator[Path]:
    files = chain.from_iterable(islice(sorted(folder.iterdir()), LOOKED_AT) for folder in folders if folder.is_dir())
    return (file for file in files if file.suffix in FOREIGN and file.name != "classes.txt")


def _other_suffix(picture: str, masks: Iterable[str], suffix: str) -> str:
    """What would find the mask of a picture; nothing if no name begins like that."""
    stem = _stem(picture)
    found = {name.removeprefix(stem) for name in map(_stem, masks) if name.startswith(stem)}
    ends = sorted(found - {"", suffix}, key=len)
    return f"; --data.mask_suffix {ends[0]} would take {stem}{ends[0]}" if ends else ""


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()
