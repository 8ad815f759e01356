"""Random sampling of whole groups: patients, volumes, videos, documents."""

import numpy as np

from strategies.arrays import Column, Floats, Indices
from strategies.groups import group_numbers
from strategies.picks import INCLUSION_PROBABILITY, LEVEL, QUOTA, Picks
from strategies.random_sampling.designs import Vector, capped_shares, pivotal


def random_groups(
    groups: Column,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    weights: Floats | None = None,
) -> Picks:
    """Whole groups in random order, the members of each in random order, until the batch is full.

    All groups in the batch are whole but at most one, of which as many members are drawn at random
    as are still lacking. Every item has inclusion probability pi_i = size / e exactly, whatever the
    size of its group (drawing one group after another until the batch is full has not: there the
    members of large groups are rarer). With boosts w, pi_i = min(1, lambda w_g), w_g the mean
    weight of the items of the group, sum_i pi_i = size; items of weight 0 are drawn only where the
    others do not fill the batch, and then by their groups too.

    Groups in random order, each of g items with expected number g pi, meet two by two: the sum of
    the two numbers is kept, and one of them becomes 0 or the whole group, at random with the means
    kept (the pivotal method). The variance of estimates is that of sampling clusters.

    groups    (n,) integers or texts
    eligible  (e,) int64; 1 <= size <= e. A group is whole when its eligible items are in
    weights   (n,) floats >= 0, the boosts; None: all alike
    returns   Picks; LEVEL the group, QUOTA its items in the batch, INCLUSION_PROBABILITY pi_i

    O(n log n). Source: cluster sampling, Cochran, Sampling Techniques, chapter 9A; the pivotal
    method: Deville and Tille, Biometrika 85 (1998).
    """
    own = np.ones(len(eligible)) if weights is None else weights[eligible].astype(np.float64)
    numbers = group_numbers(groups)[eligible]
    places: list[Indices] = []
    probabilities = np.zeros(len(eligible), dtype=np.float64)
    left = size
    for members in (np.flatnonzero(own > 0.0), np.flatnonzero(own <= 0.0)):
        total = min(left, len(members))
        left -= total
        if total == 0:
            continue
        _, codes, sizes = np.unique(numbers[members], return_inverse=True, return_counts=True)
        caps = sizes.astype(np.float64)
        expected = _expected(own[members], codes, caps, float(total))
        probabilities[members] = (expected / caps)[codes]
        places.append(members[_drawn(expected, caps, codes, rng)])
    chosen = np.concatenate(places)
    quotas = np.bincount(numbers[chosen], minlength=int(numbers.max()) + 1)
    return Picks(
        eligible[chosen],
        {
            LEVEL: np.array([str(group) for group in groups[eligible[chosen]]], dtype=np.str_),
            QUOTA: quotas[numbers[chosen]],
            INCLUSION_PROBABILITY: probabilities[chosen],
        },
    )


def _expected(weights: Vector, codes: Indices, caps: Vector, total: float) -> Vector:
    if weights.max() == 0.0 or np.ptp(weights) == 0.0:
        equal: Vector = caps * (total / caps.sum())
        return equal
    sums = np.bincount(codes, weights).astype(np.float64)
    # g pi = min(g, lambda sum of the weights).
    return capped_shares(sums, total, caps)


def _drawn(expected: Vector, caps: Vector, codes: Indices, rng: np.random.Generator) -> Indices:
    """The places drawn, group after group in random order."""
    order = rng.permutation(len(caps))
    counts = np.zeros(len(caps), dtype=np.int64)
    counts[order] = np.rint(pivotal(expected[order], caps[order], rng))
    position = np.empty(len(caps), dtype=np.int64)
    position[order] = np.arange(len(caps))
    shuffled = rng.permutation(len(codes))
    lined_up = shuffled[np.argsort(position[codes[shuffled]], kind="stable")]
    ends = np.cumsum(caps[order]).astype(np.int64)
    starts = np.repeat(ends - caps[order].astype(np.int64), caps[order].astype(np.int64))
    rank = np.arange(len(codes)) - starts
    drawn: Indices = lined_up[rank < counts[codes[lined_up]]]
    return drawn
