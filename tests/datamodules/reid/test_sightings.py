"""Who is held out for validation, and who is asked for, whatever the cameras saw."""

from collections.abc import Iterable

import numpy as np
import pytest

from blockyard.datamodules.reid.sightings import (
    Retrieval,
    Sightings,
    any_match,
    hold_out_identities,
    one_query_per_camera,
    pictures,
)
from blockyard.mistakes import DataError

PEOPLE = range(1, 13)
CAMERAS = (1, 2)


def seen(entries: Iterable[tuple[int, int]]) -> Sightings:
    """Pictures of (person, camera)."""
    entries = list(entries)
    people, cameras = zip(*entries, strict=True)
    return pictures("anywhere", [f"{row}.jpg" for row in range(len(entries))], people, cameras)


def held_out(sightings: Sightings, count: int | None = None) -> list[int]:
    stays, held = hold_out_identities(sightings, count)
    assert not set(stays.identities) & set(held.identities)
    assert len(stays) + len(held) == len(sightings)
    return sorted(set(held.identities.tolist()))


def test_where_two_cameras_saw_everyone_the_last_are_held_out():
    assert held_out(seen((p, c) for p in PEOPLE for c in CAMERAS for _ in range(3))) == [11, 12]


@pytest.mark.parametrize("last", [{11: (1,), 12: (1,)}, {11: (2,), 12: (1,)}], ids=["by one", "apart"])
def test_people_whom_one_camera_saw_are_not_held_out(last):
    pool = seen((p, c) for p in PEOPLE for c in last.get(p, CAMERAS) for _ in range(3))
    assert held_out(pool) == [9, 10]
    _, held = hold_out_identities(pool, None)
    Retrieval(held, *one_query_per_camera(held), "validation").check("val")


@pytest.mark.parametrize("camera_of", [lambda p: 1 + p % 2, lambda p: 1], ids=["two cameras apart", "one camera"])
def test_without_anyone_seen_twice_the_refusal_names_the_option(one_line, camera_of):
    pool = seen((p, camera_of(p)) for p in PEOPLE for _ in range(6))
    with pytest.raises(DataError) as error:
        hold_out_identities(pool, None)
    one_line(error, "0 of 12 training identities were seen by two cameras", "val_identities=0")
    assert held_out(pool, 0) == []


def test_a_tenth_shrinks_to_those_that_can_be_found_but_a_given_number_does_not(one_line):
    pool = seen((p, c) for p in range(1, 61) for c in ((1, 2) if p <= 3 else (1,)))
    assert held_out(pool) == [1, 2, 3]
    with pytest.raises(DataError) as error:
        hold_out_identities(pool, 6)
    one_line(error, "3 of 60", "6 can't be held out")


def test_one_picture_a_person_and_camera_is_searched_by_the_other_cameras():
    pool = seen((p, c) for p in PEOPLE for c in CAMERAS)
    query, gallery = one_query_per_camera(pool)
    assert query.tolist() == gallery.tolist() == list(range(24))
    Retrieval(pool, query, gallery, "validation").check("val")


def test_one_person_with_more_pictures_than_one_is_no_gallery():
    """Otherwise that person alone could be found, and always would be first."""
    pool = seen([*((p, c) for p in PEOPLE for c in CAMERAS), (1, 1), (1, 2)])
    query, gallery = one_query_per_camera(pool)
    assert query.tolist() == list(range(24))
    assert gallery.tolist() == list(range(26))


def test_with_more_pictures_queries_are_not_searched():
    pool = seen((p, c) for p in PEOPLE for c in CAMERAS for _ in range(2))
    query, gallery = one_query_per_camera(pool)
    assert query.tolist() == list(range(0, 48, 2))
    assert gallery.tolist() == list(range(1, 48, 2))


def test_a_match_is_the_same_person_by_another_camera():
    pool = seen([(1, 1), (1, 1), (2, 2), (1, 2)])
    assert not any_match(pool, np.array([0]), np.array([1, 2]))
    assert any_match(pool, np.array([0]), np.array([1, 2, 3]))


def test_a_test_without_any_match_is_refused_before_anything_runs(one_line):
    pool = seen([(1, 1), (2, 1), (3, 2), (1, 1)])
    with pytest.raises(DataError) as error:
        Retrieval(pool, np.array([0, 1]), np.array([2, 3]), "test").check("gallery")
    one_line(error, "gallery", "by another camera")
