"""ALiPy 1.2."""

import collections
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from alipy.query_strategy.query_labels import (
    QueryInstanceCoresetGreedy,
    QueryInstanceUncertainty,
)

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job

# It asks for a name that Python 3.10 has moved.
collections.Iterable = Iterable


def _k_center(arrays: Arrays, job: Job) -> Callable[[], Any]:
    rows = np.concatenate([arrays.embeddings, arrays.labelled_embeddings])
    everything = np.arange(len(rows))
    pool = set(range(arrays.n))

    def call() -> Any:
        # It looks up each labelled item by a pass over all indices: part of its cost.
        query = QueryInstanceCoresetGreedy(rows, np.zeros(len(rows)), everything)
        return query.select(everything[arrays.n :], pool, batch_size=job.size)

    return call


def _uncertainty(measure: str) -> Callable[[Arrays, Job], Callable[[], Any]]:
    def contender(arrays: Arrays, job: Job) -> Callable[[], Any]:
        probabilities = np.array(arrays.probabilities)
        query = QueryInstanceUncertainty(measure=measure)
        indices = np.arange(arrays.n)
        return lambda: query.select_by_prediction_mat(indices, probabilities, job.size)

    return contender


CONTENDERS = {
    "k_center": _k_center,
    "margin": _uncertainty("margin"),
    "entropy": _uncertainty("entropy"),
    "least_confidence": _uncertainty("least_confident"),
}
