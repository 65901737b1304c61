"""Shared by all tests."""

from __future__ import annotations

import os

# One thread a worker of pytest-xdist, and the same in every process that a test starts: the order of a sum, and so the
# last bit of a weight, depends on it.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Initial weights are random: every test draws the same ones, alone or in the suite."""
    torch.manual_seed(0)
