"""The nearest centroid of every point: float32 products, and float64 where these cannot decide."""

import math

import numpy as np

from strategies.arrays import Indices, row_blocks
from strategies.kernels.frame import Float32, Float64
from strategies.kernels.products import Products
from strategies.kernels.rough_clusters import rough_clusters

# Of about sqrt(k) cells of centroids, those nearest to a point's own that are searched for it.
CELLS_SEARCHED = 12
# Fewer centroids are searched one and all.
FEW_CENTROIDS = 256


def nearest_centroids(
    products: Products, lengths: Float64, centroids: Float32
) -> tuple[Indices, Float32]:
    """argmin_j |x_i - c_j|^2 = argmax_j (x_i . c_j - |c_j|^2 / 2) for every point x_i.

    A float32 product of d terms is off by at most d u |x| |c|, u = 2^-24; where the second best
    is within twice that of the best, float64 products decide. So another order of the sums (a
    GPU, another BLAS) gives the same answer. Equal ones go to the lowest j.

    products   of the points, (n, d) float32
    lengths    (n,) |x_i|
    centroids  (k, d) float32
    returns    (n,) int64, and the quick value of the maximum, (n,) float32

    O(n k d) time, O(1 MiB) memory beside the result.
    """
    points = products.matrix
    count, dimensions = points.shape
    exact_centroids = centroids.astype(np.float64)
    half_squares = np.square(exact_centroids).sum(axis=1) / 2.0
    quick_half_squares = half_squares.astype(np.float32)
    longest = float(np.sqrt(2.0 * half_squares.max()))
    nearest = np.empty(count, dtype=np.int64)
    values = np.empty(count, dtype=np.float32)
    for rows in row_blocks(count, len(centroids)):
        block = products.rows(rows, centroids)
        block -= quick_half_squares
        best = block.argmax(axis=1)
        own = np.arange(len(best))
        highest = block[own, best]
        block[own, best] = -np.inf
        error = (dimensions + 8) * 2.0**-24 * longest * (lengths[rows] + longest / 2.0)
        doubtful = np.flatnonzero(block.max(axis=1) >= highest - 2.0 * error)
        if len(doubtful) and len(centroids) > 1:
            exact = points[rows][doubtful].astype(np.float64) @ exact_centroids.T
            exact -= half_squares
            best[doubtful] = exact.argmax(axis=1)
        nearest[rows] = best
        values[rows] = highest
    return nearest, values


def rather_near_centroids(products: Products, lengths: Float64, centroids: Float32) -> Indices:
    """For every point a centroid that is among the nearest, mostly the nearest: (n,) int64.

    The centroids are grouped to about sqrt(k) cells; a point meets only the centroids of the
    CELLS_SEARCHED cells nearest to its own. Arguments as for `nearest_centroids`.

    O(n sqrt(k) d) time, where the cells are of like size.
    """
    k = len(centroids)
    if k <= FEW_CENTROIDS:
        return nearest_centroids(products, lengths, centroids)[0]
    cells = rough_clusters(centroids, math.isqrt(k))
    middles = cells.centroids.astype(np.float32)
    own_cell, _ = nearest_centroids(products, lengths, middles)
    half_squares = np.einsum("ij,ij->i", centroids, centroids) / 2.0
    order = np.argsort(own_cell, kind="stable")
    starts = np.searchsorted(own_cell[order], np.arange(len(middles) + 1))
    distances = np.square(middles).sum(axis=1) / 2.0 - middles @ middles.T
    near = np.argsort(distances, axis=1, kind="stable")[:, :CELLS_SEARCHED]
    nearest = np.zeros(len(lengths), dtype=np.int64)
    for cell in range(len(middles)):
        members = order[starts[cell] : starts[cell + 1]]
        searched = np.concatenate([cells.members(other) for other in near[cell]])
        # Cells may be empty; where all these are, every centroid is searched.
        searched = searched if len(searched) else np.arange(k)
        right = centroids[searched]
        for rows in row_blocks(len(members), len(searched)):
            block = products.matrix[members[rows]] @ right.T
            block -= half_squares[searched]
            nearest[members[rows]] = searched[block.argmax(axis=1)]
    return nearest
