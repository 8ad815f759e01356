"""Greedy exchange of rank-one terms of a matrix M that changes tr(M^-1 F) most, exactly."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from strategies.arrays import BLOCK_ELEMENTS, row_blocks

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]

# Rows that a round of picks is made among, and how many picks it makes before all are asked.
ACTIVE = 2048
LONGEST_ROUND = 64
TIE = 1e-12


class TraceExchange:
    """Adds (or takes away) the terms u_i u_i^T that lower tr(M^-1 F) most (raise it least).

    With C = M^-1 and sign = +1 to add, -1 to take away, the trace falls by

        value_i = sign a_i / (1 + sign q_i),  q_i = u_i^T C u_i,  a_i = u_i^T C F C u_i

    and after the exchange of v, with c = C v, w = C F c, s = 1 / (1 + sign v^T c) (Woodbury),

        C   <- C - sign s c c^T
        q_i <- q_i - sign s (u_i^T c)^2
        a_i <- a_i - 2 sign s (u_i^T c)(u_i^T w) + s^2 (c^T F c)(u_i^T c)^2

    so a pick costs two products of all rows with a vector. Those are saved up: a round picks up
    to 64 among the 2,048 rows of the highest value alone, then one matrix product gives what
    every other row's value was at each of those picks. Where one was higher (or as high, with a
    lower index), the picks from there on are taken back. The picks are therefore those of the
    plain loop, at the speed of matrix products.

    rows      gives u_i for positions start..stop as (r, d) float64, for any of the n
    n         the number of terms
    inverse   (d, d) C, symmetric positive definite; changed in place
    target    (d, d) F, symmetric positive semi-definite
    cost      O(n d) a pick and O(n d^2) once; memory O(n + d^2) and blocks
    """

    def __init__(
        self,
        rows: Callable[[npt.NDArray[np.int64] | slice], Matrix],
        n: int,
        inverse: Matrix,
        target: Matrix,
        sign: Literal[1, -1],
    ) -> None:
        self.rows = rows
        self.n = n
        self.inverse = inverse
        self.target = target
        self.sign = sign
        self.free = np.ones(n, dtype=np.bool_)
        self.q = np.empty(n)
        self.a = np.empty(n)
        for some in row_blocks(n, len(inverse)):
            block = rows(some)
            moved = block @ inverse
            self.q[some] = np.einsum("ij,ij->i", moved, block)
            self.a[some] = np.einsum("ij,ij->i", moved @ target, moved)
        self._round = LONGEST_ROUND

    def exchange(self, count: int) -> tuple[list[int], list[float]]:
        """The next `count` picks in order, and the value of each; 0 <= count <= terms left."""
        picks: list[int] = []
        values: list[float] = []
        while len(picks) < count:
            found, worth = self._one_round(min(self._round, count - len(picks)))
            picks.extend(found)
            values.extend(worth)
        return picks, values

    def _values(self, q: Matrix, a: Matrix) -> Matrix:
        # A term that must stay (1 - q = 0, but for rounding) has the value minus infinity.
        room = np.maximum(1.0 + self.sign * q, np.finfo(np.float64).tiny)
        with np.errstate(over="ignore"):
            values: Matrix = self.sign * a / room
        return values

    def _one_round(self, longest: int) -> tuple[list[int], list[float]]:
        active = self._highest()
        before = self.inverse.copy()
        steps = _Steps(len(before), longest)
        self._pick_among(active, steps)
        others = self.free.copy()
        others[active] = False
        allowed = self._advance(others, steps)
        if allowed < steps.count:
            steps.count = allowed
            self.inverse[:] = before
            for step in range(allowed):
                self._lower_inverse(steps.c[step], steps.s[step])
            self._advance(np.zeros(self.n, dtype=np.bool_), steps)
        # A round that was cut short shortens the next one, and one that was not lengthens it.
        self._round = max(4, allowed) if allowed < longest else min(LONGEST_ROUND, 2 * longest)
        picked = steps.picks[: steps.count]
        self.free[picked] = False
        return picked, steps.values[: steps.count]

    def _highest(self) -> npt.NDArray[np.int64]:
        """The free rows of the highest value, those of the lowest index where equal, ascending."""
        free = np.flatnonzero(self.free)
        if len(free) <= ACTIVE:
            return free
        values = self._values(self.q[free], self.a[free])
        threshold = -np.partition(-values, ACTIVE - 1)[ACTIVE - 1]
        above, equal = np.flatnonzero(values > threshold), np.flatnonzero(values == threshold)
        return np.sort(free[np.concatenate([above, equal[: ACTIVE - len(above)]])])

    def _pick_among(self, active: npt.NDArray[np.int64], steps: "_Steps") -> None:
        rows = self.rows(active)
        q, a = self.q[active].copy(), self.a[active].copy()
        free = np.ones(len(active), dtype=np.bool_)
        for _ in range(min(steps.longest, len(active))):
            values = np.where(free, self._values(q, a), -np.inf)
            place = int((values >= _nearly(values.max()))[free].argmax())
            place = int(np.flatnonzero(free)[place])
            free[place] = False
            vector = rows[place]
            c = self.inverse @ vector
            aimed = self.target @ c
            w = self.inverse @ aimed
            s = 1.0 / max(1.0 + self.sign * float(vector @ c), float(np.finfo(np.float64).eps))
            phi = float(c @ aimed)
            steps.add(int(active[place]), float(values[place]), c, w, s, phi)
            along, across = rows @ c, rows @ w
            q -= self.sign * s * along**2
            a += s * along * (s * phi * along - 2.0 * self.sign * across)
            self._lower_inverse(c, s)

    def _lower_inverse(self, c: Vector, s: float) -> None:
        self.inverse -= np.outer((self.sign * s) * c, c)

    def _advance(self, others: npt.NDArray[np.bool_], steps: "_Steps") -> int:
        """Bring all rows up to date unless one of the others should have been picked before.

        Returns the place of the first pick that one of the others should have been, or the number
        of picks where there is none and all rows are up to date.
        """
        count = steps.count
        q_after, a_after = np.empty(self.n), np.empty(self.n)
        worth = np.array(steps.values[:count])
        picks = np.array(steps.picks[:count])
        first = count
        for some in self._blocks(steps):
            q, a = self._along(some, steps)
            q_after[some], a_after[some] = q[:, -1], a[:, -1]
            if others[some].any():
                values = self._values(q[:, :-1], a[:, :-1])
                values[~others[some]] = -np.inf
                positions = np.arange(some.start, some.stop)[:, np.newaxis]
                higher = values > np.where(positions < picks, _nearly(worth), worth)
                overtaken = np.flatnonzero(higher.any(axis=0))
                if len(overtaken):
                    # The first pick of a round is the highest of all, whatever rounding says.
                    first = max(1, min(first, int(overtaken[0])))
        if first == count:
            self.q, self.a = q_after, a_after
        return first

    def _along(self, some: slice, steps: "_Steps") -> tuple[Matrix, Matrix]:
        """q and a of these rows before the first pick and after each: (r, picks + 1) twice."""
        block = self.rows(some)
        count = steps.count
        along = block @ steps.c[:count].T
        across = block @ steps.w[:count].T
        s, phi = np.array(steps.s[:count]), np.array(steps.phi[:count])
        q = np.empty((len(block), count + 1))
        a = np.empty((len(block), count + 1))
        q[:, 0], a[:, 0] = self.q[some], self.a[some]
        across *= -2.0 * self.sign * s
        across += (s * s * phi) * along
        np.multiply(across, along, out=a[:, 1:])
        along *= along
        np.multiply(along, -self.sign * s, out=q[:, 1:])
        np.cumsum(q, axis=1, out=q)
        np.cumsum(a, axis=1, out=a)
        return q, a

    def _blocks(self, steps: "_Steps") -> list[slice]:
        width = max(len(self.inverse), 4 * (steps.count + 1))
        return list(row_blocks(self.n, width, BLOCK_ELEMENTS // 2))


def _nearly(values: Any) -> Any:
    """A little less: values from here on are equal but for rounding, and the index decides."""
    return values - TIE * np.abs(values)


class _Steps:
    """The picks of one round and what they do to every row's q and a."""

    def __init__(self, d: int, longest: int) -> None:
        self.longest = longest
        self.count = 0
        self.picks: list[int] = []
        self.values: list[float] = []
        self.s: list[float] = []
        self.phi: list[float] = []
        self.c = np.empty((longest, d))
        self.w = np.empty((longest, d))

    def add(self, pick: int, value: float, c: Vector, w: Vector, s: float, phi: float) -> None:
        self.picks.append(pick)
        self.values.append(value)
        self.s.append(s)
        self.phi.append(phi)
        self.c[self.count], self.w[self.count] = c, w
        self.count += 1
