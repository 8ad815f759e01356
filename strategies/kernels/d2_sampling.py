"""D^2 sampling (the seeding of k-means++): each pick in proportion to its squared distance."""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from strategies.arrays import Floats, Indices, Integers, row_blocks
from strategies.errors import InvalidPoolError
from strategies.kernels.d2_cells import Cells
from strategies.kernels.products import Device, Products

Float64s = npt.NDArray[np.float64]

# Proposals that are compared with all picks at once, at most.
MOST_PROPOSALS = 768
# Cells are formed once there are so many picks, or more where many more will follow.
FEWEST_CELLS = 16
# Cells are formed anew, by what is known of the nearest picks, once there are so many times more.
FINER_CELLS = 4
# Squared distances below this share of |g_i|^2 + |g_j|^2 are rounding: the points are the same.
SAME_POINT = 1e-13


class Rows(Protocol):
    """An (n, d) matrix of floats, or what stands for one: only its rows are ever asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, rows: Any, /) -> Floats: ...


@dataclass(frozen=True, eq=False)
class Factor:
    """One factor of the points: the rows f_i, with sqrt(offset) appended to each where given."""

    rows: Rows
    offset: float = 0.0


@dataclass(frozen=True, eq=False)
class D2Sample:
    """positions (size,) int64, distinct, in the order of picking; square_distances (size,) float64,
    of each to the nearest earlier pick at the moment of its pick (0 where it was a mere filler, and
    infinity for the first)."""

    positions: Indices
    square_distances: Float64s


def d2_sampling(
    factors: tuple[Factor, ...],
    size: int,
    rng: np.random.Generator,
    *,
    candidates: Indices | None = None,
    weights: Floats | None = None,
    first: int | Literal["longest"] | None = None,
    device: Device = "cpu",
) -> D2Sample:
    """Pick t = 1 .. size: P(i) = w_i D_i / sum_j w_j D_j, D_i = min_{s picked} |g_i - g_s|^2.

    The points are g_i = f_i (one factor) or the products g_i = f_i (x) h_i (two), of which only
    <g_i, g_j> = <f_i, f_j> <h_i, h_j> is ever formed. Equal points are at distance 0 and never
    picked twice; once every weighted distance is 0 the rest is drawn uniformly (those of positive
    weight first).

    The distribution is exact, up to float64 rounding of D, without D being known for all points:
    a proposal i is drawn in proportion to w_i b_i, where b_i >= D_i is an old bound, and accepted
    with probability D_i / b_i. Only for the few proposals that a tighter bound u_i >= D_i does not
    rule out is D_i computed, by one product with all picks and, for the nearest of these, in
    float64. The bounds u are kept tight by comparing each pick with the points of the nearest
    cells only, where a cell is what lies nearest to one of the early picks.

    factors     one or two matrices of n rows, float32 or float64, possibly memory-mapped
    size        1 <= size <= the number of candidates
    candidates  (e,) int64, the rows that may be picked; None for all. Positions count among them
    weights     (e,) floats >= 0; None for 1
    first       the position of the first pick; "longest" for the highest |g_i| (the lowest position
                where equal; drawn where all are 0); None draws it in proportion to w
    device      where the float32 products are computed; the picks are the same

    Raises InvalidPoolError where a squared length overflows the precision of the inputs.

    About O((n + size) (size)^(1/2) d + size^2 d) time where the bounds serve, O(n size d) at worst;
    O(n + size d) memory beside the input.

    Source: Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
    """
    sampler = _Sampler(factors, candidates, size, device)
    return sampler.sample(rng, weights, first)


class _Sampler:
    """The picks so far, and for each candidate an old bound b and a tighter bound u of D."""

    def __init__(
        self, factors: tuple[Factor, ...], candidates: Indices | None, size: int, device: str
    ) -> None:
        self.factors = factors
        self.products = [Products(cast(Floats, factor.rows), device) for factor in factors]
        self.candidates = candidates
        self.count = factors[0].rows.shape[0] if candidates is None else len(candidates)
        self.size = size
        self.dimensions = sum(factor.rows.shape[1] for factor in factors)
        epsilon = max(float(np.finfo(factor.rows.dtype).eps) for factor in factors)
        # |error of a squared distance| <= slack (|g_i|^2 + |g_j|^2), in the inputs' precision.
        self.slack = (self.dimensions + 32) / 2.0 * epsilon
        self.norms = self._square_norms()
        self.picks = np.empty(size, dtype=np.int64)
        self.distances = np.zeros(size, dtype=np.float64)
        self.pick_count = 0
        self.pick_rows = [
            np.empty((size, factor.rows.shape[1]), dtype=factor.rows.dtype) for factor in factors
        ]
        self.pick_norms = np.empty(size, dtype=np.float64)
        self.upper = np.full(self.count, np.inf)
        self.nearest = np.zeros(self.count, dtype=np.int32)
        self.old: Float64s = np.zeros(self.count)
        self.cells = Cells()
        self.compared = 0  # so many picks have met every candidate

    def sample(
        self, rng: np.random.Generator, weights: Floats | None, first: int | str | None
    ) -> D2Sample:
        self.weights = None if weights is None else np.asarray(weights, dtype=np.float64)
        self._add(np.array([self._first(rng, first)]), np.array([np.inf]))
        self._compare_all()
        self._renew_old_bounds()
        cell_count = min(max(FEWEST_CELLS, math.isqrt(3 * self.size)), 512)
        proposed = accepted = computed = 0  # since the bounds were last renewed
        while self.pick_count < self.size and self.total > 0.0:
            before = self.pick_count
            wanted = min(max(32, before // 3), MOST_PROPOSALS, 32 + 2 * (self.size - before))
            tried, positions, thresholds = self._proposals(rng, wanted)
            proposed += tried
            computed += len(positions)
            if len(positions):
                self._decide(positions, thresholds)
            accepted += self.pick_count - before
            if self.pick_count >= self.size:
                break
            if (not self.cells.offsets and self.pick_count >= cell_count) or (
                # Most proposals fail: the cells do not fit. What was wasted pays for a new look.
                computed > 3 * accepted + 64
                and self.pick_count > self.compared
                and (computed - accepted) * self.pick_count
                > self.count * (self.pick_count - self.compared)
            ):
                self._compare_all()
                self._renew_old_bounds()
                proposed = accepted = computed = 0
            elif self.cells.offsets:
                finer = self.pick_count >= FINER_CELLS * self.cells.count
                self._tighten(all_waiting=finer)
                if finer:
                    self.cells.form(self.nearest, self.pick_count)
            if proposed > 4 * accepted and proposed > self.count // 2 + 64:
                self._renew_old_bounds()
                proposed = accepted = computed = 0
        if self.pick_count < self.size:
            self._fill(rng)
        return D2Sample(self.picks, self.distances)

    def _first(self, rng: np.random.Generator, first: int | str | None) -> int:
        if isinstance(first, int):
            return first
        if first == "longest" and self.norms.any():
            return int(self.norms.argmax())
        if self.weights is None or not self.weights.any():
            return int(rng.integers(self.count))
        return int(_drawn(np.cumsum(self.weights), rng.random(1))[0])

    def _proposals(self, rng: np.random.Generator, wanted: int) -> tuple[int, Indices, Float64s]:
        """Proposals that the tighter bounds do not rule out, at most `wanted`, and thresholds."""
        tried = 2 * wanted
        numbers = rng.random((2, tried))
        positions = _drawn(self.cumulative, numbers[0])
        thresholds = numbers[1] * self.old[positions]
        alive = np.flatnonzero(thresholds < self.upper[positions])[:wanted]
        if len(alive) == wanted:
            tried = int(alive[-1]) + 1
        return tried, positions[alive], thresholds[alive]

    def _decide(self, positions: Indices, thresholds: Float64s) -> None:
        """Accept proposals in order where the threshold is below D; note what D was found to be."""
        upper = self._upper_bounds(positions, slice(0, self.pick_count))
        distances, nearest = self._exact_nearest(positions, upper, 0)
        among = self._among(positions)
        chosen: list[int] = []
        start, room = 0, self.size - self.pick_count
        picked_at: list[float] = []
        while len(chosen) < room:
            passing = thresholds[start:] < distances[start:]
            step = int(passing.argmax())
            if not passing[step]:
                break
            k = start + step
            picked_at.append(float(distances[k]))
            closer = among[k] < distances
            distances[closer] = among[k][closer]
            nearest[closer] = self.pick_count + len(chosen)
            chosen.append(k)
            start = k + 1
            if start == len(positions):
                break
        self.upper[positions] = distances
        self.nearest[positions] = nearest
        if not chosen:
            return
        first_pick = self.pick_count
        self._add(positions[chosen], np.array(picked_at))
        if self.cells.offsets:
            reps = upper[chosen][:, : self.cells.count]
            self.cells.assign(first_pick, reps)

    def _add(self, positions: Indices, distances: Float64s) -> None:
        where = slice(self.pick_count, self.pick_count + len(positions))
        self.picks[where] = positions
        self.distances[where] = distances
        self.pick_norms[where] = self.norms[positions]
        rows = self._rows(positions)
        for held, factor in zip(self.pick_rows, self.factors, strict=True):
            held[where] = factor.rows[rows]
        self.pick_count += len(positions)
        self.upper[positions] = 0.0

    def _compare_all(self) -> None:
        """Compare every candidate with the picks that it may not have met; form the cells anew."""
        where = slice(self.compared, self.pick_count)
        width = where.stop - where.start
        for rows in row_blocks(self.count, max(width, self.dimensions), 1 << 19):
            upper = self._upper_bounds(rows, where)
            nearest = upper.argmin(axis=1)
            best = np.take_along_axis(upper, nearest[:, None], axis=1)[:, 0]
            norms = self.norms[rows]
            values = np.maximum(best + (1.0 + self.slack) * norms, 0.0)
            # Which pick is nearest must not hang on rounding: near ties are decided in float64.
            room = 2.0 * self.slack * (2.0 * norms + self.pick_norms[where][nearest])
            doubtful = (upper <= (best + room).astype(upper.dtype)[:, None]).sum(axis=1) > 1
            doubtful |= np.abs(values - self.upper[rows]) <= 2.0 * room
            nearest += where.start
            found = np.flatnonzero(doubtful)
            if len(found):
                values[found], nearest[found] = self._exact_nearest(
                    found + rows.start, upper[found], where.start
                )
            closer = values < self.upper[rows]
            self.upper[rows] = np.where(closer, values, self.upper[rows])
            self.nearest[rows] = np.where(closer, nearest, self.nearest[rows])
        self.compared = self.pick_count
        if self.pick_count > 1:
            self.cells.form(self.nearest, self.pick_count)

    def _tighten(self, all_waiting: bool) -> None:
        """Compare the points of a cell with the picks that lie in or near it, where these wait."""
        light = 0.02 * self.old_mean
        for members, waiting in self.cells.ready(all_waiting):
            heavy = members[self.old[members] > light]
            if not len(heavy):
                continue
            self._meet(heavy, waiting)

    def _meet(self, positions: Indices, picks: Indices) -> None:
        for rows in row_blocks(len(positions), max(len(picks), self.dimensions), 1 << 19):
            block = positions[rows]
            upper = self._upper_bounds(block, picks)
            nearest = upper.argmin(axis=1)
            best = np.take_along_axis(upper, nearest[:, None], axis=1)[:, 0]
            values = np.maximum(best + (1.0 + self.slack) * self.norms[block], 0.0)
            closer = np.flatnonzero(values < self.upper[block])
            self.upper[block[closer]] = values[closer]
            self.nearest[block[closer]] = picks[nearest[closer]]

    def _renew_old_bounds(self) -> None:
        """b_i: the power of two next above u_i, so that it does not hang on how u was rounded."""
        room = 2.0 * self.slack * (self.norms + self.pick_norms[self.nearest])
        exponents = np.frexp(self.upper)[1]
        doubtful = np.frexp(self.upper + room)[1] != exponents
        doubtful |= np.frexp(np.maximum(self.upper - room, 0.0))[1] != exponents
        found = np.flatnonzero(doubtful & (self.upper > 0.0))
        self.upper[found] = self._exact(found, self.nearest[found])
        exponents[found] = np.frexp(self.upper[found])[1]
        self.old = np.where(self.upper > 0.0, np.ldexp(1.0, exponents), 0.0).astype(np.float64)
        self.old_mean = float(self.old.mean())
        weighted: Float64s = self.old if self.weights is None else self.old * self.weights
        self.cumulative: Float64s = np.cumsum(weighted)
        self.total = float(self.cumulative[-1])

    def _fill(self, rng: np.random.Generator) -> None:
        """Every distance that counts is 0: the rest is drawn uniformly."""
        free = np.ones(self.count, dtype=np.bool_)
        free[self.picks[: self.pick_count]] = False
        rest = rng.permutation(np.flatnonzero(free))
        if self.weights is not None:
            rest = rest[np.argsort(self.weights[rest] <= 0.0, kind="stable")]
        self.picks[self.pick_count :] = rest[: self.size - self.pick_count]

    def _upper_bounds(self, positions: Indices | slice, picks: Indices | slice) -> Floats:
        """(r, k): |g_s|^2 - 2 <g_i, g_s>, plus the error that it may have; |g_i|^2 is left out."""
        rows = self._rows(positions)
        bounds: Floats | None = None
        for product, held, factor in zip(self.products, self.pick_rows, self.factors, strict=True):
            inner = product.rows(rows, held[picks])
            if factor.offset:
                inner += inner.dtype.type(factor.offset)
            bounds = inner if bounds is None else np.multiply(bounds, inner, out=inner)
        assert bounds is not None
        bounds *= -2.0
        # The last term is for products that are too small for the inputs' precision.
        tiny = float(np.finfo(bounds.dtype).tiny) * self.dimensions
        bounds += (self.pick_norms[picks] * (1.0 + self.slack) + tiny).astype(bounds.dtype)
        return bounds

    def _exact_nearest(
        self, positions: Indices, upper: Floats, first_pick: int
    ) -> tuple[Float64s, npt.NDArray[np.int64]]:
        """The squared distance to the nearest of these picks, in float64, and that pick."""
        best = upper.min(axis=1)
        norms = self.norms[positions]
        known = self.pick_norms[first_pick : first_pick + upper.shape[1]]
        lower = upper - (2.0 * self.slack * known).astype(upper.dtype)
        highest = (best + 4.0 * self.slack * norms).astype(upper.dtype)
        which, pick = np.nonzero(lower <= np.nextafter(highest, np.inf)[:, None])
        pick += first_pick
        values = self._exact(positions[which], pick)
        # Sorted by row, then by distance, then by pick: the first of each row is its nearest.
        order = np.lexsort((pick, values, which))
        starts = np.searchsorted(which, np.arange(len(positions)))
        firsts = order[starts]
        return values[firsts], pick[firsts]

    def _exact(self, positions: Indices, picks: Integers) -> Float64s:
        """Squared distances of pairs, in float64."""
        values = np.empty(len(positions))
        for pairs in row_blocks(len(positions), self.dimensions):
            rows = self._rows(positions[pairs])
            inner = np.ones(len(rows))
            for held, factor in zip(self.pick_rows, self.factors, strict=True):
                left = np.asarray(factor.rows[rows], dtype=np.float64)
                right = np.asarray(held[picks[pairs]], dtype=np.float64)
                inner *= np.einsum("ij,ij->i", left, right) + factor.offset
            sums = self.norms[positions[pairs]] + self.pick_norms[picks[pairs]]
            values[pairs] = _squares(sums, inner)
        return values

    def _among(self, positions: Indices) -> Float64s:
        """Squared distances between the proposals, in float64."""
        rows = self._rows(positions)
        inner = np.ones((len(positions), len(positions)))
        for factor in self.factors:
            held = np.asarray(factor.rows[rows], dtype=np.float64)
            inner *= held @ held.T + factor.offset
        norms = self.norms[positions]
        squares = _squares(norms[:, None] + norms, inner)
        squares[positions[:, None] == positions] = 0.0
        return squares

    def _square_norms(self) -> Float64s:
        norms = np.ones(self.count)
        for factor in self.factors:
            for block in row_blocks(self.count, factor.rows.shape[1], 1 << 18):
                held = np.asarray(factor.rows[self._rows(block)], dtype=np.float64)
                norms[block] *= np.einsum("ij,ij->i", held, held) + factor.offset
        # Sixteenfold room: a squared distance is at most four times the largest squared norm.
        limit = min(float(np.finfo(factor.rows.dtype).max) for factor in self.factors) / 16.0
        if not norms.max() <= limit:
            row = int(np.argmax(~(norms <= limit)))
            raise InvalidPoolError(
                "embeddings",
                "is so long that its square overflows; scale the embeddings down",
                row if self.candidates is None else int(self.candidates[row]),
            )
        return norms

    def _rows(self, positions: Indices | slice) -> Any:
        return positions if self.candidates is None else self.candidates[positions]


def _drawn(cumulative: Float64s, numbers: Float64s) -> Indices:
    """Positions in proportion to the steps of `cumulative`, for uniform numbers in [0, 1)."""
    found = np.searchsorted(cumulative, numbers * cumulative[-1], side="right")
    # Rounding may carry a number to the very end, past the last position with a step.
    last = int(np.searchsorted(cumulative, cumulative[-1], side="left"))
    positions: Indices = np.minimum(found, last).astype(np.int64)
    return positions


def _squares(sums: Float64s, inner: Float64s) -> Float64s:
    squares = sums - 2.0 * inner
    squares[squares <= SAME_POINT * sums] = 0.0
    return squares
