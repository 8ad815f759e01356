"""Pool, test set and training set beside a sample of where the model will be used, and figures
reweighted to it where they overlap."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.clustered_proportion import wilson
from backend.evaluation.clustered_variance import group_numbers
from backend.evaluation.drift import (
    MEDIUM_AUC,
    SMALL_AUC,
    area_in_words,
    field_in_words,
    has_moved,
)
from backend.evaluation.metadata_distance import FieldDistance, metadata_distances
from backend.evaluation.quantiles import student_quantile
from backend.evaluation.two_sample import CrossFit, Separation, separation
from strategies.arrays import Column, Floats

FEWEST_EFFECTIVE = 30  # items that the weighted ones are worth
LEAST_EFFECTIVE_SHARE = 0.1
MOST_OF_ONE = 0.1  # share of the weight that one item may carry
MOST_UNCOVERED = 0.05  # share of the reference beyond everything that was measured
MOST_LEFT = 0.2  # standard deviations that the weighted items may still be away
FEWEST_OF_REFERENCE = 300  # with fewer nobody sees whether the weights reach it
# Of the correction, a part that may be missing still: in simulations the weights close 80 to 100%.
MISSING_PART = 0.15
ROWS_A_DIRECTION = 50  # of the smaller set, for each direction that the weights are learnt in
DIRECTIONS = 20
CHECKED = (20, 64, 128)
REPLICATES = 40

ALIKE, DIFFERS, UNDECIDED = "alike", "differs", "undecided"


@dataclass(frozen=True, eq=False)
class Sample:
    """n tasks: embeddings (n, d), metadata {field: (n,)} and groups (n,), each where known."""

    embeddings: Floats | None = None
    metadata: Mapping[str, Column] | None = None
    groups: Column | None = None


@dataclass(frozen=True)
class Comparison:
    """One set against the reference, by embeddings (None: absent or too few) and by metadata."""

    separation: Separation | None
    fields: tuple[FieldDistance, ...]


@dataclass(frozen=True, eq=False)
class Weights:
    """Importance weights (n,), which sum to n, and whether they may be used.

    effective_size  (sum w)² / sum w²: as many items without weights are worth as much (Kish 1965)
    largest_share   of the weight on one item
    uncovered       share of the reference that lies beyond every item
    left            distance that remains between the weighted items and the reference
    replicates      (r, n) the weights from as many redrawn references, by group (bootstrap)
    refusal         in words, None where they may be used
    """

    values: NDArray[np.float64]
    effective_size: float
    largest_share: float
    uncovered: float
    refusal: str | None
    left: float = 0.0
    replicates: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class ReweightedAccuracy:
    """Accuracy as it would be on the reference, with its 95% interval; None where refused."""

    value: float | None
    low: float | None
    high: float | None
    effective_size: float
    text: str


def compare_with_reference(
    sets: Mapping[str, Sample], reference: Sample, seed: int = 0
) -> dict[str, Comparison]:
    """Each named set (pool, test set, training set) against the reference, by the same measures."""
    found = {}
    for name, one in sets.items():
        groups = (one.groups, reference.groups)
        apart = None
        if one.embeddings is not None and reference.embeddings is not None:
            apart = separation(one.embeddings, reference.embeddings, *groups, seed)
        fields = metadata_distances(
            one.metadata or {}, reference.metadata or {}, *groups, seed=seed
        )
        found[name] = Comparison(apart, fields)
    return found


def verdict(found: Comparison) -> tuple[str, str]:
    """Whether a set is like the reference, and the figures that say so in words.

    differs    by the limits of `drift`: the area's whole interval lies above 0.556, or a field is
               beyond its limit with p < 5% / (fields + 1)
    alike      not so, and the interval lies below 0.638
    undecided  everything else: too few to tell, or no embeddings
    """
    reasons = [field_in_words(one) for one in found.fields if has_moved(one, len(found.fields))]
    apart = found.separation
    if reasons or (apart is not None and apart.low > SMALL_AUC):
        if apart is not None and apart.low > SMALL_AUC:
            reasons.insert(0, area_in_words(apart))
        return DIFFERS, "; ".join(reasons)
    if apart is None:
        return UNDECIDED, "too few to tell"
    return (ALIKE if apart.high < MEDIUM_AUC else UNDECIDED), area_in_words(apart)


def importance_weights(
    features: Floats,
    reference: Floats,
    groups: Column | None = None,
    items: NDArray[np.int64] | None = None,
    seed: int = 0,
    reference_groups: Column | None = None,
) -> Weights:
    """Weights that make items look like the reference, p_reference(x) / p(x) up to a factor.

    features   (a, d) finite: embeddings, or standardised metadata, of the set that the items were
               drawn from (the pool, which knows more of p than the items alone)
    reference  (b, d)
    groups     (a,) of the rows; a group is weighted by discriminants that did not see it
    items      rows of features that are weighted (the test set); all where None
    reference_groups  (b,) where groups, or single rows, may stand on both sides (a part of the pool
               as the reference); None: none does

    The score of a cross-fitted linear discriminant, its slope corrected by a logistic regression on
    that one number, gives the odds (Bickel et al. 2009, "Discriminative learning under covariate
    shift"); cut at sqrt(n) times their mean (Ionides 2008, "Truncated importance sampling"). It is
    learnt in the principal directions of both sets, one for 50 rows of the smaller, at most 20: in
    hundreds of dimensions the noise of a discriminant from hundreds of rows drowns the shift, the
    slope falls towards 0, and the figure would stay where it was.
    Refused unless the effective size is at least 30 and 10% of the items, no item carries more than
    10% of the weight, at most 5% of the reference scores above every item (there, no label says
    anything), the reference has at least 300 rows, and the weighted items are not seen to be more
    than 0.2 standard deviations away from it: sqrt(sum over directions of (difference of means /
    standard deviation)² − what chance adds, c = 1/effective size + 1/b each), over the largest 20,
    64, 128 and all of k directions, each beyond two standard errors, 2 sqrt(2k) c: the balance that
    weights must reach (Austin 2009, "Balance diagnostics for comparing the distribution of baseline
    covariates").
    """
    chosen = np.arange(len(features)) if items is None else np.asarray(items, dtype=np.int64)
    n = len(chosen)
    if not n or not len(reference):
        empty = "There is nothing to reweight: " + ("no item." if not n else "no reference.")
        return Weights(np.ones(n), 0.0, 0.0, 1.0, empty)
    rng = np.random.default_rng(seed)
    is_reference = np.arange(len(features) + len(reference)) >= len(features)
    if groups is not None and reference_groups is not None:
        named = np.concatenate([np.asarray(groups), np.asarray(reference_groups)])
        both = group_numbers(named, len(is_reference))
    else:
        own = group_numbers(groups, len(features))
        both = np.concatenate([own, np.arange(len(reference)) + int(own.max()) + 1])
    rows = _principal(np.concatenate([np.asarray(features), np.asarray(reference)]))
    learnt_in = max(1, min(len(features), len(reference)) // ROWS_A_DIRECTION)
    learnt_in = min(learnt_in, DIRECTIONS)
    log_odds = _log_odds(rows[:, :learnt_in], is_reference, both, rng)
    of_items = log_odds[chosen]
    weights = _cut_weights(of_items)
    replicates = np.empty((REPLICATES, n))
    size = len(features)
    for replicate in replicates:
        drawn = size + _redrawn(both[size:], rng)
        taken = np.concatenate([np.arange(size), drawn])
        again = _log_odds(rows[taken, :learnt_in], is_reference[taken], both[taken], rng)
        replicate[:] = _cut_weights(again[chosen])
    uncovered = float((log_odds[is_reference] > of_items.max()).mean())
    effective = n**2 / float(weights @ weights)
    largest = float(weights.max()) / n
    left = _left_over(rows, chosen, weights, is_reference)
    refusal = _refusal(n, effective, largest, uncovered, left, len(reference))
    return Weights(weights, effective, largest, uncovered, refusal, left, replicates)


def reweighted_accuracy(
    correct: NDArray[np.bool_], weights: Weights, groups: Column | None = None
) -> ReweightedAccuracy:
    """p = sum w y / sum w over items, y (n,) whether the model is right, w the weights.

    Wilson's interval with n_eff = min(p (1 − p) / v, effective size of the weights),
    v = G/(G − 1) sum over groups of (sum w (y − p))² / (sum w)² + variance of p over the replicates
    of the weights: the ratio estimator's variance by group (Cochran 1977, section 6), and that of
    weights from a reference that is a sample itself, + (0.15 (p − mean y))², for weights do not
    close the whole of a shift; the quantile is Student's for the groups'
    worth, less one. Correct where they hold p_reference / p (no unmeasured difference),
    and where the rule of right and wrong is the same in both.
    """
    y = np.asarray(correct, dtype=np.float64)
    w = weights.values
    if len(y) != len(w):
        raise ValueError(f"{len(y)} answers do not fit {len(w)} weights")
    if weights.refusal is not None:
        return ReweightedAccuracy(None, None, None, weights.effective_size, weights.refusal)
    numbers = group_numbers(groups, len(y))
    total = float(w.sum())
    p = min(1.0, float(w @ y) / total)
    of_groups = np.bincount(numbers, weights=w)
    worth = total**2 / float(of_groups @ of_groups)
    count = len(of_groups)
    if count < 2:
        text = "All items are of one group, which says nothing of how groups differ."
        return ReweightedAccuracy(p, None, None, worth, text)
    errors = np.bincount(numbers, weights=w * (y - p))
    variance = count / (count - 1) * float(errors @ errors) / total**2
    if weights.replicates is not None:
        of_replicates = weights.replicates @ y / weights.replicates.sum(axis=1)
        variance += float(of_replicates.var(ddof=1))
    variance += (MISSING_PART * (p - float(y.mean()))) ** 2
    effective = p * (1 - p) / variance if 0 < p < 1 and variance > 0 else worth
    effective = min(effective, weights.effective_size)
    quantile = student_quantile(0.975, max(1.0, worth - 1))
    low, high = wilson(p, effective, quantile)
    text = (
        f"{100 * p:.1f}% ({100 * low:.1f} to {100 * high:.1f}) when reweighted to the reference; "
        f"the {len(y):,} items are worth {effective:.0f} there."
    )
    return ReweightedAccuracy(p, low, high, effective, text)


def _log_odds(
    rows: NDArray[np.float64],
    is_reference: NDArray[np.bool_],
    groups: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    scores = CrossFit(rows, is_reference, groups, rng).scores(is_reference)
    return _slope(scores, is_reference) * scores


def _cut_weights(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(log_odds - log_odds.max())
    weights = np.minimum(weights, math.sqrt(len(weights)) * weights.mean())
    found: NDArray[np.float64] = weights * (len(weights) / weights.sum())
    return found


def _redrawn(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of as many groups as there are, drawn with replacement."""
    order = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    drawn = rng.integers(len(starts), size=len(starts))
    return np.concatenate([order[starts[g] : starts[g] + counts[g]] for g in drawn])


def _slope(scores: NDArray[np.float64], is_reference: NDArray[np.bool_]) -> float:
    """The slope >= 0 of a logistic regression on the score, each set with the same weight."""
    sizes = np.where(is_reference, is_reference.mean(), 1 - is_reference.mean())
    weight = 0.5 / (sizes * len(scores))
    scale = float(np.sqrt(weight @ (scores * scores)))
    if not scale > 0:
        return 0.0
    design = np.column_stack([np.ones(len(scores)), scores / scale])
    beta = np.zeros(2)
    ridge = np.array([0.0, 1e-3])  # separable sets have no finite slope
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(design @ beta, -500, 500)))
        gradient = design.T @ (weight * (is_reference - chance)) - ridge * beta
        curvature = (design.T * (weight * chance * (1 - chance))) @ design
        curvature += np.diag(ridge) + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        length = float(np.abs(step).max())
        beta += step * min(1.0, 2.0 / max(length, 1e-300))
        if length < 1e-10:
            break
    return max(0.0, float(beta[1])) / scale


def _principal(rows: Floats) -> NDArray[np.float64]:
    """(n, d) coordinates in the principal directions, the largest first."""
    values = np.array(rows, dtype=np.float64)
    values -= values.mean(axis=0)
    if not np.isfinite(values).all():
        raise ValueError("embeddings: not all values are finite")
    axes = np.linalg.eigh(values.T @ values)[1][:, ::-1]
    found: NDArray[np.float64] = values @ np.ascontiguousarray(axes)
    return found


def _left_over(
    rows: NDArray[np.float64],
    chosen: NDArray[np.int64],
    weights: NDArray[np.float64],
    is_reference: NDArray[np.bool_],
) -> float:
    deviation = rows.std(axis=0)
    varies = deviation > 1e-9 * max(float(deviation.max()), 1e-300)
    items, there = rows[chosen][:, varies], rows[is_reference][:, varies]
    apart = (weights @ items / weights.sum() - there.mean(axis=0)) / deviation[varies]
    by_chance = float(weights @ weights) / float(weights.sum()) ** 2 + 1 / len(there)
    seen = 0.0
    for count in sorted({min(k, len(apart)) for k in (*CHECKED, len(apart))}):
        found = float(apart[:count] @ apart[:count]) - count * by_chance
        if found > 2 * math.sqrt(2 * count) * by_chance:
            seen = max(seen, found)
    return math.sqrt(seen)


def _refusal(
    n: int, effective: float, largest: float, uncovered: float, left: float, reference: int
) -> str | None:
    if reference < FEWEST_OF_REFERENCE:
        return (
            f"No figure for the reference: {reference:,} of its tasks are too few to see how far "
            f"it is away; name one with {FEWEST_OF_REFERENCE}."
        )
    reasons = []
    if uncovered > MOST_UNCOVERED:
        reasons.append(f"{100 * uncovered:.0f}% of the reference is unlike every labelled item")
    if effective < FEWEST_EFFECTIVE or effective < LEAST_EFFECTIVE_SHARE * n:
        reasons.append(
            f"the {n:,} items are worth {effective:.0f} there (needed: {FEWEST_EFFECTIVE} and "
            f"{100 * LEAST_EFFECTIVE_SHARE:.0f}%)"
        )
    if largest > MOST_OF_ONE:
        reasons.append(f"one item would carry {100 * largest:.0f}% of the weight")
    if left > MOST_LEFT:
        reasons.append(f"the weighted items are still {left:.1f} standard deviations away from it")
    if not reasons:
        return None
    return (
        "No figure for the reference: it overlaps too little with what was measured; "
        f"{'; '.join(reasons)}. Label a random sample of the reference to measure there."
    )
