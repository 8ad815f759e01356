"""The variance of a mean over items that come in groups (patients, documents, videos)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClusteredVariance:
    """`variance` of the mean (None for fewer than two groups), and what it rests on.

    effective_groups   n² / Σ m_g², as many groups of equal size as these unequal ones are worth
                       (m_g the weight of a group, n that of all)
    """

    variance: float | None
    items: int
    groups: int
    effective_groups: float


def group_numbers(groups: NDArray[Any] | None, items: int) -> NDArray[np.int64]:
    """The groups (n,) as numbers 0..G-1; None makes every item a group of its own.

    Raises ValueError where there are more or fewer groups than items.
    """
    if groups is None:
        return np.arange(items)
    if np.shape(groups) != (items,):
        raise ValueError(f"groups {np.shape(groups)} do not fit {items} items: give one an item")
    return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.int64)


def least_variance(effective_groups: float) -> float:
    """The variance of a share where half a group's worth of the items differed.

    (½/G')(1 − ½/G')/G', G' the effective groups. For what never differed among few items: that
    says that it is rare, not that it cannot be.
    """
    half = 0.5 / effective_groups
    return half * (1 - half) / effective_groups


def clustered_variance(
    values: NDArray[np.floating],
    groups: NDArray[Any] | None = None,
    weights: NDArray[np.floating] | None = None,
) -> ClusteredVariance:
    """The variance of the mean of `values` (n,), whatever the correlation inside the groups.

    v = G/(G-1) · Σ_g (Σ_{i in g} w_i (x_i - mean))² / (Σ w)², the mean weighted by w (n,) > 0, 1
    each where they are None; with every item its own group this is then s²/n. For 0/1 values the
    inner sum is k_g - p·m_g (k_g hits of m_g items). The groups count as drawn at random, their
    sizes too (a ratio estimate). Source: Cochran 1977, Sampling Techniques, 9A.
    """
    numbers = group_numbers(groups, len(values))
    n = len(values)
    if n == 0:
        return ClusteredVariance(None, 0, 0, 0.0)
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    masses = np.bincount(numbers, weights=w)
    count = len(masses)
    total = float(w.sum())
    worth = total**2 / float((masses**2).sum())
    if count < 2:
        return ClusteredVariance(None, n, count, worth)
    x = np.asarray(values, dtype=np.float64)
    mean = x.mean() if weights is None else np.average(x, weights=w)
    sums = np.bincount(numbers, weights=w * (x - mean))
    variance = count / (count - 1) * float((sums**2).sum()) / total**2
    return ClusteredVariance(variance, n, count, worth)
