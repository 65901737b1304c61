"""What each kind of task is judged by, and what makes no sense for it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from blockyard.analysis.probe import judge, leave_one_out
from blockyard.analysis.verdict import Options
from blockyard.tasks import AudioTagging, PersonReID, SemanticSegmentation, Task


def test_retrieval_leaves_out_the_query_alone():
    """By a loop over the ranked others: precision at each match, averaged."""
    vectors, targets = torch.randn(30, 4), torch.randint(0, 3, (30,))
    targets[0] = 3  # alone in its class
    ranking = leave_one_out(vectors, targets)
    cosines = F.cosine_similarity(vectors[:, None].double(), vectors[None].double(), dim=2)
    for query in range(30):
        others = [item for item in cosines[query].argsort(descending=True).tolist() if item != query]
        hits = [rank for rank, item in enumerate(others, 1) if targets[item] == targets[query]]
        assert bool(ranking.valid[query]) == bool(hits) == (query > 0)
        if hits:
            precision = sum(number / rank for number, rank in enumerate(hits, 1)) / len(hits)
            assert ranking.average_precision[query].item() == pytest.approx(precision, abs=1e-12)
            assert ranking.first_match[query].item() == hits[0]


def test_retrieval_of_classes_apart_is_perfect():
    targets = torch.arange(40) % 4
    ranking = leave_one_out(F.one_hot(targets, 4) + 0.1 * torch.rand(40, 4), targets)
    assert ranking.mAP == ranking.cmc(1) == 1.0


def test_retrieval_needs_two_of_a_class():
    with pytest.raises(ValueError, match="a class with two test samples"):
        leave_one_out(torch.randn(3, 2), torch.arange(3))


@pytest.mark.parametrize(
    ("kind", "method", "why"),
    [
        (AudioTagging, "retrieval", "several labels"),
        (PersonReID, "linear", "nobody in the test was seen in training"),
        (PersonReID, "knn", "nobody in the test was seen in training"),
        (SemanticSegmentation, "knn", "no class of its own"),
        (SemanticSegmentation, "retrieval", "no class of its own"),
    ],
)
def test_refuses_what_makes_no_sense_before_anything_is_read(kind, method, why):
    task = kind.__new__(kind)
    with pytest.raises(
        ValueError, match=rf"^{method} makes no sense for {kind.__name__}: .*{why}.*; allowed: "
    ) as caught:
        judge(None, task, None, Options((method,)))
    assert "\n" not in str(caught.value)


def test_every_task_says_how_its_features_are_judged():
    import blockyard.tasks as tasks

    kinds = [kind for name in tasks.__all__ if issubclass(kind := getattr(tasks, name), tasks.Task)]
    assert {AudioTagging, PersonReID, SemanticSegmentation} <= set(kinds)
    # The features of several tasks are those of each of them.
    assert [kind for kind in kinds if kind.probe is None] == [tasks.MultiTask, tasks.Task]


def test_a_task_without_a_probe_is_refused_in_one_line():
    class Unasked(Task):
        pass

    with pytest.raises(ValueError, match=r"^Unasked has no probe: nothing says how to judge its features$"):
        judge(None, Unasked.__new__(Unasked), None, Options())
