"""Seats of a batch for levels or classes, those that are labelled counted as seats already held."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Indices


def ranks_within(levels: Indices) -> Indices:
    """For each place the number of earlier places of the same level: (e,) int64.

    levels  (e,) int64 in the order in which each level fills its seats
    """
    by_level = np.argsort(levels, kind="stable")
    counts = np.bincount(levels)
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(levels), dtype=np.int64)
    ranks[by_level] = np.arange(len(levels)) - starts[levels[by_level]]
    return ranks


def seated(
    levels: Indices,
    size: int,
    held: npt.NDArray[np.float64],
    shares: npt.NDArray[np.float64],
    priority: Indices,
) -> Indices:
    """The places of the `size` items that get a seat, in the order of seating.

    One after another, a seat goes to the level l with the lowest (h_l + k_l + 1/2) / f_l that still
    has items: h_l seats held before, k_l given so far. That is Webster's (Sainte-Lague's) divisor
    rule; it minimises sum_l (h_l + k_l)^2 / f_l, the chi-squared distance of the counts from the
    shares, for every length of the batch.

    levels    (e,) int64, the level of each item, in the order in which each level fills its seats
    held      (L,) h_l >= 0
    shares    (L,) f_l >= 0, of any sum; a level of share 0 comes after all others
    priority  (L,) distinct numbers: equal quotients go to the lowest
    returns   (size,) int64 places of `levels`

    O(e log e). Source: Balinski and Young, Fair Representation, 1982.
    """
    own = shares[levels]
    seats = held[levels] + ranks_within(levels) + 0.5
    quotients = np.divide(seats, own, out=np.full(len(levels), np.inf), where=own > 0.0)
    order: Indices = np.lexsort((seats, priority[levels], quotients))[:size]
    return order
