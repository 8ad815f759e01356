"""k-means for thousands of clusters, and the items nearest to its centroids."""

from dataclasses import dataclass

import numpy as np

from strategies.arrays import Floats, Indices, row_blocks
from strategies.kernels.d2_sampling import Factor, Rows, d2_sampling
from strategies.kernels.frame import Float32, Float64, Frame
from strategies.kernels.hartigan import Clustering
from strategies.kernels.nearest_centroid import nearest_centroids, rather_near_centroids
from strategies.kernels.products import Device, Products

# Clusters that a point may move to in a cheap pass: those nearest to its own.
NEIGHBOURS = 64
# Cheap passes between two looks at all clusters, at most.
PASSES = 8
# The first of these passes find anew which clusters are near; after them centroids hardly move.
MEETINGS = 2
# The weight of an item that has none, as a share of the highest: enough to have a cluster.
LEAST_WEIGHT = 1e-9


@dataclass(frozen=True, eq=False)
class Clusters:
    """The result of k-means over e items: k' clusters, none empty.

    centroids   (k', d) float64, the weighted mean of each cluster; k' = k or, if that is less, the
                number of distinct items
    assignment  (e,) int64, the cluster of each item
    distances   (e,) float64, of each item to its centroid
    masses      (k',) float64, the weights of each cluster's items, summed
    """

    centroids: Float64
    assignment: Indices
    distances: Float64
    masses: Float64

    @property
    def sizes(self) -> Indices:
        """(k',) int64: the number of items of each cluster."""
        return np.bincount(self.assignment, minlength=len(self.masses)).astype(np.int64)

    def nearest_items(self, size: int) -> Indices:
        """The item of each cluster nearest to its centroid, that of the heaviest cluster first.

        Where fewer clusters than `size` are there, the second nearest of each follow, in the same
        order of clusters, and so on. Equal distances and equal weights go to the lowest item.

        returns  (size,) int64, distinct, in 0 .. e - 1
        """
        count = len(self.assignment)
        items = np.arange(count)
        order = np.lexsort((items, self.distances, self.assignment))
        sizes = self.sizes
        starts = np.cumsum(sizes) - sizes
        ranks = np.empty(count, dtype=np.int64)
        ranks[order] = items - starts[self.assignment[order]]
        firsts = order[starts]
        best_first = np.lexsort((firsts, -self.masses))
        places = np.empty(len(sizes), dtype=np.int64)
        places[best_first] = np.arange(len(sizes))
        chosen: Indices = np.lexsort((places[self.assignment], ranks))[:size].astype(np.int64)
        return chosen


def k_means(
    points: Floats,
    k: int,
    rng: np.random.Generator,
    *,
    weights: Floats | None = None,
    iterations: int = 24,
    tolerance: float = 1e-3,
    device: Device = "cpu",
) -> tuple[Float64, Indices]:
    """Centroids and an assignment that locally minimise sum_i w_i |x_i - c_a(i)|^2.

    As `clusters`, over all points; returns (k', d) float64 and (n,) int64.
    """
    found = clusters(
        points,
        None,
        k,
        rng,
        weights=weights,
        iterations=iterations,
        tolerance=tolerance,
        device=device,
    )
    return found.centroids, found.assignment


def clusters(
    points: Rows,
    candidates: Indices | None,
    k: int,
    rng: np.random.Generator,
    *,
    weights: Floats | None = None,
    unit_length: bool = False,
    iterations: int = 24,
    tolerance: float = 1e-3,
    device: Device = "cpu",
) -> Clusters:
    """k-means: k-means++ seeds, then moves of single points that lower the sum of squares.

    Every point goes to a seed near to it. Then come cheap passes, in which a point may move to the
    clusters nearest to its own (hartigan.py), until one gains less than `tolerance` of the sum or
    PASSES are made; then a look at all clusters for each point. Where that gains much, this
    repeats; the last are cheap passes. No step raises the sum. It ends lower than Lloyd's
    algorithm, most of all for small clusters, after far fewer products.

    points       (n, d) floats, possibly memory-mapped
    candidates   (e,) int64 rows of points, the items; None: all rows
    k            1 <= k; more than there are distinct items makes that many clusters
    weights      (e,) floats >= 0, of the items; all 0 counts as all equal
    unit_length  True: rows are scaled to length 1 first (a row of zeros stays)
    iterations   cheap passes in all, at most
    device       where the large products are computed; the clusters are the same

    About e k d multiplications and additions for each look at all clusters, one or two in all;
    O(e d) memory, in float32, beside the input.

    Source: MacQueen 1967; Arthur and Vassilvitskii, k-means++, SODA 2007 (seeds); Hartigan 1975.
    """
    frame = Frame.around(points, candidates, unit_length)
    held = frame.centred()
    products = Products(held, device)
    masses = _positive(weights, frame.count)
    seeds = _seeds(held, masses, min(k, frame.count), rng, device)
    lengths = _lengths(held)
    assignment = rather_near_centroids(products, lengths, held[seeds])
    # A seed is at distance 0 from itself: with it at home, no cluster starts empty.
    assignment[seeds] = np.arange(len(seeds))
    clustering = Clustering(held, masses, assignment, len(seeds))
    _improve(clustering, products, lengths, iterations, tolerance)
    return _result(frame, masses, clustering)


def nearest_to_centroids(
    points: Floats,
    candidates: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    weights: Floats | None = None,
    unit_length: bool = False,
    iterations: int = 24,
    device: Device = "cpu",
) -> Indices:
    """`size` distinct candidates: of each of `size` clusters the one nearest to its centroid.

    The item of the heaviest cluster first (of the largest, without weights). Where there are fewer
    distinct items than that, the next nearest of each cluster follow, heaviest cluster first.

    points, candidates, weights, unit_length, iterations, device  as for `clusters`
    size     1 <= size <= e
    returns  (size,) int64 from candidates
    """
    found = clusters(
        points,
        candidates,
        size,
        rng,
        weights=weights,
        unit_length=unit_length,
        iterations=iterations,
        device=device,
    )
    return candidates[found.nearest_items(size)]


def _improve(
    clustering: Clustering,
    products: Products,
    lengths: Float64,
    iterations: int,
    tolerance: float,
) -> None:
    few = len(clustering.centroids) <= NEIGHBOURS + 1
    floor = tolerance * clustering.inertia()
    left, last = iterations, few
    while left > 0:
        for passes in range(min(PASSES, left)):
            if passes < MEETINGS:
                clustering.meet(NEIGHBOURS)
            left -= 1
            if clustering.improve() <= floor:
                break
        if last:
            return
        nearest, _ = nearest_centroids(products, lengths, clustering.quick)
        moved = np.flatnonzero(nearest != clustering.assignment)
        # A look at all clusters costs as much as many passes: it must gain as much as these.
        last = clustering.move(moved, nearest[moved]) <= PASSES * floor


def _seeds(
    held: Float32, masses: Float64, k: int, rng: np.random.Generator, device: Device
) -> Indices:
    sample = d2_sampling((Factor(held),), k, rng, weights=masses, device=device)
    seeds: Indices = sample.positions[sample.square_distances > 0.0]
    return seeds


def _positive(weights: Floats | None, count: int) -> Float64:
    if weights is None or not weights.any():
        return np.ones(count, dtype=np.float64)
    given = np.asarray(weights, dtype=np.float64)
    positive: Float64 = np.maximum(given / given.max(), LEAST_WEIGHT)
    return positive


def _lengths(held: Float32) -> Float64:
    lengths: Float64 = np.sqrt(np.einsum("ij,ij->i", held, held).astype(np.float64))
    return lengths


def _result(frame: Frame, masses: Float64, clustering: Clustering) -> Clusters:
    """Means and distances once more, in float64 from the rows as they were given."""
    assignment = clustering.assignment
    k, dimensions = clustering.centroids.shape
    centroids = np.zeros((k, dimensions), dtype=np.float64)
    order = np.argsort(assignment, kind="stable")
    for rows in row_blocks(frame.count, dimensions):
        members = order[rows]
        own = assignment[members]
        starts = np.flatnonzero(np.diff(own, prepend=-1))
        weighted = frame.block(members)
        weighted *= masses[members][:, None]
        centroids[own[starts]] += np.add.reduceat(weighted, starts, axis=0)
    totals = np.bincount(assignment, masses, minlength=k).astype(np.float64)
    centroids /= totals[:, None]
    distances = np.empty(frame.count, dtype=np.float64)
    for rows in row_blocks(frame.count, dimensions):
        difference = frame.block(rows)
        difference -= centroids[assignment[rows]]
        distances[rows] = np.sqrt(np.square(difference, out=difference).sum(axis=1))
    # A power of two: equal distances stay equal.
    return Clusters(centroids * frame.scale, assignment, distances * frame.scale, totals)
