"""Features in a file are those in memory, and there is a line where there is no room."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from blockyard.analysis import feature_table
from blockyard.analysis.feature_table import FeatureTable, is_mapped


def filled(folder):
    table, generator = FeatureTable(100, folder), torch.Generator().manual_seed(0)
    parts = [torch.randn(rows, 8, generator=generator) for rows in (30, 0, 31, 32)]
    for part in parts:
        table.add(part)
    assert torch.equal(table.rows, torch.cat(parts))
    return table.rows


def test_a_file_holds_what_memory_would(tmp_path, monkeypatch):
    held = filled(tmp_path)
    assert not is_mapped(held)
    monkeypatch.setattr(feature_table, "IN_MEMORY", 1000)
    mapped = filled(tmp_path)
    assert is_mapped(mapped)
    assert torch.equal(held, mapped)
    assert not list(tmp_path.iterdir()), "the file has no name"


def test_a_full_disk_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(feature_table, "IN_MEMORY", 1000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ValueError, match=r"no room for 0.0 GB of features: No space left on device"):
        filled(tmp_path)


def test_what_is_not_finite_is_refused(tmp_path):
    with pytest.raises(FloatingPointError, match="diverged"):
        FeatureTable(2, tmp_path).add(torch.tensor([[torch.nan]]))
