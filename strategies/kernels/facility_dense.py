"""Greedy picks while the cover is poor: most pairs can gain, so gains are computed on demand."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices
from strategies.kernels.facility import Coverage
from strategies.kernels.facility_products import BLOCK_COLUMNS, BLOCK_ROWS, UnitProducts, blocks

Doubles = npt.NDArray[np.float64]

# The edges that a graph may have, in all and for each row, before it is worth building.
MAX_EDGES = 16_000_000
MAX_EDGES_A_ROW = 512
# References whose edges are counted to estimate that.
SAMPLED_REFERENCES = 128
# Numbers in the rows of values that are kept for the most promising candidates.
KEPT_VALUES = 20_000_000


def edge_excess(state: Coverage, product: Callable[[Indices, slice], Floats]) -> float:
    """The estimated edges of the graph as a share of what it may have: up to 1, build it.

    product  gives the products of some rows with a slice of all rows
    """
    count = state.rows.count
    thresholds = state.thresholds
    matter = np.flatnonzero(np.isfinite(thresholds))
    if not len(matter):
        return 0.0
    step = max(1, len(matter) // SAMPLED_REFERENCES)
    sampled = matter[step // 2 :: step]
    found = 0
    for part in blocks(count, BLOCK_COLUMNS):
        above = product(sampled, part) > thresholds[sampled, None]
        found += int(np.count_nonzero(above[:, state.open[part]]))
    edges = found / len(sampled) * len(matter)
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
        matrix, zero = state.rows.working(None, state.dtype)
        self.products = UnitProducts(matrix, zero, matrix, zero, state.value, state.device)
        self.weights: Floats = state.weights.astype(state.dtype)
        self.cover: Floats = state.covered.astype(state.dtype)
        count = state.rows.count
        self.capacity = max(8, min(256, KEPT_VALUES // count))
        self.kept = np.empty((self.capacity, count), dtype=state.dtype)
        self.keeper = np.full(self.capacity, -1, dtype=np.int64)
        self.place = np.full(count, -1, dtype=np.int64)
        # What rounding may hide: sums of many values, whose errors mostly cancel.
        self.band = 1e-12 if state.dtype == np.float64 else 8.0 * float(np.finfo(np.float32).eps)
        self.bounds = self._first_gains()
        self.bounds[~state.open] = -np.inf

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

    def _first_gains(self) -> Doubles:
        state = self.state
        count = state.rows.count
        gains = np.zeros(count, dtype=np.float64)
        covered = bool(self.cover.any())
        for a in blocks(count, BLOCK_ROWS):
            for b in blocks(count, BLOCK_COLUMNS, a.start):
                products = self.products.block(a, b)
                if self.state.steps:
                    # Counted as inside, whatever rounding may have put outside: a bound stays one.
                    products += state.error
                values = state.value.of_products(products)
                later = max(a.stop, b.start) - b.start
                mirrored = values[:, later:]
                columns = slice(b.start + later, b.stop)
                if covered:
                    mirrored = np.maximum(mirrored - self.cover[a, None], 0.0)
                gains[columns] += self.weights[a] @ mirrored
                if covered:
                    values -= self.cover[b]
                    np.maximum(values, 0.0, out=values)
                gains[a] += values @ self.weights[b]
        return np.asarray(gains * (1.0 + self.band))

    def _best(self) -> int:
        state = self.state
        fresh = np.zeros(state.rows.count, dtype=np.bool_)
        gains = np.full(state.rows.count, -np.inf)
        batch = 8
        while True:
            best = float(gains.max())
            reach = best - self.band * abs(best) - state.tie(best)
            stale = np.flatnonzero(~fresh & (self.bounds >= reach) & state.open)
            if not len(stale):
                break
            if len(stale) > batch:
                stale = stale[np.argsort(-self.bounds[stale], kind="stable")[:batch]]
            batch = min(self.capacity, 2 * batch)
            found = self._gains(stale)
            gains[stale] = found
            fresh[stale] = True
            self.bounds[stale] = found * (1.0 + self.band)
        return self._decided(np.flatnonzero(gains >= reach))

    def _decided(self, contested: Indices) -> int:
        # In steps every pair is settled already: what is equal is equal.
        if len(contested) == 1 or self.state.steps:
            return int(contested[0])
        # Rows that are equal but for rounding have equal gains.
        rows = self.state.rows.exact(contested).round(12)
        contested = contested[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
        gains = np.array([self._exact_gain(c) for c in contested.tolist()])
        best = float(gains.max())
        return self.state.among_equals(contested[gains >= best - self.state.tie(best)])

    def _exact_values(self, candidate: int) -> Doubles:
        rows = self.state.rows
        own = rows.exact(np.array([candidate]))
        values = np.empty(rows.count, dtype=np.float64)
        for part in blocks(rows.count, 2048):
            values[part] = self.state.value.exact(
                rows.exact(np.arange(part.start, part.stop)),
                np.broadcast_to(own, (part.stop - part.start, own.shape[1])),
            )
        return values

    def _exact_gain(self, candidate: int) -> float:
        above = np.maximum(self._exact_values(candidate) - self.state.covered, 0.0)
        return float((above * self.state.weights).sum())

    def _gains(self, candidates: Indices) -> Doubles:
        places = self._kept_places(candidates)
        gains = np.empty(len(candidates), dtype=np.float64)
        for t, place in enumerate(places.tolist()):
            above = self.kept[place] - self.cover
            np.maximum(above, 0.0, out=above)
            # Two steps: long float32 sums would lose digits.
            gains[t] = sum(
                float(above[part] @ self.weights[part])
                for part in blocks(len(above), BLOCK_COLUMNS)
            )
        return gains

    def _kept_places(self, candidates: Indices) -> Indices:
        missing = candidates[self.place[candidates] < 0]
        if len(missing):
            free = self._free_places(len(missing), candidates)
            products = self.products.block(missing, slice(0, self.state.rows.count))
            doubtful = self.state.value.unsettled(products, self.state.error)
            values = self.state.value.of_products(products)
            if doubtful is not None and doubtful.any():
                i, j = np.nonzero(doubtful)
                rows = self.state.rows
                values[i, j] = self.state.value.exact(rows.exact(missing[i]), rows.exact(j))
            self.kept[free] = values
            self.keeper[free] = missing
            self.place[missing] = free
        return self.place[candidates]

    def _free_places(self, count: int, wanted: Indices) -> Indices:
        # Those give way whose bounds are lowest, never one that is asked for now.
        worth = np.where(self.keeper < 0, -np.inf, self.bounds[self.keeper])
        worth[self.place[wanted[self.place[wanted] >= 0]]] = np.inf
        free = np.argsort(worth, kind="stable")[:count]
        held = self.keeper[free]
        self.place[held[held >= 0]] = -1
        return free

    def _take(self, pick: int) -> bool:
        state = self.state
        values = self.kept[self._kept_places(np.array([pick]))[0]].astype(np.float64)
        itself = state.rows.exact(np.array([pick]))
        values[pick] = state.value.exact(itself, itself)[0]
        improved = np.flatnonzero((values > state.covered) & (state.weights > 0.0))
        gain = float((state.weights[improved] * (values - state.covered)[improved]).sum())
        if gain <= state.tie(0.0):
            return False
        state.cover(improved, values[improved])
        self.cover[improved] = state.covered[improved]
        state.record(pick, gain, improved)
        self.bounds[pick] = -np.inf
        return True
