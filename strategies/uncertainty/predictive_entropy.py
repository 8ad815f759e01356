"""Predictive entropy: label first where the members' mean prediction has the largest entropy."""

import numpy as np

from strategies.arrays import Floats, Scores, row_blocks
from strategies.kernels.information import entropies


def predictive_entropy(members: Floats) -> Scores:
    """The entropy of the mean prediction, in nats: H(x) = -sum_y p(y|x) log p(y|x).

    p(y|x) = 1/k sum_j p_j(y|x). It is the sum of what the members disagree about (`bald`) and of
    what each of them is unsure of by itself (the mean of their entropies).

    members  (k, n, c), p_j(y|x) of member j = 1..k: an ensemble, or passes with dropout
    returns  (n,) float64 in [0, log c]; for one member its `entropy`
    cost     O(k n c) time, blocks of rows in memory

    Source: Gal, Islam and Ghahramani, Deep Bayesian Active Learning with Image Data, ICML 2017
    (arXiv 1703.02910), section 4 ("max entropy"); entropy: Shannon 1948.
    """
    count, n, classes = members.shape
    scores = np.empty(n, dtype=np.float64)
    for rows in row_blocks(n, count * classes):
        block = np.array(members[:, rows], dtype=np.float64, order="C")
        scores[rows] = entropies(block.mean(axis=0))
    return np.clip(scores, 0.0, None, out=scores)
