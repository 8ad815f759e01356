"""scikit-activeml 1.0: the library with the most strategies."""

from collections.abc import Callable
from typing import Any

import numpy as np
from skactiveml.base import SkactivemlClassifier
from skactiveml.pool import (
    Badge,
    Clue,
    CoreSet,
    DropQuery,
    Falcun,
    MaxHerding,
    ProbCover,
    TypiClust,
    UncertaintySampling,
    batch_bald,
)
from skactiveml.utils import simple_batch

from benchmarks.selection.data import Arrays, softmax
from benchmarks.selection.job import Job


class _Head(SkactivemlClassifier):
    """The linear head of the arrays. For the pool itself it hands out what is stored."""

    def __init__(self, weights: Any = None, stored: Any = None, classes: Any = None) -> None:
        super().__init__(classes=classes)
        self.weights = weights
        self.stored = stored
        self.classes_ = np.arange(len(classes))

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "_Head":  # noqa: N803, ARG002
        return self

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        if self.stored is not None and len(X) == len(self.stored):
            return self.stored
        return softmax(X @ self.weights)

    def predict(self, X: Any) -> Any:  # noqa: N803
        return (X @ self.weights).argmax(axis=1)


def _material(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Their form: one matrix with the pool first and the labelled below, NaN where no label is."""
    rows = np.concatenate([arrays.embeddings, arrays.labelled_embeddings])
    labels = np.concatenate([np.full(arrays.n, np.nan), arrays.labels.astype(float)])
    return rows, labels


def _head(arrays: Arrays) -> _Head:
    classes = arrays.head.shape[1]
    return _Head(arrays.head, np.array(arrays.probabilities), np.arange(classes))


def _by_embeddings(make: Callable[[int], Any]) -> Callable[[Arrays, Job], Callable[[], Any]]:
    def contender(arrays: Arrays, job: Job) -> Callable[[], Any]:
        rows, labels = _material(arrays)
        return lambda: make(job.seed).query(rows, labels, batch_size=job.size)

    return contender


def _by_head(
    make: Callable[[int], Any], name: str = "clf"
) -> Callable[[Arrays, Job], Callable[[], Any]]:
    def contender(arrays: Arrays, job: Job) -> Callable[[], Any]:
        rows, labels = _material(arrays)
        arguments = {name: _head(arrays), f"fit_{name}": False}
        return lambda: make(job.seed).query(rows, labels, batch_size=job.size, **arguments)

    return contender


def _bald(arrays: Arrays, job: Job) -> Callable[[], Any]:
    # What GreedyBALD.query does once it has asked its 20 classifiers.
    members = np.array(arrays.members)

    def call() -> Any:
        rng = np.random.RandomState(job.seed)
        utilities = batch_bald(
            probas=members, batch_size=1, n_MC_samples=len(members), random_state=rng
        )
        return simple_batch(utilities[0], rng, batch_size=job.size)

    return call


def _uncertainty(method: str) -> Callable[[Arrays, Job], Callable[[], Any]]:
    return _by_head(lambda seed: UncertaintySampling(method=method, random_state=seed))


CONTENDERS = {
    "k_center": _by_embeddings(lambda seed: CoreSet(random_state=seed)),
    "badge": _by_head(lambda seed: Badge(random_state=seed)),
    # Their default gamma is 1 / d; 1 is the bandwidth of the paper.
    "max_herding": _by_embeddings(
        lambda seed: MaxHerding(metric_dict={"gamma": 1.0}, random_state=seed)
    ),
    "typiclust": _by_embeddings(lambda seed: TypiClust(k=20, random_state=seed)),
    "probcover": _by_embeddings(lambda seed: ProbCover(deltas=[0.9], random_state=seed)),
    "clue": _by_head(lambda seed: Clue(random_state=seed), "estimator"),
    "dropquery": _by_head(lambda seed: DropQuery(n_dropout_samples=3, random_state=seed)),
    "falcun": _by_head(lambda seed: Falcun(random_state=seed)),
    "margin": _uncertainty("margin_sampling"),
    "entropy": _uncertainty("entropy"),
    "least_confidence": _uncertainty("least_confident"),
    "bald": _bald,
}
