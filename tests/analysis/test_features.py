"""Features of samples are means over their views; positions of pictures are drawn by the picture alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from blockyard.analysis.classifier_input import ClassifierInput
from blockyard.analysis.features import read_features
from blockyard.analysis.linear import LinearClassifier
from blockyard.tasks.segmentation.metrics import mean_scores
from blockyard.tasks.segmentation.probe import confusions, last_map, read_positions, resampled_scores


def few(name):
    """A module of made-up data of the tests of the tasks."""
    path = Path(__file__).parents[1] / "tasks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


videos, pictures, sounds = few("few_videos"), few("few_pictures"), few("few_sounds")


def state_of(task):
    return {name: value.clone() for name, value in task.state_dict().items()}


@pytest.mark.parametrize(("room", "data", "missing"), [(videos, "FewVideos", 1), (sounds, "FewSounds", 1)])
def test_a_samples_vector_is_the_mean_over_its_valid_views(room, data, missing):
    task, few_samples = room.task(), getattr(room, data)(8)
    split = few_samples.split("test")
    embed = ClassifierInput(task.network, task.num_classes, torch.zeros(1, *few_samples.input_shape))
    found = read_features(room.trainer(), task, few_samples.plain_dataloader("test"), embed)
    assert found.left_out == missing
    expected, targets = [], []
    for position in range(len(split.names)):
        items = [split[item] for item in split.items_of(position)]
        seen = [item["input"] for item in items if item["valid"]]
        if seen:
            with torch.no_grad():
                expected.append(embed.eval()(torch.stack(seen)).mean(0).float())
            targets.append(items[0]["target"])
    torch.testing.assert_close(found.vectors, torch.stack(expected), rtol=1e-5, atol=1e-6)  # batches of other sizes
    assert found.targets.tolist() == targets


def test_the_network_stays_as_it_is_to_the_last_bit():
    """Parameters, statistics of normalisation, and their counters."""
    task = sounds.task()
    task.network.backbone.conv = torch.nn.Sequential(task.network.backbone.conv, torch.nn.BatchNorm2d(8))
    data, before = sounds.FewSounds(8), state_of(task.train())
    embed = ClassifierInput(task.network, task.num_classes, torch.zeros(1, *data.input_shape))
    read_features(sounds.trainer(), task, data.plain_dataloader("test"), embed)
    assert "network.backbone.conv.1.running_mean" in before
    after = task.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(parameter.grad is None for parameter in task.parameters())
    assert task.training, "modes are restored"


def test_a_vector_that_is_not_finite_is_told():
    task, data = videos.task(), videos.FewVideos(3)
    with torch.no_grad():
        task.network.conv.bias.fill_(torch.nan)
    embed = ClassifierInput(task.network, task.num_classes, torch.zeros(1, *data.input_shape))
    with pytest.raises(FloatingPointError, match="not a number"):
        read_features(videos.trainer(), task, data.plain_dataloader("test"), embed)


def test_positions_are_columns_of_the_last_map_with_the_labels_there():
    task, data = pictures.task().eval(), pictures.FewPictures(5)
    every = read_positions(pictures.trainer(), task, data.plain_dataloader("train"), 10_000)
    vectors, labels = [], []
    for batch in data.plain_dataloader("train"):
        for picture, mask in zip(batch["input"], batch["target"], strict=True):
            with torch.no_grad():
                maps = last_map(task, picture)
            # positions of stride 4 in the middle of 4×4 pixels: rows and columns 2, 6, 10…, as far as the size says
            rows, columns = (
                [int((i + 0.5) * length / cells) for i in range(cells)]
                for length, cells in zip(mask.shape, maps.shape[1:], strict=True)
            )
            small = mask[rows][:, columns]
            vectors.append(maps.movedim(0, -1)[small != 255])
            labels.append(small[small != 255])
    assert torch.equal(every.targets, torch.cat(labels))
    torch.testing.assert_close(every.vectors, torch.cat(vectors))
    some = read_positions(pictures.trainer(), task, data.plain_dataloader("train"), 7)
    assert len(some.targets) == 7 * 4, "the fifth picture has no label"
    one_by_one = pictures.FewPictures(5, batch_size=1)
    again = read_positions(pictures.trainer(), task, one_by_one.plain_dataloader("train"), 7)
    torch.testing.assert_close(some.vectors, again.vectors)  # a batch of another size rounds otherwise


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_pictures_are_labelled_by_the_enlarged_logits(precision):
    """In single precision, whatever the features have."""
    task, data = pictures.task().eval(), pictures.FewPictures(5)
    classifier = LinearClassifier(torch.randn(4, 16), torch.randn(4))
    trainer = pictures.trainer(precision=precision)
    counts = confusions(trainer, task, data.plain_dataloader("test"), classifier)
    assert counts.shape == (5, 4, 4)
    whole = [
        pair for batch in data.plain_dataloader("test") for pair in zip(batch["input"], batch["target"], strict=True)
    ]
    for found, (picture, mask) in zip(counts, whole, strict=True):
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            maps = last_map(task, picture)[None]
        logits = F.conv2d(maps, classifier.weight[..., None, None], classifier.bias)
        labels = F.interpolate(logits, mask.shape, mode="bilinear")[0].argmax(0)
        asked = mask != 255
        pairs = mask[asked] * 4 + labels[asked]
        assert torch.equal(found, pairs.bincount(minlength=16).view(4, 4))


def test_resampled_scores_surround_those_of_all_pictures():
    counts = torch.randint(0, 50, (40, 3, 3)) + 100 * torch.eye(3, dtype=torch.long)
    whole, drawn = mean_scores(counts.sum(0)), resampled_scores(counts)
    for name in ("mIoU", "aAcc"):
        assert drawn[name].shape == (2000,)
        low, high = drawn[name].quantile(0.025), drawn[name].quantile(0.975)
        assert low < whole[name] < high
    same = counts[:1].expand(7, 3, 3)
    torch.testing.assert_close(resampled_scores(same)["mIoU"], mean_scores(counts[0])["mIoU"].expand(2000))
