"""Hartigan's moves: what Lloyd's steps leave undone when clusters are small."""

import numpy as np

from strategies.arrays import Indices, row_blocks
from strategies.kernels.frame import Float32, Float64

# Members of one cluster that are compared with its neighbours at once.
MOST_MEMBERS = 4096
# A gain below this share of the distances that it is the difference of is rounding.
ROUNDING = 1e-9


class Clustering:
    """Clusters of weighted points whose every change lowers sum_i w_i |x_i - c_a(i)|^2.

    Moving x of weight w from cluster a to cluster b, and with it both centroids, lowers that sum by

        w (W_a / (W_a - w) |x - c_a|^2 - W_b / (W_b + w) |x - c_b|^2)

    with W the weights of the clusters before. Lloyd's step compares the bare distances; but c_a is
    drawn towards x itself, the more so the smaller the cluster, and W / (W -+ w) corrects for that.
    So where no such move gains anything, no Lloyd step does, but not the other way round.

    points      (n, d) float32
    weights     (n,) float64 > 0
    assignment  (n,) int64, no cluster of 0 .. k - 1 empty; changed in place

    Source: Hartigan, Clustering Algorithms, 1975; Telgarsky and Vattani, Hartigan's Method: k-means
    Clustering without Voronoi, AISTATS 2010.
    """

    def __init__(self, points: Float32, weights: Float64, assignment: Indices, k: int) -> None:
        self.points = points
        self.weights = weights
        self.assignment = assignment
        self.square_norms = np.einsum("ij,ij->i", points, points)
        self.centroids, self.masses = weighted_means(points, weights, assignment, k)
        self.quick = self.centroids.astype(np.float32)
        self.quick_squares = np.einsum("ij,ij->i", self.quick, self.quick)
        self.near: Indices = np.empty((k, 0), dtype=np.int64)

    def meet(self, neighbours: int) -> None:
        """Let the points of each cluster move to this many clusters, the nearest to it now."""
        k = len(self.centroids)
        others = _nearest_others(self.quick, min(neighbours, k - 1))
        self.near = np.concatenate([np.arange(k)[:, None], others], axis=1)

    def inertia(self) -> float:
        """sum_i w_i |x_i - c_a(i)|^2."""
        total = 0.0
        for rows in row_blocks(*self.points.shape):
            difference = self.points[rows] - self.centroids[self.assignment[rows]]
            total += float(self.weights[rows] @ np.square(difference, out=difference).sum(axis=1))
        return total

    def improve(self) -> float:
        """Make the moves to a cluster that was met that gain; what they gained together.

        Cluster after cluster, each with the centroids as they stand then. Float32 products say
        which moves seem to gain; each is checked in float64 before it is made.
        """
        order = np.argsort(self.assignment, kind="stable")
        starts = np.searchsorted(self.assignment[order], np.arange(len(self.near) + 1))
        gain = 0.0
        for cluster, near in enumerate(self.near):
            members = order[starts[cluster] : starts[cluster + 1]]
            if len(members) < 2:
                continue
            for part in row_blocks(len(members), 1, MOST_MEMBERS):
                gain += self._improve_members(members[part], near)
        return gain

    def _improve_members(self, members: Indices, near: Indices) -> float:
        """near[0] is the members' own cluster."""
        weights = self.weights[members].astype(np.float32)[:, None]
        masses = self.masses[near].astype(np.float32)
        costs = self.points[members] @ self.quick[near].T
        costs *= -2.0
        costs += self.quick_squares[near]
        costs += self.square_norms[members][:, None]
        own = costs[:, 0] * (masses[0] / np.maximum(masses[0] - weights[:, 0], 1e-30))
        costs *= masses / (masses + weights)
        costs[:, 0] = np.inf
        best = costs.argmin(axis=1)
        gaining = np.flatnonzero(costs[np.arange(len(members)), best] < own)
        return self.move(members[gaining], near[best[gaining]])

    def move(self, members: Indices, targets: Indices) -> float:
        """Move those of these points, one after the other, that gain; what they gained together."""
        gain = 0.0
        touched = set()
        for member, target in zip(members.tolist(), targets.tolist(), strict=True):
            source = int(self.assignment[member])
            weight = float(self.weights[member])
            left = float(self.masses[source]) - weight
            # A cluster's last point stays, so none is ever empty.
            if source == target or left <= ROUNDING * weight:
                continue
            point = self.points[member]
            away = point - self.centroids[source]
            towards = point - self.centroids[target]
            mass = float(self.masses[target])
            lost = weight * float(self.masses[source]) / left * float(away @ away)
            added = weight * mass / (mass + weight) * float(towards @ towards)
            if lost - added <= ROUNDING * lost:
                continue
            self.centroids[source] -= away * (weight / left)
            self.centroids[target] += towards * (weight / (mass + weight))
            self.masses[source] = left
            self.masses[target] = mass + weight
            self.assignment[member] = target
            touched |= {source, target}
            gain += lost - added
        if touched:
            changed = np.array(sorted(touched))
            self.quick[changed] = self.centroids[changed]
            self.quick_squares[changed] = np.einsum(
                "ij,ij->i", self.quick[changed], self.quick[changed]
            )
        return gain


def weighted_means(
    points: Float32, weights: Float64, assignment: Indices, k: int
) -> tuple[Float64, Float64]:
    """The mean (k, d) and the weight (k,) of every cluster; zeros for an empty one."""
    sums = np.zeros((k, points.shape[1]), dtype=np.float64)
    masses = np.bincount(assignment, weights, minlength=k).astype(np.float64)
    order = np.argsort(assignment, kind="stable")
    for rows in row_blocks(*points.shape):
        members = order[rows]
        clusters = assignment[members]
        starts = np.flatnonzero(np.diff(clusters, prepend=-1))
        weighted = points[members] * weights[members][:, None]
        sums[clusters[starts]] += np.add.reduceat(weighted, starts, axis=0)
    sums /= np.where(masses > 0.0, masses, 1.0)[:, None]
    return sums, masses


def _nearest_others(centroids: Float32, count: int) -> Indices:
    """The `count` nearest other centroids of each, in no special order: (k, count) int64."""
    k = len(centroids)
    half_squares = np.einsum("ij,ij->i", centroids, centroids) / 2.0
    nearest = np.empty((k, count), dtype=np.int64)
    for rows in row_blocks(k, k):
        block = half_squares - centroids[rows] @ centroids.T
        own = np.arange(len(block))
        block[own, rows.start + own] = np.inf
        nearest[rows] = np.argpartition(block, count - 1, axis=1)[:, :count]
    return nearest
