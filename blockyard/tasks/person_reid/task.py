"""Person re-identification: one vector a picture or tracklet, compared across cameras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from blockyard.analysis.probe import Probe
from blockyard.backbones import Backbone
from blockyard.datamodules import DataModule
from blockyard.datamodules.suggesting import Choice
from blockyard.heads.embedding import Embedding, Temporal
from blockyard.objectives import Default
from blockyard.poolings import Pooling
from blockyard.retrieval import KReciprocal, Ranking, nearest, rank
from blockyard.retrieval.pool_features import PoolFeatures
from blockyard.tasks.base import Batch, Task, refuse_beside
from blockyard.tasks.new_samples import only_valid, tell_unread
from blockyard.tasks.person_reid.metric_losses import MetricLoss
from blockyard.tasks.person_reid.objective import IdentityAndMetric
from blockyard.tasks.person_reid.probe import PROBE
from blockyard.tasks.person_reid.report import RankedGallery, RetrievalWriter

RANKS = (1, 5, 10, 20)
SHOWN = 50
"""A prediction lists so many of the gallery for each query."""


class PersonReID(Task):
    """Learns one vector a picture or tracklet, so that those of one person are near whatever camera saw them.

    ``self.network`` is an :class:`~blockyard.heads.embedding.Embedding`. Two losses are added: cross-entropy over the
    training identities, and a metric loss over the pairs or triplets of the *global* batch. In a test the vectors of a
    tracklet's clips are averaged, and the gallery is ranked for every query by
    :func:`blockyard.retrieval.rank`; scores are those of the queries that have a match.

    A batch is a mapping of ``input`` ``(B, 3, H, W)`` or ``(B, 3, T, H, W)``, ``target`` ``(B,)``, ``camera`` ``(B,)``
    and ``index`` ``(B,)``.

    Args:
        backbone: Called with ``(num_classes, in_channels)``.
        num_classes: Training identities K; the command line takes it from the data.
        input_shape: Shape of one sample; the command line takes it from the data.
        temporal: How the frames of a clip become one vector.
        label_smoothing: Mass of the identity's target that is spread over all identities.
        metric_loss: A loss of pytorch-metric-learning by name, such as ``TripletMarginLoss``, ``CircleLoss`` or
            ``ArcFaceLoss``; None trains by cross-entropy alone.
        metric_options: Its options; of ``TripletMarginLoss`` the margin is 0.3 unless told otherwise.
        miner: A miner of pytorch-metric-learning by name; ``BatchHardMiner`` for ``TripletMarginLoss`` unless told
            otherwise, ``none`` for all pairs.
        metric_weight: Factor of the metric loss.
        distance: How vectors are compared in a test.
        rerank: Whether the ranking is refined by k-reciprocal neighbours (Zhong et al., CVPR 2017).
        pooling: What makes a vector of the last map, such as ``GeM``; None takes the mean over its positions.
        options: Those of :class:`~blockyard.tasks.base.Task`.

    Raises:
        ValueError: As :class:`~blockyard.tasks.base.Task`, or if there is no such loss or miner.
    """

    learns_from: ClassVar[tuple[str, ...]] = ("pictures of people",)
    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    primary_metric: ClassVar[str] = "mAP"
    pipeline: ClassVar[str] = "image-feature-extraction"
    output: ClassVar[str] = "vectors (B, D), to be compared by the cosine of their angle"
    reports: ClassVar[tuple[Callable[[Path], Callback], ...]] = (RankedGallery, RetrievalWriter)
    evaluation_options: ClassVar[tuple[str, ...]] = ("distance", "rerank")
    probe: ClassVar[Probe | None] = PROBE
    default_objective: ClassVar[type[Default]] = IdentityAndMetric

    @classmethod
    def suggest(cls, data: DataModule, trained: Choice | None, epochs: int) -> dict[str, Choice]:
        """Also what leaves the background out of the vectors."""
        why = "nearer to the maximum than to the mean over positions, most of which are background"
        return super().suggest(data, trained, epochs) | {"pooling": Choice("GeM", why)}

    def __init__(
        self,
        backbone: Callable[[int, int], Backbone],
        num_classes: int,
        input_shape: tuple[int, ...],
        temporal: Temporal = "mean",
        label_smoothing: float = 0.1,
        metric_loss: str | None = "TripletMarginLoss",
        metric_options: dict[str, Any] | None = None,
        miner: str | None = None,
        metric_weight: float = 1.0,
        distance: Literal["cosine", "euclidean"] = "cosine",
        rerank: bool = False,
        pooling: Callable[[int], Pooling] | None = None,
        **options: Any,
    ) -> None:
        beside = {"label_smoothing": label_smoothing, "metric_loss": metric_loss, "metric_options": metric_options}
        refuse_beside(options.get("objective"), PersonReID, {**beside, "miner": miner, "metric_weight": metric_weight})
        network = Embedding(backbone(num_classes, input_shape[0]), num_classes, input_shape, temporal, pooling)
        super().__init__(network, input_shape, **options)
        self.num_classes = num_classes
        self.identity_loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        self.metric_loss: MetricLoss | None = None
        if metric_loss is not None and options.get("objective") is None:
            self.metric_loss = MetricLoss(metric_loss, metric_options or {}, miner, num_classes, network.features)
        self.metric_weight = metric_weight
        self.distance = distance
        self.rerank = rerank
        self.features: Tensor | None = None
        self.ranking: Ranking | None = None

    def vectors(self, x: Tensor) -> Tensor:
        """The vectors before the neck ``(B, D)`` of pictures ``(B, 3, H, W)`` or clips ``(B, 3, T, H, W)``."""
        network: Any = self.network
        pooled: Tensor = network.pool(x)
        return pooled

    def on_validation_epoch_start(self) -> None:
        """Make room for the vectors of the split."""
        super().on_validation_epoch_start()
        self._start(self.trainer.val_dataloaders)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the vectors of a batch."""
        self._add(batch)

    def on_validation_epoch_end(self) -> None:
        """Rank and log."""
        self._finish("validation")
        if ranking := self._rank():
            self.log("val/mAP", ranking.mAP, prog_bar=True)
            self.log("val/rank1", ranking.cmc(1))

    def on_test_epoch_start(self) -> None:
        """Make room for the vectors of the split."""
        self._start(self.trainer.test_dataloaders)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the vectors of a batch."""
        self._add(batch)

    def on_test_epoch_end(self) -> None:
        """Rank and log; keep ``features`` ``(n, D)``, the ``ranking``, and ``sample_scores`` of the valid queries."""
        self._finish("test")
        self.ranking = ranking = self._rank()
        if ranking is None:
            return
        valid = ranking.valid
        self.sample_scores = {
            "average_precision": ranking.average_precision[valid],
            "rank1": (ranking.first_match[valid] == 1).to(torch.uint8),
            "inverse_negative_penalty": ranking.inverse_negative_penalty[valid],
        }
        self.log_dict({"test/mAP": ranking.mAP, "test/mINP": ranking.mINP})
        self.log_dict({f"test/rank{k}": ranking.cmc(k) for k in RANKS})
        if without := int((~valid).sum()):
            rank_zero_warn(f"{without} of {len(valid)} queries have no match in the gallery and are left out")

    def on_predict_epoch_start(self) -> None:
        """Make room for the vectors of the split."""
        self._start(self.trainer.predict_dataloaders)

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the vectors of a batch: of what could be read."""
        self._add(only_valid(batch))

    def on_predict_epoch_end(self) -> None:
        """Keep ``features`` ``(n, D)`` and ``found``: of each query the gallery's nearest and their distances.

        Raises:
            ValueError: If nothing that is asked for, or nothing that is searched, could be read.
        """
        self._finish("predict")
        assert self.features is not None
        for side, positions in (("queries", self.query), ("gallery", self.gallery)):
            if not len(positions):
                raise ValueError(f"nothing of the {side} could be read, so nothing can be ranked")
        query, gallery = self.features[self.query], self.features[self.gallery]
        self.found = nearest(query, gallery, SHOWN, metric=self.distance)

    def _start(self, loader: Any) -> None:
        self._split = loader.dataset.split
        network: Any = self.network
        self._pool = PoolFeatures(torch.as_tensor(self._split.owner), network.features).to(self.device)

    def _add(self, batch: Batch) -> None:
        network: Any = self.network
        index = batch["index"]  # a rank may have none left
        self._pool.update(index, self(batch["input"]) if len(index) else torch.zeros(0, network.features).to(index))

    def _finish(self, what: str) -> None:
        """Keep the vectors of the pool, on every rank, and who of it is ``query`` and ``gallery``."""
        self.features, counts = self._pool.compute()
        seen = counts.cpu() > 0
        if what == "predict" and self.trainer.limit_predict_batches == 1.0:
            tell_unread(self._split, (~seen).nonzero().flatten().tolist(), len(seen))
        elif not seen.all():
            rank_zero_warn(f"the {what} result is of {int(seen.sum())} of {len(seen)} sightings: batches were limited")
        query, gallery = torch.as_tensor(self._split.query), torch.as_tensor(self._split.gallery)
        self.query, self.gallery = query[seen[query]], gallery[seen[gallery]]

    def _rank(self) -> Ranking | None:
        """The ranking; None if limited batches left no query with a match."""
        assert self.features is not None
        query, gallery, split = self.query, self.gallery, self._split
        identities, cameras = torch.as_tensor(split.identities), torch.as_tensor(split.cameras)
        labels = identities[query], identities[gallery], cameras[query], cameras[gallery]
        limited = len(query) < len(split.query) or len(gallery) < len(split.gallery)
        try:
            return rank(
                self.features[query],
                self.features[gallery],
                *labels,
                metric=self.distance,
                rerank=KReciprocal() if self.rerank else None,
            )
        except ValueError as error:
            if not limited:
                raise
            rank_zero_warn(f"nothing could be ranked: {error}")
            return None
