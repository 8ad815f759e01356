"""Blocks of near points, by repeated splits at the median."""

import numpy as np

from strategies.arrays import Floats, Indices

# Rows that say which coordinate of a part is the widest.
SPREAD_ROWS = 256


def median_blocks(points: Floats, size: int) -> Indices:
    """An order of the points in which each run of `size` lies close together.

    A part of more than `size` points is split by its widest coordinate (of an evenly spaced sample
    of rows) at the multiple of `size` next to its median; so on, as in a k-d tree.

    points   (n, d)
    returns  (n,) int64, a permutation: block b is order[b size : (b + 1) size]

    O(n log(n / size)) time.

    Source: Bentley, Multidimensional binary search trees, 1975.
    """
    order = np.arange(len(points), dtype=np.int64)
    parts = [(0, len(points))]
    while parts:
        start, stop = parts.pop()
        blocks = -(-(stop - start) // size)
        if blocks <= 1:
            continue
        held = order[start:stop]
        sample = points[held[:: max(1, len(held) // SPREAD_ROWS)]]
        values = points[held, int(sample.std(axis=0).argmax())]
        middle = (blocks // 2) * size
        order[start:stop] = held[np.argpartition(values, middle)]
        parts += [(start, start + middle), (start + middle, stop)]
    return order
