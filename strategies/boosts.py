"""Boosts by hand: an item of weight w competes as if it stood w times as far forward."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from strategies.arrays import Indices, Scores
from strategies.picks import INCLUSION_PROBABILITY, Picks
from strategies.pool import Pool
from strategies.ranking import best_first

# Beyond this many times the length that the boosts call for, a longer ranking moves nothing that
# matters: it would be asked for by extreme weights alone.
LONGEST = 4

# Gives the first k picks among a pool's eligible items, 1 <= k <= their number.
Rank: TypeAlias = Callable[[Pool, int], Picks]


def boosted(rank: Rank, pool: Pool, size: int, *, whole: bool = False) -> Picks:
    """The first `size` picks of a ranking once each item's position is divided by its weight.

    The ranking is that of the items of weight above 0. The item at its position r = 1, 2, ... gets
    the key r / w; the lowest keys come first, equal ones by r. Equal weights change nothing,
    whatever they are; items of weight 0 come after all others, ranked among themselves. This needs
    no scale of scores, so it works for every strategy.

    rank   the strategy
    pool   with weights; 1 <= size <= the number of eligible items
    whole  True: all items are ranked, for a strategy to which that costs no more. Else the ranking
           is as long as the keys ask for, but at most 4 times as long as usual weights do

    An inclusion probability that the strategy gave no longer holds and is left out.
    """
    assert pool.weights is not None
    eligible = pool.eligible
    own = pool.weights[eligible].astype(np.float64)
    if own.max() == own.min():
        return rank(pool, size)
    above = eligible[own > 0.0]
    if len(above) == len(eligible):
        return _moved(rank, pool, size, whole)
    if len(above) >= size:
        return _moved(rank, pool.restricted_to(above), size, whole)
    first = _moved(rank, pool.restricted_to(above), len(above), whole)
    return _joined(first, rank(pool.with_picked(above), size - len(above)))


def best_boosted(scores: Scores, pool: Pool, size: int, rng: np.random.Generator | None) -> Indices:
    """The `size` eligible items with the highest scores, highest first, moved by their boosts."""
    if pool.weights is None or size == 0:
        return best_first(scores, pool.eligible, size, rng)

    def rank(among: Pool, count: int) -> Picks:
        return Picks(best_first(scores, among.eligible, count, rng))

    return boosted(rank, pool, size, whole=True).indices


def _moved(rank: Rank, pool: Pool, size: int, whole: bool) -> Picks:
    """As `boosted`, all weights being above 0."""
    assert pool.weights is not None
    own = pool.weights[pool.eligible].astype(np.float64)
    highest = float(own.max())
    if highest == float(own.min()):
        return rank(pool, size)
    ends = len(own)
    usual = min(float(ends), np.ceil(size * (highest / float(np.median(own)))))
    count = ends if whole else int(usual)
    longest = ends if whole else min(ends, LONGEST * count)
    while True:
        picks = rank(pool, count)
        # Divided by the highest weight, so that the keys of usual positions stay in range.
        relative = pool.weights[picks.indices].astype(np.float64) / highest
        with np.errstate(divide="ignore", over="ignore"):
            keys = np.arange(1, count + 1, dtype=np.float64) / relative
        order = np.argsort(keys, kind="stable")[:size]
        # No item beyond the ranking's end can have a key below count + 1.
        if count >= longest or keys[order[-1]] <= count + 1:
            return _taken(picks, order)
        count = min(longest, 2 * count)


def _taken(picks: Picks, order: npt.NDArray[np.int64]) -> Picks:
    return Picks(
        picks.indices[order],
        {
            name: values[order]
            for name, values in picks.details.items()
            if name != INCLUSION_PROBABILITY
        },
        None if picks.branches is None else tuple(picks.branches[i] for i in order),
        picks.notes,
        picks.warnings,
    )


def _joined(first: Picks, second: Picks) -> Picks:
    """One batch of two parts of the same strategy."""
    return Picks(
        np.concatenate([first.indices, second.indices]),
        {
            name: np.concatenate([values, second.details[name]])
            for name, values in first.details.items()
            if name in second.details and name != INCLUSION_PROBABILITY
        },
        None
        if first.branches is None or second.branches is None
        else first.branches + second.branches,
        tuple(dict.fromkeys(first.notes + second.notes)),
        tuple(dict.fromkeys(first.warnings + second.warnings)),
    )
