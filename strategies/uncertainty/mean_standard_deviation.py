"""Mean standard deviation: label first where the members' probabilities spread most."""

import numpy as np

from strategies.arrays import Floats, Scores, row_blocks


def mean_standard_deviation(members: Floats) -> Scores:
    """The standard deviation of each class's probability over the members, averaged over classes.

    s(x) = 1/c sum_y sqrt(1/k sum_j p_j(y|x)^2 - (1/k sum_j p_j(y|x))^2)

    members  (k, n, c), p_j(y|x) of member j = 1..k: an ensemble, or passes with dropout
    returns  (n,) float64 in [0, 1/2]; 0 where all members agree (so for one member)
    cost     O(k n c) time, blocks of rows in memory

    Source: Kampffmeyer, Salberg and Jenssen, CVPR Workshops 2016; Kendall, Badrinarayanan and
    Cipolla 2015 (arXiv 1511.02680); as an acquisition function: Gal, Islam and Ghahramani 2017
    (arXiv 1703.02910), section 4.
    """
    count, n, classes = members.shape
    scores = np.empty(n, dtype=np.float64)
    for rows in row_blocks(n, count * classes):
        block = np.array(members[:, rows], dtype=np.float64, order="C")
        # From the deviations, not from the difference of two squares, which loses small spreads.
        # Deviations from the first member are exactly 0 where all agree; from the mean, which
        # rounds, they would not be.
        block -= block[0].copy()
        block -= block.mean(axis=0)
        np.square(block, out=block)
        scores[rows] = np.sqrt(block.mean(axis=0)).mean(axis=1)
    return scores
