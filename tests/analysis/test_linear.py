"""Logistic regression: the minimum that scikit-learn finds, with the strength that the validation split likes best."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from blockyard.analysis import linear
from blockyard.analysis.linear import LinearClassifier, Scale, choose, fit


@pytest.fixture
def noisy():
    """Vectors ``(300, 8)`` of four classes that overlap."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 4, (300,), generator=generator)
    centres = torch.randn(4, 8, generator=generator)
    return centres[targets] + torch.randn(300, 8, generator=generator), targets


def sklearn_logits(vectors, targets, strength):
    linear_model = pytest.importorskip("sklearn.linear_model")
    peer = linear_model.LogisticRegression(
        C=1 / (len(vectors) * strength), fit_intercept=False, tol=1e-10, max_iter=9999
    )
    rows = np.concatenate([vectors.double().numpy(), np.ones((len(vectors), 1))], 1)
    return torch.from_numpy(peer.fit(rows, targets.numpy()).decision_function(rows))


@pytest.mark.parametrize("strength", [1e-3, 1e-1, 10.0])
def test_linear_probe_is_sklearns_on_the_same_features(noisy, strength):
    """The constant that scikit-learn gets as a feature is the bias."""
    vectors, targets = noisy
    ours, theirs = fit(vectors, targets, 4, strength)(vectors), sklearn_logits(vectors, targets, strength)
    # A derivative below 1e-6 leaves at most 1e-6 / strength in a parameter of a loss so convex, and a logit has nine.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 / strength * vectors.abs().max().item())
    # Where the loss is flat logits are free to move and probabilities are not.
    torch.testing.assert_close(ours.softmax(1), theirs.softmax(1), rtol=0, atol=1e-4)


def test_several_labels_are_sklearns_regressions_one_by_one(noisy):
    vectors, targets = noisy
    labels = torch.stack([targets % 2, (targets > 1).long(), (vectors[:, 0] > 0).long()], 1)
    ours = fit(vectors, labels, 3, 0.01)(vectors)
    theirs = torch.stack([sklearn_logits(vectors, column, 0.01) for column in labels.T], 1)
    torch.testing.assert_close(ours.sigmoid(), theirs.sigmoid(), rtol=0, atol=1e-4)


def test_at_the_minimum_no_step_lowers_the_loss(noisy):
    vectors, targets = noisy
    found = fit(vectors, targets, 4, 0.01)

    def loss(weight, bias):
        logits = LinearClassifier(weight, bias)(vectors)
        return F.cross_entropy(logits, targets) + 0.005 * (weight.square().sum() + bias.square().sum())

    least = loss(found.weight, found.bias)
    for _ in range(10):
        step = 1e-3 * torch.randn(4, 9, dtype=torch.float64)
        assert loss(found.weight + step[:, :-1], found.bias + step[:, -1]) > least


def test_classes_apart_are_told_apart_without_a_mistake():
    targets = torch.arange(60) % 3
    vectors = F.one_hot(targets, 3).float() * 5 + torch.rand(60, 3)
    classifier, _ = choose((vectors[:30], targets[:30]), (vectors[30:45], targets[30:45]), 3)
    assert (classifier(vectors[45:]).argmax(1) == targets[45:]).all()


def test_the_strength_is_that_of_the_least_validation_loss(noisy):
    vectors, targets = noisy
    halves = (vectors[:60], targets[:60]), (vectors[60:], targets[60:])
    mean, deviation = vectors[:60].mean(0), vectors[:60].std(0, unbiased=False)
    strengths = (10.0, 0.1, 1e-5)
    losses = [
        F.cross_entropy(fit((vectors[:60] - mean) / deviation, targets[:60], 4, s)((vectors[60:] - mean) / deviation),
                        targets[60:]).item()
        for s in strengths
    ]  # fmt: skip
    _, strength = choose(*halves, 4, strengths)
    assert strength == strengths[int(np.argmin(losses))] == 0.1, losses
    _, given = choose(*halves, 4, (1e-5,))
    assert given == 1e-5


def test_scale_and_place_of_the_features_do_not_matter(noisy):
    vectors, targets = noisy
    scale, shift = 10.0 ** torch.arange(-3, 5), torch.arange(8)
    (plain, one), (moved, other) = (choose((x, targets), (x, targets), 4) for x in (vectors, vectors * scale + shift))
    assert one == other
    # float32 keeps seven digits of a feature, of which the shift by up to 10³ deviations takes three
    torch.testing.assert_close(plain(vectors).softmax(1), moved(vectors * scale + shift).softmax(1), rtol=0, atol=1e-2)


def test_a_constant_feature_says_nothing(noisy):
    vectors, targets = noisy
    constant = torch.full((len(vectors), 1), 0.1)
    with_it, _ = choose((torch.cat([vectors, constant], 1), targets), (torch.cat([vectors, constant], 1), targets), 4)
    without, _ = choose((vectors, targets), (vectors, targets), 4)
    logits = with_it(torch.cat([vectors, constant + 0.001], 1))
    torch.testing.assert_close(logits.softmax(1), without(vectors).softmax(1), rtol=0, atol=1e-4)


def test_a_class_that_nobody_has_seen_gets_no_vote_and_no_infinity(noisy):
    vectors, targets = noisy
    classifier = fit(vectors, targets, 5, 1e-3)
    logits = classifier(vectors)
    assert logits.isfinite().all()
    assert (logits.argmax(1) < 4).all()


@pytest.mark.parametrize("strength", [0.0, -1.0])
def test_refuses_a_strength_that_is_none(noisy, strength):
    with pytest.raises(ValueError, match="positive strength"):
        fit(*noisy, 4, strength)


def test_blocks_of_features_give_what_all_at_once_do(noisy, monkeypatch):
    """Sums in another order: 1e-16 of double precision, which the optimiser's steps carry on to its tolerance."""
    vectors, targets = noisy
    (whole, one), (parts, other) = (
        (monkeypatch.setattr(linear, "BLOCK", block), choose((vectors, targets), (vectors, targets), 4))[1]
        for block in (2**23, 8 * 7)
    )
    assert one == other
    torch.testing.assert_close(whole(vectors).softmax(1), parts(vectors).softmax(1), rtol=0, atol=1e-4)


def test_the_scale_is_that_of_all_features(noisy, monkeypatch):
    vectors, _ = noisy
    monkeypatch.setattr(linear, "BLOCK", 8 * 7)
    mean, deviation = Scale.of(vectors + 100, torch.device("cpu"))
    torch.testing.assert_close(mean, (vectors + 100).double().mean(0))
    torch.testing.assert_close(deviation, (vectors + 100).double().std(0, unbiased=False))
