"""Strategies of small-text 1.4, run with their defaults on unit embeddings."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from small_text.query_strategies import (
    BreakingTies,
    ContrastiveActiveLearning,
    EmbeddingKMeans,
    GreedyCoreset,
    LeastConfidence,
    PredictionEntropy,
)

from benchmarks.labels.protocol import Integers, State

MADE: dict[str, Callable[[], Any]] = {
    "margin": BreakingTies,
    "entropy": PredictionEntropy,
    "least_confidence": LeastConfidence,
    "k_center": GreedyCoreset,
    "k_means": EmbeddingKMeans,
    "cal": lambda: ContrastiveActiveLearning(pbar=None),
}


class SmallText:
    """One strategy of the library, by AskNext's name for it."""

    # Its active learner must be initialised with labelled items, whatever the strategy.
    needs_labels = True

    def __init__(self, name: str) -> None:
        if name not in MADE:
            raise ValueError(f"no strategy {name!r}; there are {', '.join(MADE)}")
        self._strategy = MADE[name]()

    def select(self, state: State, size: int, seed: int) -> Integers:
        """`size` distinct rows of the unlabelled."""
        np.random.seed(seed % (1 << 32))  # the library draws from the global generator
        rows = state.embeddings / np.maximum(
            np.linalg.norm(state.embeddings, axis=1, keepdims=True), 1e-12
        )
        picked = self._strategy.query(
            _GivenHead(state), rows, state.unlabelled, state.labelled, state.labels, n=size
        )
        found: Integers = np.asarray(picked, dtype=np.int64)
        return found


class _GivenHead:
    """The benchmark's head as the library's classifier; a data set is its rows of embeddings."""

    def __init__(self, state: State) -> None:
        self._state = state

    def predict_proba(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._state.predict(rows)

    def embed(self, rows: NDArray[np.float32], return_proba: bool = False, **_: Any) -> Any:
        return (rows, self.predict_proba(rows)) if return_proba else rows
