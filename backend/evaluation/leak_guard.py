"""What keeping near-duplicates of a hold-out out of training costs, and when it costs too much."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.covariates import Covariates, Difference, differences_to_rest

MOST_BLOCKED = 0.1


@dataclass(frozen=True)
class Blocking:
    """What a threshold blocks.

    blocked   rows that may neither train nor be chosen by a strategy
    pool      rows that could be blocked: the pool without the hold-out
    shift     the largest standardised difference of the blocked rows to the rest, None where
              nothing is compared or blocked
    refusal   why it is refused and what would pass, None where it is not refused
    passing   a threshold at which at most 10% are blocked, None where there is none
    """

    blocked: int
    pool: int
    shift: Difference | None
    refusal: str | None
    passing: float | None

    @property
    def share(self) -> float:
        return self.blocked / self.pool if self.pool else 0.0

    @property
    def text(self) -> str:
        if self.refusal is not None:
            return self.refusal
        text = (
            f"{self.blocked:,} of {self.pool:,} tasks ({100 * self.share:.1f}%) are too like a "
            "hold-out to train"
        )
        if self.shift is not None:
            text += (
                f"; they differ from the others by {self.shift.value:+.2f} standard deviations "
                f"at most ({self.shift.name})"
            )
        return text + "."


def assess_blocking(
    rows: NDArray[np.int64],
    cosines: NDArray[np.float64],
    threshold: float,
    pool: Covariates,
    always: NDArray[np.int64] | None = None,
) -> Blocking:
    """The share and the shift of what is blocked; more than 10% of the pool is refused.

    rows, cosines  (b,) near-duplicates in the pool without its hold-out, each with the cosine to
                   its most similar hold-out row, at least `threshold`
    pool           covariates of that pool's n rows
    always         (a,) rows that are blocked at any threshold: of a hold-out's group, exact copies
    """
    n = len(pool.values)
    fixed = np.unique(always) if always is not None else np.empty(0, dtype=np.int64)
    blocked = np.union1d(rows, fixed).astype(np.int64)
    ranked = differences_to_rest(pool, blocked)
    shift = ranked[0] if ranked else None
    if len(blocked) <= MOST_BLOCKED * n:
        return Blocking(len(blocked), n, shift, None, threshold)
    by_cosine = np.sort(cosines[~np.isin(rows, fixed)])[::-1]
    passing = _passing_threshold(by_cosine, math.floor(MOST_BLOCKED * n) - len(fixed))
    refusal = (
        f"A threshold of {threshold:.4f} would block {len(blocked):,} of {n:,} tasks "
        f"({100 * len(blocked) / n:.1f}%) as near-duplicates of a hold-out; more than "
        f"{100 * MOST_BLOCKED:.0f}% are refused, since what remains would no longer be the pool. "
    )
    if passing is None:
        refusal += (
            "No threshold passes: so many are copies of a hold-out or belong to its groups. Remove "
            "copies from the project, or hold out fewer tasks."
        )
    else:
        still = len(fixed) + int((by_cosine >= passing).sum())
        refusal += (
            f"A threshold of {passing:.4f} would pass (it blocks {100 * still / n:.1f}%); look at "
            "the examples before you set it, or name the group that copies share."
        )
    return Blocking(len(blocked), n, shift, refusal, passing)


def _passing_threshold(by_cosine: NDArray[np.float64], room: int) -> float | None:
    """The lowest threshold of four decimals that at most `room` of the descending cosines reach."""
    if room < 0:
        return None
    # Cosines at the value of the first one without room must not reach it.
    threshold = (math.floor(by_cosine[room] * 10_000 + 1e-8) + 1) / 10_000
    return threshold if threshold <= 1 else None
