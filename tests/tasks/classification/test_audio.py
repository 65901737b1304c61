"""Audio: scores are those of files, whatever their number of windows; the front end is part of the network."""

from __future__ import annotations

import csv
import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torchmetrics.functional.classification import multiclass_f1_score

from blockyard.backbones import LogMel, PreResNet
from blockyard.blocks import SpectralNonlocal
from blockyard.tasks.classification.audio import AudioClassification
from blockyard.tasks.classification.contact_sheet import ContactSheet
from blockyard.tasks.classification.predictions import PredictionsCSV
from blockyard.tasks.classification.tagging import AudioTagging

SPEC = importlib.util.spec_from_file_location("few_sounds", Path(__file__).parents[1] / "few_sounds.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)


def reference(module, data) -> dict[int, tuple[int, torch.Tensor]]:
    """By recording, its label and mean probabilities ``(K,)`` over decodable windows, one by one in a plain loop."""
    split = data.split("test")
    found = {}
    for recording in range(len(split.names)):
        samples = [split[item] for item in range(len(split)) if split.owner[item] == recording]
        logits = [module(sample["input"][None])[0] for sample in samples if sample["valid"]]
        if logits:
            found[recording] = samples[0]["target"], module.probabilities(torch.stack(logits)).mean(0)
    return found


class TestFileScores:
    @pytest.fixture(scope="class")
    @torch.no_grad()
    def tested(self):
        module, data = few.task().eval(), few.FewSounds(20)
        with pytest.warns(UserWarning, match=r"the test result lacks 1 of 20 files, .*: s17\.wav$"):
            (metrics,) = few.trainer().test(module, data, verbose=False)
        expected = reference(module, data)
        target = torch.tensor([label for label, _ in expected.values()])
        return module, metrics, torch.tensor(list(expected)), target, torch.stack([p for _, p in expected.values()])

    def test_windows_disagree(self, tested):
        """Or the average would prove nothing."""
        split = few.FewSounds(20).split("test")
        files = [torch.stack([split[item]["input"] for item in split.items_of(k)]) for k in (1, 4, 8, 11)]
        assert any(len(tested[0](windows).argmax(1).unique()) > 1 for windows in files)

    def test_metrics(self, tested):
        _, metrics, _, target, mean = tested
        predicted = mean.argmax(1)
        assert metrics["test/top1"] == pytest.approx((predicted == target).float().mean().item())
        f1 = multiclass_f1_score(predicted, target, few.CLASSES, average="macro").item()
        assert metrics["test/macro_f1"] == pytest.approx(f1)
        loss = nn.functional.nll_loss(mean.log(), target).item()
        assert metrics["test/loss"] == pytest.approx(loss, rel=1e-4)  # float32 sums in another order
        assert metrics["test/missing_files"] == 1

    def test_outcomes_of_each_file(self, tested):
        module, _, index, target, mean = tested
        assert torch.equal(module.outcomes["index"], index)
        assert torch.equal(module.outcomes["target"].long(), target)
        assert torch.equal(module.outcomes["predicted"].long(), mean.argmax(1))
        torch.testing.assert_close(module.outcomes["probability"], mean.amax(1), rtol=1e-4, atol=1e-6)
        assert len(module.sample_scores["top1"]) == 19
        assert module.confusion.sum() == 19

    def test_validation_is_by_file_too(self, tested):
        module, test_metrics, *_ = tested
        with pytest.warns(UserWarning, match="the validation result lacks 1 of 20 files"):
            (metrics,) = few.trainer().validate(module, few.FewSounds(20), verbose=False)
        for name in ("top1", "macro_f1", "loss"):
            assert metrics[f"val/{name}"] == pytest.approx(test_metrics[f"test/{name}"])

    def test_the_batch_does_not_matter(self):
        found = []
        for batch_size in (1, 64):
            module = few.task()
            module.network.backbone.double()  # so that only the front end could tell
            few.trainer().test(module, few.FewSounds(6, batch_size=batch_size), verbose=False)
            found.append(module.outcomes)
        for name in found[0]:
            # The front end sums in float32, in an order that may depend on the batch.
            torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-4, atol=1e-5)


class TestTheNetwork:
    def test_a_plug_addresses_the_backbone(self):
        module = few.task(block=SpectralNonlocal, at="stage1")
        assert type(module.network.backbone.conv).__name__ == "Plugged"

    def test_a_waveform_goes_to_a_1_d_network_and_a_1_d_block(self):
        backbone = partial(PreResNet, depth=8, spatial_dims=1, stem_stride=4, stem_kernel=79, stage_stride=4)
        module = AudioClassification(
            backbone, few.CLASSES, (1, few.LENGTH), optimizer=partial(torch.optim.SGD, lr=0.1),
            block=SpectralNonlocal, at="stage1.-1",
        )  # fmt: skip
        before = {name: value.clone() for name, value in module.network.named_parameters()}
        few.trainer(max_epochs=2, limit_val_batches=0).fit(module, few.FewSounds(8))
        plugged = module.network.layer1.get_submodule("0")
        assert plugged.block.spatial_dims == 1
        assert all(not torch.equal(value, before[name]) for name, value in module.network.named_parameters())

    def test_another_sample_rate_is_refused(self):
        module = AudioClassification(
            few.TinyNet, few.CLASSES, (1, few.LENGTH), front_end=LogMel(16_000, n_mels=32), optimizer=torch.optim.SGD
        )
        with pytest.raises(ValueError, match=r"^the front end takes 16000 samples a second and the data have 8000: "):
            few.trainer().test(module, few.FewSounds(2), verbose=False)

    @pytest.mark.parametrize("kind", [AudioClassification, AudioTagging])
    def test_labels_of_the_other_kind_are_refused(self, kind):
        other = "AudioClassification" if kind is AudioTagging else "AudioTagging"
        with pytest.raises(ValueError, match=f"a file: the task for it is {other}"):
            few.trainer().test(few.task(kind), few.FewSounds(2, not kind.multi_label), verbose=False)


class TestOutputs:
    def test_pictures_of_mistakes(self, tmp_path):
        module = few.task()
        few.trainer(callbacks=[ContactSheet(tmp_path)]).test(module, few.FewSounds(6), verbose=False)
        assert Image.open(tmp_path / "mistakes.png").height > 200

    def test_a_tone_is_a_bright_line_that_rises_with_its_pitch(self):
        module = few.task()
        few.trainer().test(module, few.FewSounds(2), verbose=False)  # where it learns the sample rate
        rows = []
        for hertz in (300, 2000):
            wave = torch.sin(2 * torch.pi * hertz * torch.arange(few.LENGTH) / few.RATE)[None].numpy()
            (picture,) = module.render(wave)
            assert picture.shape == (64, 21, 1)
            rows.append(picture[:, 10, 0].argmax())
        assert rows[0] > rows[1]  # high frequencies above

    def test_of_a_long_recording_the_picture_is_no_wider(self):
        module = few.task()
        few.trainer().test(module, few.FewSounds(2), verbose=False)
        assert module.render(torch.randn(1, 60 * few.RATE)).shape[2] in (300, 301)

    def test_predictions_of_files_and_their_windows(self, tmp_path):
        with pytest.warns(UserWarning, match="1 of 5 could not be read"):
            few.trainer(callbacks=[PredictionsCSV(tmp_path)]).predict(
                few.task(), few.FewSounds(5), return_predictions=False
            )
        files = list(csv.DictReader((tmp_path / "predictions.csv").open()))
        windows = list(csv.DictReader((tmp_path / "windows.csv").open()))
        assert [row["file"] for row in files] == [f"s{k}.wav" for k in (4, 3, 2, 1, 0)]
        assert [row["file"] for row in windows] == [f"s{k}.wav" for k in (4, 3, 3, 3, 2, 2, 1, 0, 0, 0, 0)]
        assert [row["class"] == "" for row in windows] == [item in few.BROKEN for item in range(11)]
        assert (windows[3]["start"], windows[3]["end"]) == ("0.400", "0.600")


@pytest.mark.slow
class TestTwoProcesses:
    """The same to the last digit, though the windows of a file lie on different processes."""

    @pytest.fixture(scope="class")
    def found(self, one_and_two_processes):
        """What a process alone, rank 0 and rank 1 of two found, by number of recordings and task."""
        return one_and_two_processes("few_sounds.py")

    @pytest.mark.parametrize("kind", [AudioClassification, AudioTagging])
    @pytest.mark.parametrize("recordings", few.CASES)
    def test_metrics_outcomes_and_predictions(self, found, recordings, kind):
        alone, *together = (results[f"{recordings}-{kind.__name__}"] for results in found)
        assert alone["missing"] == ([2] if recordings > 2 else [])
        assert len(alone["outcomes"]["index"]) == recordings - len(alone["missing"])
        assert len(alone["predictions"]) == recordings + 1
        assert ("windows" in alone) == (recordings > 1)
        assert together == [alone, alone]
