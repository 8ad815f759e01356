"""Greedy picks while the cover is poor: most pairs can gain, so gains are computed on demand."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Mask
from strategies.kernels.facility import TIE, Coverage, product_error
from strategies.kernels.facility_products import BLOCK_COLUMNS, BLOCK_ROWS, UnitProducts, blocks

Doubles = npt.NDArray[np.float64]

# The edges that a graph may have, in all and for each row, before it is worth building.
MAX_EDGES = 16_000_000
MAX_EDGES_A_ROW = 512
# References whose edges are counted to estimate that.
SAMPLED_REFERENCES = 128
# Numbers in the rows of values that are kept for the most promising candidates.
KEPT_VALUES = 10_000_000


def edge_excess(state: Coverage, product: Callable[[Indices, slice], Floats]) -> float:
    """The estimated edges of the graph as a share of what it may have: up to 1, build it.

    product  gives the products of some rows with a slice of all rows
    """
    thresholds = state.thresholds
    matter = np.flatnonzero(np.isfinite(thresholds))
    if not len(matter):
        return 0.0
    sampled = some_references(matter)

    def row_products(part: slice) -> Floats:
        return product(sampled, part)

    return excess(row_products, thresholds[sampled], state.open, len(matter))


def some_references(matter: Indices) -> Indices:
    """About SAMPLED_REFERENCES of these rows, evenly spaced."""
    step = max(1, len(matter) // SAMPLED_REFERENCES)
    return matter[step // 2 :: step]


def excess(
    products: Callable[[slice], Floats], thresholds: Doubles, is_open: Mask, references: int
) -> float:
    """edge_excess, estimated from some references.

    products    their products with a slice of all q rows
    thresholds  (r,) products above which each of them is covered better
    is_open     (q,) the candidates
    references  how many rows they stand for
    """
    count = len(is_open)
    found = 0
    for part in blocks(count, BLOCK_COLUMNS):
        above = products(part) > thresholds[:, None]
        found += int(np.count_nonzero(above[:, is_open[part]]))
    edges = found / len(thresholds) * references
    return edges / min(MAX_EDGES, MAX_EDGES_A_ROW * count)


def pick_on_demand(state: Coverage, size: int) -> None:
    """Make exact greedy picks, at most `size`, until the graph of what can gain is small.

    Lazy greedy (Minoux 1978): a gain never rises, so an old gain is an upper bound; the highest
    bounds are brought up to date until the best of these is above all others. The values of the
    most promising candidates are kept, so that bringing them up to date again takes no product.

    O(q^2 d) time for the first gains, O(q d) for each later one; O(q d) memory and KEPT_VALUES.
    """
    _LazyGreedy(state).run(size)


class _LazyGreedy:
    def __init__(self, state: Coverage) -> None:
        self.state = state
        self.bounds = _first_bounds(state)
        self.bounds[~state.open] = -np.inf
        # From here on float64: what a pick covers is final.
        self.products = _square_products(state, np.float64)
        self.error = product_error(state.rows.dimensions, np.float64)
        count = state.rows.count
        self.capacity = max(8, min(256, KEPT_VALUES // count))
        self.kept = np.empty((self.capacity, count), dtype=np.float64)
        self.keeper = np.full(self.capacity, -1, dtype=np.int64)
        self.place = np.full(count, -1, dtype=np.int64)

    def run(self, size: int) -> None:
        made, next_check = 0, 2
        while made < size:
            if made >= next_check:
                excess = edge_excess(self.state, self.products.block)
                if excess <= 1.0:
                    return
                # Edges fall about as fast as picks are made; look again before that point.
                next_check = made + max(2, int(0.3 * (made + 4) * (excess - 1.0)))
            if not self._take(self._best()):
                return
            made += 1

    def _best(self) -> int:
        state = self.state
        gains = np.full(state.rows.count, -np.inf)
        batch = 8
        while True:
            best = float(gains.max())
            reach = best - state.tie(best)
            stale = np.flatnonzero(np.isneginf(gains) & (self.bounds >= reach) & state.open)
            if not len(stale):
                return state.among_equals(np.flatnonzero(gains >= reach))
            if len(stale) > batch:
                stale = stale[np.argsort(-self.bounds[stale], kind="stable")[:batch]]
            batch = min(self.capacity, 2 * batch)
            gains[stale] = self._gains(stale)
            self.bounds[stale] = gains[stale] * (1.0 + TIE)

    def _gains(self, candidates: Indices) -> Doubles:
        gains = np.empty(len(candidates), dtype=np.float64)
        for t, place in enumerate(self._kept_places(candidates).tolist()):
            above = self.kept[place] - self.state.covered
            np.maximum(above, 0.0, out=above)
            gains[t] = above @ self.state.weights
        return gains

    def _kept_places(self, candidates: Indices) -> Indices:
        missing = candidates[self.place[candidates] < 0]
        if len(missing):
            free = self._free_places(len(missing), candidates)
            self.kept[free] = self._values(missing)
            self.keeper[free] = missing
            self.place[missing] = free
        return self.place[candidates]

    def _values(self, candidates: Indices) -> Floats:
        value, rows = self.state.value, self.state.rows
        products = self.products.block(candidates, slice(0, rows.count))
        doubtful = value.unsettled(products, self.error)
        values = value.of_products(products)
        if doubtful is not None and doubtful.any():
            i, j = np.nonzero(doubtful)
            values[i, j] = value.exact(rows.exact(candidates[i]), rows.exact(j))
        itself = rows.exact(candidates)
        values[np.arange(len(candidates)), candidates] = value.exact(itself, itself)
        return values

    def _free_places(self, count: int, wanted: Indices) -> Indices:
        # Those give way whose bounds are lowest, never one that is asked for now.
        worth = np.where(self.keeper < 0, -np.inf, self.bounds[self.keeper])
        worth[self.place[wanted[self.place[wanted] >= 0]]] = np.inf
        free = np.argsort(worth, kind="stable")[:count]
        held = self.keeper[free]
        self.place[held[held >= 0]] = -1
        return free

    def _take(self, pick: int) -> bool:
        """Make this pick; False where it would gain nothing, so that nothing else would."""
        state = self.state
        values = self.kept[self._kept_places(np.array([pick]))[0]]
        improved = np.flatnonzero((values > state.covered) & (state.weights > 0.0))
        gain = float((state.weights[improved] * (values - state.covered)[improved]).sum())
        if gain <= state.tie(0.0):
            return False
        state.covered[improved] = values[improved]
        state.record(pick, gain, improved)
        self.bounds[pick] = -np.inf
        return True


def _square_products(state: Coverage, dtype: npt.DTypeLike) -> UnitProducts:
    matrix, zero = state.rows.working(None, dtype)
    return UnitProducts(matrix, zero, matrix, zero, state.value, state.device)


def _first_bounds(state: Coverage) -> Doubles:
    """Upper bounds of all gains, from one product of half the pairs in the bulk precision."""
    products = _square_products(state, state.dtype)
    weights: Floats = state.weights.astype(state.dtype)
    cover: Floats = state.covered.astype(state.dtype)
    count = state.rows.count
    gains = np.zeros(count, dtype=np.float64)
    covered = bool(cover.any())
    for a in blocks(count, BLOCK_ROWS):
        for b in blocks(count, BLOCK_COLUMNS, a.start):
            block = products.block(a, b)
            # A higher product has a higher value: whatever rounding did, a bound stays one.
            block += state.error
            values = state.value.of_products(block)
            later = max(a.stop, b.start) - b.start
            mirrored = values[:, later:]
            if covered:
                mirrored = np.maximum(mirrored - cover[a, None], 0.0)
            gains[b.start + later : b.stop] += weights[a] @ mirrored
            if covered:
                values -= cover[b]
                np.maximum(values, 0.0, out=values)
            gains[a] += values @ weights[b]
    # The sums' own rounding: some thousand terms in a block, all of one sign; and of the cover.
    rounding = BLOCK_COLUMNS * float(np.finfo(state.dtype).eps)
    most = float(state.weights.sum()) * float(np.finfo(state.dtype).eps)
    return np.asarray(gains * (1.0 + rounding) + (most if covered else 0.0))
