"""Walkers: three layouts, the same for the same seed, and people who can be told apart, though not by anything."""

import numpy as np
import pytest

from blockyard.datamodules.reid.market1501 import Market1501
from blockyard.datamodules.reid.mars import MARS
from blockyard.datamodules.reid.prid2011 import PRID2011
from blockyard.mistakes import DataError
from blockyard.samples.walkers import write_walkers

pytest.importorskip("pybullet")
pytestmark = pytest.mark.filterwarnings("ignore:.*as published")
FEW = {"identities": 6, "test_identities": 4, "size": (32, 16)}


def content(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """At the size and number of the demo's test half, and few people to train on."""
    return write_walkers(tmp_path_factory.mktemp("market"), identities=42, test_identities=40, frames=(2, 2), shots=1)


@pytest.mark.parametrize(
    ("layout", "kind", "frames"),
    [("market1501", Market1501, (2, 2)), ("mars", MARS, (2, 4)), ("prid2011", PRID2011, (27, 27))],
)
def test_each_layout_can_be_read(tmp_path, layout, kind, frames):
    data = kind(write_walkers(tmp_path, layout, frames=frames, **FEW), verify=False, val_identities=0)
    test = data.split("test")
    assert data.num_classes == 2
    assert len({int(number) for number in test.identities[test.query]}) == 4
    same = test.identities[test.query][:, None] == test.identities[test.gallery]
    assert (same & (test.cameras[test.query][:, None] != test.cameras[test.gallery])).any(1).all()
    assert list(data.check("test")) == []


def test_the_seed_decides(tmp_path):
    first, again = (write_walkers(tmp_path / name, frames=(2, 2), **FEW) for name in ("first", "again"))
    other = write_walkers(tmp_path / "other", frames=(2, 2), seed=1, **FEW)
    assert content(first) == content(again)
    assert content(first) != content(other)


def test_clothes_tell_people_apart_better_than_chance_but_not_perfectly(market):
    """By the mean colours of the upper, middle and lower body alone, across cameras."""
    test = Market1501(market, verify=False, val_identities=0, size=(128, 64)).split("test")
    body = np.stack([test.picture(row)[16:124, 24:40] for row in range(len(test.names))]).astype(float)
    colours = np.stack([part.mean((1, 2)) for part in np.array_split(body, 3, axis=1)], axis=1)
    colours = (colours - colours.mean((1, 2), keepdims=True)).reshape(len(body), -1)
    distances = np.linalg.norm(colours[test.query][:, None] - colours[test.gallery], axis=-1)
    same = test.identities[test.query][:, None] == test.identities[test.gallery]
    other = test.cameras[test.query][:, None] != test.cameras[test.gallery]
    distances[~other] = np.inf
    first = same[np.arange(len(test.query)), distances.argmin(1)].mean()
    # By chance it is one of 40 people; so simple a rule must not do what a network is to learn.
    assert 3 / 40 < first < 0.8


def test_cameras_differ_in_light(market):
    test = Market1501(market, verify=False, val_identities=0, size=(128, 64)).split("test")
    means = np.stack([test.picture(row).mean((0, 1)) for row in range(len(test.names))])
    first, second = (means[test.cameras == camera] for camera in (0, 1))
    spread = np.sqrt(first.var(0) / len(first) + second.var(0) / len(second))
    assert (np.abs(first.mean(0) - second.mean(0)) / spread).max() > 4, "standard errors"


def test_what_is_finished_is_left_alone_and_other_data_too(market, tmp_path, one_line):
    before = content(market)
    write_walkers(market, identities=42, test_identities=40, frames=(2, 2), shots=1)
    assert content(market) == before
    with pytest.raises(DataError) as error:
        write_walkers(market, identities=43, test_identities=40, frames=(2, 2), shots=1)
    one_line(error, market, "another train")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("mine")
    with pytest.raises(DataError) as error:
        write_walkers(tmp_path / "mine", **FEW)
    one_line(error, tmp_path / "mine", "was not written by this generator")


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("blockyard.samples.walkers.Street.film", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_walkers(tmp_path / "data", **FEW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"layout": "market"}, "no layout market; did you mean market1501"),
        ({"test_identities": 99}, "two people to train on"),
        ({"cameras": 7}, "cameras=7 must be 2 to 6"),
        ({"shots": 1, "frames": (1, 1)}, "all would be queries"),
        ({"layout": "prid2011", "cameras": 3}, "there are 2 cameras"),
        ({"layout": "prid2011", "frames": (20, 27)}, "27 frames are the fewest"),
        ({"size": (8, 8)}, "must be at least 16"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, problem):
    with pytest.raises(ValueError, match=problem):
        write_walkers(tmp_path / "data", **options)
