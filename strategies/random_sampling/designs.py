"""Sampling designs of fixed size with exact inclusion probabilities, equal or unequal."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices

Vector = npt.NDArray[np.float64]


def capped_shares(measures: Vector, total: float, caps: Vector) -> Vector:
    """a_i = min(caps_i, lambda measures_i) with sum_i a_i = total.

    measures  (k,) > 0
    caps      (k,) > 0, of sum at least `total`
    returns   (k,) float64

    O(k log k). Source: Sarndal, Swensson and Wretman, Model Assisted Survey Sampling, 1992,
    chapter 3 (items whose probability would exceed 1 are taken with certainty, the rest rescaled).
    """
    if total >= caps.sum():
        return caps.copy()
    # The relative size decides; dividing by the highest keeps the sums finite.
    sizes = measures / measures.max()
    with np.errstate(divide="ignore", over="ignore"):
        order = np.argsort(caps / sizes, kind="stable")
    own_caps, own_sizes = caps[order], sizes[order]
    # Once the first k are capped, the rest share what is left in proportion to their size.
    left = total - np.concatenate([[0.0], np.cumsum(own_caps)[:-1]])
    rest = np.cumsum(own_sizes[::-1])[::-1]
    first = int(np.argmax(left * own_sizes <= own_caps * rest))
    shares = own_caps.copy()
    shares[first:] = np.minimum(own_caps[first:], own_sizes[first:] * (left[first] / rest[first]))
    found = np.empty_like(shares)
    found[order] = shares
    return found


def inclusion_probabilities(weights: Floats, size: int) -> Vector:
    """min(1, lambda w_i), of sum `size`; items of weight 0 share what those above 0 leave.

    weights  (e,) >= 0, 0 <= size <= e
    returns  (e,) float64 in [0, 1]
    """
    given = weights.astype(np.float64)
    above = given > 0.0
    count = int(above.sum())
    found = np.zeros(len(given), dtype=np.float64)
    if count:
        found[above] = capped_shares(given[above], float(min(size, count)), np.ones(count))
    if size > count:
        found[~above] = (size - count) / (len(given) - count)
    return found


def systematic(
    probabilities: Vector, order: Indices, size: int, rng: np.random.Generator
) -> Indices:
    """`size` distinct places, place i with probability p_i exactly.

    The places in `order` are laid end to end, each as long as its probability; taken are those that
    hold u, u + 1, u + 2, ... for one u uniform in [0, 1). Places next to each other in the order
    are a stratum by themselves: of any run with sum of probabilities a, floor(a) or ceil(a) are
    taken. In an order drawn at random with equal probabilities, this is simple random sampling.

    probabilities  (e,) in [0, 1], of sum `size`
    order          (e,) a permutation of the places
    returns        (size,) int64, in the order given

    O(e). Source: Madow, Annals of Mathematical Statistics 20 (1949); with a random order: Hartley
    and Rao, Annals of Mathematical Statistics 33 (1962).
    """
    own = probabilities[order]
    certain = own >= 1.0
    count = size - int(certain.sum())
    taken = certain.copy()
    if count > 0:
        rest = np.flatnonzero(~certain)
        ends = np.cumsum(own[rest])
        ends *= count / ends[-1]
        steps = np.arange(count)
        found = np.searchsorted(ends, rng.random() + steps, side="right")
        # No place is longer than 1, so none is hit twice; rounding is not to change that.
        found = np.maximum.accumulate(found - steps) + steps
        taken[rest[np.minimum(found, len(rest) - count + steps)]] = True
    return order[taken]


def pivotal(expected: Vector, caps: Vector, rng: np.random.Generator) -> Vector:
    """Counts n_k in [0, caps_k] with mean `expected` exactly, all but one of them 0 or full.

    Two counts x and y that are neither 0 nor full are replaced by one of the two pairs of the same
    sum in which one is 0 or full, with the probabilities that keep both means; one that is still
    between goes on against the next. The sum is kept, so the last one is a whole number wherever
    the sum and the caps are.

    expected  (k,) in [0, caps], in the order of the duels
    caps      (k,) > 0
    returns   (k,) float64

    O(k). Source: Deville and Tille, Unequal probability sampling without replacement through a
    splitting method, Biometrika 85 (1998) (there all caps are 1).
    """
    counts = expected.tolist()
    limits = caps.tolist()
    draws = rng.random(len(counts)).tolist()
    holder = -1
    for k, count in enumerate(counts):
        if count <= 0.0 or count >= limits[k]:
            continue
        if holder < 0:
            holder = k
            continue
        held, total = counts[holder], counts[holder] + count
        most = min(limits[holder], total)
        least = max(0.0, total - limits[k])
        # held = p most + (1 - p) least.
        if draws[k] * (most - least) < held - least:
            counts[holder], counts[k] = most, max(0.0, total - limits[holder])
        else:
            counts[holder], counts[k] = least, min(limits[k], total)
        if 0.0 < counts[k] < limits[k]:
            holder = k
        elif not 0.0 < counts[holder] < limits[holder]:
            holder = -1
    return np.array(counts, dtype=np.float64)
