"""Cohen's kappa: agreement of two annotators, or two models, beyond what chance gives."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_proportion import wilson
from backend.evaluation.clustered_variance import clustered_variance
from backend.evaluation.quantiles import normal_quantile, student_quantile


@dataclass(frozen=True)
class Agreement:
    """Kappa on `items` that both have judged; what cannot be given is None, with a `reason`.

    observed   share of items on which the two agree
    expected   share on which they would agree if each kept its own class shares, by chance
    """

    kappa: float | None
    low: float | None
    high: float | None
    observed: float | None
    expected: float | None
    items: int
    level: float
    reason: str | None


def cohens_kappa(
    first: NDArray[Any],
    second: NDArray[Any],
    groups: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Agreement:
    """Kappa of two judgements (n,) of the same items, any labels, with its interval.

    kappa = (p_o - p_e)/(1 - p_e),  p_e = Σ_c r_c·s_c, r and s the class shares of the two
    variance: that of the mean of x_i = [1(a_i = b_i) - (1 - kappa)·(s_{a_i} + r_{b_i})]/(1 - p_e),
    by group (`clustered_variance`): the delta method of Fleiss, Cohen and Everitt 1969 (Psychol.
    Bull. 72, 323) times n/(n-1) without groups.

    The interval is Wilson's for p_o, at the n_eff <= n items that give kappa this variance, mapped
    by (· - p_e)/(1 - p_e): inside kappa's range, and of a width above 0 where all agree. None with
    a reason without items, where both use one and the same class only (agreement by chance is then
    certain), and the interval for one group. Raises ValueError for lengths that do not fit.
    """
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"judgements {one.shape} and {two.shape}: give one each an item")
    n = len(one)
    if n == 0:
        reason = "no item was judged by both"
        return Agreement(None, None, None, None, None, 0, level, reason)
    names, numbers = np.unique(np.concatenate([one, two]), return_inverse=True)
    a, b = numbers[:n], numbers[n:]
    r, s = np.bincount(a, minlength=len(names)) / n, np.bincount(b, minlength=len(names)) / n
    observed, expected = float((a == b).mean()), float(r @ s)
    if len(names) == 1:
        reason = "both use one and the same class throughout: chance explains all agreement"
        return Agreement(None, None, None, observed, expected, n, level, reason)
    kappa = (observed - expected) / (1 - expected)
    influence = ((a == b) - (1 - kappa) * (s[a] + r[b])) / (1 - expected)
    spread = clustered_variance(influence, groups)
    if spread.variance is None:
        reason = "one group of items alone says nothing of how groups differ"
        return Agreement(kappa, None, None, observed, expected, n, level, reason)
    worth = spread.effective_groups
    variance = spread.variance * (1 - expected) ** 2
    by_variance = observed * (1 - observed) / variance if variance > 0 else math.inf
    effective = min(float(n), by_variance)
    if observed in (0.0, 1.0):
        effective = worth  # no variance is seen, as in `proportion`
    if spread.groups == n:
        quantile = normal_quantile((1 + level) / 2)
    else:
        quantile = student_quantile((1 + level) / 2, max(1.0, worth - 1))
    low, high = wilson(observed, effective, quantile)
    return Agreement(
        kappa,
        (low - expected) / (1 - expected),
        (high - expected) / (1 - expected),
        observed,
        expected,
        n,
        level,
        None,
    )
