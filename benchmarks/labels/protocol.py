"""One run: a split, an initial set, batches chosen, labelled and learnt from, up to the budget.

Everything that must be equal for all strategies is drawn from the seed and the set's name alone:
the pool, the test part and the random initial set. NumPy only, so that it runs in any environment.
"""

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.labels.logistic import Logistic, Matrix, Preparation, fitted

Integers = NDArray[np.int64]

# Labels at which the head is trained and tested: batches of 25 up to 100, then of 50.
POINTS = (25, 50, 75, 100, 150, 200, 250, 300, 350, 400, 450, 500)
POOL_AT_MOST = 5_000


class Data(Protocol):
    """What a run needs of a data set (`embeddings.Embedded`)."""

    @property
    def name(self) -> str: ...
    @property
    def embeddings(self) -> Matrix: ...
    @property
    def labels(self) -> Integers: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def test(self) -> int: ...


@dataclass(frozen=True, eq=False)
class State:
    """What a strategy may see before a batch: items by their row in the pool.

    embeddings (n, d); labelled (m,) rows in the order of labelling and their `labels` (m,);
    unlabelled (u,) rows ascending; probabilities (n, c) of the head and of the head before it,
    None while there is none; `predict` gives the head's probabilities (k, c) of any embeddings
    (k, d), and raises ValueError while there is no head.
    """

    embeddings: Matrix
    labelled: Integers
    labels: Integers
    unlabelled: Integers
    classes: int
    probabilities: Matrix | None
    previous_probabilities: Matrix | None
    predict: Callable[[Matrix], Matrix]


class Selector(Protocol):
    """A strategy of some library: `needs_labels` where it cannot choose the first batch."""

    needs_labels: bool

    def select(self, state: State, size: int, seed: int) -> Integers:
        """`size` distinct rows out of `state.unlabelled`."""
        ...


@dataclass(frozen=True)
class Curve:
    """A run's outcome at each point: accuracy and macro-F1 on the test part, classes seen."""

    labels: tuple[int, ...]
    accuracy: tuple[float, ...]
    macro_f1: tuple[float, ...]
    seen: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the data set: the pool and the test part; `initial` are rows of the pool."""

    pool: Integers
    test: Integers
    initial: Integers


def split(data: Data, seed: int, first: int = POINTS[0]) -> Split:
    """The split and the random initial set of a seed, the same for every strategy."""
    rng = np.random.default_rng([seed, zlib.crc32(data.name.encode())])
    order = rng.permutation(len(data.labels))
    test, pool = order[: data.test], order[data.test :][:POOL_AT_MOST]
    return Split(pool, test, rng.permutation(len(pool))[:first])


def run(data: Data, selector: Selector, seed: int, points: Sequence[int] = POINTS) -> Curve:
    """The learning curve of one strategy on one split.

    Raises ValueError where the strategy picks a labelled item, one twice, or not enough.
    """
    drawn = split(data, seed, points[0])
    picked: NDArray[Any]
    classes = len(data.classes)
    preparation, rows = _prepared(data)
    embeddings, truth = data.embeddings[drawn.pool], data.labels[drawn.pool]
    head_rows, test_rows, test_labels = rows[drawn.pool], rows[drawn.test], data.labels[drawn.test]
    free = np.ones(len(drawn.pool), dtype=np.bool_)
    labelled = np.empty(0, dtype=np.int64)
    probabilities: Matrix | None = None
    previous: Matrix | None = None
    head: Logistic | None = None
    measured: list[tuple[float, float, int]] = []
    seconds = 0.0
    for point in points:
        size = min(point - len(labelled), int(free.sum()))
        if not len(labelled) and selector.needs_labels:
            picked = drawn.initial
        else:
            state = State(
                embeddings,
                labelled,
                truth[labelled],
                np.flatnonzero(free),
                classes,
                probabilities,
                previous,
                _predictor(preparation, head),
            )
            begun = time.process_time()
            picked = np.asarray(selector.select(state, size, seed * 1_000 + point), dtype=np.int64)
            seconds += time.process_time() - begun
        _check(picked, free, size)
        free[picked] = False
        labelled = np.concatenate([labelled, picked])
        head = fitted(head_rows[labelled], truth[labelled], classes, head)
        # A head without labels says that all classes are alike.
        previous = _uniform(free, classes) if probabilities is None else probabilities
        probabilities = head.probabilities(head_rows)
        predicted = head.logits(test_rows).argmax(axis=1)
        measured.append(
            (
                float((predicted == test_labels).mean()),
                macro_f1(test_labels, predicted, classes),
                len(head.seen),
            )
        )
    accuracy, f1, seen = zip(*measured, strict=True)
    return Curve(tuple(points), accuracy, f1, seen, seconds)


def macro_f1(truth: Integers, predicted: NDArray[np.integer], classes: int) -> float:
    """The mean F1 of the classes that occur in `truth`; 0 for a class never predicted."""
    right = np.bincount(truth[truth == predicted], minlength=classes)
    there = np.bincount(truth, minlength=classes)
    said = np.bincount(predicted, minlength=classes)
    f1 = 2 * right / np.maximum(there + said, 1)
    return float(f1[there > 0].mean())


def _uniform(free: NDArray[np.bool_], classes: int) -> Matrix:
    return np.full((len(free), classes), 1 / classes, dtype=np.float32)


def _predictor(preparation: Preparation, head: Logistic | None) -> Callable[[Matrix], Matrix]:
    def predict(embeddings: Matrix) -> Matrix:
        if head is None:
            raise ValueError("there is no head before the first labels")
        return head.probabilities(preparation(embeddings))

    return predict


_PREPARED: dict[str, tuple[Preparation, Matrix]] = {}


def _prepared(data: Data) -> tuple[Preparation, Matrix]:
    # A worker sees few sets but many runs of each; one set's rows are kept at a time.
    if data.name not in _PREPARED or len(_PREPARED[data.name][1]) != len(data.labels):
        _PREPARED.clear()
        preparation = Preparation(data.embeddings)
        _PREPARED[data.name] = preparation, preparation(data.embeddings)
    return _PREPARED[data.name]


def _check(picked: Integers, free: NDArray[np.bool_], size: int) -> None:
    if picked.shape != (size,) or len(np.unique(picked)) != size or not free[picked].all():
        raise ValueError(f"expected {size} distinct unlabelled rows, got {picked!r}")
