"""Differences between strategies, paired by seed, with what chance of seeds and items leaves open.

Variance of a mean difference over r seeds = s^2(differences) / r + the variance over redrawn groups
of test items: the same items test several seeds, so the seeds alone would not show how much another
test set would change. The first part holds some of the second's chance too, which makes intervals
rather too wide than too narrow. Degrees of freedom: Satterthwaite 1946.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.backtest.curves import Curves, Floats
from backend.evaluation.labels_saved import first_reach, monotone
from backend.evaluation.quantiles import student_quantile

ALPHA, POWER = 0.05, 0.8
DRAWS = 400


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval; None for an interval that nothing can be said of."""

    mean: float
    low: float | None
    high: float | None
    error: float = 0.0
    freedom: float = 0.0

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves out zero, else 0."""
        return self.beyond(ALPHA)

    def beyond(self, alpha: float) -> int:
        """1 or -1 where the interval of level 1 - alpha leaves out zero, else 0."""
        if self.low is None or self.mean == 0:
            return 0
        half = self._half(alpha)
        return int(self.mean > half) - int(self.mean < -half)

    def detectable(self, alpha: float) -> float | None:
        """The smallest true difference that a test of this level sees with 80% probability."""
        if self.low is None or not self.error:
            return None
        return self._half(alpha) + student_quantile(POWER, self.freedom) * self.error

    def _half(self, alpha: float) -> float:
        return student_quantile(1 - alpha / 2, self.freedom) * self.error if self.error else 0.0


class Resampling:
    """Draws of test items by groups and of seeds, the same for every strategy."""

    def __init__(self, curves: Curves, draws: int = DRAWS) -> None:
        rng = np.random.default_rng(0)
        seeds, groups = curves.counts.shape
        self.weights = np.stack(
            [
                np.bincount(rng.integers(groups, size=groups), minlength=groups)
                for _ in range(draws)
            ],
            axis=1,
        ).astype(np.float64)
        self.seeds = rng.integers(seeds, size=(draws, seeds))
        self._counts = curves.counts
        # (r, draws); a draw without any item of a seed's test set leaves that seed out.
        drawn = curves.counts @ self.weights
        self._sizes = np.where(drawn > 0, drawn, np.nan)

    def difference(
        self, one: Floats, other: Floats, rows: NDArray[np.int64] | None = None
    ) -> Estimate:
        """The mean difference of two strategies' areas (r, g), over the seeds `rows` or all."""
        chosen = np.arange(len(one)) if rows is None else rows
        gaps = (one - other)[chosen]
        by_seed = gaps.sum(axis=1) / self._counts[chosen].sum(axis=1)
        mean = float(by_seed.mean())
        if len(chosen) < 2:
            return Estimate(mean, None, None)
        redrawn = np.nanmean(gaps @ self.weights / self._sizes[chosen], axis=0)
        of_seeds = float(by_seed.var(ddof=1)) / len(chosen)
        of_items = float(np.nanvar(redrawn, ddof=1))
        total = of_seeds + of_items
        if total <= 0:
            return Estimate(mean, mean, mean)
        groups = int((self._counts[chosen].sum(axis=0) > 0).sum())
        freedom = total**2 / (of_seeds**2 / (len(chosen) - 1) + of_items**2 / max(groups - 1, 1))
        error = total**0.5
        half = student_quantile(1 - ALPHA / 2, freedom) * error
        return Estimate(mean, mean - half, mean + half, error, freedom)

    def labels_saved(self, one: Curves, random: Curves, points: Sequence[int]) -> Estimate:
        """The share of random's labels that the strategy saves, with a bootstrap interval.

        1 - n_s / n_r, at least -1: n_s and n_r are the labels with which the mean curves of the
        strategy and of random first reach the height that both end with or above. Curves are made
        monotone and read linearly. The interval are percentiles over redrawn seeds and groups of
        items together.
        """
        places = np.asarray(points, dtype=np.float64)
        mean = _saved(places, one.accuracy.mean(axis=0), random.accuracy.mean(axis=0))
        if len(one.accuracy) < 2:
            return Estimate(mean, None, None)
        own, chance = (
            (curves.hits @ self.weights / self._sizes[:, None]).transpose(2, 0, 1)
            for curves in (one, random)
        )
        found = []
        for draw, seeds in enumerate(self.seeds):
            pair = [np.nanmean(curves[draw][seeds], axis=0) for curves in (own, chance)]
            found.append(_saved(places, *pair))
        low, high = np.quantile(found, [ALPHA / 2, 1 - ALPHA / 2])
        return Estimate(mean, min(float(low), mean), max(float(high), mean))


def _saved(points: Floats, own: Floats, random: Floats) -> float:
    own, random = monotone(own), monotone(random)
    if random[0] > own[-1]:  # random begins above all that the strategy reaches
        return -1.0
    # A curve that is flat at its end got there before: the last point is not what it needed.
    level = min(float(own[-1]), float(random[-1]))
    reached, needed = first_reach(points, own, level), first_reach(points, random, level)
    if reached is None or needed is None:
        raise ValueError("a curve that never falls reaches what it ends with")
    return max(float(1 - reached / needed), -1.0)


def holm(estimates: Mapping[str, Estimate], alpha: float = ALPHA) -> dict[str, int]:
    """The sign of each difference that can be told from zero when all are tested, else 0.

    Of m hypotheses, those beyond their interval of level alpha / m are rejected; then those of the
    rest at alpha / (the rest), and so on: Holm 1979, with all errors together at most alpha.
    """
    signs = dict.fromkeys(estimates, 0)
    while waiting := [name for name, sign in signs.items() if sign == 0]:
        found = {name: estimates[name].beyond(alpha / len(waiting)) for name in waiting}
        if not any(found.values()):
            break
        signs |= found
    return signs
