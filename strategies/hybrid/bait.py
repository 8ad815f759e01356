"""BAIT: the batch after which the Fisher information says least is left to learn about the pool."""

from typing import Annotated

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, row_blocks
from strategies.kernels.labelled_predictions import labelled_probabilities
from strategies.kernels.trace_exchange import TraceExchange
from strategies.parameters import Interval
from strategies.picks import GAIN, Picks


def bait(
    embeddings: Floats,
    probabilities: Floats,
    eligible: Indices,
    size: int,
    labelled_embeddings: Floats | None = None,
    *,
    regularisation: Annotated[float, Interval(above=0)] = 1.0,
    oversampling: Annotated[float, Interval(least=1)] = 2.0,
) -> Picks:
    """The batch S that makes tr((lambda I + F_L + sum_{x in S} F_x)^-1 F_pool) small.

    F_x = u_x u_x^T,  u_x = sqrt(p (1 - p)) z_x,  p = max_y p(y|x)
    F_pool = 1/n sum of F_x over all n rows;  F_L = sum of F_x over the labelled items

    F_x is the Fisher information of the binary question whether the most probable class is right:
    the two outcomes' gradients (1 - p) z and -p z with weights p and 1 - p both lie along z, so
    that it has rank 1, in d dimensions instead of the c d of the full form. Greedily forward to
    `oversampling` times the size, each time the item that lowers the trace most, then backward to
    the size, each time without the item that raises it least (TraceExchange: Woodbury, exact).

    embeddings           (n, d), z
    probabilities        (n, c); for c = 1 every gain is 0 and the lowest indices are picked
    eligible             (e,) int64; 1 <= size <= e
    labelled_embeddings  (m, d) or None; their p is what the head that is recovered from the
                         pool's own embeddings and probabilities says of them
    regularisation       lambda, what is known of each direction beforehand
    oversampling         2 as in the paper; 1 leaves the backward steps out
    returns              the picks in forward order; detail gain, by which each lowered the trace
    cost                 O(n d) a forward and O(size d) a backward pick, as matrix products, and
                         O(n d^2) once; memory O(n + d^2) and blocks

    Source: Ash, Goel, Krishnamurthy and Kakade, Gone Fishing: Neural Active Learning with Fisher
    Embeddings, NeurIPS 2021 (arXiv 2106.09675), section 3 and algorithm 1; the binary form:
    Huseljic, Hahn, Herde, Rauch and Sick, Fast Fishing, 2024 (arXiv 2404.08981).
    """
    n, d = embeddings.shape
    lengths = _lengths(probabilities)
    target = _fisher(embeddings, lengths) / max(1, n)
    known = regularisation * np.eye(d)
    if labelled_embeddings is not None and len(labelled_embeddings):
        predicted = labelled_probabilities(embeddings, probabilities, labelled_embeddings)
        known += _fisher(labelled_embeddings, _lengths(predicted))
    inverse = np.linalg.inv(known)
    inverse = (inverse + inverse.T) / 2.0

    def rows(positions: Indices | slice) -> npt.NDArray[np.float64]:
        chosen = eligible[positions]
        block = np.array(embeddings[chosen], dtype=np.float64, order="C")
        block *= lengths[chosen, np.newaxis]
        return block

    more = min(len(eligible), max(size, int(np.ceil(oversampling * size))))
    picks, gains = TraceExchange(rows, len(eligible), inverse, target, 1).exchange(more)
    forward = np.array(picks)

    def picked_rows(positions: Indices | slice) -> npt.NDArray[np.float64]:
        return rows(forward[::-1][positions])

    # In reverse, so that of equals the later pick is dropped.
    dropped, _ = TraceExchange(picked_rows, more, inverse, target, -1).exchange(more - size)
    kept = np.delete(np.arange(more), more - 1 - np.array(dropped, dtype=np.int64))
    return Picks(eligible[forward[kept]], {GAIN: np.array(gains)[kept]})


def _lengths(probabilities: Floats) -> npt.NDArray[np.float64]:
    """sqrt(p (1 - p)) of the most probable class: (n,) float64."""
    lengths = np.empty(len(probabilities))
    for some in row_blocks(*probabilities.shape):
        highest = np.minimum(probabilities[some].max(axis=1).astype(np.float64), 1.0)
        lengths[some] = np.sqrt(highest * (1.0 - highest))
    return lengths


def _fisher(embeddings: Floats, lengths: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """sum_x p (1 - p) z z^T: (d, d) float64."""
    d = embeddings.shape[1]
    total = np.zeros((d, d))
    for some in row_blocks(len(embeddings), d):
        block = np.array(embeddings[some], dtype=np.float64, order="C")
        block *= lengths[some, np.newaxis]
        total += block.T @ block
    return total
