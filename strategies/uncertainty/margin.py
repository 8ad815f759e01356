"""Margin sampling: label first where the two most probable classes are closest."""

import numpy as np

from strategies.arrays import Floats, Scores, row_blocks


def margin(probabilities: Floats) -> Scores:
    """One minus the gap between the two most probable classes: 1 - (p(y1|x) - p(y2|x)).

    probabilities  (n, c), p(y|x); y1 and y2 are the most and second most probable classes of x
    returns        (n,) float64 in [0, 1]; 1 at a tie of the two, 0 at certainty (and for c = 1)

    Source: Scheffer, Decomain and Wrobel, Active Hidden Markov Models for Information Extraction,
    IDA 2001; Settles 2009, section 3.1.
    """
    n, classes = probabilities.shape
    if classes == 1:
        return np.zeros(n, dtype=np.float64)
    scores = np.empty(n, dtype=np.float64)
    for rows in row_blocks(n, classes):
        top = np.partition(probabilities[rows], classes - 2, axis=1)[:, -2:].astype(np.float64)
        scores[rows] = 1.0 - (top[:, 1] - top[:, 0])
    return np.clip(scores, 0.0, 1.0, out=scores)
