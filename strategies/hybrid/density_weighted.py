"""Information density: unsure items count for more where the pool is dense."""

from typing import Annotated, Literal

import numpy as np

from strategies.arrays import Floats, Scores
from strategies.kernels.facility_rows import each_placed
from strategies.parameters import Interval
from strategies.uncertainty.entropy import entropy
from strategies.uncertainty.least_confidence import least_confidence
from strategies.uncertainty.margin import margin

UNCERTAINTIES = {"entropy": entropy, "margin": margin, "least_confidence": least_confidence}


def density_weighted(
    embeddings: Floats,
    probabilities: Floats,
    *,
    beta: Annotated[float, Interval(least=0)] = 1.0,
    uncertainty: Literal["entropy", "margin", "least_confidence"] = "entropy",
) -> Scores:
    """u(x) times the mean similarity to the pool: u(x) ((1/n) sum_j cos(x, x_j))^beta.

    The mean cosine is the product of x / |x| with the mean of all x_j / |x_j|: no pair is computed.
    Where it is negative, x is opposite to the pool and the similarity counts as 0; a row of zeros
    is similar to nothing.

    embeddings     (n, d)
    probabilities  (n, c), p(y|x)
    beta           weight of the density; 0 leaves the uncertainty alone
    uncertainty    u: entropy in nats, one minus the margin, or one minus the highest probability
    returns        (n,) float64 >= 0

    O(n (d + c)) time, O(d) memory beside blocks.

    Source: Settles and Craven, An Analysis of Active Learning Strategies for Sequence Labeling
    Tasks, EMNLP 2008, section 4.3, equation 13.
    """
    scores = UNCERTAINTIES[uncertainty](probabilities)
    n, dimensions = embeddings.shape
    if beta == 0.0 or n == 0:
        return scores
    total = np.zeros(dimensions, dtype=np.float64)

    def add(_: slice, rows: Scores) -> None:
        total[:] += rows.sum(axis=0)

    each_placed(embeddings, None, add)
    mean = total / n

    def weigh(part: slice, rows: Scores) -> None:
        density = np.maximum((rows * mean).sum(axis=1), 0.0)
        scores[part] *= density**beta

    each_placed(embeddings, None, weigh)
    return scores
