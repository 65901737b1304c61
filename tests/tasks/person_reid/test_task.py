"""Re-identification from batches to ranked galleries."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians
from blockyard.tasks.person_reid.report import RankedGallery, RetrievalWriter

pytestmark = pytest.mark.filterwarnings("ignore:.*as published", "ignore:.*does not have many workers")


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("few_people", Path(__file__).parents[1] / "few_people.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


few = _script()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_tiny_pedestrians(tmp_path_factory.mktemp("people"), "mars")


@pytest.fixture(scope="module")
def tested(root):
    module, people = few.task().float(), few.data(root)
    (metrics,) = few.trainer().test(module, people, verbose=False)
    return module, people, metrics


def brute_force(features: np.ndarray, split) -> tuple[list[float], list[bool]]:
    """Average precision and rank-1 of each query by the definitions."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    precision, first = [], []
    for query in split.query:
        same = split.identities[split.gallery] == split.identities[query]
        left = ~(same & (split.cameras[split.gallery] == split.cameras[query])) & (
            split.identities[split.gallery] != -1
        )
        order = np.argsort(-(unit[split.gallery[left]] @ unit[query]), kind="stable")
        hits = same[left][order]
        if hits.any():
            ranks = np.flatnonzero(hits) + 1
            precision.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
            first.append(bool(hits[0]))
    return precision, first


class TestScores:
    def test_equal_the_definitions_on_the_vectors(self, tested):
        module, people, metrics = tested
        precision, first = brute_force(module.features.double().numpy(), people.split("test"))
        assert metrics["test/mAP"] == pytest.approx(np.mean(precision), abs=1e-6)  # logged as float32
        assert metrics["test/rank1"] == pytest.approx(np.mean(first), abs=1e-6)
        assert module.sample_scores["average_precision"].tolist() == pytest.approx(precision, abs=1e-9)

    def test_a_tracklet_s_vector_is_the_mean_of_its_clips(self, tested):
        module, people, _ = tested
        split = people.split("test")
        position = int(np.bincount(split.owner).argmax())
        items = np.flatnonzero(split.owner == position)
        assert len(items) > 1
        batch = split.collate([split[int(item)] for item in items])
        with torch.no_grad():
            torch.testing.assert_close(module.features[position], module.eval()(batch["input"]).mean(0))

    @pytest.mark.parametrize("batch_size", [2, 64])
    def test_do_not_depend_on_the_batch_size(self, tested, root, batch_size):
        module, _, metrics = tested
        before = module.features
        (other,) = few.trainer().test(module, few.data(root, batch_size=batch_size), verbose=False)
        assert other == pytest.approx(metrics, abs=1e-6)
        # Convolutions of batches of other sizes round otherwise.
        torch.testing.assert_close(module.features, before, rtol=1e-5, atol=1e-6)

    def test_re_ranking_and_euclidean_distance_change_the_ranking_alone(self, tested, root):
        module, people, _ = tested
        for options in ({"rerank": True}, {"distance": "euclidean"}):
            other = few.task(**options).float()
            other.load_state_dict(module.state_dict())
            few.trainer().test(other, people, verbose=False)
            assert torch.equal(other.features, module.features)
            assert not torch.equal(other.ranking.top, module.ranking.top)


@pytest.mark.slow
def test_two_processes_train_and_test_as_one(one_and_two_processes):
    alone, *together = one_and_two_processes("few_people.py")
    for other in together:
        assert other["metrics"] == pytest.approx(alone["metrics"], abs=1e-7)
        np.testing.assert_allclose(other["features"], alone["features"], rtol=0, atol=1e-6)  # kept as float32
        assert other["scores"].keys() == alone["scores"].keys()
        # Triplets are formed over both processes' halves, so that the step is that of the global batch.
        np.testing.assert_allclose(other["weights"], alone["weights"], rtol=1e-9)
    assert together[0] == together[1]


def test_a_limited_run_ranks_what_it_saw(root):
    module = few.task().float()
    with pytest.warns(UserWarning, match="batches were limited"):
        few.trainer(limit_test_batches=1).test(module, few.data(root), verbose=False)


class TestReports:
    def test_a_test_leaves_pictures_of_its_ranking(self, tested, tmp_path):
        module, people, _ = tested
        few.trainer(callbacks=[RankedGallery(tmp_path)]).test(module, people, verbose=False)
        assert {path.name for path in tmp_path.iterdir()} == {"ranking.png", "cmc.png"}

    def test_folders_of_one_s_own_are_ranked_without_labels(self, root, tmp_path):
        module = few.task().float()
        folders = {f"{name}_folder": str(tmp_path / name) for name in ("query", "gallery")}
        tracks = sorted(path for path in (root / "mars" / "bbox_test").iterdir() if path.is_dir())
        for name, chosen in (("query", tracks[:2]), ("gallery", tracks)):
            (tmp_path / name).mkdir()
            for track in chosen:
                (tmp_path / name / track.name).symlink_to(track)
        people = few.data(root, **folders)
        few.trainer(callbacks=[RetrievalWriter(tmp_path)]).predict(module, people, return_predictions=False)
        saved = np.load(tmp_path / "embeddings.npz", allow_pickle=False)
        assert saved["vectors"].shape == (2 + len(tracks), 8)
        lines = (tmp_path / "ranking.csv").read_text().splitlines()
        assert lines[0] == "query,rank,found,distance"
        assert len(lines) == 1 + 2 * len(tracks)
        first = [line.split(",") for line in lines if line.split(",")[1] == "1"]
        # The nearest of a tracklet that is in the gallery too is itself, at no distance.
        assert all(Path(query).name == Path(found).name and float(far) < 1e-6 for query, _, found, far in first)
