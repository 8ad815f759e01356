"""Forecasts by a power law: exact where the law is, honest where it is not."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.forecast import fit_power_law, forecast

LABELS = list(range(100, 1001, 100))


def law(labels: list[int] | np.ndarray, ceiling=0.9, drop=2.0, exponent=0.5) -> np.ndarray:
    return ceiling - drop * np.asarray(labels, dtype=float) ** -exponent


def test_a_power_law_is_continued() -> None:
    found = forecast(LABELS, law(LABELS), 2000)
    assert found.value == pytest.approx(float(law([2000])[0]), abs=0.003)
    assert found.hindcast_error < 0.002
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.03


def test_a_curve_that_broke_its_law_before_is_forecast_widely() -> None:
    """A jump at 700 labels: the first 60 % of the points did not foresee it."""
    broken = law(LABELS) + 0.08 * (np.array(LABELS) >= 700)
    found = forecast(LABELS, broken, 2000)
    assert found.hindcast_error > 0.05
    assert found.high - found.low > 0.2


def test_the_further_the_wider_and_no_further_than_four_times() -> None:
    noisy = law(LABELS) + 0.01 * np.cos(np.arange(10) * 2.0)
    widths = []
    for at in (1200, 2000, 4000):
        found = forecast(LABELS, noisy, at)
        assert found.reason is None
        widths.append(found.high - found.low)
    assert widths[0] <= widths[1] < widths[2]
    assert "more than 4 times" in forecast(LABELS, noisy, 4001).reason


def test_the_sampling_error_of_the_set_widens_it() -> None:
    exact, sampled = forecast(LABELS, law(LABELS), 2000), forecast(LABELS, law(LABELS), 2000, 0.02)
    assert sampled.value == exact.value
    assert sampled.high - sampled.low > exact.high - exact.low + 0.04


def test_what_cannot_be_forecast_has_a_reason() -> None:
    assert forecast(LABELS[:7], law(LABELS[:7]), 900).reason.startswith("too few: 7 points")
    assert "already passed" in forecast(LABELS, law(LABELS), 1000).reason
    assert forecast([], [], 10).value is None


def test_a_falling_curve_becomes_a_constant() -> None:
    found = fit_power_law(np.array(LABELS, float), np.linspace(0.9, 0.8, 10))
    assert found.drop == 0
    assert found.ceiling == pytest.approx(0.85)


@given(
    st.lists(st.floats(0, 1), min_size=8, max_size=15),
    st.integers(1, 50),
)
def test_forecasts_stay_within_0_to_1(heights: list[float], step: int) -> None:
    labels = [step * (k + 1) for k in range(len(heights))]
    found = forecast(labels, heights, 2 * labels[-1])
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.curve.ceiling <= 1
    assert found.curve.drop >= 0
    json.dumps(asdict(found), allow_nan=False)


def test_the_fit_is_the_best_of_its_grid() -> None:
    """Against the obvious loop over exponents, ceilings and drops."""
    labels, heights = np.array(LABELS, float), law(LABELS, 0.95, 1.5, 0.4)
    found = fit_power_law(labels, heights)
    error = sum((found.at(n) - h) ** 2 for n, h in zip(labels, heights, strict=True))
    for exponent in np.geomspace(0.05, 2.0, 60):
        for ceiling in np.linspace(0.7, 1.0, 31):
            x = labels**-exponent
            drop = max(0.0, float(x @ (ceiling - heights) / (x @ x)))
            other = float(((ceiling - drop * x - heights) ** 2).sum())
            assert error <= other + 1e-9


def test_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="increasing labels"):
        forecast([2, 1], [0.5, 0.5], 3)
    with pytest.raises(ValueError, match="increasing labels"):
        forecast([1, 2], [0.5], 3)
