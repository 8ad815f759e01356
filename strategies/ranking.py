"""From scores to an order, and from scores of any scale to ranks in [0, 1]."""

import numpy as np

from strategies.arrays import Indices, Scores


def best_first(
    scores: Scores, eligible: Indices, size: int, rng: np.random.Generator | None
) -> Indices:
    """The `size` eligible items with the highest scores, highest first.

    Equal scores are ordered at random by `rng` (one permutation of the eligible items, so a seed
    gives one answer), or by ascending index without one.

    scores (n,) float64 without NaN; eligible (e,) ascending; returns (min(size, e),) int64
    """
    count = len(eligible)
    size = min(size, count)
    if size == 0:
        return np.empty(0, dtype=np.int64)
    ties = np.arange(count) if rng is None else rng.permutation(count)
    values = scores[eligible]
    if size < count:
        # All that reach the size-th highest value: sorting them alone is enough.
        threshold = np.partition(values, count - size)[count - size]
        candidates = np.flatnonzero(values >= threshold)
    else:
        candidates = np.arange(count)
    order = np.lexsort((ties[candidates], -values[candidates]))
    best: Indices = eligible[candidates[order[:size]]]
    return best


def normalised_ranks(scores: Scores, eligible: Indices) -> Scores:
    """The rank of each eligible item by score, scaled to [0, 1]: 0 the lowest, 1 the highest.

    Equal scores share their mean rank, so a constant score gives 0.5 everywhere (as does a single
    item). Items that are not eligible get 0.

    scores (n,) float64 without NaN; returns (n,) float64
    """
    ranks = np.zeros(len(scores), dtype=np.float64)
    count = len(eligible)
    if count == 0:
        return ranks
    _, inverse, counts = np.unique(scores[eligible], return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    mean_ranks = below + (counts - 1) / 2.0
    ranks[eligible] = mean_ranks[inverse] / (count - 1) if count > 1 else 0.5
    return ranks
