"""Ranked retrieval: who in the gallery resembles a query, and how good that ranking is, in bounded memory."""

from blockyard.retrieval.distances import Distances, FeatureDistances, Metric
from blockyard.retrieval.ranking import Ranking, rank
from blockyard.retrieval.reranking import KReciprocal
from blockyard.retrieval.shortlist import nearest

__all__ = ["Distances", "FeatureDistances", "KReciprocal", "Metric", "Ranking", "nearest", "rank"]
