"""MaxHerding: pick the item that raises the pool's coverage by a Gaussian kernel the most."""

from typing import Annotated

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.herding import SAMPLE, Herding, herding
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import Picks


def max_herding(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    labelled_embeddings: Floats | None = None,
    *,
    bandwidth: Annotated[float, Interval(above=0)] = 1.0,
    center: bool = True,
    sample: Annotated[int, Interval(least=16)] = SAMPLE,
    device: Device = "cpu",
) -> Picks:
    """Greedy maximum of C(S) = mean_j max_{i in L + S} k(z_i, z_j), k = exp(-|z_i - z_j|^2 / h^2).

    s_t = argmax_i mean_j max(k(z_i, z_j) - m_j, 0), m_j the best k of j with L and s_1 .. s_t-1.
    j runs over every row of the pool, i over the eligible ones. C is submodular, so the greedy
    batch reaches at least 1 - 1/e of the best.

    z is the embedding minus the pool's mean where `center`, scaled to length 1 (labelled ones
    likewise, with the same mean); what is left of length 0 stays 0. Up to `sample` different rows
    the picks are those of a plain float64 loop; equal gains go to the item that is itself covered
    worst (of two that gain only from each other), then to the lowest index. Of a larger pool that
    many rows, evenly spread along a fixed direction, are both candidates and references: no chance
    is involved, and the order of the pool does not matter. While so little is covered that nearly
    every pair of rows could gain, as before any label, the same holds with 8,192 rows for `sample`
    (coverage reached: 99% of the plain loop's and more, where both were run).

    embeddings           (n, d)
    eligible             (e,) int64 ascending, the items that may be picked; 1 <= size <= e
    labelled_embeddings  (m, d), L; None or m = 0 where nothing is labelled
    bandwidth            h, in distances between rows of length 1 (0 to 2)
    sample               rows that stand for a larger pool
    device               where the large products are computed; the picks are the same
    returns              (size,) picks; details: gain (what the pick adds to C) and covered; a
                         warning where the median k between items is above 0.6, as an encoder whose
                         outputs lie in a narrow cone makes it without centring

    q^2 d + n m d multiplications for q = min(n, sample); O(q d) memory and at most 16 million
    pairs.

    Source: Bae, Noh and Sutherland, Generalized Coverage for More Robust Low-Budget Active
    Learning, ECCV 2024 (arXiv 2407.12212), section 3 (MaxHerding, algorithm 1); lazy greedy:
    Minoux 1978.
    """
    weights = np.ones(len(embeddings), dtype=np.float64)
    how = Herding(bandwidth, center, sample, device)
    return herding(embeddings, eligible, size, labelled_embeddings, weights, how)
