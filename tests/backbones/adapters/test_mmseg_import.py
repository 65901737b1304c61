"""The stand-in for mmcv's compiled operators."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest


def test_a_called_operator_says_what_is_missing():
    import blockyard.backbones.adapters.mmseg_import  # noqa: F401

    extension = sys.modules["mmcv._ext"]
    if extension.__spec__ is not None:
        pytest.skip("the full mmcv is installed")
    with pytest.raises(NotImplementedError, match="nms needs the full mmcv"):
        extension.nms()


@pytest.mark.slow
def test_the_stand_in_is_still_needed():
    """Once this fails, delete blockyard/backbones/adapters/mmseg_import.py and its imports."""
    if "mmcv-lite" not in {d.metadata["Name"] for d in importlib.metadata.distributions()}:
        pytest.skip("the full mmcv is installed")
    done = subprocess.run([sys.executable, "-c", "import mmseg.models"], capture_output=True, text=True, check=False)
    assert "No module named 'mmcv._ext'" in done.stderr
