"""Boosts by hand: an item of weight w competes as if it stood w times as far forward."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Scores
from strategies.picks import Picks
from strategies.pool import Pool
from strategies.ranking import best_first

# Beyond this many times the size that the boosts call for, a longer ranking moves nothing that
# matters: it would be asked for by extreme weights alone.
LONGEST = 4


def boosted(rank: Callable[[int], Picks], weights: Floats, eligible: Indices, size: int) -> Picks:
    """The first `size` picks of a ranking once each item's position is divided by its weight.

    The item at position r = 1, 2, ... of the ranking gets the key r / w; the lowest keys come
    first, equal ones by r. Equal weights change nothing, whatever they are; an item of weight 0
    comes after all others. This needs no scale of scores, so it works for every strategy.

    rank      gives the ranking's first k items, for a k <= len(eligible)
    weights   (n,) floats >= 0
    eligible  (e,) int64, 1 <= size <= e
    """
    given = weights[eligible].astype(np.float64)
    highest = float(given.max())
    if highest == float(given.min()):
        return rank(size)
    typical = float(np.median(given[given > 0.0]))
    count = min(len(eligible), int(np.ceil(size * highest / typical)))
    longest = min(len(eligible), LONGEST * count)
    while True:
        picks = rank(count)
        own = weights[picks.indices].astype(np.float64)
        positions = np.arange(1, count + 1, dtype=np.float64)
        keys = np.divide(positions, own, out=np.full(count, np.inf), where=own > 0.0)
        order = np.argsort(keys, kind="stable")[:size]
        # No item beyond the ranking's end can have a key below count / highest.
        if count >= longest or (len(order) == size and keys[order[-1]] <= (count + 1) / highest):
            return _taken(picks, order)
        count = min(longest, 2 * count)


def best_boosted(scores: Scores, pool: Pool, size: int, rng: np.random.Generator | None) -> Indices:
    """The `size` eligible items with the highest scores, highest first, moved by their boosts."""
    if pool.weights is None or size == 0:
        return best_first(scores, pool.eligible, size, rng)
    ranking = best_first(scores, pool.eligible, len(pool.eligible), rng)
    return boosted(lambda count: Picks(ranking[:count]), pool.weights, pool.eligible, size).indices


def _taken(picks: Picks, order: npt.NDArray[np.int64]) -> Picks:
    return Picks(
        picks.indices[order],
        {name: values[order] for name, values in picks.details.items()},
        None if picks.branches is None else tuple(picks.branches[i] for i in order),
        picks.notes,
        picks.warnings,
    )
