"""k-center greedy (core-set): pick the item farthest from everything that is labelled or picked."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, float64_rows, row_blocks
from strategies.errors import InvalidPoolError

# Labelled items are compared in tiles of this many rows by this many labelled items.
TILE_ROWS = 2048


def k_center(
    embeddings: Floats,
    eligible: Indices,
    size: int,
    labelled_embeddings: Floats | None = None,
    *,
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> Indices:
    """Farthest-first traversal: s_t = argmax_i min_{j in L, s_1 .. s_t-1} D(i, j), t = 1, 2, ...

    The covering radius, max_i min_j D(i, j), is at most twice the least that `size` items reach.
    Without labelled items s_1 is the eligible item nearest to the mean of the eligible ones. Equal
    distances go to the lowest index. The picks are those of a plain float64 loop: float32 products
    only narrow the field, and whatever their error leaves open is decided in float64.

    embeddings           (n, d)
    eligible             (e,) int64 ascending, the items that may be picked; 1 <= size <= e
    labelled_embeddings  (m, d), L; None or m = 0 where nothing is labelled
    metric               D: Euclidean, or Euclidean between rows scaled to length 1 (the order of
                         cosine distance; a row of zeros stays)
    returns              (size,) int64, distinct, in the order of picking

    O(n d (m + size)) time, O(n + d (m + size)) memory beside the input. Raises InvalidPoolError
    where the square of an embedding overflows or, for cosine, underflows.

    Source: Sener and Savarese, Active Learning for CNNs: A Core-Set Approach, ICLR 2018
    (arXiv 1708.00489), algorithm 1; the bound: Gonzalez 1985.
    """
    few = len(eligible) * 2 <= len(embeddings)
    # A copy of a few rows is cheaper than passes over all; a copy of most of them is not.
    points = np.asarray(embeddings[eligible] if few else embeddings)
    candidates = np.arange(len(eligible), dtype=np.int64) if few else eligible
    unit_length = metric == "cosine"
    _check_lengths("embeddings", points, unit_length, eligible if few else None)
    if labelled_embeddings is not None:
        _check_lengths("labelled_embeddings", labelled_embeddings, unit_length, None)
    cover = _Cover(points, candidates, size, labelled_embeddings, unit_length)
    picks = np.empty(size, dtype=np.int64)
    for t in range(size):
        picks[t] = cover.nearest_to_mean() if cover.centre_count == 0 else cover.farthest()
        cover.add(picks[t])
    return eligible[picks] if few else picks


class _Cover:
    """Squared distances to the nearest centre: quick ones for all points, exact ones where needed.

    `quick` holds |x|^2 + |c|^2 - 2 x.c in the dtype of the points, off by at most `error`. A point
    whose quick distance is within 2 `error` of the highest may be the farthest; only for these is
    the float64 distance brought up to date, with the centres that they have not met yet.
    """

    def __init__(
        self,
        points: Floats,
        candidates: Indices,
        size: int,
        labelled: Floats | None,
        unit_length: bool,
    ) -> None:
        count, dimensions = points.shape
        self.points = points
        self.candidates = candidates
        self.unit_length = unit_length
        labelled_count = 0 if labelled is None else len(labelled)
        self.centres = np.empty((labelled_count + size, dimensions), dtype=np.float64)
        self.centre_count = labelled_count
        if labelled is not None:
            for rows in row_blocks(labelled_count, dimensions):
                self.centres[rows] = self._placed(float64_rows(labelled, rows))
        norms = _square_norms(points)
        labelled_norms = np.square(self.centres[:labelled_count]).sum(axis=1)
        self.scale: Floats | None = None
        if unit_length:
            self.scale = (1.0 / np.sqrt(np.where(norms > 0.0, norms, 1.0))).astype(points.dtype)
            norms = np.where(norms > 0.0, 1.0, 0.0)
        self.square_norms = norms.astype(points.dtype)
        limits = np.finfo(points.dtype)
        radius = max(norms.max(initial=0.0), labelled_norms.max(initial=0.0))
        # d products and sums, each off by half an epsilon of |x| |c| at worst; twice that is taken.
        self.error = (dimensions + 8) * (2.0 * float(limits.eps) * radius + float(limits.tiny))
        self.quick = np.full(count, -np.inf, dtype=points.dtype)
        self.quick[candidates] = np.inf
        self.exact = np.full(count, np.inf, dtype=np.float64)
        self.met = np.zeros(count, dtype=np.int64)
        if labelled_count:
            self._meet_labelled(labelled_count, labelled_norms)

    def nearest_to_mean(self) -> int:
        """The candidate nearest to the mean of the candidates; the lowest index where equal."""
        dimensions = self.points.shape[1]
        total = np.zeros(dimensions, dtype=np.float64)
        for rows in row_blocks(len(self.candidates), dimensions):
            total += self._placed(self._rows(self.candidates[rows])).sum(axis=0)
        mean = total / len(self.candidates)
        distances = self._square_distances(self.candidates, mean)
        return int(self.candidates[np.argmin(distances)])

    def farthest(self) -> int:
        """The candidate whose nearest centre is farthest; the lowest index where equal."""
        threshold = float(self.quick.max()) - 2.0 * self.error
        doubtful = np.flatnonzero(self.quick >= threshold)
        if len(doubtful) == 1:
            return int(doubtful[0])
        self._bring_up_to_date(doubtful)
        return int(doubtful[np.argmax(self.exact[doubtful])])

    def add(self, pick: int) -> None:
        """Make this candidate a centre; it is never a candidate again."""
        centre = self._placed(self._rows(np.array([pick])))[0]
        self.centres[self.centre_count] = centre
        self.centre_count += 1
        products = self.points @ centre.astype(self.points.dtype)
        if self.scale is not None:
            products *= self.scale
        products *= -2.0
        products += self.square_norms
        products += self.square_norms[pick]
        np.minimum(self.quick, products, out=self.quick)
        self.quick[pick] = -np.inf

    def _meet_labelled(self, count: int, square_norms: npt.NDArray[np.float64]) -> None:
        dtype = self.points.dtype
        for columns in row_blocks(count, 1, TILE_ROWS):
            centres = self.centres[columns].astype(dtype)
            norms = square_norms[columns].astype(dtype)
            for rows in row_blocks(len(self.points), 1, TILE_ROWS):
                products = self.points[rows] @ centres.T
                if self.scale is not None:
                    products *= self.scale[rows, None]
                products *= -2.0
                products += norms
                nearest = products.min(axis=1) + self.square_norms[rows]
                np.minimum(self.quick[rows], nearest, out=self.quick[rows])

    def _bring_up_to_date(self, doubtful: Indices) -> None:
        met = self.met[doubtful]
        for start in np.unique(met):
            members = doubtful[met == start]
            missing = self.centre_count - int(start)
            if len(members) >= missing:
                for centre in self.centres[start : self.centre_count]:
                    distances = self._square_distances(members, centre)
                    self.exact[members] = np.minimum(self.exact[members], distances)
            else:
                for member in members:
                    self.exact[member] = min(
                        self.exact[member], self._nearest_square(member, int(start))
                    )
        self.met[doubtful] = self.centre_count

    def _nearest_square(self, member: int, start: int) -> float:
        point = self._placed(self._rows(np.array([member])))
        nearest = np.inf
        for rows in row_blocks(self.centre_count - start, self.points.shape[1]):
            centres = self.centres[start + rows.start : start + rows.stop]
            nearest = min(nearest, float(np.square(centres - point).sum(axis=1).min()))
        return nearest

    def _square_distances(
        self, members: Indices, centre: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        distances = np.empty(len(members), dtype=np.float64)
        for rows in row_blocks(len(members), self.points.shape[1]):
            difference = self._placed(self._rows(members[rows]))
            difference -= centre
            distances[rows] = np.square(difference, out=difference).sum(axis=1)
        return distances

    def _rows(self, members: Indices) -> npt.NDArray[np.float64]:
        return np.array(self.points[members], dtype=np.float64, order="C")

    def _placed(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self.unit_length:
            lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
            rows /= np.where(lengths > 0.0, lengths, 1.0)
        return rows


def _square_norms(points: Floats) -> npt.NDArray[np.float64]:
    norms = np.empty(len(points), dtype=np.float64)
    for rows in row_blocks(*points.shape):
        block = float64_rows(points, rows)
        with np.errstate(over="ignore"):
            norms[rows] = np.square(block, out=block).sum(axis=1)
    return norms


def _check_lengths(
    field: str, points: Floats, unit_length: bool, pool_rows: Indices | None
) -> None:
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
