"""ProbCover: pick the item whose ball holds the most items that no ball holds yet."""

from typing import Annotated

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices
from strategies.kernels.facility_greedy import CoverageProblem, greedy_coverage
from strategies.kernels.facility_rows import UnitRows, each_placed
from strategies.kernels.facility_values import Ball
from strategies.kernels.herding import BARE_SAMPLE, SAMPLE, picks_of, spread_items
from strategies.kernels.k_means import clusters
from strategies.kernels.products import Device
from strategies.parameters import Interval
from strategies.picks import Picks

Doubles = npt.NDArray[np.float64]

# Pseudo-labels come from this many items; the purity of this many balls is looked at.
CLUSTERED_ITEMS = 16_384
PURE_BALLS = 1024
# Where every ball is pure (one pseudo-label), the value that the authors start from.
DELTA_WITHOUT_CLASSES = 0.5


def probcover(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    rng: np.random.Generator,
    labelled_embeddings: Floats | None = None,
    *,
    delta: Annotated[float | None, Interval(above=0)] = None,
    purity: Annotated[float, Interval(above=0, most=1)] = 0.95,
    classes: Annotated[int, Interval(least=1)] = 10,
    sample: Annotated[int, Interval(least=16)] = SAMPLE,
    device: Device = "cpu",
) -> Picks:
    """Greedy maximum of the number of items j with |z_i - z_j| < delta for an i in L + S.

    s_t = argmax_i #{j : |z_i - z_j| < delta, j in no ball so far}, z the embeddings scaled to
    length 1; j runs over every row of the pool, i over the eligible ones. Equal counts go to the
    lowest index; once every item is covered, the rest come in the order of the pool. Up to `sample`
    different rows the picks are those of a plain float64 loop; of a larger pool so many rows,
    evenly spread, are both candidates and references (8,192 while nearly every pair of rows is
    still to be covered).

    delta None: the largest radius at which a share `purity` of the balls holds items of one
    pseudo-label only, from k-means with `classes` clusters. That is a quantile of the items'
    distances to the nearest item of another pseudo-label, taken over 1,024 items spread evenly;
    the clusters come from 16,384, drawn by `rng`'s k-means++. Sensitive to delta: where a fixed
    radius does not suit all of the pool, prefer max_herding.

    embeddings           (n, d)
    eligible             (e,) int64 ascending, the items that may be picked; 1 <= size <= e
    labelled_embeddings  (m, d), L; None or m = 0 where nothing is labelled
    delta                radius, in distances between rows of length 1 (0 to 2)
    purity, classes      of the rule above
    sample               rows that stand for a larger pool
    device               where the large products are computed; the picks are the same
    returns              (size,) picks; details: gain (the share of the pool that the pick adds to
                         what is covered) and covered; a note of the delta found

    q^2 d + n m d multiplications for q = min(n, sample); O(q d) memory and at most 16 million
    pairs.

    Source: Yehuda, Dekel, Hacohen and Weinshall, Active Learning Through a Covering Lens,
    NeurIPS 2022 (arXiv 2205.11320), section 3, algorithm 1; delta: section 3.3.
    """
    notes: tuple[str, ...] = ()
    if delta is None:
        delta = pure_radius(embeddings, purity, classes, rng)
        notes = (f"delta {delta:.3g}: {purity:.0%} of such balls hold one pseudo-label only",)
    weights = np.ones(len(embeddings), dtype=np.float64)
    value = Ball(delta)
    problem = CoverageProblem(
        embeddings, weights, eligible, labelled_embeddings, None, value, sample, device, BARE_SAMPLE
    )
    return picks_of(greedy_coverage(problem, size), len(embeddings), notes=notes)


def pure_radius(embeddings: Floats, purity: float, classes: int, rng: np.random.Generator) -> float:
    """The largest radius at which a share `purity` of the balls holds one pseudo-label only.

    O(n d (1,024 + classes)) time, O(n) memory.
    """
    members = spread_items(embeddings, None, CLUSTERED_ITEMS)
    found = clusters(embeddings, members, classes, rng, unit_length=True)
    items = spread_items(embeddings, None, PURE_BALLS)
    balls = UnitRows(embeddings, items, None).exact(np.arange(len(items)))
    norms = np.einsum("ij,ij->i", found.centroids, found.centroids)

    def pseudo_labels(rows: Doubles) -> Indices:
        return np.asarray(np.argmin(norms - 2.0 * (rows @ found.centroids.T), axis=1))

    own = pseudo_labels(balls)
    least = np.full(len(balls), np.inf)
    own_squares = np.einsum("ij,ij->i", balls, balls)

    def nearest_other(_: slice, rows: Doubles) -> None:
        squares = np.einsum("ij,ij->i", rows, rows)[:, None] + own_squares - 2.0 * rows @ balls.T
        squares[pseudo_labels(rows)[:, None] == own] = np.inf
        np.minimum(least, squares.min(axis=0), out=least)

    each_placed(embeddings, None, nearest_other)
    distances = np.sort(np.sqrt(np.maximum(least, 0.0)))
    # The ball is open; a hair less keeps the other item outside whatever rounding does.
    radius = float(distances[int((1.0 - purity) * len(distances) + 1e-9)]) * (1.0 - 1e-9)
    if not np.isfinite(radius):
        return DELTA_WITHOUT_CLASSES
    # Items of two pseudo-labels in one place: the least radius that tells any apart.
    return radius if radius > 1e-7 else float(distances[distances > 1e-7].min(initial=2.0))
