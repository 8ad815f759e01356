"""Whether two measures put items in the same order."""

import numpy as np
from numpy.typing import NDArray


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float | None:
    """Spearman's rho of two (n,) arrays, in [-1, 1]: the correlation of their ranks.

    Equal values share the mean of their ranks (Spearman 1904; Kendall 1948, "Rank Correlation
    Methods", chapter 3). None where one of them is the same everywhere, or n < 2. Raises ValueError
    for arrays of different lengths.
    """
    if one.shape != other.shape:
        raise ValueError(f"{one.shape} and {other.shape}: give one value of each an item")
    ranks = [_ranks(values) for values in (one, other)]
    if len(one) < 2 or any(np.ptp(mine) == 0 for mine in ranks):
        return None
    first, second = (mine - mine.mean() for mine in ranks)
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """1 for the smallest; of equal values the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], dtype=np.float64)
