"""apricot 0.6: facility location, lazy greedy, compiled with numba."""

from collections.abc import Callable
from typing import Any

import numpy as np
from apricot import FacilityLocationSelection

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


def _facility_location(arrays: Arrays, job: Job) -> Callable[[], Any]:
    rows = np.concatenate([arrays.embeddings, arrays.labelled_embeddings])
    labelled = np.arange(arrays.n, len(rows))
    # It compiles anew at every call, about a second: part of its cost.
    # It wants the similarities between rows that may be picked; the labelled are among them, as
    # those that are picked already, and count as rows to be covered, where they are covered fully.
    return lambda: _select(rows, labelled, job.size)


def _select(rows: np.ndarray, labelled: np.ndarray, size: int) -> Any:
    # Its own "cosine" is the square of the cosine. It refuses what is negative, which changes no
    # gain, as every cover is at least 0.
    similarities = rows @ rows.T
    np.maximum(similarities, 0.0, out=similarities)
    selection = FacilityLocationSelection(size, metric="precomputed", initial_subset=labelled)
    return selection.fit(similarities).ranking


CONTENDERS = {"facility_location": _facility_location}
