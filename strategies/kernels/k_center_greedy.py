"""Farthest-first traversal in rounds: the exact picks, from few of the distances."""

import numpy as np

from strategies.arrays import Indices, Mask
from strategies.kernels.k_center_cover import Cover
from strategies.kernels.k_center_rows import Exact, square_distances

# Candidates that a round looks at. More: fewer rounds, but each pick is compared with more.
FRONT = 768
LARGEST_FRONT = 4096
# Clusters that meet a new centre at once.
PROBES = 1
# Centres that a cluster waits for before its candidates meet them.
AT_LEAST = 12
# The bounds fall slowly: the next front is mostly among those above this part of the last one.
GUESS = 0.98

Bound = tuple[float, int]  # a squared distance and a row of the pool; later rows come after


def farthest_first(cover: Cover, size: int) -> tuple[Indices, Exact]:
    """The next `size` picks, each the candidate with the largest distance to its nearest centre.

    A round takes the candidates with the highest bounds, brings these up to date and runs the plain
    loop among them for as long as its pick is above all bounds outside. Equal distances go to the
    lowest row of the pool, inside and outside alike.

    cover    at least one centre; the candidates with key -inf are not picked
    returns  the positions and their squared distances at the moment of the pick, both (size,)
    """
    picks: list[int] = []
    values: list[float] = []
    width = FRONT
    bound: Bound = (-np.inf, 0)
    while len(picks) < size:
        front, bound = _front(cover, width, GUESS * bound[0])
        found, distances, finished = _round(cover, front, bound, size - len(picks))
        picks += found
        values += distances
        if finished:
            rest = _all_that_remain(cover, size - len(picks))
            picks += rest.tolist()
            values += [0.0] * len(rest)
        # Few picks: the bounds outside are too near, as among many equal distances.
        width = min(2 * width, LARGEST_FRONT) if len(found) * 32 < width else width
        width = max(width // 2, FRONT) if len(found) * 4 > width else width
    return np.array(picks, dtype=np.int64), np.array(values, dtype=np.float64)


def _front(cover: Cover, width: int, guess: float) -> tuple[Indices, Bound]:
    """The candidates that come first by (highest key, lowest row), and the last of them.

    guess  a key that more than `width` candidates may reach, to sort out the others quickly
    """
    rows = cover.rows.order
    some = np.flatnonzero(cover.key >= guess) if guess > -np.inf else np.empty(0, dtype=np.int64)
    if len(some) <= width:
        some = np.flatnonzero(cover.key > -np.inf)
    if len(some) <= width:
        return some, (-np.inf, len(cover.rows.points))
    keys = cover.key[some]
    lowest = float(np.partition(keys, len(keys) - width)[len(keys) - width])
    above = some[keys > lowest]
    equal = some[keys == lowest]
    if len(equal) > width - len(above):
        equal = equal[np.argsort(rows[equal])[: width - len(above)]]
    return np.concatenate([above, equal]), (lowest, int(rows[equal].max()))


def _round(
    cover: Cover, front: Indices, bound: Bound, most: int
) -> tuple[list[int], list[float], bool]:
    """Picks among the front for as long as they come before the bound."""
    front = cover.refresh(front, bound[0])
    cover.settle(front)
    front = front[_not_after(cover.key[front], cover.rows.order[front], bound)]
    if len(front) == 0:
        return [], [], False
    # In the order of the pool: argmax then finds the lowest row among equals.
    front = front[np.argsort(cover.rows.order[front])]
    rows = cover.rows.order[front]
    exact = cover.rows.exact(front)
    pairs = cover.among(front)
    quick = np.empty((min(most, len(front)), len(front)))  # a row of distances a pick
    highest = cover.key[front]  # at least the squared distance
    settled = highest.copy()  # the exact one to the first `compared` centres of this round
    compared = np.zeros(len(front), dtype=np.int64)
    certain = np.ones(len(front), dtype=np.bool_)
    chosen: list[int] = []
    distances: list[float] = []
    finished = False
    while len(chosen) < most and not finished:
        first = int(highest.argmax())
        value = float(highest[first])
        if value < bound[0] or (value == bound[0] and rows[first] > bound[1]):
            break
        if not certain[first]:
            since = compared[first]
            lowest = quick[since : len(chosen), first] - pairs.error
            near = np.array(chosen[since:])[lowest < settled[first]]
            found = square_distances(exact[near], exact[first]).min(initial=np.inf)
            settled[first] = highest[first] = min(settled[first], found)
            compared[first] = len(chosen)
            certain[first] = True
            continue
        if value == 0.0:
            finished = True
            continue
        row = quick[len(chosen)] = pairs.distances_to(first)
        chosen.append(first)
        distances.append(value)
        np.minimum(highest, row + pairs.error, out=highest)
        certain &= row - pairs.error >= highest
        highest[first] = -np.inf
        certain[first] = True
    _write_back(cover, front, chosen, settled, compared, certain, highest)
    return [int(i) for i in front[chosen]], distances, finished


def _write_back(
    cover: Cover,
    front: Indices,
    chosen: list[int],
    settled: Exact,
    compared: Indices,
    certain: Mask,
    highest: Exact,
) -> None:
    start = cover.count
    cover.settled_value[front] = settled
    cover.settled[front] = start + np.where(certain, len(chosen), compared)
    cover.key[front] = highest
    if chosen:
        cover.pick(front[chosen], PROBES, AT_LEAST)


def _not_after(keys: Exact, rows: Indices, bound: Bound) -> Mask:
    return np.asarray((keys > bound[0]) | ((keys == bound[0]) & (rows <= bound[1])))


def _all_that_remain(cover: Cover, count: int) -> Indices:
    """Where every candidate coincides with a centre: the lowest rows first."""
    remaining = np.flatnonzero(cover.key > -np.inf)
    return remaining[np.argsort(cover.rows.order[remaining])[:count]]
