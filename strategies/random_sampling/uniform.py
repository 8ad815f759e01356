"""Random sampling without replacement: the baseline that every other one must beat."""

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.picks import INCLUSION_PROBABILITY, Picks
from strategies.random_sampling.designs import inclusion_probabilities, systematic


def random_sampling(
    eligible: Indices, size: int, rng: np.random.Generator, weights: Floats | None = None
) -> Picks:
    """`size` of the e eligible items in random order; each has inclusion probability size / e.

    With boosts w the inclusion probability is pi_i = min(1, lambda w_i), sum_i pi_i = size: an item
    of twice the weight is twice as probable, none more than certain. An item of weight 0 is taken,
    after all others, only where these do not fill the batch. The estimate sum_{i in batch} y_i /
    pi_i of a total over the eligible items is unbiased.

    eligible  (e,) int64, the items that may be picked; 1 <= size <= e
    weights   (n,) floats >= 0, the boosts; None: all alike
    returns   Picks; INCLUSION_PROBABILITY pi_i, exact

    O(e), with boosts O(e log e). Source: simple random sampling without replacement, Cochran,
    Sampling Techniques, chapter 2; with boosts systematic sampling in random order, Hartley and Rao
    1962; the estimate: Horvitz and Thompson 1952.
    """
    if weights is None:
        picks = rng.choice(eligible, size=size, replace=False, shuffle=True)
        return Picks(picks, {INCLUSION_PROBABILITY: np.full(size, size / len(eligible))})
    own = weights[eligible]
    probabilities = inclusion_probabilities(own, size)
    order = rng.permutation(len(eligible))
    places = rng.permutation(systematic(probabilities, order, size, rng))
    places = places[np.argsort(own[places] <= 0.0, kind="stable")]
    return Picks(eligible[places], {INCLUSION_PROBABILITY: probabilities[places]})
