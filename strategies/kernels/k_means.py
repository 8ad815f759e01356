"""k-means by blocked products, and the items nearest to its centroids."""

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, float64_rows, row_blocks
from strategies.kernels.products import Device, Products


def k_means(
    points: Floats,
    k: int,
    rng: np.random.Generator,
    *,
    weights: Floats | None = None,
    iterations: int = 20,
    device: Device = "cpu",
) -> tuple[npt.NDArray[np.float64], Indices]:
    """Centroids and assignment that (locally) minimise sum_i w_i |x_i - c_a(i)|^2.

    returns centroids (k, d) float64, the weighted means of their points, and (n,) int64, the
    cluster of each point.
    """
    count = len(points)
    k = min(k, count)
    held = np.array(points, dtype=np.float32, order="C")
    w = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    w = np.maximum(w, 1e-12 * max(float(w.max()), 1e-300))
    products = Products(held, device)
    centroids = held[rng.choice(count, size=k, replace=False)].astype(np.float64)
    assignment = np.zeros(count, dtype=np.int64)
    for _ in range(iterations):
        right = centroids.astype(np.float32)
        half = 0.5 * np.square(right).sum(axis=1)
        before = assignment.copy()
        for rows in row_blocks(count, k):
            block = products.rows(rows, right)
            block -= half
            assignment[rows] = block.argmax(axis=1)
        order = np.argsort(assignment, kind="stable")
        present, starts = np.unique(assignment[order], return_index=True)
        sums = np.add.reduceat(held[order] * w[order, None], starts, axis=0)
        centroids[present] = sums / np.add.reduceat(w[order], starts)[:, None]
        if np.array_equal(before, assignment):
            break
    return centroids, assignment


def nearest_to_centroids(
    points: Floats,
    candidates: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    weights: Floats | None = None,
    unit_length: bool = False,
    device: Device = "cpu",
) -> Indices:
    """`size` distinct candidates: the one nearest to each centroid of k-means with k = size.

    points       (n, d)
    candidates   (e,) int64 rows of points, 1 <= size <= e
    weights      (e,) >= 0, of the candidates
    unit_length  True: rows are scaled to length 1 first (a row of zeros stays)
    returns      (size,) int64 from candidates, the item of the largest cluster first
    """
    rows = float64_rows(points[candidates], slice(None))
    if unit_length:
        lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
        rows /= np.where(lengths > 0.0, lengths, 1.0)
    centroids, assignment = k_means(rows, size, rng, weights=weights, device=device)
    distances = np.square(rows - centroids[assignment]).sum(axis=1)
    sizes = np.bincount(assignment, minlength=size)
    order = np.lexsort((distances, assignment))
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(rows), dtype=np.int64)
    rank[order] = np.arange(len(rows)) - starts[assignment[order]]
    first = np.lexsort((np.arange(len(rows)), -sizes[assignment], rank))[:size]
    chosen: Indices = candidates[first]
    return chosen
