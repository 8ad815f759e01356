"""small-text 1.4."""

from collections.abc import Callable
from typing import Any

import numpy as np
from small_text import BALD, BreakingTies, LeastConfidence, PredictionEntropy
from small_text.query_strategies.coresets import greedy_coreset
from small_text.query_strategies.strategies import EmbeddingKMeans

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


class _Stored:
    """A classifier that hands out what is stored; its data set is the pool itself."""

    def __init__(self, probabilities: Any) -> None:
        self.probabilities = probabilities

    def predict_proba(self, dataset: Any, dropout_sampling: int = 1) -> Any:  # noqa: ARG002
        return self.probabilities


def _k_center(arrays: Arrays, job: Job) -> Callable[[], Any]:
    # The pool comes first: its answer counts positions among the unlabelled as rows.
    rows = np.concatenate([arrays.embeddings, arrays.labelled_embeddings])
    pool, labelled = np.arange(arrays.n), np.arange(arrays.n, len(rows))
    return lambda: greedy_coreset(
        rows, pool, labelled, job.size, distance_metric="euclidean", normalized=True
    )


def _k_means(arrays: Arrays, job: Job) -> Callable[[], Any]:
    points, indices = np.array(arrays.embeddings), np.arange(arrays.n)
    strategy = EmbeddingKMeans()

    def call() -> Any:
        np.random.seed(job.seed)
        return strategy.sample(None, None, indices, [], [], job.size, points)

    return call


def _uncertainty(make: Callable[[], Any]) -> Callable[[Arrays, Job], Callable[[], Any]]:
    def contender(arrays: Arrays, job: Job) -> Callable[[], Any]:
        stored = _Stored(np.array(arrays.probabilities))
        indices = np.arange(arrays.n)
        return lambda: make().query(stored, indices, indices, [], [], n=job.size)

    return contender


def _bald(arrays: Arrays, job: Job) -> Callable[[], Any]:
    # (n, k, c)
    stored = _Stored(np.ascontiguousarray(np.moveaxis(arrays.members, 0, 1)))
    indices = np.arange(arrays.n)
    strategy = BALD(dropout_samples=len(arrays.members))
    return lambda: strategy.query(stored, indices, indices, [], [], n=job.size)


CONTENDERS = {
    "k_center": _k_center,
    "k_means": _k_means,
    "margin": _uncertainty(BreakingTies),
    "entropy": _uncertainty(PredictionEntropy),
    "least_confidence": _uncertainty(LeastConfidence),
    "bald": _bald,
}
