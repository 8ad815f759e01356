"""Rough clusters of a large pool: near rows side by side, for exact but lazy algorithms."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, row_blocks

# The centroids come from a random sample of this many rows a cluster, moved by this many steps.
SAMPLE_PER_CLUSTER = 20
STEPS = 3
# Rows that meet the centroids at once: their products with 200 centroids stay in the cache.
BLOCK_ROWS = 2048


@dataclass(frozen=True, eq=False)
class RoughClusters:
    """Which rows lie together. Nothing but speed may depend on it: the clusters are only rough.

    numbers    (n,) int64: the cluster of each row, 0 .. k - 1; a cluster may be empty
    order      (n,) int64: all rows sorted by cluster, ascending inside each
    starts     (k + 1,) int64: the rows of cluster c are order[starts[c] : starts[c + 1]]
    centroids  (k, d) in the dtype of the points: what the rows were assigned to (each to its
               nearest, as far as float32 tells)
    """

    numbers: Indices
    order: Indices
    starts: Indices
    centroids: Floats

    def members(self, cluster: int) -> Indices:
        """The rows of one cluster, ascending."""
        return self.order[self.starts[cluster] : self.starts[cluster + 1]]


def rough_clusters(points: Floats, count: int, scale: Floats | None = None) -> RoughClusters:
    """Assign every row of scale[:, None] * points to the nearest of about `count` centroids.

    A few steps of Lloyd's algorithm on a random sample, then one pass over all rows. The same
    points always give the same clusters: the sample is drawn by a generator of its own.

    points  (n, d), n >= 1, float32 or float64, possibly memory-mapped; read block by block
    count   k >= 1; fewer are made where n < count
    scale   (n,), for example 1 / length for the clusters of the directions; None: all 1

    O(n d k) time, in float32; O(n + d k) memory beside the input.

    Source: Lloyd, Least squares quantization in PCM, 1982; the mini-batch view of it: Sculley,
    Web-scale k-means clustering, WWW 2010.
    """
    total = len(points)
    count = min(count, total)
    if count == 1:
        mean = _rows(points, np.arange(min(total, SAMPLE_PER_CLUSTER)), scale).mean(axis=0)
        numbers = np.zeros(total, dtype=np.int64)
        return _sorted(numbers, mean[None].astype(points.dtype))
    drawn = np.random.default_rng(0).choice(
        total, min(total, SAMPLE_PER_CLUSTER * count), replace=False, shuffle=True
    )
    # Ascending for a memory map, but the first centroids must stay a random part of the sample.
    sample = _rows(points, np.sort(drawn), scale)
    middle = sample.mean(axis=0)
    sample -= middle
    # Brought to length about 1: products of float64 rows may leave the range of float32.
    longest = float(np.abs(sample).max(initial=0.0))
    shrink = 1.0 / longest if longest > 0.0 else 1.0
    near = (sample * shrink).astype(np.float32)
    centroids = near[np.searchsorted(np.sort(drawn), drawn[:count])]
    for _ in range(STEPS):
        centroids = _moved(near, _nearest(near, centroids), centroids)
    numbers = np.empty(total, dtype=np.int64)
    for rows in row_blocks(total, 1, BLOCK_ROWS):
        block = np.array(points[rows], dtype=points.dtype, order="C")
        if scale is not None:
            block *= scale[rows, None]
        block -= middle.astype(points.dtype)
        block *= points.dtype.type(shrink)
        with np.errstate(over="ignore", invalid="ignore"):
            numbers[rows] = _nearest(block.astype(np.float32, copy=False), centroids)
    return _sorted(numbers, (centroids.astype(np.float64) / shrink + middle).astype(points.dtype))


def _rows(points: Floats, rows: Indices, scale: Floats | None) -> npt.NDArray[np.float64]:
    chosen = np.array(points[rows], dtype=np.float64, order="C")
    if scale is not None:
        chosen *= scale[rows, None]
    return chosen


def _nearest(points: npt.NDArray[np.float32], centroids: npt.NDArray[np.float32]) -> Indices:
    # argmin |x - c|^2 = argmin |c|^2 - 2 x.c; the length of x is the same for every c.
    products = points @ (-2.0 * centroids).T
    products += np.square(centroids).sum(axis=1)
    nearest: Indices = products.argmin(axis=1).astype(np.int64)
    return nearest


def _moved(
    points: npt.NDArray[np.float32], numbers: Indices, centroids: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The mean of the points of each centroid; one without points stays where it is."""
    order = np.argsort(numbers, kind="stable")
    found, starts, counts = np.unique(numbers[order], return_index=True, return_counts=True)
    moved = centroids.copy()
    moved[found] = np.add.reduceat(points[order], starts, axis=0) / counts[:, None]
    return moved


def _sorted(numbers: Indices, centroids: Floats) -> RoughClusters:
    order = np.argsort(numbers, kind="stable").astype(np.int64)
    counts = np.bincount(numbers, minlength=len(centroids))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return RoughClusters(numbers, order, starts, centroids)
