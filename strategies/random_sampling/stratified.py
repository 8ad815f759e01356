"""Stratified random sampling by metadata or by predicted class."""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from strategies.arrays import Column, Floats, Indices, Scores
from strategies.levels import column_levels, combinations
from strategies.metadata_columns import check_columns
from strategies.parameters import Interval
from strategies.picks import INCLUSION_PROBABILITY, LEVEL, QUOTA, Picks
from strategies.predicted_class import predicted_classes
from strategies.random_sampling.designs import capped_shares, systematic
from strategies.uncertainty.entropy import entropy
from strategies.uncertainty.least_confidence import least_confidence
from strategies.uncertainty.margin import margin

Allocation = Literal["proportional", "equal", "neyman"]
Vector = npt.NDArray[np.float64]


def stratified(
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    metadata: Mapping[str, Column] | None = None,
    probabilities: Floats | None = None,
    weights: Floats | None = None,
    *,
    columns: tuple[str, ...] = (),
    allocation: Allocation = "proportional",
    score: Literal["margin", "entropy", "least_confidence"] = "margin",
    bins: Annotated[int, Interval(least=2)] = 5,
) -> Picks:
    """Random sampling in which each stratum h gets n_h of the batch, with mean a_h.

    a_h = min(N_h, lambda M_h), sum_h a_h = size, N_h eligible items in the stratum, and

        proportional  M_h = N_h
        equal         M_h = 1
        neyman        M_h = N_h S_h, S_h the standard deviation (N_h - 1) of an uncertainty score in
                      the stratum: the least variance of an estimated mean of what the score stands
                      for. Where the size allows, a_h >= 1: no stratum is left out altogether.

    n_h is a_h rounded down or up at random with mean a_h, so the inclusion probability is exactly
    pi_i = a_h / N_h, and given n_h the n_h items are a simple random sample of the stratum. With
    boosts w, N_h in M_h is the sum of the weights, and within the stratum pi_i is proportional to
    w_i, none above 1; items of weight 0 are drawn only where the others do not fill the batch.

    eligible       (e,) int64; 1 <= size <= e
    metadata       {column: (n,)}; missing values are a stratum of their own
    probabilities  (n, c); for strata by predicted class and for Neyman's allocation
    weights        (n,) floats >= 0, the boosts; None: all alike
    columns        the columns whose combined levels are the strata; () for the predicted class
    score          the uncertainty of Neyman's allocation
    bins           numbers with many values are cut at this many quantiles
    returns        Picks, each stratum's spread evenly over the batch; LEVEL the stratum, QUOTA n_h,
                   INCLUSION_PROBABILITY pi_i. A warning where there is nothing to stratify by, or
                   no probabilities for Neyman's allocation, which then is proportional

    Raises MissingInputError for a column that is not in the metadata. O(n c + e log e).

    Source: Neyman, Journal of the Royal Statistical Society 97 (1934); Cochran, Sampling
    Techniques, chapter 5; random rounding of the sizes by systematic sampling:
    Cox, Journal of the American Statistical Association 82 (1987).
    """
    warnings = []
    names: list[str] | tuple[str, ...]
    if columns:
        check_columns("stratified", metadata or {}, columns)
        assert metadata is not None
        levels = combinations([column_levels(c, metadata[c], bins=bins) for c in columns])
        names, strata = levels.names, levels.pool[eligible]
    elif probabilities is not None:
        strata = predicted_classes(probabilities, eligible)
        names = [f"predicted class {label}" for label in range(probabilities.shape[1])]
    else:
        strata, names = np.zeros(len(eligible), dtype=np.int64), ["all items"]
        warnings.append("there is nothing to stratify by: name columns of the metadata")
    spreads = None
    if allocation == "neyman":
        if probabilities is None:
            warnings.append("Neyman's allocation needs a model's probabilities: proportional now")
        else:
            by_name = {"margin": margin, "entropy": entropy, "least_confidence": least_confidence}
            spreads = _spreads(by_name[score](probabilities)[eligible], strata, len(names))
    own = np.ones(len(eligible)) if weights is None else weights[eligible].astype(np.float64)
    expected = _probabilities(strata, own, size, allocation, spreads)
    # Items of a stratum side by side: systematic sampling then rounds each stratum's size.
    shuffled = rng.permutation(len(eligible))
    order = shuffled[
        np.lexsort((own[shuffled] <= 0.0, rng.permutation(len(names))[strata[shuffled]]))
    ]
    places = systematic(expected, order, size, rng)
    places, quotas = _spread_over_batch(rng.permutation(places), strata, rng)
    places = places[np.argsort(own[places] <= 0.0, kind="stable")]
    return Picks(
        eligible[places],
        {
            LEVEL: np.array([names[stratum] for stratum in strata[places]], dtype=np.str_),
            QUOTA: quotas[strata[places]],
            INCLUSION_PROBABILITY: expected[places],
        },
        warnings=tuple(warnings),
    )


def _spreads(scores: Scores, strata: Indices, count: int) -> Vector:
    """The standard deviation of the score in each stratum, 0 for a single item: (count,)."""
    sizes = np.bincount(strata, minlength=count)
    means = np.bincount(strata, scores, minlength=count) / np.maximum(sizes, 1)
    squares = np.bincount(strata, (scores - means[strata]) ** 2, minlength=count)
    spreads: Vector = np.sqrt(squares / np.maximum(sizes - 1, 1))
    return spreads


def _probabilities(
    strata: Indices, weights: Vector, size: int, allocation: str, spreads: Vector | None
) -> Vector:
    """The inclusion probability of each eligible item: (e,), of sum `size`."""
    found = np.zeros(len(strata), dtype=np.float64)
    left = size
    for members in (np.flatnonzero(weights > 0.0), np.flatnonzero(weights <= 0.0)):
        total = min(left, len(members))
        left -= total
        if total == 0:
            continue
        own = np.where(weights[members] > 0.0, weights[members], 1.0)
        present, codes, caps = np.unique(strata[members], return_inverse=True, return_counts=True)
        sums = np.bincount(codes, own).astype(np.float64)
        measures, least = sums, np.zeros(len(present))
        if allocation == "equal":
            measures = np.ones(len(present))
        elif spreads is not None and (spreads[present] > 0.0).any():
            measures = sums * spreads[present]
            if total >= len(present):
                least = np.ones(len(present))
        shares = allocated(measures, float(total), caps.astype(np.float64), least)
        if np.ptp(own) == 0.0:
            found[members] = (shares / caps)[codes]
            continue
        by_stratum = np.argsort(codes, kind="stable")
        for stratum, places in enumerate(np.split(by_stratum, np.cumsum(caps)[:-1])):
            ones = np.ones(len(places))
            if shares[stratum] > 0.0:
                own_shares = capped_shares(own[places], float(shares[stratum]), ones)
                found[members[places]] = own_shares
    return found


def allocated(measures: Vector, total: float, caps: Vector, least: Vector) -> Vector:
    """Shares of `total` in proportion to the measures, from `least` to `caps` each: (k,).

    A measure of 0 gets its least, and more only where the others are at their caps.
    """
    shares = np.zeros(len(measures))
    fixed = np.zeros(len(measures), dtype=np.bool_)
    while True:
        open_ones = ~fixed & (measures > 0.0)
        left = total - float(least[~open_ones].sum())
        shares[~open_ones] = least[~open_ones]
        if not open_ones.any():
            break
        room = float(caps[open_ones].sum())
        shares[open_ones] = capped_shares(measures[open_ones], min(left, room), caps[open_ones])
        low = open_ones & (shares < least)
        if not low.any():
            break
        fixed |= low
    missing = total - float(shares.sum())
    room_left = caps - shares
    if missing > 1e-9 and (room_left > 0.0).any():
        shares += room_left * min(1.0, missing / float(room_left.sum()))
    return shares


def _spread_over_batch(
    places: Indices, strata: Indices, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """The places in an order whose every prefix holds the strata about in proportion."""
    own = strata[places]
    quotas = np.bincount(own, minlength=int(strata.max(initial=-1)) + 1)
    by_stratum = np.argsort(own, kind="stable")
    starts = np.cumsum(quotas) - quotas
    ranks = np.empty(len(places), dtype=np.int64)
    ranks[by_stratum] = np.arange(len(places)) - starts[own[by_stratum]]
    moments = (ranks + rng.random(len(places))) / quotas[own]
    return places[np.argsort(moments, kind="stable")], quotas
