"""CAL: label first what is predicted unlike its labelled neighbours."""

from typing import Annotated

import numpy as np

from strategies.arrays import Floats, Scores, float64_rows, row_blocks
from strategies.kernels.information import entropies
from strategies.kernels.labelled_predictions import labelled_probabilities
from strategies.parameters import Interval

# A probability below this counts as this, so that no divergence is infinite.
LEAST_PROBABILITY = 1e-12


def cal(
    embeddings: Floats,
    probabilities: Floats,
    labelled_embeddings: Floats | None = None,
    *,
    neighbours: Annotated[int, Interval(least=1)] = 10,
) -> Scores:
    """The mean divergence of an item's prediction from those of its nearest labelled items.

    s(x) = 1/k sum_{l in N_k(x)} KL(p_l || p_x),  KL(p || q) = sum_y p(y) log(p(y) / q(y))

    N_k(x) are the k labelled items with the nearest embeddings (Euclidean; all m where m < k). A
    high score is an item that the encoder finds like something labelled and the model does not:
    it lies near the decision boundary. The model's predictions p_l of the labelled items are
    those of the linear head that is recovered from the pool's own embeddings and probabilities.
    Without labelled items nothing is contrasted and every score is 0.

    embeddings           (n, d)
    probabilities        (n, c), p_x
    labelled_embeddings  (m, d) or None
    neighbours           k, 10 as in the paper
    returns              (n,) float64 in [0, -log 1e-12]
    cost                 O(n m d + n k c) time, blocks of rows in memory

    Source: Margatina, Vernikos, Barrault and Aletras, Active Learning by Acquiring Contrastive
    Examples, EMNLP 2021 (arXiv 2109.03764), section 3 and algorithm 1.
    """
    n, classes = probabilities.shape
    scores = np.zeros(n, dtype=np.float64)
    if labelled_embeddings is None or not len(labelled_embeddings):
        return scores
    count = len(labelled_embeddings)
    k = min(neighbours, count)
    predicted = labelled_probabilities(embeddings, probabilities, labelled_embeddings)
    own = entropies(predicted)
    # Differences of embeddings are what counts: from the labelled mean the products stay precise.
    labelled = float64_rows(labelled_embeddings, slice(None))
    centre = labelled.mean(axis=0)
    labelled -= centre
    squares = np.einsum("ij,ij->i", labelled, labelled)
    for rows in row_blocks(n, max(count, embeddings.shape[1], k * classes)):
        block = float64_rows(embeddings, rows)
        block -= centre
        # Without the item's own square, which moves no order among its distances.
        distances = block @ labelled.T
        distances *= -2.0
        distances += squares
        if k < count:
            nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        else:
            nearest = np.broadcast_to(np.arange(count), distances.shape)
        logarithms = np.log(np.maximum(float64_rows(probabilities, rows), LEAST_PROBABILITY))
        # The mean over neighbours of sum p_l log p_x needs only their mean prediction.
        cross = np.einsum("ij,ij->i", predicted[nearest].mean(axis=1), logarithms)
        scores[rows] = -own[nearest].mean(axis=1) - cross
    return np.maximum(scores, 0.0, out=scores)
