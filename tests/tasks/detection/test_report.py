"""Pictures of found boxes, whatever classes are called."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from blockyard.tasks.detection.report import FoundBoxes, draw


@pytest.mark.parametrize("name", ["a$b_{$", "$x$", "\ud800", "two\nlines\x07"])
def test_a_class_may_have_any_name(name):
    """No formula is read into it; matplotlib takes no surrogate, which JSON may hold."""
    true = {"boxes": torch.tensor([[1.0, 1, 20, 20]]), "labels": torch.tensor([0])}
    drawn = draw([(np.zeros((32, 32, 3), np.uint8), true, true | {"scores": torch.tensor([0.5])})], [name])
    assert drawn.startswith(b"\x89PNG")


def test_without_a_picture_there_is_no_file(tmp_path):
    trainer = SimpleNamespace(is_global_zero=True, fast_dev_run=False, datamodule=SimpleNamespace(split=lambda _: None))
    FoundBoxes(tmp_path).on_test_end(trainer, SimpleNamespace(pairs={}))
    assert not list(tmp_path.iterdir())
