"""Tiles: each pixel is kept of exactly one, which sees around it what the picture has there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from blockyard.datamodules import ImageMaskFolder
from blockyard.datamodules.segmentation.tiles import Tile, lay_tiles


@settings(max_examples=200, deadline=None)
@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    tile=st.tuples(st.integers(2, 64), st.integers(2, 64)),
    data=st.data(),
)
def test_tiles_partition_the_picture(size, tile, data):
    overlap = data.draw(st.integers(0, min(tile) // 2))
    tiles = lay_tiles(size, tile, overlap)
    kept = np.zeros(size, int)
    for part in tiles:
        kept[part.kept] += 1
        for seen, chosen, side, length in zip(part.seen, part.kept, tile, size, strict=True):
            assert 0 <= seen.start <= chosen.start < chosen.stop <= seen.stop <= length
            assert seen.stop - seen.start <= side
            assert chosen.start - seen.start >= overlap // 2 or seen.start == 0
            assert seen.stop - chosen.stop >= overlap // 2 or seen.stop == length
            assert seen.start % (side - overlap) == 0  # on the grid of any stride that divides a step
    assert (kept == 1).all()
    assert [part.is_first for part in tiles] == [True] + [False] * (len(tiles) - 1)
    assert [part.is_last for part in tiles] == [False] * (len(tiles) - 1) + [True]
    if size[0] <= tile[0] and size[1] <= tile[1]:
        assert tiles == [Tile.whole(size)]


@pytest.fixture
def folder(tmp_path):
    """Three pictures of different sizes, one of them damaged."""
    (tmp_path / "classes.txt").write_text("a\nb\n")
    for number, size in enumerate([(40, 50), (20, 20), (33, 64)]):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"")
    return tmp_path


def data_of(folder, **options):
    options = {"predict_tile": (24, 24), "predict_overlap": 8, "num_workers": 0} | options
    return ImageMaskFolder(str(folder), predict_folder=str(folder), **options)


def test_items_are_tiles(folder):
    split = data_of(folder).load("predict")
    assert split.owner.tolist() == [0] * 6 + [1] + [2] * 8
    assert not split[6]["valid"]
    pixels = np.asarray(Image.open(folder / "2.png"))
    for item in split.items_of(2):
        assert np.array_equal(split[item]["input"], pixels[split.tile(item).seen])
        assert split[item]["size"] == list(split[item]["input"].shape[:2])


@pytest.mark.parametrize("world", [1, 2, 4])
def test_all_tiles_of_a_picture_are_on_one_rank_and_in_order(folder, monkeypatch, world):
    dealt = []
    for rank in range(world):
        data = data_of(folder, batch_size=4)
        monkeypatch.setattr(data, "_place", lambda rank=rank: (rank, world))
        batches = list(data.predict_dataloader())
        dealt.append([item for batch in batches for item in batch["index"].tolist()])
        assert len(batches) == len(list(data.predict_dataloader()))
    split = data_of(folder).load("predict")
    for rank, items in enumerate(dealt):
        assert items == [item for picture in range(rank, 3, world) for item in split.items_of(picture)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"predict_tile": None}, "predict_overlap=8 is that of tiles"),
        ({"predict_overlap": 13}, "predict_overlap=13 0 to half of its short side"),
        ({"predict_overlap": -1}, "predict_overlap=-1"),
        ({"predict_tile": (0, 24), "predict_overlap": None}, "must be positive"),
        ({"resize": (64, 64)}, "keep their size"),
    ],
)
def test_what_does_not_go_together(folder, options, said):
    with pytest.raises(ValueError, match=said):
        data_of(folder, **options)


def test_an_eighth_overlaps_by_default(folder):
    assert data_of(folder, predict_overlap=None).predict_overlap == 3
