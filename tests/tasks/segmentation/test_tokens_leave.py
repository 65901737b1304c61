"""A task whose tokens leave early: the same scores where none does, and what each picture costs."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from blockyard.backbones import Isotropic
from blockyard.blocks import SelfAttention
from blockyard.costs import count_macs
from blockyard.heads import TokenPruning
from blockyard.tasks.segmentation.report import macs_line
from blockyard.tasks.segmentation.task import SemanticSegmentation

SPEC = importlib.util.spec_from_file_location("few_pictures", Path(__file__).parents[1] / "few_pictures.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)
HEAD: dict[str, Any] = {"type": "FCNHead", "num_convs": 1, "kernel_size": 1, "concat_input": False, "channels": 8}
PICTURES = 8


class TinyTokens(Isotropic):
    """In double precision, a picture's labels are the same whatever the size of the batch."""

    def __init__(self, num_classes: int = 0, in_channels: int = 3) -> None:
        mixers = partial(SelfAttention, head_width=8)
        super().__init__(num_classes, in_channels, [1, 2], 16, mixers, patch=4, input_size=16)

    def embedded(self, x: Tensor) -> Tensor:
        return super().embedded(x.to(self.positions.table))


def task(**options: Any) -> SemanticSegmentation:
    module = few.task(backbone=TinyTokens, decode_head=HEAD, auxiliary_heads=[HEAD | {"in_index": 0}], **options)
    with torch.no_grad():
        module.network.auxiliary_heads[0].conv_seg.weight.mul_(300)
    return module.double()


def scores_of(module: SemanticSegmentation) -> dict[str, float]:
    (metrics,) = few.trainer().test(module, few.FewPictures(PICTURES), verbose=False)
    return metrics


def test_where_none_leaves_all_is_as_without():
    plain, pruned = task(), task(token_pruning=TokenPruning(threshold=1.0))
    without, found = scores_of(plain), scores_of(pruned)
    assert found.pop("test/GMACs") == pytest.approx(pruned.sample_scores["GMACs"].mean().item())
    assert found == without
    assert plain.sample_scores.keys() < pruned.sample_scores.keys()
    exit_macs = 8 * (16 + few.CLASSES)  # a token
    for index, macs in zip(pruned.pictures["index"].tolist(), pruned.sample_scores["GMACs"].tolist(), strict=True):
        height, width = (-(-n // 4) * 4 for n in few.SIZES[index % len(few.SIZES)])
        whole = count_macs(plain.network, (3, height, width)) + exit_macs * height * width / 16
        assert macs == pytest.approx(whole / 1e9, rel=1e-6)  # kept in single precision


def test_what_leaves_costs_less_and_the_network_stays_what_it_is():
    module, whole = task(token_pruning=TokenPruning(0.5, 1)), task(token_pruning=TokenPruning(1.0))
    scores_of(module), scores_of(whole)
    assert (module.sample_scores["GMACs"] < whole.sample_scores["GMACs"]).all()
    assert count_macs(module.network, (3, 16, 16)) == count_macs(whole.network, (3, 16, 16))
    states = (each.state_dict() for each in (module, task()))
    assert all(torch.equal(*pair) for pair in zip(*(state.values() for state in states), strict=True))
    x = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    assert torch.equal(module.eval()(x), whole.eval()(x))


def test_one_by_one_or_together_inside_windows_or_mirrored():
    views = {"inference": "slide", "window": (16, 16), "stride": (9, 9), "flip_test": True}
    module = task(token_pruning=TokenPruning(0.5, 1), **views)
    data = few.FewPictures(PICTURES, batch_size=1), few.FewPictures(PICTURES, batch_size=8)
    alone, together = (few.trainer().predict(module, one) for one in data)
    ((labels, _),) = together
    assert all(torch.equal(one, labels[place]) for place, ((one,), _) in enumerate(alone))
    assert len(alone) == len(labels)


def test_every_parameter_learns():
    module = task(token_pruning=TokenPruning()).float().train()
    module.log = module.log_dict = lambda *_, **__: None
    batch = {"input": torch.randn(2, 3, 16, 16), "target": torch.randint(0, few.CLASSES, (2, 16, 16))}
    module.training_step(batch, 0).backward()
    assert [name for name, parameter in module.named_parameters() if parameter.grad is None] == []


def test_the_line_has_mean_and_quantiles():
    line = macs_line(torch.arange(21.0) ** 2)
    assert line == "GMACs of a picture: mean 136.7, median 100, from 1 (5 %) to 361 (95 %) of 21"
