"""Entropy sampling: label first where the prediction's entropy is largest."""

import numpy as np

from strategies.arrays import Floats, Scores, float64_rows, row_blocks


def entropy(probabilities: Floats) -> Scores:
    """Shannon entropy of each prediction, in nats: H(x) = -sum_y p(y|x) log p(y|x), 0 log 0 = 0.

    probabilities  (n, c), p(y|x)
    returns        (n,) float64 in [0, log c]; log c at the uniform prediction, 0 at certainty

    Source: Settles, Active Learning Literature Survey, 2009, section 3.1; entropy: Shannon 1948.
    """
    scores = np.empty(len(probabilities), dtype=np.float64)
    for rows in row_blocks(*probabilities.shape):
        block = float64_rows(probabilities, rows)
        # log(1) = 0 stands in for the logarithm of 0, which p = 0 would multiply away.
        logarithms = np.log(np.where(block > 0.0, block, 1.0))
        logarithms *= block
        scores[rows] = -logarithms.sum(axis=1)
    # Rounding, and rows that sum to a little over 1, may leave the range by as little.
    return np.clip(scores, 0.0, None, out=scores)
