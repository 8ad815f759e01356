"""Cover by predictions: herding in probability space, so that every way of being unsure is seen."""

from typing import Annotated

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.herding import SAMPLE, Herding, herding
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import CLASS, Picks


def cover_predictions(
    probabilities: Floats,
    eligible: Indices,
    size: int,
    *,
    bandwidth: Annotated[float, Interval(above=0)] = 0.5,
    sample: Annotated[int, Interval(least=16)] = SAMPLE,
    device: Device = "cpu",
) -> Picks:
    """Greedy maximum of C(S) = mean_j max_{i in S} exp(-|sqrt(p_i) - sqrt(p_j)|^2 / h^2).

    MaxHerding on the square roots of the predictions, which have length 1; their distance is
    sqrt(2) times Hellinger's. Each pick stands for the most items that are predicted as it is and
    as none before it. k-center in the same space would go to its corners and outliers first.

    probabilities  (n, c), p(y|x)
    eligible       (e,) int64 ascending, the items that may be picked; 1 <= size <= e
    bandwidth      h: sure items of different classes are sqrt(2) apart, (1, 0) and (1/2, 1/2) 0.77
    sample, device  as in max_herding
    returns        (size,) picks; details: gain (what the pick adds to C), covered, and class (the
                   most probable one of the pick)

    q^2 c multiplications for q = min(n, sample); O(n c) memory and at most 16 million pairs.

    Source: Bae, Noh and Sutherland, ECCV 2024 (arXiv 2407.12212), section 3; the distance between
    predictions: Hellinger 1909, Bhattacharyya 1943.
    """
    # Rounding may leave a probability just below 0.
    roots = np.maximum(probabilities, 0.0)
    np.sqrt(roots, out=roots)
    weights = np.ones(len(roots), dtype=np.float64)
    picks = herding(roots, eligible, size, None, weights, Herding(bandwidth, False, sample, device))
    predicted = probabilities[picks.indices].argmax(axis=1).astype(np.int64)
    return Picks(picks.indices, {**picks.details, CLASS: predicted}, notes=picks.notes)
