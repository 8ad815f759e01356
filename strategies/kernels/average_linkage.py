"""Average-linkage clustering of groups whose mutual distances are known."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Indices


def average_linkage(distances: npt.NDArray[np.floating], sizes: Indices, count: int) -> Indices:
    """Merge the two nearest groups until `count` are left; the group of each start, (m,) int64.

    The distance of two groups is the mean over the pairs of their items,

        D(a + b, c) = (s_a D(a, c) + s_b D(b, c)) / (s_a + s_b), s the numbers of items.

    distances  (m, m) symmetric, the mean distance between the items of two starts; is overwritten
    sizes      (m,) int64 >= 1, the items of each start
    count      1 <= count <= m
    returns    numbers 0 .. count - 1, in the order of each group's lowest start

    Merges are found along chains of nearest neighbours, which gives the same tree as looking for
    the nearest pair each time (up to equal distances). O(m^2) time and no memory beside.

    Source: Sokal and Michener 1958; Murtagh, A Survey of Recent Advances in Hierarchical
    Clustering Algorithms, 1983 (the chains).
    """
    start_count = len(sizes)
    masses = sizes.astype(np.float64)
    np.fill_diagonal(distances, np.inf)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    alive = np.ones(start_count, dtype=np.bool_)
    lowest_alive = 0
    while len(merges) < start_count - 1:
        if not chain:
            while not alive[lowest_alive]:
                lowest_alive += 1
            chain.append(lowest_alive)
        tip = chain[-1]
        nearest = int(distances[tip].argmin())
        if len(chain) > 1 and distances[tip, chain[-2]] <= distances[tip, nearest]:
            nearest = chain[-2]
        else:
            chain.append(nearest)
            continue
        del chain[-2:]
        low, high = min(tip, nearest), max(tip, nearest)
        merges.append((float(distances[low, high]), low, high))
        together = masses[low] + masses[high]
        merged = (masses[low] * distances[low] + masses[high] * distances[high]) / together
        merged[low] = np.inf
        distances[low] = distances[:, low] = merged
        distances[high] = distances[:, high] = np.inf
        masses[low] = together
        alive[high] = False
    return _cut(merges, start_count, count)


def _cut(merges: list[tuple[float, int, int]], start_count: int, count: int) -> Indices:
    """The groups after the start_count - count lowest merges."""
    heights = np.array([height for height, _, _ in merges])
    above = np.arange(start_count)

    def top(start: int) -> int:
        while above[start] != start:
            above[start] = above[above[start]]
            start = int(above[start])
        return start

    for merge in np.argsort(heights, kind="stable")[: start_count - count]:
        _, left, right = merges[merge]
        left, right = top(left), top(right)
        above[max(left, right)] = min(left, right)
    tops = np.array([top(start) for start in range(start_count)], dtype=np.int64)
    return np.unique(tops, return_inverse=True)[1].astype(np.int64)
