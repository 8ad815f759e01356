"""Strategies of scikit-activeml 1.0, run with its own defaults on unit embeddings.

Its MaxHerding takes gamma = 1 so that the kernel is exp(-||x - x'||^2), as the paper's h = 1.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skactiveml import pool
from skactiveml.base import SkactivemlClassifier

from benchmarks.labels.protocol import Integers, State

MADE: dict[str, Callable[[int, int], Any]] = {
    "margin": lambda seed, _: pool.UncertaintySampling(method="margin_sampling", random_state=seed),
    "entropy": lambda seed, _: pool.UncertaintySampling(method="entropy", random_state=seed),
    "least_confidence": lambda seed, _: pool.UncertaintySampling(
        method="least_confident", random_state=seed
    ),
    "badge": lambda seed, _: pool.Badge(random_state=seed),
    "falcun": lambda seed, _: pool.Falcun(random_state=seed),
    "dropquery": lambda seed, _: pool.DropQuery(random_state=seed),
    "clue": lambda seed, _: pool.Clue(random_state=seed),
    "k_center": lambda seed, _: pool.CoreSet(random_state=seed),
    "typiclust": lambda seed, _: pool.TypiClust(random_state=seed),
    "probcover": lambda seed, classes: pool.ProbCover(n_classes=classes, random_state=seed),
    "max_herding": lambda seed, _: pool.MaxHerding(metric_dict={"gamma": 1.0}, random_state=seed),
}
_WITHOUT_MODEL = frozenset({"k_center", "typiclust", "probcover", "max_herding"})


class ScikitActiveml:
    """One strategy of the library, by AskNext's name for it."""

    def __init__(self, name: str) -> None:
        if name not in MADE:
            raise ValueError(f"no strategy {name!r}; there are {', '.join(MADE)}")
        self._name = name
        self.needs_labels = name not in _WITHOUT_MODEL

    def select(self, state: State, size: int, seed: int) -> Integers:
        """`size` distinct rows of the unlabelled."""
        rows = state.embeddings.astype(np.float64)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        labels = np.full(len(rows), np.nan)
        labels[state.labelled] = state.labels
        # Its sums of squares need seeds below 2^31.
        made = MADE[self._name](seed % (1 << 31), state.classes)
        if self._name in _WITHOUT_MODEL:
            picked = made.query(rows, labels, batch_size=size)
        elif self._name == "clue":
            head = _GivenHead(state)
            picked = made.query(rows, labels, head, fit_estimator=False, batch_size=size)
        else:
            head = _GivenHead(state)
            picked = made.query(rows, labels, head, fit_clf=False, batch_size=size)
        found: Integers = np.asarray(picked, dtype=np.int64)
        return found


class _GivenHead(SkactivemlClassifier):  # type: ignore[misc]
    """The benchmark's head as the library's classifier; it is fitted already."""

    def __init__(self, state: State) -> None:
        super().__init__(classes=list(range(state.classes)))
        self.state = state
        self.classes_ = np.arange(state.classes)
        self.n_features_in_ = state.embeddings.shape[1]

    def fit(self, rows: Any, labels: Any, sample_weight: Any = None) -> "_GivenHead":  # noqa: ARG002
        return self

    def predict_proba(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        values = self.state.predict(np.asarray(rows, dtype=np.float32)).astype(np.float64)
        normalised: NDArray[np.float64] = values / values.sum(axis=1, keepdims=True)
        return normalised

    def predict(self, rows: NDArray[np.floating]) -> NDArray[np.int64]:
        best: NDArray[np.int64] = self.predict_proba(rows).argmax(axis=1)
        return best
