"""k-center greedy (core-set): pick the item farthest from everything that is labelled or picked."""

from typing import Literal

import numpy as np

from strategies.arrays import Floats, Indices, float64_rows, row_blocks
from strategies.errors import InvalidPoolError
from strategies.kernels.k_center_cover import Cover
from strategies.kernels.k_center_greedy import farthest_first
from strategies.kernels.k_center_rows import Exact, PlacedRows
from strategies.kernels.products import Device
from strategies.kernels.rough_clusters import rough_clusters
from strategies.picks import DISTANCE, Picks

# Centres a cluster: with fewer, finding the clusters costs more than they save.
CENTRES_PER_CLUSTER = 24
MOST_CLUSTERS = 128
# Labelled items that each cluster meets at once, those nearest to its centroid.
FIRST_CENTRES = 32
# Labelled items that are placed at once.
LABELLED_ROWS = 4096


def k_center(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    labelled_embeddings: Floats | None = None,
    *,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    device: Device = "cpu",
) -> Picks:
    """Farthest-first traversal: s_t = argmax_i min_{j in L, s_1 .. s_t-1} D(i, j), t = 1, 2, ...

    The covering radius, max_i min_j D(i, j), is at most twice the least that `size` items reach.
    Without labelled items s_1 is the eligible item nearest to the mean of the eligible ones. Equal
    distances go to the lowest index. The picks are those of a plain float64 loop: float32 products
    only narrow the field, and whatever their error leaves open is decided in float64. The bound of
    that error holds for any order of summation, so it holds on every machine.

    embeddings           (n, d)
    eligible             (e,) int64 ascending, the items that may be picked; 1 <= size <= e
    labelled_embeddings  (m, d), L; None or m = 0 where nothing is labelled
    metric               D: Euclidean, or Euclidean between rows scaled to length 1 (the order of
                         cosine distance; a row of zeros stays)
    device               where the products are computed; the picks are the same
    returns              (size,) distinct indices in the order of picking; detail DISTANCE: the D of
                         each pick to its nearest centre at that moment, infinite where there is
                         none yet

    At most O(n d (m + size)) time, mostly a tenth of it: bounds that are kept lazily spare the rest
    (see Cover). O(n d + d (m + size)) memory beside the input: one float32 copy. Raises
    InvalidPoolError where the square of an embedding overflows or, for cosine, underflows.

    Source: Sener and Savarese, Active Learning for CNNs: A Core-Set Approach, ICLR 2018
    (arXiv 1708.00489), algorithm 1; the bound: Gonzalez 1985.
    """
    few = len(eligible) * 2 <= len(embeddings)
    # A copy of a few rows is cheaper than passes over all; a copy of most of them is not.
    points = np.asarray(embeddings[eligible] if few else embeddings)
    candidates = np.arange(len(eligible), dtype=np.int64) if few else eligible
    unit_length = metric == "cosine"
    norms = _checked_norms("embeddings", points, unit_length, eligible if few else None)
    longest = float(np.sqrt(norms.max()))
    labelled: Floats = np.empty((0, points.shape[1]), dtype=points.dtype)
    if labelled_embeddings is not None and len(labelled_embeddings):
        labelled = labelled_embeddings
        own = _checked_norms("labelled_embeddings", labelled, unit_length, None)
        longest = max(longest, float(np.sqrt(own.max())))
    scale = np.sqrt(1.0 / np.where(norms > 0.0, norms, 1.0)).astype(points.dtype)
    centres = len(labelled) + size
    clusters = rough_clusters(
        points,
        min(MOST_CLUSTERS, 1 + centres // CENTRES_PER_CLUSTER),
        scale if unit_length else None,
    )
    order, starts = clusters.order, clusters.starts
    if len(candidates) < len(points):
        allowed = np.zeros(len(points), dtype=np.bool_)
        allowed[candidates] = True
        kept = np.concatenate([[0], np.cumsum(allowed[order])])
        order, starts = order[allowed[order]], kept[starts]
    rows = PlacedRows(points, order, unit_length, longest)
    cover = Cover(rows, starts, clusters.centroids.astype(np.float64), centres, device)
    for block in row_blocks(len(labelled), 1, LABELLED_ROWS):
        cover.add(_distinct(rows.placed(float64_rows(labelled, block))), 1, FIRST_CENTRES)
    if len(labelled):
        positions, squares = farthest_first(cover, size)
    else:
        first = rows.nearest_to_mean()
        cover.pick(np.array([first]), len(starts) - 1)
        positions, squares = farthest_first(cover, size - 1)
        positions = np.concatenate([[first], positions])
        squares = np.concatenate([[np.inf], squares])
    picks = order[positions]
    return Picks(eligible[picks] if few else picks, {DISTANCE: np.sqrt(squares)})


def _distinct(rows: Exact) -> Exact:
    """Each of the rows once: copies of a centre change no distance, but would all be compared."""
    whole = np.ascontiguousarray(rows).view(
        np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))
    )
    return rows[np.unique(whole[:, 0], return_index=True)[1]]


def _square_norms(points: Floats) -> Exact:
    norms = np.empty(len(points), dtype=np.float64)
    for rows in row_blocks(*points.shape):
        block = float64_rows(points, rows)
        with np.errstate(over="ignore"):
            norms[rows] = np.square(block, out=block).sum(axis=1)
    return norms


def _checked_norms(
    field: str, points: Floats, unit_length: bool, pool_rows: Indices | None
) -> Exact:
    """(n,) squared norms; raises InvalidPoolError where one is too large or too small."""
    norms = _square_norms(points)
    limits = np.finfo(points.dtype)
    # Sixteenfold room: a squared distance is at most four times the largest squared norm.
    wrong = ~(norms <= float(limits.max) / 16.0)
    mend = "is so long that its square overflows; scale the embeddings down"
    if unit_length and not wrong.any():
        # Shorter than this, products with it lose the digits that its direction needs.
        shortest = 1e-60 if points.dtype == np.float32 else 1e-280
        wrong = (norms > 0.0) & (norms < shortest)
        mend = "is so short that its direction is lost; scale the embeddings up"
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InvalidPoolError(field, mend, row if pool_rows is None else int(pool_rows[row]))
    return norms
