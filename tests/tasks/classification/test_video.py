"""Video-level scores are the scores of mean probabilities; what can't be decoded is named and never counted."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from blockyard.blocks import Nonlocal
from blockyard.tasks.classification.contact_sheet import ContactSheet
from blockyard.tasks.classification.predictions import PredictionsCSV
from blockyard.tasks.classification.views import ViewMean

SPEC = importlib.util.spec_from_file_location("few_videos", Path(__file__).parents[1] / "few_videos.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)


def reference(module, data, split: str = "test") -> dict[int, tuple[int, torch.Tensor]]:
    """By video, its label and mean probabilities ``(K,)`` over decodable views, clip by clip in a plain loop."""
    clips = data.split(split)
    found = {}
    for video in range(len(clips.names)):
        samples = [clips[video * clips.views + view] for view in range(clips.views)]
        logits = [module(sample["input"][None])[0] for sample in samples if sample["valid"]]
        if logits:
            found[video] = samples[0]["target"], torch.stack([line.softmax(0) for line in logits]).mean(0)
    return found


class TestVideoScores:
    @pytest.fixture(scope="class")
    @torch.no_grad()
    def tested(self):
        module, data = few.task().double().eval(), few.FewVideos(20)
        with pytest.warns(UserWarning, match=r"the test result lacks 1 of 20 videos, .*: v2\.avi$"):
            (metrics,) = few.trainer().test(module, data, verbose=False)
        expected = reference(module, data)
        target = torch.tensor([label for label, _ in expected.values()])
        return module, metrics, torch.tensor(list(expected)), target, torch.stack([p for _, p in expected.values()])

    def test_views_disagree(self, tested):
        """Or the average would prove nothing."""
        module, *_ = tested
        data = few.FewVideos(20)
        single = [module(data.split("test")[view]["input"][None]).argmax().item() for view in range(9, 18)]
        assert any(len({*single[k : k + 3]}) > 1 for k in (0, 3, 6))

    def test_metrics(self, tested):
        _, metrics, _, target, mean = tested
        right = mean.argmax(1) == target
        top5 = (mean.topk(5).indices == target[:, None]).any(1)
        by_class = [right[target == k].float().mean() for k in range(few.CLASSES)]
        assert metrics["test/top1"] == pytest.approx(right.float().mean().item())
        assert metrics["test/top5"] == pytest.approx(top5.float().mean().item())
        assert metrics["test/macro_accuracy"] == pytest.approx(torch.stack(by_class).mean().item())
        loss = nn.functional.nll_loss(mean.log(), target).item()
        assert metrics["test/loss"] == pytest.approx(loss, rel=1e-5)  # float32 sums in another order
        assert metrics["test/missing_videos"] == 1

    def test_outcomes_of_each_video(self, tested):
        module, _, index, target, mean = tested
        outcomes = module.outcomes
        assert torch.equal(outcomes["index"], index)
        assert torch.equal(outcomes["target"].long(), target)
        assert torch.equal(outcomes["predicted"].long(), mean.argmax(1))
        torch.testing.assert_close(outcomes["probability"], mean.amax(1))
        torch.testing.assert_close(outcomes["loss"], nn.functional.nll_loss(mean.log(), target, reduction="none"))
        assert module.sample_scores.keys() == {"top1", "loss"}
        assert len(module.sample_scores["top1"]) == 19
        assert module.confusion.sum() == 19

    def test_validation_is_by_video_too(self, tested):
        module, test_metrics, *_ = tested
        with pytest.warns(UserWarning, match="the validation result lacks 1 of 20 videos"):
            (metrics,) = few.trainer().validate(module, few.FewVideos(20), verbose=False)
        for name in ("top1", "top5", "macro_accuracy", "loss"):
            assert metrics[f"val/{name}"] == pytest.approx(test_metrics[f"test/{name}"])

    def test_of_no_decodable_video_there_is_no_result(self, monkeypatch):
        monkeypatch.setattr(few, "BROKEN", set(range(6)))
        with pytest.raises(ValueError, match="test: none of the 2 videos could be decoded"):
            few.trainer().test(few.task(), few.FewVideos(2), verbose=False)

    def test_an_output_that_is_no_number_is_refused(self):
        module = few.task()
        nn.init.constant_(module.network.fc.bias, float("nan"))
        with pytest.raises(FloatingPointError, match="not a number"):
            few.trainer().test(module, few.FewVideos(2), verbose=False)


class TestViewMean:
    def test_is_the_mean_in_any_order_to_the_last_bit(self):
        video, valid = torch.arange(4).repeat_interleave(10), torch.ones(40, dtype=torch.bool)
        p = torch.randn(40, 101).mul(5).softmax(1)
        orders = [torch.arange(40), torch.randperm(40), torch.randperm(40)]
        found = []
        for order in orders:
            mean = ViewMean(4, 101)
            for part in order.split(7):
                mean.update(video[part], video[part], valid[part], p[part])
            found.append(mean.compute())
        for one, other in zip(found[0], found[1], strict=True):
            assert torch.equal(one, other)
        assert torch.equal(found[0][2], found[2][2])
        torch.testing.assert_close(found[0][2].exp(), p.view(4, 10, 101).mean(1), rtol=1e-5, atol=1e-12)

    def test_a_class_without_any_probability_has_a_finite_loss(self):
        mean = ViewMean(1, 2)
        mean.update(torch.zeros(1).long(), torch.ones(1).long(), torch.ones(1).bool(), torch.tensor([[1.0, 0.0]]))
        assert mean.compute()[2].isfinite().all()


def test_trains_with_a_space_time_block():
    module = few.task(block=Nonlocal, at="conv")
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    few.trainer(max_epochs=2, limit_val_batches=0).fit(module, few.FewVideos(16))
    after = module.network.state_dict()
    assert all(not torch.equal(after[name], before[name]) for name in ("conv.host.weight", "fc.weight"))


class TestPredictions:
    @torch.no_grad()
    def test_one_line_a_video_with_the_mean_of_its_views(self, tmp_path):
        module, data = few.task().double().eval(), few.FewVideos(5)
        table = PredictionsCSV(tmp_path)
        with pytest.warns(UserWarning, match=r"1 of 5 could not be read: v2\.avi"):
            few.trainer(callbacks=[table]).predict(module, data, return_predictions=False)
        rows = {row["file"]: row for row in csv.DictReader((tmp_path / "predictions.csv").open())}
        assert list(rows) == [f"v{video}.avi" for video in range(5)]
        for video, (_, mean) in reference(module, data).items():
            top = mean.topk(5)
            found = [rows[f"v{video}.avi"][f"class_{k}"] for k in range(1, 6)]
            assert found == [data.classes[k] for k in top.indices]
            probabilities = [float(rows[f"v{video}.avi"][f"probability_{k}"]) for k in range(1, 6)]
            assert probabilities == pytest.approx(top.values.tolist(), abs=2e-6)  # six digits are written
        assert rows["v2.avi"]["class_1"] == rows["v2.avi"]["probability_5"] == ""
        assert all(float(row["seconds"]) > 0 for row in rows.values())


@pytest.mark.slow
class TestTwoProcesses:
    """The same to the last digit, though the views of a video lie on different processes."""

    @pytest.fixture(scope="class")
    def found(self, one_and_two_processes):
        """What a process alone, rank 0 and rank 1 of two found, by number of videos."""
        return one_and_two_processes("few_videos.py")

    @pytest.mark.parametrize("videos", few.CASES)
    def test_metrics_outcomes_and_predictions(self, found, videos):
        alone, *together = (results[str(videos)] for results in found)
        assert alone["missing"] == ([2] if videos > 2 else [])
        assert alone["outcomes"]["index"] == [video for video in range(videos) if video != 2]
        assert sum(map(sum, alone["confusion"])) == len(alone["outcomes"]["index"])
        assert len(alone["predictions"]) == videos + 1
        assert together == [alone, alone]


def test_contact_sheet_leaves_clips_that_are_no_pictures_alone(tmp_path):
    few.trainer(callbacks=[ContactSheet(tmp_path)]).test(few.task(), few.FewVideos(4), verbose=False)
    assert not list(tmp_path.iterdir())
