"""A share of hits with an interval that is right for items that come in groups."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_variance import clustered_variance, group_numbers
from backend.evaluation.quantiles import normal_quantile, student_quantile

# Below so many groups with an error (or with a hit) their correlation cannot be seen reliably.
ENOUGH_MIXED_GROUPS = 10


@dataclass(frozen=True)
class Proportion:
    """`hits` of `items`, in `groups`; what cannot be given is None, and `reason` says why.

    effective_items   as many independent items as these are worth, n_eff <= n
    level             the interval's confidence
    """

    value: float | None
    low: float | None
    high: float | None
    hits: int
    items: int
    groups: int
    effective_items: float | None
    level: float
    reason: str | None


def proportion(
    hits: NDArray[np.bool_], groups: NDArray[Any] | None = None, level: float = 0.95
) -> Proportion:
    """The share of `hits` (n,) with Wilson's interval at n_eff items.

    n_eff = min(n, p(1-p)/v), v = G/(G-1) · Σ (k_g - p·m_g)² / n²   (`clustered_variance`)

    Where every group has one item, n_eff = n and this is Wilson's interval (1927). Beyond that,
    three things that simulations with 10 items a group asked for:
    - v is itself estimated from G groups: where n_eff < n, the quantile is Student's with G' - 1
      degrees of freedom instead of the normal one, G' = n² / Σ m_g² (= G for equal sizes).
    - At p = 0 or 1, v = 0 says nothing of the correlation: n_eff = G', as if whole groups were
      alike.
    - Between the two: with errors (or hits) in only K < 10 groups, v misses the rare group that
      is wrong throughout, and n_eff is at most G' + (n - G')·K/10.
    One group alone gives a value without an interval, no item gives neither. Raises ValueError
    for groups that do not fit or a level outside (0, 1).
    """
    right = np.asarray(hits, dtype=bool)
    numbers = group_numbers(groups, len(right))
    n, k = len(right), int(right.sum())
    if not 0 < level < 1:
        raise ValueError(f"level {level}: expected a number between 0 and 1, such as 0.95")
    if n == 0:
        return Proportion(None, None, None, 0, 0, 0, None, level, "nothing is labelled yet")
    p = k / n
    spread = clustered_variance(right.astype(np.float64), numbers)
    if spread.groups == n:
        low, high = wilson(p, n, normal_quantile((1 + level) / 2))
        return Proportion(p, low, high, k, n, n, float(n), level, None)
    if spread.variance is None:
        reason = "all items are of one group, which says nothing of how groups differ"
        return Proportion(p, None, None, k, n, 1, None, level, reason)
    worth = spread.effective_groups
    by_groups = p * (1 - p) / spread.variance if spread.variance > 0 else math.inf
    # A tie with n is one: rounding, which differs for hits and errors, must not pick the quantile.
    correlated = by_groups < n * (1 - 1e-9)
    mixed = _groups_with_both(numbers, right)
    effective = min(n, by_groups, worth + (n - worth) * min(1.0, mixed / ENOUGH_MIXED_GROUPS))
    if correlated or mixed == 0:
        quantile = student_quantile((1 + level) / 2, max(1.0, worth - 1))
    else:
        quantile = normal_quantile((1 + level) / 2)
    low, high = wilson(p, effective, quantile)
    return Proportion(p, low, high, k, n, spread.groups, effective, level, None)


def wilson(share: float, items: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval of a share seen on `items` > 0 items, not necessarily whole.

    (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), z the quantile (1.96 for 95 %). Inside
    [0, 1] and around the share always. Source: Wilson 1927, JASA 22, 209-212.
    """
    square = quantile**2 / items
    centre = share + square / 2
    half = quantile * math.sqrt(share * (1 - share) / items + square / (4 * items))
    low, high = (centre - half) / (1 + square), (centre + half) / (1 + square)
    # Rounding alone can put an end a hair beyond the share or the unit interval.
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def _groups_with_both(numbers: NDArray[np.int64], right: NDArray[np.bool_]) -> int:
    """The smaller of the numbers of groups that hold a hit and of groups that hold an error."""
    return min(len(np.unique(numbers[right])), len(np.unique(numbers[~right])))
