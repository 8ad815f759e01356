"""What the model says of the labelled items, from what it says of the pool."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, float64_rows
from strategies.kernels.linear_head import linear_head


def labelled_probabilities(
    embeddings: Floats, probabilities: Floats, labelled_embeddings: Floats
) -> npt.NDArray[np.float64]:
    """The predictions of the labelled items by the linear head that explains the pool's.

    p_l = softmax(W z_l + b), with W and b recovered by `linear_head`: exactly the model's where it
    is a softmax over a linear layer, at any temperature, and the pool has more items than
    dimensions; an approximation for any other model (and then, beyond 20,000 items, one that
    rests on an evenly spaced sample of the pool's rows).

    embeddings           (n, d); with n = 0 the answer is uniform
    probabilities        (n, c)
    labelled_embeddings  (m, d)
    returns              (m, c) float64, rows with sum 1
    cost                 that of `linear_head`, and O(m d c)

    Source: see strategies/kernels/linear_head.py.
    """
    classes = probabilities.shape[1]
    if len(embeddings) == 0:
        return np.full((len(labelled_embeddings), classes), 1.0 / classes)
    head = linear_head(embeddings, probabilities)
    logits = float64_rows(labelled_embeddings, slice(None)) @ head.weights.T + head.biases
    logits -= logits.max(axis=1, keepdims=True)
    odds = np.exp(logits)
    predicted: npt.NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return predicted
