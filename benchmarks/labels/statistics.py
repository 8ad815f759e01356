"""The figures of the report: paired differences with their intervals, and labels saved.

Runs are paired by seed: the same pool, test part and random initial set. Curves are (seeds,
points) arrays in [0, 1]; figures are in points, that is hundredths.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences with its 95 % interval, and how many pairs there were."""

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves out zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def paired(differences: Array) -> Difference:
    """The mean of paired differences (s,) and Student's 95 % interval; infinite for one pair."""
    s = len(differences)
    mean = float(differences.mean())
    if s < 2:
        return Difference(mean, -math.inf, math.inf, s)
    half = student_quantile(s - 1) * float(differences.std(ddof=1)) / math.sqrt(s)
    return Difference(mean, mean - half, mean + half, s)


def student_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with `freedom` >= 1 degrees of freedom.

    Tabulated up to 4, above that by the Cornish-Fisher expansion (to 0.002). Source: Abramowitz
    and Stegun 1964, table 26.10 and 26.7.5.
    """
    exact = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
    if freedom in exact:
        return exact[freedom]
    z, v = 1.959964, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def area(curves: Array, points: Sequence[int]) -> Array:
    """(s,) mean height of each curve (s, p) over the labels, by trapezia, in points."""
    labels = np.asarray(points, dtype=np.float64)
    if len(labels) < 2:
        return 100 * curves[:, 0]
    steps = np.diff(labels)
    heights = (curves[:, 1:] + curves[:, :-1]) / 2
    areas: Array = 100 * (heights * steps).sum(axis=1) / steps.sum()
    return areas


def labels_saved(curves: Array, random: Array, points: Sequence[int]) -> float:
    """Share of the labels that a strategy saves in reaching what random reaches at the end.

    From the mean curves over seeds, made monotone by their running maximum, linear between points;
    0 where the strategy does not get there.
    """
    target = float(random.mean(axis=0)[-1])
    reached = np.maximum.accumulate(curves.mean(axis=0))
    if reached[-1] < target:
        return 0.0
    place = int(np.argmax(reached >= target))
    if place == 0:
        return 1 - points[0] / points[-1]
    low, high = reached[place - 1], reached[place]
    share = (target - low) / (high - low)
    needed = points[place - 1] + share * (points[place] - points[place - 1])
    return float(1 - needed / points[-1])


def labels_saved_interval(
    curves: Array, random: Array, points: Sequence[int], draws: int = 500
) -> tuple[float, float, float]:
    """Labels saved, and its 95 % interval by the bootstrap over pairs of runs."""
    rng = np.random.default_rng(0)
    found = [
        labels_saved(curves[rows], random[rows], points)
        for rows in rng.integers(len(curves), size=(draws, len(curves)))
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return labels_saved(curves, random, points), float(low), float(high)


def over_sets(per_set: Mapping[str, Mapping[int, float]]) -> Difference | None:
    """The mean over sets of paired differences (set -> seed -> difference), interval over seeds.

    The sets are taken as given, so that the interval says nothing of other sets. Only the seeds
    that all sets have count; None where there is none.
    """
    if not per_set:
        return None
    seeds = sorted(set.intersection(*(set(found) for found in per_set.values())))
    if not seeds:
        return None
    return paired(np.array([np.mean([f[s] for f in per_set.values()]) for s in seeds]))
