"""The test figure of the frozen set and of the tasks that arrived since, apart and together."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_proportion import Proportion, proportion, wilson
from backend.evaluation.clustered_variance import clustered_variance, least_variance
from backend.evaluation.quantiles import student_quantile


@dataclass(frozen=True, eq=False)
class Frame:
    """The tasks that a part of the test set was drawn from, and what is known of the part.

    size     N > 0 tasks
    hits     (n,) whether the model is right
    groups   (n,) of the items, None: each its own
    weights  (n,) > 0, one over the chance that each item had: late tasks came in several arrivals,
             and not all gave the same part; None: all had the same
    """

    size: int
    hits: NDArray[np.bool_]
    groups: NDArray[Any] | None = None
    weights: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class SupplementedFigure:
    """frozen: the pool at the freeze; late: what came since; value, low, high: both together.

    What cannot be given is None, and `reason` says why.
    """

    frozen: Proportion
    late: Proportion
    value: float | None
    low: float | None
    high: float | None
    reason: str | None


def supplemented_figure(frozen: Frame, late: Frame) -> SupplementedFigure:
    """Each part's share of hits, and that of both frames together with a 95% interval.

    p = sum W_h p_h, W_h = N_h / N: a stratified estimate over the frames, so that the parts count
    by the tasks that they stand for and not by how many of them have a label; within a frame p_h =
    sum w_i x_i / sum w_i (Hájek 1971). v = sum W_h² v_h with v_h = G/(G − 1) sum_g (sum_{i in g}
    w_i (x_i − p_h))² / (sum w_i)² (Cochran 1977, sections 5.3 and 9A); at p_h of 0 or 1, where v_h
    says nothing, the variance of half an error in the part's worth of groups. Wilson's interval
    with n_eff = p (1 − p) / v and Student's quantile (Satterthwaite 1946). Groups with tasks in
    both frames count in each: what they have in common across the frames is left out.
    """
    parts = (frozen, late)
    if any(part.size < 0 for part in parts):
        raise ValueError("the size of a frame must not be negative")
    figures = [_share(part) for part in parts]
    alone = (figures[0], figures[1])
    present = [(part, one) for part, one in zip(parts, figures, strict=True) if part.size]
    if not present:
        return SupplementedFigure(*alone, None, None, None, "there are no tasks")
    total = sum(part.size for part, _ in present)
    if any(one.value is None for _, one in present):
        missing = "late tasks" if figures[0].value is not None else "the frozen set"
        reason = f"nothing of {missing} is labelled yet"
        return SupplementedFigure(*alone, None, None, None, reason)
    if len(present) == 1:
        one = present[0][1]
        return SupplementedFigure(*alone, one.value, one.low, one.high, one.reason)
    value = sum(part.size / total * float(one.value or 0.0) for part, one in present)
    variances = [_variance(part) for part, _ in present]
    if any(found is None for found in variances):
        reason = "all items of one part are of one group, which says nothing of how groups differ"
        return SupplementedFigure(*alone, value, None, None, reason)
    terms = [
        ((part.size / total) ** 2 * found[0], found[1])
        for (part, _), found in zip(present, variances, strict=True)
        if found is not None
    ]
    variance = sum(term for term, _ in terms)
    freedom = variance**2 / sum(term**2 / free for term, free in terms)
    # At 0 or 1 Wilson's formula takes the worth in items, (1/2)/n (1 − (1/2)/n) / variance.
    spread = value * (1 - value)
    if spread <= 0:
        edge = 0.5 / sum(one.items for _, one in present)
        spread = edge * (1 - edge)
    items = float(sum(one.items for _, one in present))
    low, high = wilson(value, min(items, spread / variance), student_quantile(0.975, freedom))
    return SupplementedFigure(*alone, value, low, high, None)


def _share(part: Frame) -> Proportion:
    """A part's share of hits by itself."""
    plain = proportion(part.hits, part.groups)
    weights = part.weights
    if weights is None or plain.value is None or np.allclose(weights, weights[0]):
        return plain
    hits = np.asarray(part.hits, dtype=np.float64)
    value = float(np.average(hits, weights=weights))
    found = _variance(part)
    if found is None:
        return replace(plain, value=value)
    variance, freedom = found
    worth = float(weights.sum() ** 2 / (weights**2).sum())
    spread = value * (1 - value)
    effective = min(worth, spread / variance) if spread > 0 else min(worth, freedom + 1)
    low, high = wilson(value, effective, student_quantile(0.975, freedom))
    return replace(plain, value=value, low=low, high=high, effective_items=effective)


def _variance(part: Frame) -> tuple[float, float] | None:
    """(v_h, degrees of freedom) of a frame's share, None for fewer than two groups."""
    found = clustered_variance(np.asarray(part.hits, np.float64), part.groups, part.weights)
    if found.variance is None:
        return None
    worth = found.effective_groups
    variance = found.variance if found.variance > 1e-15 else least_variance(worth)
    return variance, max(1.0, worth - 1)
