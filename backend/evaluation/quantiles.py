"""Quantiles of the normal and of Student's t distribution, from the standard library alone."""

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_TINY = 1e-300
_PRECISION = 1e-15


def normal_quantile(probability: float) -> float:
    """The z with P(Z <= z) = `probability` in (0, 1); ValueError outside."""
    if not 0 < probability < 1:
        raise ValueError(f"probability {probability}: expected a number between 0 and 1")
    return _NORMAL.inv_cdf(probability)


@lru_cache(maxsize=4096)
def student_quantile(probability: float, freedom: float) -> float:
    """The t with P(T <= t) = `probability` for `freedom` > 0 degrees of freedom, also broken ones.

    P(|T| > t) = I_x(f/2, 1/2) with x = f / (f + t^2), the regularised incomplete beta function,
    inverted by bisection; right to 9 digits. Source: Abramowitz and Stegun 1964, 26.7.1 and 26.5.
    Raises ValueError for a probability outside (0, 1) or freedom that is not positive.
    """
    if not 0 < probability < 1 or not freedom > 0:
        raise ValueError(
            f"probability {probability}, freedom {freedom}: expected one in (0, 1), one above 0"
        )
    if probability == 0.5:
        return 0.0
    if freedom > 1e7:
        return normal_quantile(probability)
    tail = 2 * min(probability, 1 - probability)
    low, high = 0.0, 1.0
    while _two_tails(high, freedom) > tail:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _two_tails(middle, freedom) > tail:
            low = middle
        else:
            high = middle
    return math.copysign((low + high) / 2, probability - 0.5)


def _two_tails(t: float, freedom: float) -> float:
    """P(|T| > t) for t >= 0."""
    if t == 0:
        return 1.0
    square = t * t
    return _incomplete_beta(
        freedom / (freedom + square), square / (freedom + square), freedom / 2, 0.5
    )


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """I_x(a, b), `rest` = 1 - x given apart so that neither end loses digits."""
    if x > (a + 1) / (a + b + 2):
        # The fraction converges fast only below the distribution's middle.
        return 1 - _incomplete_beta(rest, x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    )
    return front * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction 1/(1 + d1/(1 + d2/(1 + ...))) of I_x(a, b), forwards (Lentz 1976)."""
    numerator, denominator = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = denominator
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            denominator = 1 / _away_from_zero(1 + term * denominator)
            numerator = _away_from_zero(1 + term / numerator)
            step = denominator * numerator
            value *= step
        if abs(step - 1) < _PRECISION:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
