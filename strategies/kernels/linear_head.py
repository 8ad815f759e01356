"""The linear head behind a pool's predictions, recovered from embeddings and probabilities."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, row_blocks

Float64s = npt.NDArray[np.float64]

# Rows that the least squares see, at most (and so many times d): more only cost time.
SAMPLE_ROWS = 20_000
ROWS_A_DIMENSION = 4
# A smaller probability counts as this: float32 predictions carry no more, and 0 has no logarithm.
LEAST_PROBABILITY = 1e-7
# A head of which more than this is left unexplained is called not linear.
LARGEST_RESIDUAL = 0.5
# The penalty, as a share of the mean squared length of the (centred) embeddings.
RIDGE = 1e-9


@dataclass(frozen=True, eq=False)
class LinearHead:
    """log p(y|x) = <w_y, z> + b_y - (the same for all y), fitted; columns sum to 0 over classes.

    weights    (c, d) float64, w
    biases     (c,) float64, b
    residual   root mean square of what the fit leaves of the centred log-probabilities of the rows
               that it saw, as a share of their own root mean square: 0 where the head is linear
    """

    weights: Float64s
    biases: Float64s
    residual: float

    def warnings(self) -> tuple[str, ...]:
        """A sentence for a batch's warnings where the fit leaves much."""
        if self.residual <= LARGEST_RESIDUAL:
            return ()
        return (
            f"the best linear head leaves {self.residual:.0%} of the predictions' logits "
            "unexplained, so this strategy, which mixes or drops embeddings before a linear head, "
            "is weak here; a strategy without a head, such as badge, fits better",
        )


def centred_logits(probabilities: Floats) -> Float64s:
    """(r, c): log p, each row shifted to mean 0: the logits of the head, up to a constant a row.

    Probabilities below LEAST_PROBABILITY count as that.
    """
    logits: Float64s = np.log(np.maximum(probabilities, LEAST_PROBABILITY), dtype=np.float64)
    logits -= logits.mean(axis=1, keepdims=True)
    return logits


def linear_head(
    embeddings: Floats, probabilities: Floats, eligible: Indices | None = None
) -> LinearHead:
    """The linear softmax head that explains these probabilities best.

    minimise sum_i |W z_i + b - l_i|^2 + lambda |W|^2, l_i = log p_i - mean_k log p_ik.

    A pool holds what the head said, not the head. Where it is linear, l_i = W z_i + b exactly once
    the columns of W and b are centred over the classes, which no prediction can tell apart; then
    the least squares give back the head (with more than d rows of full rank; with fewer, the
    smallest that fits them). Any other head is approximated by its best linear one. Rows in which
    a probability fell below LEAST_PROBABILITY are left out as long as d + 1 others remain, since
    what is clipped is no longer linear.

    embeddings     (n, d), z
    probabilities  (n, c), p
    eligible       (e,) int64 ascending, the rows to look at; None for all
    lambda         RIDGE times the mean squared length of the centred embeddings

    A sample of max(SAMPLE_ROWS, ROWS_A_DIMENSION d) evenly spaced rows is used, so that the fit
    needs no random numbers. O(r d (d + c)) time for r rows of the sample, O(d (d + c)) memory.

    Source: multinomial logistic regression inverted (Cox 1958); ridge: Hoerl and Kennard 1970.
    """
    dimensions = embeddings.shape[1]
    rows = _sampled_rows(probabilities, dimensions, eligible)
    mean = np.zeros(dimensions)
    logit_mean = np.zeros(probabilities.shape[1])
    for block in row_blocks(len(rows), dimensions):
        mean += embeddings[rows[block]].sum(axis=0, dtype=np.float64)
        logit_mean += centred_logits(probabilities[rows[block]]).sum(axis=0)
    mean /= len(rows)
    logit_mean /= len(rows)
    square = np.zeros((dimensions, dimensions))
    cross = np.zeros((dimensions, len(logit_mean)))
    total = 0.0
    for block in row_blocks(len(rows), dimensions + len(logit_mean)):
        z = np.asarray(embeddings[rows[block]], dtype=np.float64) - mean
        logits = centred_logits(probabilities[rows[block]]) - logit_mean
        square += z.T @ z
        cross += z.T @ logits
        total += float(np.square(logits).sum())
    weights = _solved(square, cross)
    explained = 2.0 * float((weights * cross).sum()) - float((weights * (square @ weights)).sum())
    residual = float(np.sqrt(max(total - explained, 0.0) / total)) if total > 0.0 else 0.0
    return LinearHead(weights.T.copy(), logit_mean - mean @ weights, residual)


def _sampled_rows(probabilities: Floats, dimensions: int, eligible: Indices | None) -> Indices:
    rows = np.arange(len(probabilities), dtype=np.int64) if eligible is None else eligible
    most = max(SAMPLE_ROWS, ROWS_A_DIMENSION * dimensions)
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    whole = np.empty(len(rows), dtype=np.bool_)
    for block in row_blocks(len(rows), probabilities.shape[1]):
        whole[block] = probabilities[rows[block]].min(axis=1) >= LEAST_PROBABILITY
    return rows[whole] if whole.sum() > dimensions else rows


def _solved(square: Float64s, cross: Float64s) -> Float64s:
    """(square + lambda)^-1 cross by eigenvectors, so that a missing rank costs nothing."""
    values, vectors = np.linalg.eigh(square)
    ridge = RIDGE * float(np.maximum(values, 0.0).sum())
    scaled = np.zeros_like(values)
    kept = values > len(values) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
    scaled[kept] = 1.0 / (values[kept] + ridge / len(values))
    solution: Float64s = vectors @ (scaled[:, None] * (vectors.T @ cross))
    return solution
