"""Every input has a file of its own, in the folder."""

from __future__ import annotations

import pytest

from blockyard.tasks.picture_files import picture_files


def test_two_inputs_with_one_file_are_refused_before_anything_is_written():
    with pytest.raises(ValueError, match=r"^a/one.jpg and a/one.png would both have the mask a/one.png: rename"):
        picture_files(["a/one.jpg", "b/one.jpg", "a/one.png"], "mask")


@pytest.mark.parametrize("name", ["../one.jpg", "a/../../one.jpg", "/etc/one.jpg"])
def test_files_stay_in_their_folder(name):
    with pytest.raises(ValueError, match=r"would lie outside the folder of masks$"):
        picture_files([name], "mask")
