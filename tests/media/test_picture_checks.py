"""Damage that decoders pass over, and what is worth knowing of a picture."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules.checking import Findings
from blockyard.datamodules.images import ImageFiles, Images
from blockyard.media.picture_checks import damage, peculiarity

ROWS, COLUMNS = np.mgrid[:48, :64]
COLOUR = np.stack([4 * COLUMNS, 5 * ROWS, COLUMNS * ROWS % 256], -1).astype(np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(rows: int = 48, *more: bytes) -> bytes:
    lines = b"".join(b"\0" + line.tobytes() for line in COLOUR[:rows])
    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_whole_png_files(tmp_path, mode):
    image = Image.fromarray(COLOUR[..., 0].astype(np.uint16)) if mode == "I;16" else Image.fromarray(COLOUR)
    (image if mode == "I;16" else image.convert(mode)).resize((61, 43)).save(tmp_path / "a.png")
    assert damage(tmp_path / "a.png") is None


def test_an_interlaced_png(tmp_path):
    # Pillow writes none. Columns and rows of each pass of 5×5 pixels, of 2 bits each.
    sizes = [(1, 1), (1, 1), (2, 1), (1, 2), (3, 1), (2, 3), (5, 2)]
    passes = [[b"\0" + bytes(-(-columns * 2 // 8))] * rows for columns, rows in sizes]
    data = zlib.compress(b"".join(line for rows in passes for line in rows))
    header = struct.pack(">IIBBBBB", 5, 5, 2, 0, 0, 0, 1)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    assert Image.open(path).size == (5, 5)
    assert damage(path) is None


@pytest.mark.parametrize("name", [b"IDAT", b"tEXt", b"IEND", b"IHDR"])
def test_every_chunk_of_a_png_has_its_check_sum(tmp_path, name):
    content = bytearray(png(48, chunk(b"tEXt", b"Title\0a")))
    place = content.index(name) + 4 + {b"IDAT": 30, b"tEXt": 2, b"IEND": 0, b"IHDR": 0}[name]
    content[place] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    assert name.decode() in str(damage(tmp_path / "a.png"))


def test_pixels_that_are_not_in_a_png(tmp_path):
    """Pillow shows them black."""
    path = tmp_path / "a.png"
    path.write_bytes(png(20))
    assert not np.asarray(Image.open(path))[20:].any()
    assert damage(path) == f"its data hold {20 * 193} bytes of pixels, not {48 * 193}"
    path.write_bytes(png()[:-12])
    assert damage(path) == "its end is missing"


def test_a_bomb_is_not_unpacked(tmp_path):
    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    bomb = chunk(b"IDAT", zlib.compress(bytes(10**7), 9))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + bomb + chunk(b"IEND", b""))
    assert damage(tmp_path / "a.png") == f"its data hold {48 * 193 + 1} bytes of pixels, not {48 * 193}"


JPEGS = [
    {"quality": 95},
    {"quality": 20, "subsampling": 0},
    {"progressive": True},
    {"optimize": True, "restart_marker_blocks": 4},
    {"mode": "L"},
    {"mode": "CMYK"},
]


@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_jpeg(tmp_path, options):
    path, options = tmp_path / "a.jpg", dict(options)
    Image.fromarray(COLOUR).convert(options.pop("mode", "RGB")).save(path, "JPEG", **options)
    content = path.read_bytes()
    assert damage(path) is None
    path.write_bytes(content + b"what a camera adds")
    assert damage(path) is None
    path.write_bytes(content[: len(content) * 2 // 3])
    assert damage(path) == "its compressed data are damaged"


def test_damaged_jpeg_that_opens_without_a_word(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOUR).save(path, quality=95)
    content = bytearray(path.read_bytes())
    middle = len(content) * 2 // 3
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)
    assert np.asarray(Image.open(path)).shape == COLOUR.shape
    assert damage(path) == "its compressed data are damaged"


def test_other_files_are_passed_over(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"")
    assert damage(tmp_path / "a.txt") is None
    assert peculiarity(tmp_path / "a.txt") is None


def test_what_is_worth_knowing(tmp_path):
    image, exif = Image.fromarray(COLOUR), Image.Exif()
    exif[0x0112] = 3
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.fromarray(255 - COLOUR)])
    assert peculiarity(tmp_path / "a.png") is None
    assert peculiarity(tmp_path / "turned.jpg") == "turned upright by its orientation tag 3"
    assert peculiarity(tmp_path / "moving.gif") == "holds 2 pictures, the first is read"


def test_a_split_tells_damage_and_what_decoders_warn_of(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png())
    broken = bytearray(png())
    broken[-14] ^= 1  # of the check sum of the pixels
    (tmp_path / "b.png").write_bytes(broken)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    split = Images(ImageFiles(paths), None, ["a", "b"], None, (0.5,) * 3, (0.5,) * 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 - 1)  # half of what is refused
    whole, damaged = (Findings(split, digest=False)[number] for number in range(2))
    assert whole.problem is None
    assert "decompression bomb" in str(whole.note)
    assert str(damaged.problem).startswith(f"{paths[1]}: ")
