"""What the model says of the labelled items, from what it says of the pool."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, float64_rows, row_blocks

# The penalty of the fit, as a part of the mean square of the embeddings: it only decides where
# the pool has fewer items than dimensions, or duplicates.
PENALTY = 1e-9


def labelled_probabilities(
    embeddings: Floats, probabilities: Floats, labelled_embeddings: Floats
) -> npt.NDArray[np.float64]:
    """The predictions of the labelled items by the linear head that explains the pool's.

    For a softmax head p = softmax(W z + b), at any temperature, log p less its mean over classes
    is linear in z; W and b are its weighted least-squares fit over the pool, and the result is
    softmax(W z_l + b). The fit is exact for a linear head and more items than dimensions, and an
    approximation for any other model. Row i weighs 1 / (c + |log p_i - mean|^2), so that the
    very sure predictions, whose logarithms are huge, do not outvote the rest where the head is
    not linear.

    embeddings           (n, d); without a row (n = 0) the answer is uniform
    probabilities        (n, c)
    labelled_embeddings  (m, d)
    returns              (m, c) float64, rows with sum 1
    cost                 O(n d (d + c)) time, blocks of rows and O(d (d + c)) memory

    Source: least squares in log-odds: Berkson 1944; log-linear form: McCullagh and Nelder,
    Generalized Linear Models, 1989, section 5.2.
    """
    n, d = embeddings.shape
    classes = probabilities.shape[1]
    if n == 0:
        return np.full((len(labelled_embeddings), classes), 1.0 / classes)
    # From their mean the embeddings' products stay precise, however far from 0 they lie.
    centre = np.zeros(d)
    for rows in row_blocks(n, d):
        centre += float64_rows(embeddings, rows).sum(axis=0) / n
    products = np.zeros((d + 1, d + 1))
    aims = np.zeros((d + 1, classes))
    for rows in row_blocks(n, d + classes):
        logits = np.log(np.maximum(float64_rows(probabilities, rows), np.finfo(np.float32).tiny))
        logits -= logits.mean(axis=1, keepdims=True)
        block = _with_one(float64_rows(embeddings, rows) - centre)
        weighted = block / (classes + np.square(logits).sum(axis=1, keepdims=True))
        products += block.T @ weighted
        aims += weighted.T @ logits
    scale = max(float(np.trace(products)) / (d + 1), float(np.finfo(np.float64).tiny))
    products[np.diag_indices(d + 1)] += PENALTY * scale
    head = np.linalg.solve(products, aims)
    logits = _with_one(float64_rows(labelled_embeddings, slice(None)) - centre) @ head
    logits -= logits.max(axis=1, keepdims=True)
    odds = np.exp(logits)
    predicted: npt.NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return predicted


def _with_one(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
