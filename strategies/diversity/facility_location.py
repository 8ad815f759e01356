"""Facility location: pick the item that brings the pool nearest, by cosine, to what is picked."""

from typing import Annotated

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.facility_greedy import CoverageProblem, greedy_coverage
from strategies.kernels.facility_values import ClippedCosine
from strategies.kernels.herding import picks_of
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import Picks


def facility_location(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    labelled_embeddings: Floats | None = None,
    *,
    sample: Annotated[int, Interval(least=16)] = 114_688,
    device: Device = "cpu",
) -> Picks:
    """Greedy maximum of f(S) = mean_j max_{i in L + S} max(cos(x_i, x_j), 0).

    s_t = argmax_i mean_j max(cos(x_i, x_j) - m_j, 0), m_j the best cosine of j with L and
    s_1 .. s_t-1, at least 0: a negative cosine is no coverage. j runs over every row of the pool,
    i over the eligible ones. f is submodular, so the greedy batch reaches at least 1 - 1/e of the
    best. A row of zeros covers nothing.

    Up to `sample` different rows
    the picks are those of a plain float64 loop; equal gains go to the item that is itself covered
    worst (of two that gain only from each other), then to the lowest index. Of a larger pool that
    many rows, evenly spread along a fixed direction, are both candidates and references: no chance
    is involved, and the order of the pool does not matter.

    embeddings           (n, d)
    eligible             (e,) int64 ascending, the items that may be picked; 1 <= size <= e
    labelled_embeddings  (m, d), L; None or m = 0 where nothing is labelled
    sample               rows that stand for a larger pool
    device               where the large products are computed; the picks are the same
    returns              (size,) picks; details: gain (what the pick adds to f) and covered

    q^2 d + n m d multiplications for q = min(n, sample), once more without labels; O(q d) memory
    and at most 16 million pairs.

    Source: Wei, Iyer and Bilmes, Submodularity in Data Subset Selection and Active Learning,
    ICML 2015, section 3; the bound: Nemhauser, Wolsey and Fisher 1978; lazy greedy: Minoux 1978.
    """
    weights = np.ones(len(embeddings), dtype=np.float64)
    value = ClippedCosine()
    problem = CoverageProblem(
        embeddings, weights, eligible, labelled_embeddings, None, value, sample, device, sample
    )
    return picks_of(greedy_coverage(problem, size), len(embeddings))
