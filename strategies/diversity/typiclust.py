"""TypiClust: the most typical item of each cluster that has the fewest labels."""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, row_blocks
from strategies.kernels.d2_sampling import Rows
from strategies.kernels.frame import Frame
from strategies.kernels.k_means import clusters
from strategies.kernels.products import Device
from strategies.kernels.stacked_rows import StackedRows
from strategies.parameters import Interval
from strategies.picks import CLUSTER_SIZE, Picks

TYPICALITY = "typicality"  # of the pick in its cluster, in 1 / the unit of the distances
LABELLED_IN_CLUSTER = "labelled_in_cluster"  # labelled items in the pick's cluster

# The authors' constants: clusters of at most this many items are left for last; neighbours that
# count for typicality; what keeps it finite for identical items.
SMALL_CLUSTER = 5
MOST_NEIGHBOURS = 20
FLOOR = 1e-5
# Of a larger cluster, typicality is estimated inside a random part of this size.
LARGEST_CLUSTER = 10_000


def typiclust(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    labelled_embeddings: Floats | None = None,
    *,
    metric: Literal["euclidean", "cosine"] = "cosine",
    most_clusters: Annotated[int, Interval(least=1)] = 500,
    device: Device = "cpu",
) -> Picks:
    """In each uncovered cluster argmax_x 1 / (mean_{y in N_k(x)} |x - y| + 1e-5).

    The eligible and the m labelled items are clustered together by k-means into
    K = min(m + size, most_clusters). Clusters are visited in turn: those with the fewest labelled
    items first, among these the largest first, clusters of at most 5 items after all others. Each
    visit picks the item of the highest typicality among the cluster's items that are neither
    labelled nor picked: N_k(x) are its k nearest of these, k = min(20, half their number). Turns go
    on until `size` items are picked, so at size > K a cluster gives several. Equal typicality goes
    to the lowest index.

    The authors cap K at 500 as here (at a size of 5,000 that is ten picks a cluster); their
    mini-batch k-means for K > 50 is replaced by the full one. In a cluster of more than 10,000
    items typicality is estimated among 10,000 drawn at random.

    embeddings           (n, d)
    eligible             (e,) int64 ascending, the items that may be picked
    labelled_embeddings  (m, d); None or m = 0 where nothing is labelled
    metric               Euclidean, or Euclidean between rows scaled to length 1 (the authors'
                         features; a row of zeros stays)
    most_clusters        the cap of K
    device               where the large products are computed; the picks are the same
    returns              (size,) picks; details: cluster_size (items of the cluster, labelled ones
                         included), labelled_in_cluster and typicality

    About 2 (e + m) K d multiplications and e times the mean cluster size times d; O(e d) memory.

    Source: Hacohen, Dekel and Weinshall, Active Learning on a Budget: Opposite Strategies Suit
    High and Low Budgets, ICML 2022 (arXiv 2202.02794), section 3, algorithm 1.
    """
    points, members = _together(embeddings, eligible, labelled_embeddings)
    unlabelled = len(eligible)
    unit_length = metric == "cosine"
    count = min(len(members) - unlabelled + size, most_clusters)
    found = clusters(points, members, count, rng, unit_length=unit_length, device=device)
    sizes = found.sizes
    labelled = np.bincount(found.assignment[unlabelled:], minlength=len(sizes))
    frame = Frame(points, members, unit_length, 1.0)
    which = _schedule(sizes, labelled, size)
    picks = np.empty(size, dtype=np.int64)
    typicality = np.empty(size, dtype=np.float64)
    own = found.assignment[:unlabelled]
    order = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[order], np.arange(len(sizes) + 1))
    for cluster in np.unique(which):
        places = np.flatnonzero(which == cluster)
        inside = order[starts[cluster] : starts[cluster + 1]]
        most = max(LARGEST_CLUSTER, 2 * len(places))
        if len(inside) > most:
            inside = np.sort(rng.choice(inside, size=most, replace=False))
        rows = frame.block(inside) - found.centroids[cluster]
        chosen, typicality[places] = most_typical(rows, len(places))
        picks[places] = inside[chosen]
    details = {
        CLUSTER_SIZE: sizes[which],
        LABELLED_IN_CLUSTER: labelled[which],
        TYPICALITY: typicality,
    }
    return Picks(eligible[picks], details)


def most_typical(
    rows: npt.NDArray[np.float64], size: int
) -> tuple[Indices, npt.NDArray[np.float64]]:
    """The most typical of these rows, `size` times, each among those not yet picked.

    rows     (r, d) float64, r >= size, the items of one cluster
    returns  (size,) int64 positions, and the typicality of each at the moment of its pick
    """
    count = len(rows)
    # However many are picked, this many neighbours of an item hold its nearest unpicked ones.
    reach = min(count - 1, min(MOST_NEIGHBOURS, count // 2) + size - 1)
    neighbours, distances = _nearest(rows, reach)
    free = np.ones(count, dtype=np.bool_)
    picks = np.empty(size, dtype=np.int64)
    values = np.empty(size, dtype=np.float64)
    for t in range(size):
        wanted = min(MOST_NEIGHBOURS, (count - t) // 2)
        alive = free[neighbours]
        counted = alive & (np.cumsum(alive, axis=1) <= wanted)
        sums = np.where(counted, distances, 0.0).sum(axis=1)
        typicality = 1.0 / (sums / max(wanted, 1) + FLOOR)
        typicality[~free] = -np.inf
        picks[t] = int(np.argmax(typicality))
        values[t] = typicality[picks[t]]
        free[picks[t]] = False
    return picks, values


def _nearest(rows: npt.NDArray[np.float64], reach: int) -> tuple[Indices, npt.NDArray[np.float64]]:
    """The `reach` nearest other rows of each, nearest first, and their distances."""
    count = len(rows)
    neighbours = np.empty((count, reach), dtype=np.int64)
    distances = np.empty((count, reach), dtype=np.float64)
    if reach == 0:
        return neighbours, distances
    norms = np.square(rows).sum(axis=1)
    for block in row_blocks(count, count):
        squares = norms[block, None] + norms - 2.0 * (rows[block] @ rows.T)
        own = np.arange(len(squares))
        squares[own, block.start + own] = np.inf
        np.maximum(squares, 0.0, out=squares)
        nearest = np.argpartition(squares, reach - 1, axis=1)[:, :reach]
        near = np.take_along_axis(squares, nearest, axis=1)
        order = np.argsort(near, axis=1, kind="stable")
        neighbours[block] = np.take_along_axis(nearest, order, axis=1)
        distances[block] = np.sqrt(np.take_along_axis(near, order, axis=1))
    return neighbours, distances


def _schedule(sizes: Indices, labelled: npt.NDArray[np.int64], size: int) -> Indices:
    """The cluster of each pick, in the order of picking."""
    small = sizes <= SMALL_CLUSTER
    visited = np.lexsort((-sizes, labelled, small))
    room = np.minimum((sizes - labelled)[visited], size)
    places = np.repeat(np.arange(len(visited)), room)
    turns = np.arange(len(places)) - np.repeat(np.cumsum(room) - room, room)
    # The small ones' turns begin when the others have nothing left.
    order = np.lexsort((places, turns, small[visited][places]))[:size]
    chosen: Indices = visited[places[order]].astype(np.int64)
    return chosen


def _together(
    embeddings: Floats, eligible: Indices, labelled: Floats | None
) -> tuple[Rows, Indices]:
    """The eligible rows, then the labelled ones: a matrix, and the rows of it that count."""
    if labelled is None or len(labelled) == 0:
        return embeddings, eligible
    count = len(embeddings)
    added = np.arange(count, count + len(labelled), dtype=np.int64)
    return StackedRows(embeddings, labelled), np.concatenate([eligible, added])
