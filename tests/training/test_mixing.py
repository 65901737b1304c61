"""mixup and CutMix: inputs and labels are mixed by the same share, at every rank and batch size."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.tasks import ActionRecognition, AudioClassification, AudioTagging, ImageClassification, Mixing

SHAPES = {1: (2, 60), 2: (2, 30, 40), 3: (2, 5, 12, 10)}
EVERY = {"both": (0.4, 1.0), "mixup": (0.4, None), "CutMix": (None, 1.0)}


def axes(count: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample i is one at channel i alone, everywhere, and so is its label."""
    labels = torch.eye(count)
    return labels.view(count, count, *(1 for _ in shape[1:])).expand(-1, -1, *shape[1:]), labels


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("alphas", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_labels_say_how_much_of_each_sample_there_is(count, rank, alphas, per_sample):
    torch.manual_seed(count)
    x, labels = axes(count, SHAPES[rank])
    mixed, shares = Mixing(*alphas, per_sample=per_sample)(x, labels)
    assert mixed.shape == x.shape
    # A mean of up to 600 float32 numbers is exact to some 1e-6.
    torch.testing.assert_close(mixed.flatten(2).mean(2), shares, atol=1e-5, rtol=0)
    torch.testing.assert_close(shares.sum(1), torch.ones(count))
    partner = labels.roll(1, 0)
    assert ((shares > 0) <= (labels + partner > 0)).all(), "a sample is mixed with its neighbour alone"


@pytest.mark.parametrize("rank", SHAPES)
def test_cutmix_takes_one_box_as_it_is_and_all_frames_of_a_video_alike(rank):
    torch.manual_seed(rank)
    x = torch.randn(6, *SHAPES[rank])
    mixed, _ = Mixing(cutmix_alpha=1.0, per_sample=True)(x, torch.eye(6))
    own, other = mixed == x, mixed == x.roll(1, 0)
    assert (own ^ other).all(), "every number is of one sample or of the other"
    assert 0 < other.sum() < other.numel()
    for cut in other[:, 0]:
        if cut.any():
            spans = [where.unique() for where in cut.nonzero(as_tuple=True)]
            assert all(len(span) == span[-1] - span[0] + 1 for span in spans)
            assert cut.sum() == torch.tensor([len(span) for span in spans]).prod(), "not a box"
            assert rank < 3 or len(spans[0]) == SHAPES[rank][1], "a box takes part of the time"


def test_the_share_that_mixup_keeps_is_beta_distributed():
    torch.manual_seed(0)
    _, shares = Mixing(mixup_alpha=0.4, per_sample=True)(torch.zeros(20_000, 1, 1), torch.arange(20_000.0)[:, None] % 2)
    kept = torch.where(torch.arange(20_000) % 2 == 1, shares[:, 0], 1 - shares[:, 0])
    # E λ = 1/2 and E λ² = (α + 1) / (2 (2 α + 1)) = 0.389; the standard errors are 0.0026 and 0.0026
    assert kept.mean().item() == pytest.approx(0.5, abs=0.011)
    assert kept.square().mean().item() == pytest.approx(0.389, abs=0.011)


def test_the_box_that_cutmix_takes_has_one_minus_lambda_of_the_area_but_for_the_border():
    torch.manual_seed(0)
    _, shares = Mixing(cutmix_alpha=1.0, per_sample=True)(torch.zeros(4000, 1, 64, 64), torch.arange(4000)[:, None] % 2)
    taken = torch.where(torch.arange(4000) % 2 == 1, 1 - shares[:, 0], shares[:, 0])
    # A side s ∈ [0, 1] with a uniform centre keeps s − s²/4 of itself inside, so at λ uniform, s² = 1 − λ, the area has
    # the mean ∫ (s − s²/4)² 2s ds = 1/2 − 1/5 + 1/48 = 0.3208; rounding down to pixels takes up to 1/64 of a side.
    assert taken.mean().item() == pytest.approx(0.3208, abs=0.025)


def test_how_often_and_which_of_both():
    torch.manual_seed(0)
    x = torch.rand(4000, 1, 8, 8)
    mixed, _ = Mixing(1.0, 1.0, probability=0.5, switch_probability=0.25, per_sample=True)(x, torch.eye(4000))
    untouched = (mixed == x).flatten(1).all(1)
    some = (mixed == x).flatten(1).any(1) & ~untouched
    # Of a quarter of the half, some boxes are empty, and some take all: some 3 % of an eighth each.
    assert untouched.double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert some.double().mean().item() == pytest.approx(0.125, abs=0.03)
    never, shares = Mixing(1.0, 1.0, probability=0.0)(x, torch.eye(4000))
    assert torch.equal(never, x)
    assert torch.equal(shares, torch.eye(4000))


def test_one_draw_for_the_batch_or_one_a_sample():
    torch.manual_seed(0)
    x, labels = axes(64, (64, 4))
    for per_sample, most in ((False, 1), (True, 64)):
        _, shares = Mixing(mixup_alpha=1.0, per_sample=per_sample)(x, labels)
        assert len(shares.diagonal().unique()) == pytest.approx(most, abs=1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_samples_keep_their_precision_and_the_labels_theirs(dtype):
    mixed, shares = Mixing(mixup_alpha=1.0)(torch.rand(3, 1, 4, 4, dtype=dtype), torch.eye(3))
    assert mixed.dtype == dtype
    assert shares.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give mixup_alpha, cutmix_alpha or both"),
        ({"mixup_alpha": 0.0}, "mixup_alpha=0.0 must be positive; null never does it"),
        ({"cutmix_alpha": float("nan")}, "cutmix_alpha=nan must be positive"),
        ({"mixup_alpha": 1.0, "probability": 1.5}, "probability=1.5 must be from 0 to 1"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        Mixing(**options)


def losses(kind: type, target: torch.Tensor, **options) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A training step of a task: its loss, the logits and what a mixing of everything in half would make of labels."""
    rank = {ActionRecognition: 3, ImageClassification: 2}.get(kind, 1)
    shape = {1: (1, 32), 2: (1, 8, 8), 3: (1, 4, 8, 8)}[rank]
    torch.manual_seed(0)
    backbone = partial(PreResNet, depth=8, spatial_dims=rank)
    task = kind(backbone, 5, shape, optimizer=partial(SGD, lr=0.1), mixing=Half(1.0), **options).eval()
    task.log = lambda *_, **__: None
    x = torch.randn(4, *shape)
    logits = task(0.5 * x + 0.5 * x.roll(1, 0))
    return task.training_step({"input": x, "target": target}, 0), logits, task.shares(target)


class Half(Mixing):
    """λ = 1/2."""

    def _kept(self, x):
        return torch.full((1,) * x.dim(), 0.5)


@pytest.mark.parametrize("kind", [ImageClassification, ActionRecognition, AudioClassification])
def test_smoothing_is_applied_once_to_mixed_labels(kind):
    target = torch.tensor([0, 1, 1, 4])
    loss, logits, shares = losses(kind, target, label_smoothing=0.2)
    soft = 0.8 * (0.5 * shares + 0.5 * shares.roll(1, 0)) + 0.2 / 5
    torch.testing.assert_close(loss, -(soft * logits.log_softmax(1)).sum(1).mean())


def test_several_labels_a_sample_are_mixed_too():
    target = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 0, 0]])
    loss, logits, _ = losses(AudioTagging, target, label_smoothing=0.2)
    mixed = 0.5 * target + 0.5 * target.roll(1, 0)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, 0.8 * mixed + 0.1))


def test_only_training_mixes():
    task = ImageClassification(
        partial(PreResNet, depth=8), 10, (1, 8, 8), optimizer=partial(SGD, lr=0.1), mixing=Mixing(0.2, 1.0)
    )
    seen: list[tuple[int, ...]] = []
    criterion = nn.CrossEntropyLoss()
    task.loss.forward = lambda logits, target: seen.append(target.shape) or criterion(logits, target)
    plain = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(**plain, accelerator="cpu", max_epochs=1, limit_train_batches=2, limit_val_batches=2)
    data = Digits(variant="8x8", batch_size=33)
    trainer.fit(task, data)
    assert seen == [(33, 10), (33, 10)]
    first, second = (trainer.test(task, data, verbose=False) for _ in range(2))
    assert first == second
