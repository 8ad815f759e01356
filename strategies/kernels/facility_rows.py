"""The rows of a pool placed on the unit sphere: centred where asked, and scaled to length 1."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Mask, float64_rows, row_blocks

Doubles = npt.NDArray[np.float64]

# Shorter than this share of what it was computed from, a row is rounding error, not a direction.
NO_DIRECTION = 1e-13


class UnitRows:
    """q rows of a pool, (x - mean) / |x - mean|; a row without direction becomes zeros.

    points  (n, d) float32 or float64, possibly memory-mapped
    chosen  (q,) int64, the rows of `points`, or None for all n
    mean    (d,) float64 that is subtracted first, or None
    """

    def __init__(self, points: Floats, chosen: Indices | None, mean: Doubles | None) -> None:
        self.points = points
        self.chosen = chosen
        self.mean = mean
        self.count = len(points) if chosen is None else len(chosen)
        self.dimensions = points.shape[1]

    def exact(self, rows: Indices) -> Doubles:
        """These of the q rows, in float64: (r, d)."""
        picked = rows if self.chosen is None else self.chosen[rows]
        return placed(np.array(self.points[picked], dtype=np.float64, order="C"), self.mean)

    def working(self, order: Indices | None, dtype: npt.DTypeLike) -> tuple[Floats, Mask]:
        """The rows in this order (all of them for None) as one matrix, and which are zeros."""
        positions = np.arange(self.count) if order is None else order
        count = len(positions)
        matrix: Floats = np.empty((count, self.dimensions), dtype=dtype)
        zero = np.zeros(count, dtype=np.bool_)
        for rows in row_blocks(count, self.dimensions):
            block = self.exact(positions[rows])
            matrix[rows] = block
            zero[rows] = ~block.any(axis=1)
        return matrix, zero


def placed(rows: Doubles, mean: Doubles | None) -> Doubles:
    """The rows (r, d) minus the mean, scaled to length 1, in place."""
    scale = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    if mean is not None:
        rows -= mean
        scale = np.maximum(scale, np.abs(mean).max(initial=0.0))
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    lost = largest <= NO_DIRECTION * scale
    # By the largest entry first, so that no square overflows or vanishes.
    rows /= np.where(lost, 1.0, largest)
    rows /= np.where(lost, 1.0, np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None])
    rows[lost[:, 0]] = 0.0
    return rows


def mean_row(points: Floats) -> Doubles:
    """The mean of the rows: (d,) float64."""
    total = np.zeros(points.shape[1], dtype=np.float64)
    for rows in row_blocks(*points.shape):
        total += float64_rows(points, rows).sum(axis=0)
    return total / max(1, len(points))


def each_placed(
    points: Floats, mean: Doubles | None, visit: Callable[[slice, Doubles], None]
) -> None:
    """Call `visit` with each block of rows placed on the sphere."""
    for rows in row_blocks(*points.shape):
        visit(rows, placed(float64_rows(points, rows), mean))
