"""scikit-learn's k-means and the item nearest to each centre: what most libraries wrap."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


def _k_means(arrays: Arrays, job: Job) -> Callable[[], Any]:
    points = np.array(arrays.embeddings)

    def call() -> Any:
        centres = KMeans(job.size, random_state=job.seed).fit(points).cluster_centers_
        return pairwise_distances_argmin(centres, points)

    return call


CONTENDERS = {"k_means": _k_means}
