"""How far every candidate of k-center greedy is from its nearest centre: bounds, kept lazily."""

import numpy as np

from strategies.arrays import Floats, Indices
from strategies.kernels.k_center_rows import Exact, PlacedRows, Quick, square_distances
from strategies.kernels.products import Products

# Centres that stale candidates meet at once; between two such steps those that fell are dropped.
CENTRES_AT_ONCE = 512
# Candidates that meet the centres at once: their products stay in the cache.
ROWS_AT_ONCE = 1024


class Cover:
    """For each candidate an upper bound, `key`, of its squared distance to the nearest centre.

    The candidates stand in the order of their clusters. A new centre meets only the candidates of
    its own and the nearest clusters at once; the others meet it when their stale bound matters
    (`refresh`). Of the quick float32 distances each candidate keeps the least, whose centre that
    was, and a lower bound of the others'. So its exact distance mostly takes one float64 pair
    (`settle`): every other centre is farther by more than the error of both.

    rows        the candidates
    starts      (k + 1,) int64: cluster c is the positions starts[c] .. starts[c + 1] - 1
    centroids   (k, d) float64, placed like the rows
    capacity    how many centres there will be at most
    device      where the float32 products are computed
    """

    def __init__(
        self,
        rows: PlacedRows,
        starts: Indices,
        centroids: Exact,
        capacity: int,
        device: str,
    ) -> None:
        count, dimensions = rows.quick.shape
        self.rows = rows
        self.starts = starts
        self.products = Products(rows.quick, device)
        self.square_unit = rows.frame.unit**2
        self._trust(rows.radius)
        self.key = np.full(count, np.inf, dtype=np.float64)
        self.settled_value = np.full(count, np.inf, dtype=np.float64)
        self.settled = np.zeros(count, dtype=np.int64)
        self.met = np.zeros(count, dtype=np.int64)
        self.least = np.full(count, np.inf, dtype=np.float32)
        self.nearest = np.full(count, -1, dtype=np.int64)
        self.others = np.full(count, np.inf, dtype=np.float32)
        self.count = 0
        self.waiting: list[list[int]] = [[] for _ in range(len(starts) - 1)]
        self.exact_centres = np.empty((capacity, dimensions), dtype=np.float64)
        # Times -2, which is exact: a product is then a term of the squared distance.
        self.quick_centres = np.empty((capacity, dimensions), dtype=np.float32)
        self.centre_norms = np.empty(capacity, dtype=np.float32)
        self.centroids = rows.frame.moved(centroids).astype(np.float32)
        self.centroid_norms = np.square(self.centroids).sum(axis=1)

    def add(self, centres: Exact, probes: int, lists: int, at_least: int = 1) -> None:
        """Append centres; the candidates that are likely to be near meet them now.

        centres  (t, d) float64, placed like the rows
        probes   each centre meets the candidates of that many clusters, those with the nearest
                 centroids
        lists    each cluster meets that many of these centres, those nearest to its centroid
        """
        first, last = self.count, self.count + len(centres)
        moved = self.rows.frame.moved(centres)
        square_norms = np.square(moved).sum(axis=1)
        self._trust(max(self.radius, float(np.sqrt(square_norms.max()))))
        self.exact_centres[first:last] = centres
        self.quick_centres[first:last] = -2.0 * moved
        self.centre_norms[first:last] = square_norms
        self.count = last
        clusters = len(self.centroids)
        distances = self.centroids @ self.quick_centres[first:last].T
        distances += self.centroid_norms[:, None]
        meets = np.zeros(distances.shape, dtype=np.bool_)
        near = _lowest(distances, min(probes, clusters), axis=0)
        np.put_along_axis(meets, near, values=True, axis=0)
        if lists:
            distances += self.centre_norms[first:last]
            near = _lowest(distances, min(lists, len(centres)), axis=1)
            np.put_along_axis(meets, near, values=True, axis=1)
        for cluster in np.flatnonzero(meets.any(axis=1)):
            waiting = self.waiting[cluster]
            waiting += (first + np.flatnonzero(meets[cluster])).tolist()
            if len(waiting) < at_least:
                continue
            numbers = np.array(waiting)
            waiting.clear()
            begin, end = int(self.starts[cluster]), int(self.starts[cluster + 1])
            for start in range(begin, end, ROWS_AT_ONCE):
                some = slice(start, min(start + ROWS_AT_ONCE, end))
                self._meet(some, self._terms(self.products, some, numbers), numbers)

    def pick(self, positions: Indices, probes: int, at_least: int = 1) -> None:
        """Make these candidates centres (see `add`); they are never candidates again."""
        self.key[positions] = -np.inf
        self.add(self.rows.exact(positions), probes, 0, at_least)

    def refresh(self, positions: Indices, threshold: float) -> Indices:
        """Let these candidates meet all centres; those whose key falls below it may stop earlier.

        returns the positions that have met all centres
        """
        lowest = int(self.met[positions].min(initial=self.count))
        first = lowest - lowest % CENTRES_AT_ONCE
        for start in range(first, self.count, CENTRES_AT_ONCE):
            stop = min(start + CENTRES_AT_ONCE, self.count)
            met = self.met[positions]
            behind = positions[met < stop]
            if len(behind) == 0:
                continue
            numbers = np.arange(max(start, int(met.min())), stop)
            for begin in range(0, len(behind), ROWS_AT_ONCE):
                some = behind[begin : begin + ROWS_AT_ONCE]
                self._meet(some, self._terms(self.products, some, numbers), numbers)
            self.met[behind] = stop
            positions = positions[self.key[positions] >= threshold]
        return positions

    def settle(self, positions: Indices) -> None:
        """Make the keys of candidates that have met all centres exact: those of a float64 loop."""
        behind = positions[(self.settled[positions] < self.count)]
        behind = behind[self.settled_value[behind] > 0.0]
        if len(behind):
            exact = self.rows.exact(behind)
            values = square_distances(exact, self.exact_centres[self.nearest[behind]])
            self._settle_to(behind, values)
            gap = self.others[behind].astype(np.float64) - self.least[behind]
            doubtful = gap * self.square_unit <= 2.0 * self.error
            doubtful &= self.settled_value[behind] > 0.0
            self._compare_all(behind[doubtful], exact[doubtful])
        self.settled[positions] = self.count

    def among(self, positions: Indices) -> "Pairs":
        """The squared distances between candidates.

        In float32, unless the error of that drowns the candidates' own distances.
        """
        if self.error * 32.0 > self.key[positions].max():
            rows = self.rows.frame.moved(self.rows.exact(positions))
            return Pairs(rows, np.square(rows).sum(axis=1), self.square_unit, self.fine_error)
        norms = self.rows.square_norms[positions].astype(np.float64)
        return Pairs(self.rows.quick[positions], norms, self.square_unit, self.error)

    def _trust(self, radius: float) -> None:
        """Set the errors for quick rows and centres of at most this length."""
        self.radius = radius
        self.error = self.square_unit * self.rows.frame.error(np.float32, radius)
        self.fine_error = self.square_unit * self.rows.frame.error(np.float64, radius)

    def _terms(self, products: Products, rows: slice | Indices, numbers: Indices) -> Quick:
        """(r, t) |c|^2 - 2 x.c of these rows and centres."""
        first, last = int(numbers[0]), int(numbers[-1]) + 1
        together = slice(first, last) if last - first == len(numbers) else numbers
        terms = np.asarray(products.rows(rows, self.quick_centres[together]))
        terms += self.centre_norms[together]
        return terms

    def _meet(self, rows: slice | Indices, terms: Quick, numbers: Indices) -> None:
        """Take in the terms of these centres; changes `terms`."""
        norms = self.rows.square_norms[rows]
        if len(numbers) == 1:
            nearest, least = numbers[0], terms[:, 0] + norms
            others = np.float32(np.inf)
        else:
            line = np.arange(len(terms))
            column = terms.argmin(axis=1)
            nearest, least = numbers[column], terms[line, column] + norms
            terms[line, column] = np.inf
            others = terms.min(axis=1) + norms
        old_least, old_nearest = self.least[rows], self.nearest[rows]
        lower = least < old_least
        # A centre may be met twice; it must not stand among its own others.
        between = np.where(nearest == old_nearest, np.inf, np.maximum(least, old_least))
        self.others[rows] = np.minimum(np.minimum(self.others[rows], others), between)
        self.nearest[rows] = np.where(lower, nearest, old_nearest)
        self.least[rows] = np.where(lower, least, old_least)
        bound = self.least[rows] * np.float64(self.square_unit) + self.error
        self.key[rows] = np.minimum(self.key[rows], bound)

    def _settle_to(self, positions: Indices, values: Exact) -> None:
        self.settled_value[positions] = np.minimum(self.settled_value[positions], values)
        self.key[positions] = np.minimum(self.key[positions], self.settled_value[positions])

    def _compare_all(self, positions: Indices, exact: Exact) -> None:
        """The exact distance of candidates to which more than one centre may be the nearest.

        A float64 product narrows the centres down; true ties are compared pair by pair.
        """
        for begin in range(0, len(positions), ROWS_AT_ONCE // 4):
            some = positions[begin : begin + ROWS_AT_ONCE // 4]
            rows = exact[begin : begin + ROWS_AT_ONCE // 4]
            moved = self.rows.frame.moved(rows)
            norms = np.square(moved).sum(axis=1, keepdims=True)
            first = int(self.settled[some].min())
            for start in range(first, self.count, CENTRES_AT_ONCE):
                stop = min(start + CENTRES_AT_ONCE, self.count)
                centres = self.rows.frame.moved(self.exact_centres[start:stop])
                distances = moved @ (-2.0 * centres).T
                distances += np.square(centres).sum(axis=1)
                distances += norms
                distances *= self.square_unit
                bounds = np.minimum(
                    self.settled_value[some], distances.min(axis=1) + self.fine_error
                )
                line, column = np.nonzero(distances - self.fine_error < bounds[:, None])
                values = self.settled_value[some]
                for pairs in range(0, len(line), ROWS_AT_ONCE):
                    lines = line[pairs : pairs + ROWS_AT_ONCE]
                    columns = start + column[pairs : pairs + ROWS_AT_ONCE]
                    found = square_distances(rows[lines], self.exact_centres[columns])
                    np.minimum.at(values, lines, found)
                self._settle_to(some, values)


class Pairs:
    """Squared distances between a few rows, each off by at most `error`."""

    def __init__(self, rows: Floats, norms: Exact, square_unit: float, error: float) -> None:
        self.rows = rows
        self.norms = norms
        self.square_unit = square_unit
        self.error = error

    def distances_to(self, row: int) -> Exact:
        """(p,) float64: of all rows to this one."""
        distances: Exact = (self.rows @ (-2.0 * self.rows[row])).astype(np.float64)
        distances += self.norms
        distances += self.norms[row]
        distances *= self.square_unit
        return distances


def _lowest(values: Quick, count: int, axis: int) -> Indices:
    if count == values.shape[axis]:
        return np.argsort(values, axis=axis)
    found: Indices = np.argpartition(values, count - 1, axis=axis)
    return np.take(found, np.arange(count), axis=axis)
