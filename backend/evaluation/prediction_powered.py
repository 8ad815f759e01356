"""Accuracy from few labels and the model's confidence everywhere: prediction-powered inference."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_variance import clustered_variance
from backend.evaluation.quantiles import normal_quantile, student_quantile

FEWEST = 20  # errors, and hits: with fewer the normal approximation is not to be trusted

Target = Literal["pool", "population"]


@dataclass(frozen=True)
class PredictionPowered:
    """An accuracy, or the `reason` why there is none.

    target          "pool": of the tasks that are there now; "population": of where they came from
    weight          λ in [0, 1], how far the confidence is used: 0 is the plain mean
    worth_labels    as many labels as the plain mean would need for the same variance
    """

    value: float | None
    low: float | None
    high: float | None
    target: Target
    items: int
    weight: float | None
    worth_labels: float | None
    level: float
    reason: str | None


def prediction_powered(
    hits: NDArray[np.bool_],
    confidence: NDArray[np.floating],
    unlabelled_confidence: NDArray[np.floating],
    *,
    groups: NDArray[Any] | None = None,
    unlabelled_groups: NDArray[Any] | None = None,
    target: Target = "pool",
    pool_size: int | None = None,
    level: float = 0.95,
) -> PredictionPowered:
    """The accuracy over a pool, by PPI++ with its tuned weight.

    hits                    (n,) y, whether the model is right on each random label
    confidence              (n,) f, its calibrated probability of being right, on the same items;
                            neither the model nor its calibration may have seen these labels
    unlabelled_confidence   (N,) f on the rest of the pool that the labels were drawn from
    pool_size               M, where the unlabelled items are a random part of the pool themselves;
                            None: they are all of the rest
    groups                  (n,), and unlabelled_groups (N,), where items come in groups

    θ = λ·mean_N f + mean_n(y - λ·f),   λ = cov_n(y, f) / ((1 + n/N)·var_{n+N} f), cut to [0, 1]
    population:  variance λ²·s²_N(f)/N + s²_n(y - λf)/n
    pool:        variance (1 - n/m)·s²_n(y - λ(1 + n/N)·f)/n + (1/m - 1/M)·s²_n(y),  m = n + N

    The pool is finite and known throughout, so that only which n of its M items were labelled is
    left to chance: θ - mean_M y is the mean of y - λ(1 + n/N)f over the labels minus that over the
    pool, a simple random sample without replacement. Where the m = n + N items are such a sample of
    M themselves, their own chance comes on top (double sampling). By group, s²/n
    is `clustered_variance`, and the quantile is Student's over groups. Values are cut to [0, 1].
    None with a reason below 20 errors or 20 hits, without unlabelled items, or from one group.
    Sources: Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453, section 6; Cochran 1977, Sampling
    Techniques, 7 and 12.
    Raises ValueError for shapes that do not fit, and for missing groups of the unlabelled items
    where the population by group is asked for.
    """
    y = np.asarray(hits, dtype=np.float64)
    f = np.asarray(confidence, dtype=np.float64)
    rest = np.asarray(unlabelled_confidence, dtype=np.float64)
    if y.shape != f.shape or y.ndim != 1 or rest.ndim != 1:
        raise ValueError(f"hits {y.shape} and confidence {f.shape}: give one each a label")
    if target == "population" and groups is not None and unlabelled_groups is None:
        raise ValueError("unlabelled_groups: needed for the population where labels have groups")
    n, unlabelled = len(y), len(rest)
    reason = _why_not(int(y.sum()), n, unlabelled)
    if reason is not None:
        return PredictionPowered(None, None, None, target, n, None, None, level, reason)
    weight = _weight(y, f, rest)
    seen = n + unlabelled
    pool = seen if pool_size is None else max(pool_size, seen)
    share = n / seen
    reach = weight if target == "population" else weight * (1 + n / unlabelled)
    spread = clustered_variance(y - reach * f, groups)
    plain = clustered_variance(y, groups)
    beyond = clustered_variance(rest, unlabelled_groups)
    if spread.variance is None or plain.variance is None:
        reason = "all labels are of one group, which says nothing of how groups differ"
        return PredictionPowered(None, None, None, target, n, None, None, level, reason)
    if target == "population":
        if beyond.variance is None:
            reason = "the unlabelled tasks are of one group, or one task"
            return PredictionPowered(None, None, None, target, n, None, None, level, reason)
        variance, plain_variance = spread.variance + weight**2 * beyond.variance, plain.variance
    else:
        beyond_seen = share * (1 - seen / pool) * plain.variance
        variance = (1 - share) * spread.variance + beyond_seen
        plain_variance = (1 - n / pool) * plain.variance
    value = float(weight * rest.mean() + (y - weight * f).mean())
    probability = (1 + level) / 2
    if spread.groups == n:
        quantile = normal_quantile(probability)
    else:
        quantile = student_quantile(probability, max(1.0, spread.effective_groups - 1))
    half = quantile * math.sqrt(variance)
    return PredictionPowered(
        value=_cut(value),
        low=_cut(value - half),
        high=_cut(value + half),
        target=target,
        items=n,
        weight=weight,
        worth_labels=n * plain_variance / variance if variance > 0 else None,
        level=level,
        reason=None,
    )


def _why_not(hits: int, items: int, unlabelled: int) -> str | None:
    if min(hits, items - hits) < FEWEST:
        return f"too few: {items - hits} errors and {hits} hits, {FEWEST} of each are needed"
    if unlabelled == 0:
        return "no unlabelled task is left to predict"
    return None


def _weight(y: NDArray[np.float64], f: NDArray[np.float64], rest: NDArray[np.float64]) -> float:
    """λ: the weight of least variance, 0 where the confidence does not vary."""
    variance = float(np.concatenate([f, rest]).var(ddof=1))
    if variance <= 0:
        return 0.0
    covariance = float(((y - y.mean()) * (f - f.mean())).sum()) / (len(y) - 1)
    return min(1.0, max(0.0, covariance / ((1 + len(y) / len(rest)) * variance)))


def _cut(value: float) -> float:
    return min(1.0, max(0.0, value))
