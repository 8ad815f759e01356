"""Least-confidence sampling: label first where the most probable class is least probable."""

import numpy as np

from strategies.arrays import Floats, Scores, row_blocks


def least_confidence(probabilities: Floats) -> Scores:
    """One minus the probability of the most probable class: 1 - max_y p(y|x).

    probabilities  (n, c), p(y|x)
    returns        (n,) float64 in [0, 1 - 1/c]

    Source: Lewis and Gale, A Sequential Algorithm for Training Text Classifiers, SIGIR 1994
    (arXiv cmp-lg/9407020); for several classes: Settles 2009, section 3.1.
    """
    scores = np.empty(len(probabilities), dtype=np.float64)
    for rows in row_blocks(*probabilities.shape):
        scores[rows] = 1.0 - probabilities[rows].max(axis=1).astype(np.float64)
    return np.clip(scores, 0.0, 1.0, out=scores)
