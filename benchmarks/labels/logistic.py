"""The head of the benchmark: AskNext's softmax regression in plain NumPy, fast for few labels.

The same objective as `backend.models.head` with its constant default penalty: inputs L2-normalised,
centred on the labelled examples, mean squared norm one;
    mean cross-entropy + PENALTY * ||W||^2, bias unpenalised, classes without a label left out
(they keep 1 / (m + c)). NumPy alone, so that other libraries' environments run the very same head.
Solved by L-BFGS (Liu and Nocedal 1989) in float32, started at the last solution. The inputs are
rotated once to the pool's principal axes, where a diagonal first Hessian fits well.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PENALTY = 3e-4
_HISTORY, _STEPS, _TOLERANCE = 10, 200, 3e-5

Matrix = NDArray[np.float32]


class Preparation:
    """Turns embeddings (n, d) into what `fitted` takes: unit rows on the set's principal axes."""

    def __init__(self, embeddings: NDArray[np.floating]) -> None:
        unit = _unit(embeddings)
        _, axes = np.linalg.eigh(unit.T @ unit)
        self._axes = axes.astype(np.float32)

    def __call__(self, embeddings: NDArray[np.floating]) -> Matrix:
        """(n, d) float32 prepared rows."""
        rows: Matrix = np.ascontiguousarray(_unit(embeddings) @ self._axes)
        return rows


def _unit(embeddings: NDArray[np.floating]) -> Matrix:
    norms = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64))
    unit: Matrix = (embeddings / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)
    return unit


@dataclass(frozen=True, eq=False)
class Logistic:
    """weights (c, d), bias (c,) on prepared rows; `seen` (s,) classes with labels, m labels."""

    weights: Matrix
    bias: Matrix
    seen: NDArray[np.int64]
    m: int

    def logits(self, rows: Matrix) -> Matrix:
        """(n, c) float32 logarithms of the probabilities, of prepared rows (n, d)."""
        classes = len(self.bias)
        result = np.full((len(rows), classes), -np.log(self.m + classes), dtype=np.float32)
        if len(self.seen):
            share = np.log((self.m + len(self.seen)) / (self.m + classes))
            scores = rows @ self.weights[self.seen].T + self.bias[self.seen]
            scores -= scores.max(axis=1, keepdims=True)
            scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True)) - np.float32(share)
            result[:, self.seen] = scores
        return result

    def probabilities(self, rows: Matrix) -> Matrix:
        """(n, c) float32, each row summing to 1."""
        values = np.exp(self.logits(rows))
        normalised: Matrix = values / values.sum(axis=1, keepdims=True)
        return normalised


def fitted(
    rows: Matrix, labels: NDArray[np.int64], classes: int, previous: Logistic | None = None
) -> Logistic:
    """The head for prepared labelled rows (m, d); `previous` only starts the search."""
    seen = np.unique(labels)
    weights = np.zeros((classes, rows.shape[1]), dtype=np.float32)
    bias = np.zeros(classes, dtype=np.float32)
    if len(seen) < 2:
        return Logistic(weights, bias, seen, len(labels))
    centre = rows.mean(axis=0)
    scale = np.sqrt(np.square(rows - centre).sum(axis=1).mean()) or np.float32(1)
    inputs = (rows - centre) / scale
    start = np.zeros((len(seen), rows.shape[1] + 1), dtype=np.float32)
    if previous is not None:
        start[:, :-1] = previous.weights[seen] * scale
        start[:, -1] = previous.bias[seen] + previous.weights[seen] @ centre
    solution = _minimum(inputs, np.searchsorted(seen, labels), start)
    weights[seen] = solution[:, :-1] / scale
    bias[seen] = solution[:, -1] - weights[seen] @ centre
    return Logistic(weights, bias, seen, len(labels))


def _minimum(inputs: Matrix, labels: NDArray[np.int64], start: Matrix) -> Matrix:
    """(s, d + 1) minimiser, the bias last."""
    m, classes = len(labels), len(start)
    extended = np.concatenate([inputs, np.ones((m, 1), dtype=np.float32)], axis=1)
    penalties = np.full(extended.shape[1], PENALTY, dtype=np.float32)
    penalties[-1] = 0
    every = np.arange(m)

    def evaluate(point: Matrix) -> tuple[float, Matrix]:
        logits = extended @ point.T
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[every, labels]
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1, keepdims=True)
        loss = float(np.log(sums).mean(dtype=np.float64) - right.mean(dtype=np.float64))
        logits /= sums
        logits[every, labels] -= 1
        gradient = logits.T @ extended / np.float32(m) + 2 * penalties * point
        return loss + float((penalties * point * point).sum(dtype=np.float64)), gradient

    moments = np.square(extended).mean(axis=0) * np.float32((classes - 1) / classes**2)
    metric = (1 / (moments + 2 * penalties + np.float32(1e-6))).astype(np.float32)
    point = start
    value, gradient = evaluate(point)
    history: list[tuple[Matrix, Matrix, float]] = []
    for _ in range(_STEPS):
        if np.abs(gradient).max() <= _TOLERANCE:
            break
        direction = -_inverse_hessian_product(gradient, history, metric)
        slope = float((direction * gradient).sum(dtype=np.float64))
        if slope >= 0:
            direction, history = -gradient, []
            slope = -float(np.square(gradient).sum(dtype=np.float64))
        step = 1.0
        while step > 1e-6:
            moved = point + np.float32(step) * direction
            new_value, new_gradient = evaluate(moved)
            if new_value <= value + 1e-4 * step * slope:
                break
            step /= 2
        else:
            break  # no step goes down: as good as this precision allows
        change, turn = moved - point, new_gradient - gradient
        curvature = float((change * turn).sum(dtype=np.float64))
        if curvature > 0:
            history = [*history[-(_HISTORY - 1) :], (change, turn, curvature)]
        point, value, gradient = moved, new_value, new_gradient
    return point


def _inverse_hessian_product(
    gradient: Matrix, history: list[tuple[Matrix, Matrix, float]], metric: Matrix
) -> Matrix:
    """L-BFGS's two-loop recursion, with a diagonal first inverse Hessian."""
    result = gradient.copy()
    kept = []
    for change, turn, curvature in reversed(history):
        alpha = np.float32(np.vdot(change, result) / curvature)
        result -= alpha * turn
        kept.append(alpha)
    result *= metric
    if history:
        _, turn, curvature = history[-1]
        result *= np.float32(curvature / float((turn * turn * metric).sum(dtype=np.float64)))
    for (change, turn, curvature), alpha in zip(history, reversed(kept), strict=True):
        result += (alpha - np.float32(np.vdot(turn, result) / curvature)) * change
    return result
