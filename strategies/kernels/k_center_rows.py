"""The rows of k-center greedy twice: exact ones in float64, quick ones in float32 with a bound."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, float64_rows, row_blocks

Exact = npt.NDArray[np.float64]
Quick = npt.NDArray[np.float32]

# The origin of the quick rows is the mean of this many rows.
SAMPLE_ROWS = 1024
# Numbers that are placed at once: with fewer the temporaries stay in the cache.
BLOCK_NUMBERS = 1 << 17


@dataclass(frozen=True)
class Frame:
    """Where the quick rows lie: (row - middle) / unit, so that a far or tiny pool loses no digits.

    middle  (d,) float64, about the mean of the rows
    unit    a power of two with |row - middle| <= unit, so that the division is exact
    """

    middle: Exact
    unit: float

    def moved(self, rows: Exact) -> Exact:
        """(r, d) float64 of float64 rows."""
        return np.asarray((rows - self.middle) / self.unit)

    def error(self, dtype: type[np.floating], radius: float) -> float:
        """The most by which a squared distance between rows of this dtype can be wrong.

        It is computed as (|c|^2 - 2 x.c) + |x|^2 in that dtype from rows of at most `radius`, and
        compared with the true one of the unrounded rows. With u = half an epsilon, and in units of
        radius^2: the d products and sums of x.c, in any order, with or without fused operations,
        are off by d u / (1 - d u), twice; the rounding of both squared norms adds 5 u, of the two
        sums 3 u and 4 u, of the rows themselves 4 u. Numbers below the smallest normal one may be
        lost. The float64 loop itself is off by 4 (d + 3) u of float64.

        Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1.
        """
        dimensions = len(self.middle)
        u = float(np.finfo(dtype).eps) / 2.0
        grown = dimensions * u / max(1.0 - dimensions * u, 0.5)
        lost = (4.0 * dimensions + 8.0) * float(np.finfo(dtype).tiny)
        loop = 4.0 * (dimensions + 3) * float(np.finfo(np.float64).eps) / 2.0
        # 20 u for 16 u: the terms of second order.
        return (2.0 * grown + 20.0 * u + loop) * radius * radius + lost


class PlacedRows:
    """The candidates in the order of their clusters; `positions` count in that order.

    points       (n, d), the pool
    order        (e,) int64, the row of each position
    unit_length  whether rows are scaled to length 1 (a row of zeros stays)
    longest      at least the length of every row, in float64
    """

    def __init__(self, points: Floats, order: Indices, unit_length: bool, longest: float) -> None:
        self.points = points
        self.order = order
        self.unit_length = unit_length
        sample = np.sort(order[:: max(1, len(order) // SAMPLE_ROWS)])
        # Any point will do; one that float32 holds exactly can be taken off in float32.
        middle = self.placed(self._raw(sample)).mean(axis=0).astype(points.dtype)
        reach = 2.0 * (1.0 if unit_length else longest)
        unit = float(2.0 ** np.ceil(np.log2(reach))) if reach > 0.0 else 1.0
        self.frame = Frame(middle.astype(np.float64), unit)
        self.quick = np.empty((len(order), points.shape[1]), dtype=np.float32)
        square_norms = np.empty(len(order), dtype=np.float64)
        position = np.full(len(points), -1, dtype=np.int64)
        position[order] = np.arange(len(order))
        # In the order of the pool, so that a memory map is read from its beginning to its end.
        for rows in row_blocks(len(points), points.shape[1], BLOCK_NUMBERS):
            positions = position[rows]
            if (positions < 0).all():
                continue
            block: Floats
            if points.dtype == np.float32 and not unit_length:
                block = points[rows] - middle
                block /= np.float32(unit)
            else:
                block = self.frame.moved(self.placed(float64_rows(points, rows)))
            kept = positions >= 0
            if not kept.all():
                block, positions = block[kept], positions[kept]
            self.quick[positions] = block
            square_norms[positions] = np.square(block, out=block).sum(axis=1, dtype=np.float64)
        self.square_norms = square_norms.astype(np.float32)
        self.radius = float(np.sqrt(square_norms.max(initial=0.0)))

    def exact(self, positions: Indices) -> Exact:
        """(p, d) float64: what the distances that decide are computed from."""
        return self.placed(self._raw(self.order[positions]))

    def nearest_to_mean(self) -> int:
        """The position of the candidate nearest to the mean of all; the lowest row where equal."""
        ascending = np.argsort(self.order)
        total = np.zeros(len(self.frame.middle), dtype=np.float64)
        for some in row_blocks(len(ascending), len(total), BLOCK_NUMBERS):
            total += self.exact(ascending[some]).sum(axis=0)
        mean = total / len(ascending)
        moved = self.frame.moved(mean)
        quick = self.quick @ (-2.0 * moved).astype(np.float32)
        quick += self.square_norms
        # The mean's own norm shifts all alike. The least quick one may be off, and any other too.
        error = self.frame.error(np.float32, self.radius)
        near = np.sort(self.order[quick <= float(quick.min()) + 2.0 * error])
        distances = np.empty(len(near), dtype=np.float64)
        for some in row_blocks(len(near), len(total), BLOCK_NUMBERS):
            distances[some] = square_distances(self.placed(self._raw(near[some])), mean)
        return int(np.flatnonzero(self.order == near[np.argmin(distances)])[0])

    def placed(self, rows: Exact) -> Exact:
        """The same rows, of length 1 where that is asked for; changes its argument."""
        if self.unit_length:
            lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
            rows /= np.where(lengths > 0.0, lengths, 1.0)
        return rows

    def _raw(self, rows: Indices) -> Exact:
        return np.array(self.points[rows], dtype=np.float64, order="C")


def square_distances(left: Exact, right: Exact) -> Exact:
    """Of each row of `left` to the same row of `right` (or to its only one), as a loop would.

    The sum runs in one fixed order, so equal pairs have equal distances wherever they stand.
    """
    difference = left - right
    return np.asarray(np.square(difference, out=difference).sum(axis=1))
