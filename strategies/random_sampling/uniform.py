"""Uniform random sampling without replacement: the baseline that every other one must beat."""

import numpy as np

from strategies.arrays import Indices


def random_sampling(eligible: Indices, size: int, rng: np.random.Generator) -> Indices:
    """`size` of the e eligible items in random order; each has inclusion probability size / e.

    eligible  (e,) int64, the items that may be picked; 1 <= size <= e
    returns   (size,) int64, distinct

    Source: simple random sampling without replacement, Cochran, Sampling Techniques, chapter 2.
    """
    return rng.choice(eligible, size=size, replace=False, shuffle=True)
