"""Where the learning curve leads: a power law, with an interval as wide as its own past errors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.quantiles import student_quantile

FEWEST_POINTS = 8
PAST = 0.6  # share of the points that the hindcast is fitted on
FURTHEST = 4  # times the labels so far
_EXPONENTS = np.geomspace(0.05, 2.0, 60)


@dataclass(frozen=True)
class PowerLaw:
    """accuracy(n) = ceiling - drop·n^(-exponent); ceiling <= 1, drop >= 0."""

    ceiling: float
    drop: float
    exponent: float

    def at(self, labels: float) -> float:
        """The accuracy at `labels` > 0, not below 0."""
        return max(0.0, self.ceiling - self.drop * math.pow(labels, -self.exponent))


@dataclass(frozen=True)
class Forecast:
    """The accuracy expected at `labels`; `hindcast_error` is what the same fit missed before."""

    labels: int
    value: float | None
    low: float | None
    high: float | None
    curve: PowerLaw | None
    hindcast_error: float | None
    reason: str | None


def forecast(
    labels: Sequence[int],
    accuracies: Sequence[float],
    at: int,
    standard_error: float = 0.0,
    level: float = 0.95,
) -> Forecast:
    """The accuracy at `at` labels, by a power law through the past points, widened by experience.

    labels           (p,) increasing, p >= 8; accuracies (p,) in 0..1 on one and the same set
    standard_error   of the newest accuracy, from its set's size: 0 forecasts that set's figure

    Hindcast: the curve fitted on the first 60 % of the points misses the others by h, the root of
    the mean square. The forecast reaches g = log(at/last)/log(last/cut) times as far (at least 1),
    so that half = t·sqrt(standard_error² + (g·h)² + r²), r the root mean square left around the
    whole fit, t Student's with as many degrees of freedom as points were predicted. None with a
    reason below 8 points, for labels already passed, and beyond 4 times the labels so far: no
    experience reaches that far. Raises ValueError where the input does not fit.
    """
    counts = np.asarray(labels, dtype=np.float64)
    heights = np.asarray(accuracies, dtype=np.float64)
    if counts.shape != heights.shape or np.any(counts <= 0) or np.any(np.diff(counts) <= 0):
        raise ValueError("labels and accuracies: give increasing labels, and an accuracy each")
    reason = None
    if len(counts) < FEWEST_POINTS:
        reason = f"too few: {len(counts)} points of the curve, {FEWEST_POINTS} are needed"
    elif at <= counts[-1]:
        reason = f"{at} labels are already passed"
    elif at > FURTHEST * counts[-1]:
        reason = f"{at} labels are more than {FURTHEST} times those so far"
    if reason is not None:
        return Forecast(at, None, None, None, None, None, reason)
    cut = math.ceil(PAST * len(counts))
    past = fit_power_law(counts[:cut], heights[:cut])
    missed = np.array([past.at(n) for n in counts[cut:]]) - heights[cut:]
    hindcast = math.sqrt(float((missed**2).mean()))
    curve = fit_power_law(counts, heights)
    around = np.array([curve.at(n) for n in counts]) - heights
    reach = max(1.0, math.log(at / counts[-1]) / math.log(counts[-1] / counts[cut - 1]))
    error = math.sqrt(
        standard_error**2 + (reach * hindcast) ** 2 + float((around**2).sum()) / (len(counts) - 3)
    )
    half = student_quantile((1 + level) / 2, len(counts) - cut) * error
    value = curve.at(at)
    return Forecast(
        at, value, max(0.0, value - half), min(1.0, value + half), curve, hindcast, None
    )


def fit_power_law(labels: NDArray[np.float64], heights: NDArray[np.float64]) -> PowerLaw:
    """The power law nearest in squares; exponents 0.05 to 2, 60 of them, the best taken.

    For each exponent, ceiling and drop are a straight line's, kept to ceiling <= 1 and drop >= 0
    (a falling curve becomes a constant). Source of the form: Figueroa et al. 2012, BMC Med.
    Inform. Decis. Mak. 12:8.
    """
    x = labels[None, :] ** -_EXPONENTS[:, None]
    from_mean = x - x.mean(axis=1, keepdims=True)
    slope = (from_mean @ (heights - heights.mean())) / (from_mean**2).sum(axis=1)
    drop = np.maximum(0.0, -slope)
    ceiling = heights.mean() + drop * x.mean(axis=1)
    # Through the ceiling of 1, the line's only freedom is its drop.
    capped = np.maximum(0.0, (x @ (1 - heights)) / (x**2).sum(axis=1))
    drop = np.where(ceiling > 1, capped, drop)
    ceiling = np.minimum(ceiling, 1.0)
    errors = ((ceiling[:, None] - drop[:, None] * x - heights) ** 2).sum(axis=1)
    best = int(errors.argmin())
    return PowerLaw(float(ceiling[best]), float(drop[best]), float(_EXPONENTS[best]))
