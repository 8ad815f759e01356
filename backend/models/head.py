"""The linear softmax head that learns from the labels on top of frozen embeddings.

Inputs are L2-normalised, centred on the labelled examples and brought to a mean squared norm of
one. Against per-dimension standardisation this gains about 2 points of accuracy at 25 labels (text,
digits and photos of solar cells) and equals it at 500; it makes one grid of penalties fit every
encoder. Centring and scaling are folded into the stored weights, so a head needs the L2 norm only.

A class without any label has no weights: it keeps the probability that Laplace's rule of
succession gives it, 1 / (m + c), and the seen classes share the rest by their softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.models.centring import CentredInputs, norms
from backend.models.softmax_regression import SoftmaxProblems, one_thread

# Chosen by held-out loss on text, digits and photos: the best or near it from 25 to 100 labels.
DEFAULT_PENALTY = 3e-4
PENALTIES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
LABELS_FOR_CROSS_VALIDATION = 50
_FOLDS = 5
# With many labels three folds already rank the penalties alike, in 60 % of the time.
_FOLDS_WITH_MANY_LABELS, _MANY_LABELS = 3, 2_000
_BLOCK = 16_384
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Head:
    """A trained head over `classes`, in the label config's order.

    `weights` (c, d) and `bias` (c,) float32 act on L2-normalised embeddings and are zero for
    classes without labels; `counts` (c,) int64 are the labels a class was trained on. `penalty`
    is the strength of ||W||^2 against the mean loss, `penalty_losses` the held-out loss of each
    penalty tried (empty: the constant `DEFAULT_PENALTY` was used, too few labels to choose).
    """

    classes: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    counts: NDArray[np.int64]
    penalty: float = DEFAULT_PENALTY
    penalty_losses: tuple[tuple[float, float], ...] = ()

    @property
    def labelled(self) -> int:
        """How many labels the head was trained on."""
        return int(self.counts.sum())

    def logits(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, c) float32 natural logarithms of the probabilities, for embeddings (n, d)."""
        values = np.asarray(embeddings)
        if values.ndim != 2 or values.shape[1] != self.weights.shape[1]:
            raise ValueError(
                f"embeddings: expected shape (n, {self.weights.shape[1]}), got {values.shape}"
            )
        result = np.empty((len(values), len(self.classes)), dtype=np.float32)
        seen = np.flatnonzero(self.counts)
        total = self.labelled + len(self.classes)
        result[:] = -np.log(total)
        share = np.log((self.labelled + len(seen)) / total) if len(seen) else 0.0
        for start in range(0, len(values) if len(seen) else 0, _BLOCK):
            block = values[start : start + _BLOCK].astype(np.float32, copy=False)
            scores = block @ self.weights[seen].T
            scores /= norms(block)
            scores += self.bias[seen]
            scores -= scores.max(axis=1, keepdims=True)
            scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True)) - np.float32(share)
            result[start : start + _BLOCK, seen] = scores
        return result

    def probabilities(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, c) float32 class probabilities, each row summing to 1, for embeddings (n, d)."""
        return softmax(self.logits(embeddings))


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """(n, c) float32 probabilities of logits (n, c), softer the higher the temperature."""
    scaled = logits / np.float32(temperature)
    scaled -= scaled.max(axis=1, keepdims=True, initial=-np.inf)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def train_head(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    *,
    previous: Head | None,
    seed: int,
    weights: NDArray[np.floating] | None = None,
) -> Head:
    """The head that minimises mean cross-entropy + penalty * ||W||^2 over all labels.

    `embeddings` (m, d), `labels` (m,) in 0..c-1, `weights` (m,) > 0 (all equal when None). The
    optimum does not depend on `previous`, which only starts the search: its classes are matched by
    name, new ones start at zero, removed ones are dropped. From 50 labels on, when at least two
    classes have two labels, the penalty is the one with the least loss under stratified
    cross-validation (five folds, three from 2,000 labels on, drawn from `seed`). Zero labels or
    one class give smoothed priors.
    Raises ValueError for shapes or labels that do not fit.
    """
    names = tuple(classes)
    values, targets, importance = checked(embeddings, labels, names, weights)
    counts = np.bincount(targets, minlength=len(names)).astype(np.int64)
    seen = np.flatnonzero(counts)
    empty = np.zeros((len(names), values.shape[1]), dtype=np.float32)
    if len(seen) < 2:
        return Head(names, empty, empty[:, 0].copy(), counts)

    with one_thread():
        return _trained(names, values, targets, importance, counts, previous, seed)


def _trained(
    names: tuple[str, ...],
    values: NDArray[np.float32],
    targets: NDArray[np.int64],
    importance: NDArray[np.float64],
    counts: NDArray[np.int64],
    previous: Head | None,
    seed: int,
) -> Head:
    seen = np.flatnonzero(counts)
    empty = np.zeros((len(names), values.shape[1]), dtype=np.float32)
    material = CentredInputs.of(values, importance)
    inputs = material.inputs
    compact = np.searchsorted(seen, targets)

    penalty = DEFAULT_PENALTY
    losses: tuple[tuple[float, float], ...] = ()
    start: NDArray[np.float64] | None = None
    if len(targets) >= LABELS_FOR_CROSS_VALIDATION and (counts >= 2).sum() >= 2:
        penalty, losses, start = _choose_penalty(inputs, compact, len(seen), importance, seed)
    if previous is not None and previous.weights.shape[1] == values.shape[1]:
        start = _warm_start(previous, [names[index] for index in seen], material)

    problem = SoftmaxProblems(inputs, compact, len(seen), importance[None, :], double=False)
    rough = problem.solve(penalty, start, tolerance=1e-5).parameters
    exact = SoftmaxProblems(inputs, compact, len(seen), importance[None, :], double=True)
    solution = exact.solve(penalty, rough, tolerance=_TOLERANCE).parameters[0]

    matrix, bias = empty.copy(), empty[:, 0].copy()
    matrix[seen], bias[seen] = material.folded(solution)
    return Head(names, matrix, bias, counts, penalty, losses)


def checked(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.integer],
    names: tuple[str, ...],
    weights: NDArray[np.floating] | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """Embeddings, labels and importance in the types of the computation, or ValueError."""
    values = np.asarray(embeddings, dtype=np.float32)
    targets = np.asarray(labels, dtype=np.int64)
    importance = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"classes: expected distinct names, at least one; got {names}")
    if values.ndim != 2 or targets.shape != (len(values),) or importance.shape != targets.shape:
        raise ValueError(
            f"embeddings {values.shape}, labels {targets.shape} and weights {importance.shape} "
            "must agree in their first dimension"
        )
    if not np.isfinite(values).all():
        raise ValueError("embeddings: NaN or infinite values")
    if len(targets) and not (targets.min() >= 0 and targets.max() < len(names)):
        raise ValueError(f"labels: expected 0..{len(names) - 1}")
    if not (np.isfinite(importance).all() and (importance > 0).all()):
        raise ValueError("weights: expected finite values above 0")
    return values, targets, importance


def _warm_start(previous: Head, names: list[str], material: CentredInputs) -> NDArray[np.float64]:
    """(1, c, r + 1) parameters that give `previous`'s scores; a class that it lacks starts at 0."""
    start = np.zeros((1, len(names), material.axes.shape[1] + 1))
    known = material.unfolded(previous.weights, previous.bias)
    rows = {name: row for row, name in enumerate(previous.classes)}
    for target, name in enumerate(names):
        if name in rows:
            start[0, target] = known[rows[name]]
    return start


def _choose_penalty(
    inputs: NDArray[np.floating],
    labels: NDArray[np.int64],
    classes: int,
    importance: NDArray[np.float64],
    seed: int,
) -> tuple[float, tuple[tuple[float, float], ...], NDArray[np.float64]]:
    """The penalty of least held-out loss, all losses tried, and the folds' mean solution there.

    Goes from strong to weak, each penalty starting at the last one's solutions, and stops once the
    loss has risen twice running: the weakest penalties are the slowest.
    """
    held_out = folds_of(labels, seed)
    training = np.where(held_out, 0.0, importance)
    problems = SoftmaxProblems(inputs, labels, classes, training, double=False)
    shares = held_out * importance
    solutions: NDArray[np.float64] | None = None
    losses: list[tuple[float, float]] = []
    best, best_loss, start = DEFAULT_PENALTY, np.inf, np.empty(0)
    for penalty in PENALTIES:
        # A weak penalty's optimum is flat: the gradient must be small against the penalty.
        tolerance = max(penalty / 10, 3e-6)
        solutions = problems.solve(penalty, solutions, tolerance=tolerance).parameters
        loss = float((problems.losses(solutions) * shares).sum() / shares.sum())
        losses.append((penalty, loss))
        if loss < best_loss:
            best, best_loss, start = penalty, loss, solutions.mean(axis=0)[None]
        elif len(losses) > 2 and losses[-1][1] > losses[-2][1] > losses[-3][1]:
            break
    return best, tuple(losses), start


def folds_of(labels: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """(folds, m) bool: which examples a fold holds out, each class spread evenly over the folds.

    A class's only example is never held out, since no fold could learn it then.
    """
    rng = np.random.default_rng(seed)
    folds = _FOLDS if len(labels) < _MANY_LABELS else _FOLDS_WITH_MANY_LABELS
    held_out = np.zeros((folds, len(labels)), dtype=np.bool_)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            held_out[(np.arange(len(members)) + rng.integers(folds)) % folds, members] = True
    return held_out[held_out.any(axis=1)]
