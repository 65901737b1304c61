"""Picture files as pixels: one rule for how bright a value is, and one for which side is up."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from blockyard.mistakes import DataError

Pixels = NDArray[np.uint8]
Turned = TypeVar("Turned", bound=np.generic)
ORIENTATION = 0x0112
UPRIGHT = 1
TURNED = range(2, 9)
"""Values of the orientation tag of EXIF and TIFF that ask for another side up, or for a mirror image."""
SIDEWAYS = range(5, 9)
"""Those of them that exchange height and width."""
UPSIDE_DOWN, RIGHT_TO_LEFT = (3, 4, 7, 8), (2, 3, 6, 7)
"""Those of them by which, upright, the last of what is stored comes first: from the top, from the left."""
BITS_PER_SAMPLE, SAMPLE_FORMAT, UNSIGNED = 258, 339, 1
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises of files that it can't read."""
END_OF_JPEG = b"\xff\xd9"
HEADROOM = 2
"""So many of the uppermost bits may be empty; with more, values were meant for fewer bits than the file has."""


def decode(path: Path, bits: int | None = None, reduction: int = 1) -> tuple[Pixels, int]:
    """Read a picture, as it is meant to be seen.

    Grey is repeated, CMYK, LAB and palettes are converted, transparency is dropped; of several pictures in a file the
    first is read. Of whole numbers of more than 8 bits the upper 8 of ``bits`` are taken, by default of as many as the
    file has (8, 12, 16 or 32); where its two uppermost bits are empty in all pixels, as when a camera's 12 bits lie in
    16, nothing says how bright they are, and it is refused. Floating-point pixels are taken from 0, black, to 1, white.

    Args:
        path: The file.
        bits: How many bits the values of files of more than 8 bits have.
        reduction: By what a JPEG's height and width are divided, 1, 2, 4 or 8: from fewer frequencies, in less time.
            Others keep their size.

    Returns:
        Pixels ``(H, W, 3)`` upright, as any viewer shows them, and the orientation tag by which they were turned: 2 to
        8, or 1 for none.

    Raises:
        DataError: If it is missing or damaged, or its values are outside of their range, or of unknown range.
    """
    try:
        with opened(path) as image:
            if reduction > 1:
                image.draft(None, (max(1, image.width // reduction), max(1, image.height // reduction)))
            # Before it is loaded: then Pillow has turned TIFF files, and those alone.
            tag, raw_mode = orientation(image) if image.format == "TIFF" else None, _raw_mode(image)
            if image.mode == "F":
                pixels = _of_floats(np.asarray(image), path)
            elif image.mode.startswith("I"):
                pixels = _of_integers(_integers(image), _own_bits(image), bits, path)
            elif ";16" in raw_mode:
                # Pillow would take the upper bytes, whatever is in the lower ones.
                if (tag or UPRIGHT) != UPRIGHT:  # OpenCV turns some TIFF files and not others
                    raise DataError(f"{path}: 16-bit colours with orientation tag {tag}; save it upright, without it")
                pixels = _of_integers(_deep_colours(path), 16, bits, path)
            else:
                pixels = _colours(image) if reduction == 1 else np.asarray(image.convert("RGB"))
            if tag is not None:
                return pixels, tag
            tag = orientation(image)
            return turn(pixels, tag), tag
    except (*UNREADABLE, cv2.error) as error:
        if isinstance(error, DataError):
            raise
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: damaged or not a picture ({reason}); replace or remove it") from error


def reducible_size(path: Path) -> tuple[int, int] | None:
    """Height and width, upright, of a JPEG, which :func:`decode` can reduce; None of what it can't, or can't read."""
    try:
        with opened(path) as image:
            if not isinstance(image, JpegImageFile):
                return None
            width, height = image.size
            return (width, height) if orientation(image) in SIDEWAYS else (height, width)
    except UNREADABLE:
        return None


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture file, not yet decoded.

    Raises:
        OSError: If it is missing or no picture.
    """
    # Of a name Pillow 13 maps plain TIFF files into memory, and scrambles the pixels of those that lie on their side.
    with path.open("rb") as file:
        try:
            with Image.open(file) as image:
                yield image
        except UnidentifiedImageError as error:
            raise OSError("no kind of picture that is known") from error


def orientation(image: Image.Image) -> int:
    """The orientation tag of an open picture: 2 to 8, or 1 where there is none that says anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tag: Any = image.getexif().get(ORIENTATION)
    except Exception:  # damaged tags can raise anything, and say nothing of the pixels
        return UPRIGHT
    return int(tag) if tag in TURNED else UPRIGHT


def turn(stored: NDArray[Turned], tag: int) -> NDArray[Turned]:
    """What lies as stored, ``(H, W)`` or ``(H, W, C)``, upright."""
    if tag in SIDEWAYS:
        stored = stored.swapaxes(0, 1)
    down = slice(None, None, -1 if tag in UPSIDE_DOWN else 1)
    across = slice(None, None, -1 if tag in RIGHT_TO_LEFT else 1)
    return np.ascontiguousarray(stored[down, across])


def turn_back(upright: NDArray[Turned], tag: int) -> NDArray[Turned]:
    """The inverse of :func:`turn`."""
    return turn(upright, {6: 8, 8: 6}.get(tag, tag))


def check_bits(bits: int | None) -> None:
    """Refuse a number of bits that no picture has.

    Raises:
        ValueError: If it is not 8 to 32.
    """
    if bits is not None and not 8 <= bits <= 32:
        raise ValueError(f"bits={bits} must be 8 to 32: how many bits the values of deep pictures have")


def _colours(image: Image.Image) -> Pixels:
    """Pixels ``(H, W, 3)`` of 8 bits as Pillow makes them; of a JPEG torchvision makes the same in fewer copies."""
    if isinstance(image, JpegImageFile) and image.mode in ("RGB", "L") and image.fp is not None:
        image.fp.seek(0)
        content = bytearray(image.fp.read())
        # Of a file that was cut off it would make grey pixels, and of what it refuses Pillow says what is wrong.
        if content.endswith(END_OF_JPEG) and (pixels := _of_jpeg(content)) is not None:
            return pixels
    return np.asarray(image.convert("RGB"))


def _of_jpeg(content: bytearray) -> Pixels | None:
    import torch  # not before a picture is read: it takes a second
    from torchvision import io

    try:
        channels = io.decode_jpeg(torch.frombuffer(content, dtype=torch.uint8), io.ImageReadMode.RGB)
    except RuntimeError:
        return None
    return np.ascontiguousarray(cast(torch.Tensor, channels).permute(1, 2, 0).numpy())


def _raw_mode(image: Image.Image) -> str:
    """What Pillow calls the pixels of the file, such as ``RGB;16B``."""
    tiles: Any = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _own_bits(image: Image.Image) -> int:
    if image.format == "TIFF":
        return int(image.tag_v2[BITS_PER_SAMPLE][0])  # type: ignore[attr-defined]
    return 16  # what Pillow opens as "I" otherwise, PNG and PPM, has no more


def _integers(image: Image.Image) -> NDArray[np.integer[Any]]:
    unsigned = image.format == "TIFF" and image.tag_v2.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED  # type: ignore[attr-defined]
    values: NDArray[np.integer[Any]] = np.asarray(image)
    return values.view(np.uint32) if unsigned and values.dtype == np.int32 else values


def _deep_colours(path: Path) -> NDArray[np.integer[Any]]:
    values: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise OSError("its 16-bit colours can't be decoded")
    return values if values.ndim == 2 else values[..., 2::-1]


def _of_integers(values: NDArray[np.integer[Any]], own: int, bits: int | None, path: Path) -> Pixels:
    """Pixels ``(H, W, 3)`` of whole numbers ``(H, W)`` or ``(H, W, 3)``."""
    low, high = int(values.min()), int(values.max())
    depth = bits or own
    if low < 0 or high >> depth:
        raise DataError(f"{path}: its values are {low} to {high}, but {depth} bits hold 0 to {2**depth - 1}")
    if bits is None and own in (16, 32) and 0 < high < 1 << (own - HEADROOM):
        likely = max(8, high.bit_length() + high.bit_length() % 2)
        raise DataError(
            f"{path}: values up to {high} in {own} bits, so nothing says how bright they are; say how many bits they "
            f"have by data.bits, such as {likely}, or save it with 8 bits"
        )
    pixels = (values >> (depth - 8)).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels


def _of_floats(values: NDArray[np.floating[Any]], path: Path) -> Pixels:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # so that NaN is refused too
        raise DataError(
            f"{path}: floating-point pixels from {low:g} to {high:g}, but they are read from 0, black, to 1, white; "
            "save it with 8 or 16 bits"
        )
    return np.repeat(np.rint(255 * values).astype(np.uint8)[..., None], 3, axis=-1)
