"""Which rows of a pool are near-duplicates of a hold-out: every pair, found exactly.

A pair is a near-duplicate where the cosine of the angle between its embeddings is at least a
threshold: directly, without transitive closure. A search in float32, widened by a bound of its
rounding errors, leaves few pairs; float64 decides on those. A cosine that is below the threshold
by no more than `ROUNDING` counts as at the threshold, and one below the greatest by no more than
that as tied with it, so that the order of a float64 sum decides nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.arrays import Floats, float64_rows, row_blocks

ROUNDING = 1e-12
_PRODUCTS = 1 << 22  # cosines held at once: 16 MiB in float32
_PAIR_NUMBERS = 1 << 21  # numbers gathered at once for single pairs: 16 MiB in float64
_BLOCK_ROWS = 1_024
_SKETCH_WIDTHS = (32, 64, 128, 256)  # numbers by which rows are first compared
_SKETCH_SAMPLE = 8_192  # rows that give the directions
_TRIAL_ROWS = 1_024  # rows whose pairs tell how much a sketch excludes
# In multiplications of a matrix product: what a pair costs apart from its product, and what one
# costs that is gathered by itself and decided in float64 (about 4 µs, measured).
_PAIR_COST, _SINGLE_COST = 30, 200_000
_DENSE = 1_000  # with more than one candidate in so many pairs, whole products are cheaper


@dataclass(frozen=True)
class NearDuplicates:
    """The near-duplicates of a hold-out, by ascending row.

    rows     (b,) int64 rows of the pool
    nearest  (b,) int64 the hold-out row most similar to each, the first one among ties
    cosines  (b,) float64 cosine to it
    """

    rows: NDArray[np.int64]
    nearest: NDArray[np.int64]
    cosines: NDArray[np.float64]


@dataclass(frozen=True)
class SimilarPairs:
    """Pairs first < second of rows of one matrix with their cosines, in order: (p,) each."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosines: NDArray[np.float64]


def near_duplicates(pool: Floats, holdout: Floats, threshold: float) -> NearDuplicates:
    """The rows of pool (n, d) with a cosine of at least `threshold` to a row of holdout (h, d).

    Both float32 or float64, possibly memory-mapped; the pool is read in blocks, the hold-out is
    copied (12 h d bytes). 0 < threshold <= 1. A row of zeros is similar to nothing.
    Takes O(n h d), in float64 only for rows that reach the threshold in float32.
    Raises ValueError for shapes or values that do not fit.
    """
    _check(threshold, pool, holdout)
    rows, nearest, cosines = [], [], []
    if len(holdout) and len(pool):
        units = unit_rows(holdout, slice(0, len(holdout)))
        single = units.astype(np.float32)
        floor = np.float32(threshold - 2 * cosine_error(pool.shape[1]))
        width = max(len(holdout), pool.shape[1])
        for block in row_blocks(len(pool), width, _PRODUCTS):
            own = unit_rows(pool, block)
            greatest = (own.astype(np.float32) @ single.T).max(axis=1)
            found = np.flatnonzero(greatest >= floor)
            if len(found):
                exact = own[found] @ units.T
                first = _first_of_the_greatest(exact)
                value = exact[np.arange(len(found)), first]
                kept = exact.max(axis=1) >= threshold - ROUNDING
                rows.append(found[kept] + block.start)
                nearest.append(first[kept])
                cosines.append(value[kept])
    return NearDuplicates(_joined(rows), _joined(nearest), _joined_cosines(cosines))


def similar_pairs(embeddings: Floats, threshold: float, most: int = 5_000_000) -> SimilarPairs:
    """All pairs of rows of embeddings (n, d) whose cosine is at least `threshold`.

    Rows are first compared by a sketch: their coordinates z in the w directions of the largest
    second moment and the norm r of what remains. By Cauchy and Schwarz, cos(i, j) <= z_i.z_j +
    r_i r_j: one product of w + 1 numbers, and only pairs that reach the threshold by it are
    computed. w is 32 to 256, or none, whichever a sample of pairs says is cheapest. Takes O(n^2 w),
    O(n^2 d) at worst, and 4 n (w + 1) bytes of memory. Raises ValueError for values that do not
    fit, and where more than `most` pairs are that similar.
    """
    _check(threshold, embeddings, embeddings)
    n, d = embeddings.shape
    search = _PairSearch(embeddings, threshold, most)
    sketch = _cheapest_sketch(embeddings, threshold)
    floor = np.float32(threshold - 2 * cosine_error(d + 1))
    columns = _PRODUCTS // _BLOCK_ROWS
    products = np.empty((_BLOCK_ROWS, columns), dtype=np.float32)
    for start in range(0, n, _BLOCK_ROWS):
        left = slice(start, min(start + _BLOCK_ROWS, n))
        for begin in range(start, n, columns):
            right = slice(begin, min(begin + columns, n))
            if sketch is None:
                search.whole(left, right)
                continue
            bounds = products[: left.stop - left.start, : right.stop - right.start]
            np.matmul(sketch[left], sketch[right].T, out=bounds)
            if bounds.max() < floor:
                continue
            candidates = bounds >= floor
            if np.count_nonzero(candidates) > candidates.size // _DENSE:
                search.whole(left, right)
            else:
                search.decide(candidates, left, right)
    return search.result()


def cosine_error(d: int) -> float:
    """A bound of |float32 product − cosine| for unit rows of d numbers rounded to float32.

    gamma_d = d u / (1 − d u), u = 2^-24, for a sum of d products in any order (Higham 2002,
    "Accuracy and stability of numerical algorithms", section 3.1), plus the rounding of both rows
    and, amply, that of their normalisation and underflow.
    """
    unit = 2.0**-24
    return (d * unit / (1 - d * unit)) * (1 + 4 * unit) + 3 * unit


def unit_rows(matrix: Floats, rows: slice | NDArray[np.int64]) -> NDArray[np.float64]:
    """These rows in float64 with norm 1; rows of zeros stay. ValueError where not finite."""
    if isinstance(rows, slice):
        taken = float64_rows(matrix, rows)
    else:
        taken = np.array(matrix[rows], dtype=np.float64, order="C")
    norms = np.sqrt(np.einsum("ij,ij->i", taken, taken))
    if not np.isfinite(norms).all():
        first = int(np.flatnonzero(~np.isfinite(norms))[0])
        row = rows.start + first if isinstance(rows, slice) else int(rows[first])
        raise ValueError(f"embeddings: row {row} is not finite")
    taken /= np.where(norms > 0, norms, 1.0)[:, None]
    return taken


def pair_cosines(
    embeddings: Floats, first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(p,) float64 cosines of the rows first (p,) and second (p,) of embeddings (n, d)."""
    cosines = np.empty(len(first))
    for part in row_blocks(len(first), embeddings.shape[1], _PAIR_NUMBERS):
        left, right = unit_rows(embeddings, first[part]), unit_rows(embeddings, second[part])
        cosines[part] = np.einsum("ij,ij->i", left, right)
    return cosines


class _PairSearch:
    """Collects the pairs that float64 finds similar enough."""

    def __init__(self, embeddings: Floats, threshold: float, most: int) -> None:
        self._embeddings = embeddings
        self._threshold = threshold
        self._most = most
        self._floor = np.float32(threshold - 2 * cosine_error(embeddings.shape[1]))
        self._found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._count = 0

    def whole(self, left: slice, right: slice) -> None:
        """All pairs of two blocks, by their whole products."""
        rows = unit_rows(self._embeddings, left).astype(np.float32)
        columns = unit_rows(self._embeddings, right).astype(np.float32)
        products = rows @ columns.T
        if products.max() >= self._floor:
            self.decide(products >= self._floor, left, right)

    def decide(self, candidates: NDArray[np.bool_], left: slice, right: slice) -> None:
        """The pairs of two blocks that are True in candidates (rows, columns)."""
        row, column = np.divmod(np.flatnonzero(candidates), candidates.shape[1])
        first, second = row + left.start, column + right.start
        upper = second > first
        first, second = first[upper], second[upper]
        cosines = pair_cosines(self._embeddings, first, second)
        kept = cosines >= self._threshold - ROUNDING
        self._found.append((first[kept], second[kept], cosines[kept]))
        self._count += int(kept.sum())
        if self._count > self._most:
            raise ValueError(
                f"more than {self._most:,} pairs have a cosine of at least {self._threshold:g}; "
                "choose a higher threshold"
            )

    def result(self) -> SimilarPairs:
        first = _joined([pair[0] for pair in self._found])
        second = _joined([pair[1] for pair in self._found])
        cosines = _joined_cosines([pair[2] for pair in self._found])
        order = np.lexsort((second, first))
        return SimilarPairs(first[order], second[order], cosines[order])


def _cheapest_sketch(embeddings: Floats, threshold: float) -> NDArray[np.float32] | None:
    """The sketch of the width that saves most, None where whole products are cheapest."""
    n, d = embeddings.shape
    widths = [width for width in _SKETCH_WIDTHS if width < d]
    if not n or not widths:
        return None
    # Rows that the directions come from look better in them than others do.
    spread = _spread_rows(n, _SKETCH_SAMPLE + _TRIAL_ROWS)
    tried = np.arange(len(spread)) % (1 + _SKETCH_SAMPLE // _TRIAL_ROWS) == 0
    sample, trial = unit_rows(embeddings, spread[~tried]), unit_rows(embeddings, spread[tried])
    directions = np.ascontiguousarray(np.linalg.eigh(sample.T @ sample)[1][:, ::-1])
    floor = np.float32(threshold - 2 * cosine_error(d + 1))
    best, cheapest = None, float(d + _PAIR_COST)
    for width in widths:
        coordinates = _sketched(trial, directions[:, :width])
        candidates = int((coordinates @ coordinates.T >= floor).sum()) - len(trial)
        share = max(0, candidates) / max(1, len(trial) * (len(trial) - 1))
        cost = width + 1 + _PAIR_COST + share * _SINGLE_COST
        if cost < cheapest:
            best, cheapest = width, cost
    if best is None:
        return None
    sketch = np.empty((n, best + 1), dtype=np.float32)
    for block in row_blocks(n, d, _PRODUCTS):
        sketch[block] = _sketched(unit_rows(embeddings, block), directions[:, :best])
    return sketch


def _sketched(units: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float32]:
    """(r, w + 1) whose products are at least the cosines of the unit rows (r, d), up to rounding.

    That holds for any orthonormal directions (d, w): those of a sample only make the bound tight.
    """
    coordinates = units @ directions
    remainder = np.einsum("ij,ij->i", units, units)
    remainder -= np.einsum("ij,ij->i", coordinates, coordinates)
    # ROUNDING is above the float64 errors of both sums, so that the bound stays one.
    norms = np.sqrt(np.maximum(remainder, 0.0) + ROUNDING)
    return np.column_stack([coordinates, norms]).astype(np.float32)


def _spread_rows(n: int, most: int) -> NDArray[np.int64]:
    """At most `most` rows, evenly spread over n."""
    count = min(n, most)
    return np.arange(count, dtype=np.int64) * n // max(1, count)


def _first_of_the_greatest(cosines: NDArray[np.float64]) -> NDArray[np.int64]:
    """(r,) the first column of each row whose cosine is the greatest or tied with it."""
    tied = cosines >= cosines.max(axis=1, keepdims=True) - ROUNDING
    first: NDArray[np.int64] = tied.argmax(axis=1)
    return first


def _check(threshold: float, left: Floats, right: Floats) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold: {threshold} is not above 0 and at most 1")
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(f"embeddings: {left.shape} and {right.shape} do not fit one another")


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _joined_cosines(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.empty(0)
