"""BALD: label first what the members disagree about, each sure of its own answer."""

import numpy as np

from strategies.arrays import Floats, Scores, row_blocks
from strategies.kernels.information import entropies


def bald(members: Floats) -> Scores:
    """The mutual information of an item's label and the model, in nats.

    I(x) = H(1/k sum_j p_j(.|x)) - 1/k sum_j H(p_j(.|x)), with H(p) = -sum_y p(y) log p(y)

    The first term is the whole uncertainty (`predictive_entropy`), the second that which every
    member has by itself and no label of this item would take away.

    members  (k, n, c), p_j(y|x) of member j = 1..k: an ensemble, or passes with dropout
    returns  (n,) float64 in [0, log min(k, c)]; 0 where all members agree (so for one member)
    cost     O(k n c) time, of which the logarithms are most; blocks of rows in memory

    Source: Houlsby, Huszar, Ghahramani and Lengyel, Bayesian Active Learning for Classification
    and Preference Learning, 2011 (arXiv 1112.5745), section 2; with dropout: Gal, Islam and
    Ghahramani, ICML 2017 (arXiv 1703.02910), section 4.
    """
    count, n, classes = members.shape
    scores = np.zeros(n, dtype=np.float64)
    if count == 1 or classes == 1:
        return scores
    for rows in row_blocks(n, count * classes):
        block = np.array(members[:, rows], dtype=np.float64, order="C")
        whole = entropies(block.mean(axis=0))
        # One after another, so that the sum's order is the same for a block of a single row.
        own = np.zeros(len(whole))
        for member in entropies(block):
            own += member
        scores[rows] = whole - own / count
        # Exactly 0 where the members are equal, whatever the mean's rounding.
        scores[rows][(block == block[0]).all(axis=(0, 2))] = 0.0
    return np.clip(scores, 0.0, None, out=scores)
