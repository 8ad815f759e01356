"""Variation ratio of the members' votes: label first where most members leave the majority."""

import numpy as np

from strategies.arrays import Floats, Scores, row_blocks


def members_variation_ratio(members: Floats) -> Scores:
    """The share of members that do not vote for the modal class: v(x) = 1 - max_y f(y, x) / k.

    f(y, x) = |{j : argmax_y' p_j(y'|x) = y}|, the votes for class y (ties inside one member go
    to the lowest class).

    members  (k, n, c), p_j(y|x) of member j = 1..k: an ensemble, or passes with dropout
    returns  (n,) float64 in [0, 1 - 1/min(k, c)]; 0 for one member and where all vote alike
    cost     O(k n c) time, blocks of rows in memory

    Source: Freeman, Elementary Applied Statistics, 1965, chapter 5; over stochastic passes: Gal,
    Islam and Ghahramani, Deep Bayesian Active Learning with Image Data, ICML 2017
    (arXiv 1703.02910), section 4.
    """
    count, n, classes = members.shape
    scores = np.empty(n, dtype=np.float64)
    for rows in row_blocks(n, count * classes):
        votes = members[:, rows].argmax(axis=2)
        items = np.arange(votes.shape[1])
        tally = np.zeros((votes.shape[1], classes), dtype=np.int64)
        for member_votes in votes:
            tally[items, member_votes] += 1
        scores[rows] = (count - tally.max(axis=1)) / count
    return scores
