"""Temporal output discrepancy: label first what the last round of training changed most."""

import numpy as np

from strategies.arrays import Floats, Scores, float64_rows, row_blocks


def temporal_output_discrepancy(probabilities: Floats, previous_probabilities: Floats) -> Scores:
    """Half the squared distance of two rounds' predictions: D(x) = 1/2 ||p_t(x) - p_{t-1}(x)||^2.

    The distance that training moves an output bounds the item's loss from below, so a large one
    marks an item that the model has not settled on. It costs no more than keeping the head of
    the round before.

    probabilities           (n, c), p_t: the model of this round
    previous_probabilities  (n, c), p_{t-1}: the model of the round before
    returns                 (n,) float64 in [0, 1]; 1 where all probability changed class
    cost                    O(n c) time, blocks of rows in memory

    Source: Huang, Wang, Xiong, Huang and Dou, Semi-Supervised Active Learning with Temporal
    Output Discrepancy, ICCV 2021 (arXiv 2107.14153), section 3.2.
    """
    scores = np.empty(len(probabilities), dtype=np.float64)
    for rows in row_blocks(*probabilities.shape):
        difference = float64_rows(probabilities, rows)
        difference -= previous_probabilities[rows]
        scores[rows] = 0.5 * np.square(difference, out=difference).sum(axis=1)
    return scores
