"""DISTIL (decile-distil 0.2): its two expensive cores, without the network around them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from distil.active_learning_strategies.badge import init_centers
from distil.active_learning_strategies.core_set import CoreSet

from benchmarks.selection.data import Arrays
from benchmarks.selection.job import Job


def _k_center(arrays: Arrays, job: Job) -> Callable[[], Any]:
    points, labelled = np.array(arrays.embeddings), np.array(arrays.labelled_embeddings)
    return lambda: CoreSet.furthest_first(None, points, labelled, job.size)


def _badge(arrays: Arrays, job: Job) -> Callable[[], Any]:
    points, errors = np.array(arrays.embeddings), np.array(arrays.probabilities)
    errors[np.arange(len(errors)), errors.argmax(axis=1)] -= 1.0

    def call() -> Any:
        np.random.seed(job.seed)
        gradients = (errors[:, :, None] * points[:, None, :]).reshape(len(points), -1)
        return init_centers(gradients, job.size, "cpu")

    return call


CONTENDERS = {"k_center": _k_center, "badge": _badge}
