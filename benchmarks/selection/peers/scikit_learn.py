"""scikit-learn's k-means and the item nearest to each centre: what most libraries wrap."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import euclidean_distances, pairwise_distances_argmin

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


def _k_means(arrays: Arrays, job: Job) -> Callable[[], Any]:
    points = np.array(arrays.embeddings)

    def call() -> Any:
        centres = KMeans(job.size, random_state=job.seed).fit(points).cluster_centers_
        picks = pairwise_distances_argmin(centres, points)
        taken: set[int] = set()
        for cluster, pick in enumerate(picks):
            if pick in taken:  # by another centre: the next nearest
                distances = euclidean_distances(centres[cluster : cluster + 1], points)[0]
                distances[list(taken)] = np.inf
                picks[cluster] = distances.argmin()
            taken.add(int(picks[cluster]))
        return picks

    return call


CONTENDERS = {"k_means": _k_means}
