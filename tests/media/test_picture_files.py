"""Pictures of valid but uncommon kinds: each has one brightness and one side that is up."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from blockyard.media.picture_files import ORIENTATION, TURNED, check_bits, decode, reducible_size, turn, turn_back
from blockyard.mistakes import DataError

GREY = np.full((12, 18), 40, np.uint8)
GREY[:, 9:], GREY[:4] = 200, 255
COLOUR = np.stack([GREY, GREY // 2, 255 - GREY], -1)
CLOUDS = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8), (101, 75))
JPEGS = {
    "4:2:0": {},
    "4:2:2": {"subsampling": 1},
    "4:1:1": {"subsampling": "4:1:1"},
    "4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "coarse": {"quality": 10, "optimize": True},
    "RGB": {"keep_rgb": True},
    "grey": {},
    "CMYK": {},
    "two": {"format": "MPO", "save_all": True, "append_images": [Image.fromarray(255 - CLOUDS)]},
}
"""Kinds of JPEG, and how Pillow writes them."""


def write_deep_colours(path, array, tag):
    """A plain TIFF of 16 bits a channel with an orientation tag, which neither Pillow nor OpenCV writes."""
    height, width, _ = array.shape
    entries = {256: width, 257: height, 258: 16, 259: 1, 262: 2, 273: 0, ORIENTATION: tag, 277: 3, 278: height}
    entries[279] = array.nbytes
    start = 8 + 2 + 12 * len(entries) + 4
    places = {258: (3, start), 273: (1, start + 6)}  # three depths, then the pixels
    fields = [(key, *places.get(key, (1, value))) for key, value in entries.items()]
    kinds = {258: 3, 273: 4, 279: 4}  # 16 or 32 bits
    table = b"".join(struct.pack("<HHII", key, kinds.get(key, 3), count, value) for key, count, value in fields)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)
    path.write_bytes(head + struct.pack("<3H", 16, 16, 16) + array.astype("<u2").tobytes())


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def grey(pixels):
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_taken_by_their_upper_half(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", GREY.astype(np.uint16) * 257)
    assert np.array_equal(grey(decode(path)[0]), GREY)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_sixteen_are_refused_unless_said(tmp_path, one_line, suffix, bits):
    path = saved(tmp_path / f"a.{suffix}", GREY.astype(np.uint16) << (bits - 8))
    with pytest.raises(DataError) as error:
        decode(path)
    one_line(error, path, "nothing says how bright", f"data.bits, such as {bits}")
    assert np.array_equal(grey(decode(path, bits)[0]), GREY)
    with pytest.raises(DataError) as error:
        decode(saved(path, GREY.astype(np.uint16) * 257), bits)
    one_line(error, path, f"values are {40 * 257} to 65535, but {bits} bits hold 0 to {2**bits - 1}")


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_sixteen_bits_follow_the_rule_of_grey(tmp_path, one_line, suffix, channels):
    """Pillow opens them as 8 bits, without a word."""
    deep = np.dstack([COLOUR, GREY])[..., [2, 1, 0, 3][:channels]].astype(np.uint16)  # OpenCV writes BGR
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), deep * 257)
    assert np.array_equal(decode(path)[0], COLOUR)
    cv2.imwrite(str(path), deep * 16)
    with pytest.raises(DataError) as error:
        decode(path)
    one_line(error, path, "data.bits, such as 12")
    assert np.array_equal(decode(path, 12)[0], COLOUR)


def test_whole_numbers_of_32_bits(tmp_path, one_line):
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), GREY.astype(np.int32) << 23)
    assert np.array_equal(grey(decode(path, 31)[0]), GREY)
    cv2.imwrite(str(path), GREY.astype(np.int32))
    with pytest.raises(DataError) as error:
        decode(path)
    one_line(error, path, "values up to 255 in 32 bits")
    assert np.array_equal(grey(decode(path, 8)[0]), GREY)
    cv2.imwrite(str(path), GREY.astype(np.int32) - 100)
    with pytest.raises(DataError) as error:
        decode(path)
    one_line(error, path, "values are -60 to 155")


def test_black_is_black_in_any_number_of_bits(tmp_path):
    assert not decode(saved(tmp_path / "a.png", np.zeros((4, 5), np.uint16)))[0].any()


def test_floats_go_from_black_to_white(tmp_path, one_line):
    path = tmp_path / "a.tif"
    assert np.array_equal(grey(decode(saved(path, GREY.astype(np.float32) / 255))[0]), GREY)
    for wrong, said in ((GREY.astype(np.float32), "40 to 255"), (GREY / np.float32(-255), "-1 to"), (None, "nan")):
        values = np.where(GREY == 40, np.nan, 0.5).astype(np.float32) if wrong is None else wrong
        with pytest.raises(DataError) as error:
            decode(saved(path, values))
        one_line(error, path, "floating-point pixels", said)


def test_kinds_of_eight_bits(tmp_path):
    transparent = np.where(GREY > 100, 255, 0).astype(np.uint8)
    for name, image, expected in (
        ("l.png", Image.fromarray(GREY), np.dstack([GREY] * 3)),
        ("la.png", Image.fromarray(np.dstack([GREY, transparent])), np.dstack([GREY] * 3)),
        ("rgba.png", Image.fromarray(np.dstack([COLOUR, transparent])), COLOUR),
        ("1.png", Image.fromarray(GREY > 100), np.dstack([np.where(GREY > 100, 255, 0)] * 3)),
        ("p.png", Image.fromarray(COLOUR).quantize(8), COLOUR),
        ("p.gif", Image.fromarray(COLOUR).quantize(8), COLOUR),
        ("really_png.jpg", Image.fromarray(COLOUR), COLOUR),
    ):
        image.save(tmp_path / name, format="PNG" if name == "really_png.jpg" else None)
        assert np.array_equal(decode(tmp_path / name)[0], expected), name


def test_kinds_that_lose_a_little(tmp_path):
    for name, mode, options in (
        ("a.jpg", "CMYK", {"quality": 100, "subsampling": 0}),
        ("a.jfif", "RGB", {"format": "JPEG", "quality": 100, "subsampling": 0}),
        ("a.tif", "CMYK", {}),
        ("b.tif", "LAB", {}),
    ):
        Image.fromarray(COLOUR).convert(mode).save(tmp_path / name, **options)
        # JPEG rounds twice; 8 bits of LAB are coarse: up to 8 levels of a saturated colour.
        difference = np.abs(decode(tmp_path / name)[0].astype(int) - COLOUR)
        assert difference.max() <= (8 if mode == "LAB" else 4), name


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_of_several_pictures_the_first_is_read(tmp_path, suffix):
    path, other = tmp_path / f"a.{suffix}", Image.fromarray(255 - COLOUR)
    lossless = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(COLOUR).save(path, save_all=True, append_images=[other], **lossless)
    assert np.array_equal(decode(path)[0], COLOUR)


@pytest.mark.parametrize("tag", TURNED)
def test_turning_is_pillows(tag):
    exif = Image.Exif()
    exif[ORIENTATION] = tag
    image = Image.fromarray(COLOUR)
    image.getexif()[ORIENTATION] = tag
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turn(COLOUR, tag), expected)
    assert np.array_equal(turn_back(expected, tag), COLOUR)


@pytest.mark.parametrize("tag", TURNED)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "deep.tif", "deep.png"])
def test_every_format_is_turned_upright_by_its_tag(tmp_path, kind, tag):
    """Pillow turns TIFF by itself, and nothing else."""
    path, exif = tmp_path / f"a.{kind}", Image.Exif()
    exif[ORIENTATION] = tag
    expected = np.dstack([GREY] * 3) if "deep" in kind else COLOUR
    array = GREY.astype(np.uint16) * 257 if "deep" in kind else COLOUR
    lossless = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(kind, {})
    Image.fromarray(array).save(path, exif=exif, **lossless)
    pixels, told = decode(path)
    assert told == tag
    assert pixels.shape == turn(expected, tag).shape
    # JPEG rounds.
    assert np.abs(pixels.astype(int) - turn(expected, tag)).max() <= (4 if kind == "jpg" else 0)


@pytest.mark.parametrize("tag", TURNED)
def test_mmsegmentation_turns_alike(tmp_path, tag):
    import mmcv  # its reader needs none of the operators that mmcv-lite lacks

    exif = Image.Exif()
    exif[ORIENTATION] = tag
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", exif=exif)
    # Two JPEG decoders round on their own.
    assert (
        np.abs(mmcv.imread(str(tmp_path / "a.jpg"))[..., ::-1].astype(int) - decode(tmp_path / "a.jpg")[0]).max() <= 1
    )


def test_deep_colours_of_tiff_are_turned_by_nobody(tmp_path, one_line):
    path = tmp_path / "a.tif"
    write_deep_colours(path, COLOUR.astype(np.uint16) * 257, 1)
    assert np.array_equal(decode(path)[0], COLOUR)
    write_deep_colours(path, COLOUR.astype(np.uint16) * 257, 6)
    with pytest.raises(DataError) as error:
        decode(path)
    one_line(error, path, "orientation tag 6")


def test_tags_that_say_nothing(tmp_path):
    for tag in (0, 1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = tag
        Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
        assert decode(tmp_path / "a.png")[1] == 1
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert np.array_equal(decode(tmp_path / "a.png")[0], COLOUR)


@pytest.mark.parametrize("bits", [0, 7, 33])
def test_a_number_of_bits_that_no_picture_has(bits):
    with pytest.raises(ValueError, match=rf"^bits={bits} must be 8 to 32"):
        check_bits(bits)


def jpeg(kind):
    content, mode = io.BytesIO(), {"grey": "L", "CMYK": "CMYK"}.get(kind, "RGB")
    Image.fromarray(CLOUDS).convert(mode).save(content, **{"format": "JPEG", **JPEGS[kind]})
    return content.getvalue()


def pillow(content):
    """Pixels, or what Pillow says of it."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        return " ".join(str(error).split())


@pytest.mark.parametrize("kind", JPEGS)
def test_pixels_of_jpeg_are_pillows(tmp_path, kind):
    (tmp_path / "a.jpg").write_bytes(jpeg(kind))
    pixels, _ = decode(tmp_path / "a.jpg")
    assert np.array_equal(pixels, pillow(jpeg(kind)))
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("kind", JPEGS)
def test_what_becomes_of_damaged_jpeg_is_pillows(tmp_path, one_line, kind):
    """Torchvision and Pillow pass over the same damage, to the same pixels, or Pillow says what is wrong."""
    whole, path, generator = jpeg(kind), tmp_path / "a.jpg", np.random.default_rng(0)
    broken = [bytearray(whole) for _ in range(20)]
    for content in broken:
        for place in generator.integers(len(whole) // 4, len(whole) - 2, size=3):
            content[place] = generator.integers(256)
    refused = 0
    for content in (*broken, whole[:-2], whole[: len(whole) // 2], whole[:100], whole + b"after its end"):
        path.write_bytes(content)
        expected = pillow(bytes(content))
        if isinstance(expected, str):
            with pytest.raises(DataError) as error:
                decode(path)
            one_line(error, path, "" if "cannot identify" in expected else expected.partition(" (")[0])
            refused += 1
        else:
            assert np.array_equal(decode(path)[0], expected)
    assert refused


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("tag", [1, *TURNED])
def test_jpeg_is_decoded_smaller_and_upright(tmp_path, kind, tag):
    path, exif = tmp_path / f"a.{kind}", Image.Exif()
    exif[ORIENTATION] = tag
    lossless = {"quality": 100, "subsampling": 0} if kind == "jpg" else {}
    Image.fromarray(CLOUDS).save(path, exif=exif, **lossless)
    whole = decode(path)[0]
    size = reducible_size(path)
    assert size == (whole.shape[:2] if kind == "jpg" else None)
    for reduction in (2, 4, 8):
        pixels, told = decode(path, reduction=reduction)
        assert told == tag
        if kind == "png":
            assert np.array_equal(pixels, whole)
            continue
        assert pixels.shape == (-(-size[0] // reduction), -(-size[1] // reduction), 3)
        # The low frequencies of a block are nearly its means; the last block of a line is not whole.
        blocks = turn_back(whole, tag)[:72, :96]
        means = cv2.resize(blocks, (96 // reduction, 72 // reduction), interpolation=cv2.INTER_AREA)
        stored = turn_back(pixels, tag)[: 72 // reduction, : 96 // reduction]
        assert np.abs(stored.astype(int) - means).mean() < 2


def test_what_has_no_size_to_be_reduced(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg("4:2:0")[:10])
    assert reducible_size(tmp_path / "a.jpg") is None
    assert reducible_size(tmp_path / "missing.jpg") is None


@pytest.mark.parametrize("kind", JPEGS)
def test_cut_off_files_are_refused_at_any_size(tmp_path, one_line, kind):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(kind)[: len(jpeg(kind)) * 2 // 3 // (2 if kind == "two" else 1)])
    said = []
    for reduction in (1, 2, 4, 8):
        with pytest.raises(DataError) as error:
            decode(path, reduction=reduction)
        said.append(str(error.value))
    assert len(set(said)) == 1
    one_line(error, path, "truncated")
