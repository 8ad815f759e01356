"""Whether a drawn set looks as random draws of its size do, so that it may stay."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.covariates import Covariates, Difference, differences_to_pool
from strategies.arrays import Column

DRAWS = 200
QUANTILE = 0.95
# All draws of a stratum of so many groups are made at once: there may be many such strata.
AT_ONCE = 2_000


@dataclass(frozen=True)
class Representativeness:
    """A draw's standardised differences to the pool, and what random draws show.

    differences  of every covariate, the largest in size first
    limit        the 95% quantile of the largest difference over random draws of the same size
    draws        how many there were
    """

    differences: tuple[Difference, ...]
    limit: float
    draws: int

    @property
    def largest(self) -> float:
        """The size of the largest difference, 0.0 where nothing is compared."""
        return abs(self.differences[0].value) if self.differences else 0.0

    @property
    def redraw(self) -> bool:
        """True for a draw less like the pool than 95% of random draws: draw with another secret."""
        return self.largest > self.limit

    @property
    def text(self) -> str:
        if not self.differences:
            return "There is no metadata or embedding to compare the draw with the pool by."
        found = self.differences[0]
        return (
            f"The largest difference to the pool is {found.value:+.2f} standard deviations "
            f"({found.name}); {100 * QUANTILE:.0f}% of random draws of this size stay within "
            f"{self.limit:.2f}, so "
            + ("it is less like the pool than most." if self.redraw else "it represents the pool.")
        )


def representativeness(
    pool: Covariates,
    drawn: NDArray[np.int64] | Sequence[int],
    groups: Column | None = None,
    strata: Column | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Representativeness:
    """Compare the drawn rows with the pool, and with random draws.

    drawn   (s,) distinct rows of the pool
    groups  (n,) group of each row: drawn whole; None: rows by themselves
    strata  (n,) stratum of each row, a group lies in that of its first row; each random draw takes
            from a stratum whole groups in random order, for as long as they fit in the number of
            rows that was drawn from it

    The limit is the ceil(0.95 (draws + 1))-th smallest of the draws, so that a draw that is as
    random as they are exceeds it with probability at most 5% (a Monte Carlo test: Davison and
    Hinkley 1997, "Bootstrap Methods and their Application", section 4.2.5). Only such a draw is
    drawn again: choosing the best of many would no longer be a random sample.
    """
    rows = np.asarray(drawn, dtype=np.int64)
    n = len(pool.values)
    if draws < 19:
        raise ValueError(f"draws: {draws} cannot show a 95% quantile; take at least 19")
    if len(rows) and not (rows.min() >= 0 and rows.max() < n):
        raise ValueError(f"drawn: expected rows of 0..{n - 1}")
    differences = differences_to_pool(pool, rows)
    if not differences:
        return Representativeness((), 0.0, draws)
    frame = _Frame(pool, rows, groups, strata)
    rng = np.random.default_rng(seed)
    largest = np.sort(frame.largest_of_draws(draws, rng))
    limit = float(largest[min(draws, math.ceil(QUANTILE * (draws + 1))) - 1])
    return Representativeness(differences, limit, draws)


class _Frame:
    """Groups by stratum with their sums: what a random draw needs."""

    def __init__(
        self,
        pool: Covariates,
        drawn: NDArray[np.int64],
        groups: Column | None,
        strata: Column | None,
    ) -> None:
        n = len(pool.values)
        stratum = np.zeros(n, dtype=np.int64) if strata is None else _codes(strata, n)
        if groups is None:
            self._sums: NDArray[np.floating[Any]] = pool.values
            self._sizes: NDArray[np.int64] = np.ones(n, dtype=np.int64)
        else:
            group = _codes(groups, n)
            self._sizes = np.asarray(np.bincount(group), dtype=np.int64)
            order = np.argsort(group, kind="stable")
            starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
            self._sums = np.add.reduceat(pool.values[order].astype(np.float64), starts, axis=0)
            stratum = stratum[order[starts]][group]
        first = np.arange(n) if groups is None else order[starts]
        of_group = stratum[first]
        wanted = np.bincount(stratum[drawn], minlength=int(stratum.max(initial=0)) + 1)
        members = np.argsort(of_group, kind="stable")
        ends = np.searchsorted(of_group[members], np.arange(len(wanted) + 1))
        self._parts = [
            (members[ends[code] : ends[code + 1]], int(wanted[code]))
            for code in np.flatnonzero(wanted)
        ]

    def largest_of_draws(self, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(draws,) the largest standardised difference of each random draw."""
        totals = np.zeros((draws, self._sums.shape[1]))
        rows = np.zeros(draws)
        for members, size in self._parts:
            sums, sizes = self._sums[members], self._sizes[members]
            if len(members) <= AT_ONCE:
                taken = self._taken(sizes, size, draws, rng)
                totals += taken @ sums
                rows += taken @ sizes
                continue
            for draw in range(draws):
                chosen = self._from(members, size, rng)
                totals[draw] += self._sums[chosen].sum(axis=0, dtype=np.float64)
                rows[draw] += self._sizes[chosen].sum()
        # Where no group fits there is no difference either.
        return np.asarray(np.abs(totals).max(axis=1) / np.maximum(rows, 1.0))

    def _taken(
        self, sizes: NDArray[np.int64], size: int, draws: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """(draws, m) of a small stratum's groups, 1 for those that each draw takes."""
        order = rng.random((draws, len(sizes))).argsort(axis=1)
        fits = np.cumsum(sizes[order], axis=1) <= size
        taken = np.zeros(order.shape)
        np.put_along_axis(taken, order, fits.astype(np.float64), axis=1)
        return taken

    def _from(
        self, members: NDArray[np.int64], size: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        if len(self._sums) == int(self._sizes.sum()):
            return members[rng.choice(len(members), size, replace=False, shuffle=False)]
        order = rng.permutation(members)
        ends = np.cumsum(self._sizes[order])
        return order[: int(np.searchsorted(ends, size, side="right"))]


def _codes(column: Column, n: int) -> NDArray[np.int64]:
    if len(column) != n:
        raise ValueError(f"{len(column)} groups or strata do not fit {n} rows")
    codes: NDArray[np.int64] = np.unique(column, return_inverse=True)[1].astype(np.int64)
    return codes
