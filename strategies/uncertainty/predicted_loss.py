"""Learning loss: label first where a head that was trained for it predicts the largest loss."""

import numpy as np

from strategies.arrays import Floats, Scores


def predicted_loss(predicted_loss: Floats) -> Scores:
    """The loss that a loss-prediction head expects of each item, as it is given: s(x) = l(x).

    The head is trained beside the model to rank items by their loss; this strategy only takes
    its answers, so any scale and sign will do.

    predicted_loss  (n,) floats, higher = larger expected loss
    returns         (n,) float64, the same numbers; O(n)

    Source: Yoo and Kweon, Learning Loss for Active Learning, CVPR 2019 (arXiv 1905.03677),
    section 3.
    """
    return np.array(predicted_loss, dtype=np.float64)
