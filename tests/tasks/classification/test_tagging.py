"""Several labels a file: mAP over classes, of mean probabilities of windows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchmetrics.functional.classification import multilabel_ranking_average_precision

from blockyard.tasks import Mixing
from blockyard.tasks.classification.contact_sheet import ContactSheet
from blockyard.tasks.classification.tag_scores import ranking_precision, scores_of
from blockyard.tasks.classification.tagging import AudioTagging, SmoothedBCE

SPEC = importlib.util.spec_from_file_location("few_sounds", Path(__file__).parents[1] / "few_sounds.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)


def average_precision(p: torch.Tensor, target: torch.Tensor) -> float:
    """By the definition: the mean precision at each positive, where no two probabilities are equal."""
    right = target[p.argsort(descending=True)].double()
    precision = right.cumsum(0) / torch.arange(1, len(right) + 1)
    return precision[right.bool()].mean().item()


class TestScores:
    @pytest.fixture(scope="class")
    def given(self):
        target = (torch.rand(40, 6) < 0.3).long()
        target[:, 4], target[7] = 0, 0  # a class that nothing is of, a sample without any
        return torch.rand(40, 6), target

    def test_map_is_the_mean_over_the_classes_that_occur(self, given):
        p, target = given
        metrics, by_class = scores_of(p, target)
        expected = [average_precision(p[:, k], target[:, k]) for k in (0, 1, 2, 3, 5)]
        assert metrics["mAP"].item() == pytest.approx(sum(expected) / 5, abs=1e-6)
        assert by_class["AP"][[0, 1, 2, 3, 5]].tolist() == pytest.approx(expected, abs=1e-6)
        assert by_class["AP"][4].isnan()
        assert by_class["samples"].tolist() == target.sum(0).tolist()

    def test_f1_at_one_half(self, given):
        p, target = given
        heard = p >= 0.5
        f1 = [(2 * (heard & target.bool()).sum(0) / (heard.sum(0) + target.sum(0)))[k].item() for k in (0, 1, 2, 3, 5)]
        assert scores_of(p, target)[0]["macro_f1"].item() == pytest.approx(sum(f1) / 5, abs=1e-6)

    def test_one_class_alone(self):
        metrics, _ = scores_of(torch.tensor([[0.9], [0.1]]), torch.tensor([[1], [0]]))
        assert metrics["mAP"] == metrics["macro_f1"] == 1

    def test_without_any_label_there_is_no_score(self):
        with pytest.raises(ValueError, match="none of the files has a label"):
            scores_of(torch.rand(3, 2), torch.zeros(3, 2).long())

    def test_ranking_precision_is_that_of_torchmetrics(self, given):
        p, target = given
        expected = multilabel_ranking_average_precision(p, target, 6)
        found = ranking_precision(p, target)
        assert found.mean().item() == pytest.approx(expected.item(), abs=1e-6)
        assert found[7] == 1


def test_smoothing_draws_targets_towards_a_half():
    logits, target = torch.randn(3, 4), torch.randint(0, 2, (3, 4))
    expected = F.binary_cross_entropy_with_logits(logits, torch.where(target == 1, 0.9, 0.1))
    torch.testing.assert_close(SmoothedBCE(0.2)(logits, target), expected)


class TestFiles:
    @pytest.fixture(scope="class")
    @torch.no_grad()
    def tested(self):
        module, data = few.task(AudioTagging).eval(), few.FewSounds(20, multi_label=True)
        with pytest.warns(UserWarning, match="the test result lacks 1 of 20 files"):
            (metrics,) = few.trainer().test(module, data, verbose=False)
        split, probabilities, target = data.split("test"), [], []
        for recording in range(20):
            windows = [split[item] for item in split.items_of(recording)]
            if logits := [module(window["input"][None])[0] for window in windows if window["valid"]]:
                probabilities.append(torch.stack(logits).sigmoid().mean(0))
                target.append(windows[0]["target"].long())
        return module, metrics, torch.stack(probabilities), torch.stack(target)

    def test_metrics(self, tested):
        _, metrics, p, target = tested
        expected, _ = scores_of(p, target)
        for name in ("mAP", "macro_f1"):
            assert metrics[f"test/{name}"] == pytest.approx(expected[name].item(), abs=1e-5)
        # Next to one, float32 probabilities lie 2^-24 apart: what is left for "no" is at least half of that.
        loss = F.binary_cross_entropy(p.double().clamp(max=1 - 2**-25), target.double())
        assert metrics["test/loss"] == pytest.approx(loss.item(), rel=1e-4)

    def test_scores_of_each_file_make_the_metrics(self, tested):
        module, metrics, *_ = tested
        assert module.primary_metric == "mAP"
        assert module.sample_scores["AP"].shape == module.sample_scores["loss"].shape == (19,)
        assert module.sample_scores["AP"].mean().item() == pytest.approx(metrics["test/lrap"])
        assert module.sample_scores["loss"].mean().item() == pytest.approx(metrics["test/loss"])
        assert module.confusion is None

    def test_validation_has_the_same(self, tested):
        module, test_metrics, *_ = tested
        with pytest.warns(UserWarning, match="the validation result lacks 1 of 20 files"):
            (metrics,) = few.trainer().validate(module, few.FewSounds(20, multi_label=True), verbose=False)
        for name in ("mAP", "macro_f1", "loss"):
            assert metrics[f"val/{name}"] == test_metrics[f"test/{name}"]


def test_trains_with_mixed_and_smoothed_labels():
    module = few.task(AudioTagging, mixing=Mixing(mixup_alpha=0.4), label_smoothing=0.1)
    before = module.network.backbone.fc.weight.clone()
    few.trainer(max_epochs=1, limit_val_batches=0).fit(module, few.FewSounds(8, multi_label=True))
    assert not torch.equal(before, module.network.backbone.fc.weight)


def test_pictures_of_mistakes(tmp_path):
    data = few.FewSounds(6, multi_label=True)
    few.trainer(callbacks=[ContactSheet(tmp_path)]).test(few.task(AudioTagging), data, verbose=False)
    assert Image.open(tmp_path / "mistakes.png").height > 100
