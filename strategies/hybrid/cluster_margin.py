"""Cluster-Margin: the most ambiguous items, taken in turn from clusters, small ones first."""

from typing import Annotated, Literal

import numpy as np

from strategies.arrays import Floats, Indices, row_blocks
from strategies.kernels.average_linkage import average_linkage
from strategies.kernels.k_means import Clusters, clusters
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import CLUSTER_SIZE, Picks
from strategies.ranking import best_first
from strategies.uncertainty.margin import margin

MARGIN = "margin"  # the gap between the two most probable classes of the pick
# Clusters of k-means that are linked where there are more items than that.
MICRO_CLUSTERS = 2000
# Clusters that are asked for by default, at most.
MOST_CLUSTERS = 1000


def cluster_margin(
    embeddings: Floats,
    probabilities: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    *,
    candidates_per_pick: Annotated[float, Interval(least=1)] = 10.0,
    cluster_count: Annotated[int, Interval(least=1)] | None = None,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    device: Device = "cpu",
) -> Picks:
    """The candidates_per_pick * size smallest margins, round-robin over clusters, smallest first.

    The eligible items are clustered by average linkage. The candidates are those of the smallest
    margin p(y1|x) - p(y2|x) (equal ones in random order). Their clusters are visited again and
    again, that with the fewest candidates first; each visit takes one of its candidates at random,
    until `size` are taken. So whatever is rare among the ambiguous comes first.

    Average linkage is quadratic: beyond 2,000 items it links 2,000 clusters of k-means, the
    distance of two of these being the root mean square of the distances between their items,
    sqrt(|c_a - c_b|^2 + v_a + v_b), v the mean squared distance of a cluster's items to its
    centroid. The authors cut the tree at a distance that is chosen for each data set; here it is
    cut where `cluster_count` clusters are left.

    embeddings           (n, d)
    probabilities        (n, c), p(y|x)
    eligible             (e,) int64 ascending, the items that are clustered and may be picked
    candidates_per_pick  candidates, as a multiple of size (the authors: 1.25 to 10)
    cluster_count        None: as many as the size, 1,000 at most; never more than 2,000
    metric               Euclidean, or Euclidean between rows scaled to length 1
    device               where the large products are computed; the picks are the same
    returns              (size,) picks; details: cluster_size (items of the cluster) and margin

    About 4,000 e d multiplications; O(e d) memory beside the input.

    Source: Citovsky et al., Batch Active Learning at Scale, NeurIPS 2021 (arXiv 2107.14263),
    algorithm 1.
    """
    scores = margin(probabilities)
    wanted = min(size, MOST_CLUSTERS) if cluster_count is None else cluster_count
    numbers = _linked(embeddings, eligible, wanted, rng, metric == "cosine", device)
    count = min(len(eligible), max(size, round(candidates_per_pick * size)))
    # In random order: the next of a cluster is one drawn at random.
    candidates = rng.permutation(best_first(scores, eligible, count, rng))
    of_candidate = numbers[np.searchsorted(eligible, candidates)]
    chosen = _round_robin(of_candidate, size)
    picks = candidates[chosen]
    details = {
        CLUSTER_SIZE: np.bincount(numbers)[of_candidate[chosen]],
        MARGIN: 1.0 - scores[picks],
    }
    return Picks(picks, details)


def _linked(
    embeddings: Floats,
    eligible: Indices,
    count: int,
    rng: np.random.Generator,
    unit_length: bool,
    device: Device,
) -> Indices:
    """The cluster of each eligible item, (e,) int64."""
    found = clusters(
        embeddings,
        eligible,
        min(MICRO_CLUSTERS, len(eligible)),
        rng,
        unit_length=unit_length,
        device=device,
    )
    linked = average_linkage(_mean_distances(found), found.sizes, min(count, len(found.masses)))
    numbers: Indices = linked[found.assignment]
    return numbers


def _mean_distances(found: Clusters) -> Floats:
    """(k', k') float64: the root mean square distance between the items of two clusters."""
    centroids = found.centroids - found.centroids.mean(axis=0)
    spread = np.bincount(found.assignment, np.square(found.distances)) / found.sizes
    norms = np.square(centroids).sum(axis=1) + spread
    distances = np.empty((len(centroids), len(centroids)), dtype=np.float64)
    for rows in row_blocks(*distances.shape):
        squares = norms[rows, None] + norms - 2.0 * (centroids[rows] @ centroids.T)
        distances[rows] = np.sqrt(np.maximum(squares, 0.0, out=squares))
    # One distance for each pair, whatever the order of the sums was.
    return np.minimum(distances, distances.T)


def _round_robin(clusters_of: Indices, size: int) -> Indices:
    """Positions in turn from each cluster, that with the fewest positions first: (size,) int64."""
    _, numbers, counts = np.unique(clusters_of, return_inverse=True, return_counts=True)
    order = np.argsort(numbers, kind="stable")
    turns = np.empty(len(numbers), dtype=np.int64)
    turns[order] = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
    positions: Indices = np.lexsort((numbers, counts[numbers], turns))[:size].astype(np.int64)
    return positions
