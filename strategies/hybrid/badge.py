"""BADGE: uncertain and diverse at once, by k-means++ sampling of last-layer gradients."""

from typing import Any

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.d2_sampling import Factor, d2_sampling
from strategies.kernels.products import Device
from strategies.picks import CLASS, DISTANCE, Picks


def badge(
    probabilities: Floats,
    embeddings: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    device: Device = "cpu",
) -> Picks:
    """k-means++ seeding of g_i = (p_i - e_y(i)) (x) (z_i, 1), y(i) = argmax_k p_ik.

    g_i is the gradient of the cross-entropy, were y(i) the true class, by the weights and the bias
    of a linear last layer: long where the prediction is uncertain. The first pick is the longest
    (as in the authors' code; the lowest index where equal); each later one is drawn with
    P(i) = D_i / sum_j D_j, D_i = min_{s picked} |g_i - g_s|^2. The distribution is exact, and the
    gradients, c (d + 1) numbers each, are never built: |g_i - g_s|^2 = |g_i|^2 + |g_s|^2
    - 2 <a_i, a_s> (<z_i, z_s> + 1) with a = p - e. Items with equal gradients are not picked
    twice while others are left; where only such are left, they are drawn uniformly. What is
    labelled plays no part.

    probabilities  (n, c), p
    embeddings     (n, d), z, the input of the last layer
    eligible       (e,) int64, the items that may be picked; 1 <= size <= e
    device         "cuda" computes the products on the GPU; the picks are the same
    returns        (size,) int64 in the order of picking; details: `distance`, sqrt(D_i) at the
                   moment of the pick (|g_i| for the first), `gradient_norm`, |g_i|, and `class`,
                   y(i)

    Memory n (c + d) for the input and O(n) beside it; time as in d2_sampling, far below the
    O(n size (c + d)) of the plain loop.

    Source: Ash, Zhang, Krishnamurthy, Langford and Agarwal, Deep Batch Active Learning by Diverse,
    Uncertain Gradient Lower Bounds, ICLR 2020 (arXiv 1906.03671), algorithm 1.
    """
    gradients = _LogitGradients(probabilities)
    sample = d2_sampling(
        (Factor(gradients), Factor(embeddings, offset=1.0)),
        size,
        rng,
        candidates=None if len(eligible) == len(embeddings) else eligible,
        first="longest",
        device=device,
    )
    picks = eligible[sample.positions]
    rows = np.asarray(embeddings[picks], dtype=np.float64)
    norms = np.sqrt(np.square(gradients[picks], dtype=np.float64).sum(axis=1))
    norms *= np.sqrt(np.square(rows).sum(axis=1) + 1.0)
    distances = np.sqrt(sample.square_distances)
    distances[0] = norms[0]
    details = {DISTANCE: distances, "gradient_norm": norms, CLASS: gradients.predicted[picks]}
    return Picks(picks, details)


class _LogitGradients:
    """The rows p_i - e_y(i), made as they are read, so that no second (n, c) array is held."""

    def __init__(self, probabilities: Floats) -> None:
        self.probabilities = probabilities
        self.predicted: Indices = probabilities.argmax(axis=1)
        self.shape = probabilities.shape
        self.dtype = probabilities.dtype

    def __getitem__(self, rows: Any) -> Floats:
        gradients: Floats = np.array(self.probabilities[rows])
        gradients[np.arange(len(gradients)), self.predicted[rows]] -= 1.0
        return gradients

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Floats:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)
