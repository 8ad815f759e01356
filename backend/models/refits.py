"""Heads refitted on many subsets of the labels at once, to compare what the subsets teach."""

import numpy as np
from numpy.typing import NDArray

from backend.models.centring import CentredInputs, norms
from backend.models.softmax_regression import SoftmaxProblems, one_thread

_TOLERANCE = 1e-4
# Numbers of the logits of one batch: examples times problems times classes.
_BATCH_NUMBERS = 20_000_000


def refitted_predictions(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.integer],
    subsets: NDArray[np.floating],
    judged: NDArray[np.floating],
    *,
    classes: int,
    penalty: float,
) -> NDArray[np.int64]:
    """The class that the head of each subset gives each judged item: (s, n) int64.

    embeddings (m, d), labels (m,) in 0..classes-1; subsets (s, m) >= 0 say how often each example
    trains each head, all by the same penalty on the mean loss (`train_head`'s objective); judged
    (n, d).

    A subset without labels, or of one class, predicts that class (class 0 without any). The heads
    of a batch are one optimisation: they share the inputs.
    """
    values = np.asarray(embeddings, dtype=np.float32)
    targets = np.asarray(labels, dtype=np.int64)
    found = np.zeros((len(subsets), len(judged)), dtype=np.int64)
    counts = np.stack([np.bincount(targets, weights=one, minlength=classes) for one in subsets])
    trained = np.flatnonzero((counts > 0).sum(axis=1) >= 2)
    found[:] = counts.argmax(axis=1)[:, None]
    if not len(trained) or not len(judged):
        return found
    seen = np.flatnonzero(counts[trained].sum(axis=0))
    unit = np.asarray(judged, dtype=np.float32)
    unit = unit / norms(unit)
    each = max(1, _BATCH_NUMBERS // max(1, len(values) * len(seen)))
    with one_thread():
        inputs = CentredInputs.of(values, np.ones(len(values)))
        for start in range(0, len(trained), each):
            batch = trained[start : start + each]
            problems = SoftmaxProblems(
                inputs.inputs,
                np.searchsorted(seen, targets),
                len(seen),
                np.asarray(subsets[batch], dtype=np.float64),
                double=False,
            )
            weights, bias = inputs.folded(problems.solve(penalty, tolerance=_TOLERANCE).parameters)
            for place, subset in enumerate(batch):
                scores = unit @ weights[place].T.astype(np.float32) + bias[place]
                # A class that the subset does not hold has no score of its own.
                scores[:, counts[subset][seen] == 0] = -np.inf
                found[subset] = seen[scores.argmax(axis=1)]
    return found
