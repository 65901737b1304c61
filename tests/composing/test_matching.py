"""Which data a task takes."""

from __future__ import annotations

import pytest

from blockyard.composing.matching import refuse_other_data
from blockyard.datamodules import DataModule
from blockyard.tasks.classification.image import ImageClassification
from blockyard.tasks.classification.signal import SignalClassification
from blockyard.tasks.person_reid.task import PersonReID
from blockyard.tasks.restoration.task import ImageRestoration
from blockyard.tasks.segmentation.task import SemanticSegmentation


def data(shape: tuple[int, ...], what: str) -> DataModule:
    """Data of one's own, which may say what they are or not."""

    class Own(DataModule):
        input_shape = shape
        samples_are = what

        def load(self, split):
            raise NotImplementedError

    return Own()


@pytest.mark.parametrize(
    ("task", "shape", "what", "right"),
    [
        (ImageClassification, (12, 64), "", "SignalClassification"),
        (ImageClassification, (12, 64), "series with a class", "--model SignalClassification"),
        (ImageClassification, (3, 64, 64), "pictures with masks", "--model SemanticSegmentation"),
        (SignalClassification, (1, 28, 28), "pictures with a class", "--model ImageClassification"),
        (SemanticSegmentation, (1, 28, 28), "pictures with a class", "--model ImageClassification"),
        (SemanticSegmentation, (3, 64, 64), "pictures with boxes", "--model ObjectDetection"),
        (ImageRestoration, (1, 28, 28), "pictures with a class", "--model ImageClassification"),
        (PersonReID, (3, 28, 28), "noisy and clean pictures", "--model ImageRestoration"),
    ],
)
def test_other_data_are_refused_with_the_task_that_takes_them(task, shape, what, right):
    with pytest.raises(ValueError, match=r"learns from .* of shape \(\d+, .*: that is for") as refused:
        refuse_other_data(task, data(shape, what), labels=True)
    assert right in str(refused.value)


def test_data_that_do_not_say_what_they_are_and_pretexts_go_by_shape():
    refuse_other_data(ImageClassification, data((3, 8, 8), ""), labels=True)
    refuse_other_data(ImageClassification, data((3, 8, 8), "pictures with masks"), labels=False)
    with pytest.raises(ValueError, match="learns from"):
        refuse_other_data(ImageClassification, data((3, 8), "pictures with masks"), labels=False)


def test_a_task_of_ones_own_takes_anything():
    refuse_other_data(object, data((3, 8), "series with a class"), labels=True)
