"""Temperature scaling mends over- and underconfidence, and leaves alone what it cannot judge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.models.calibration import expected_calibration_error, fit_temperature
from backend.models.head import softmax


def honest(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from exactly their probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, 3)).astype(np.float32) * 2
    probabilities = softmax(logits).astype(np.float64)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in probabilities])
    return logits, labels


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_the_factor_that_spoiled_honest_logits_is_found(factor: float) -> None:
    logits, labels = honest(4_000)
    temperature = fit_temperature(logits * factor, labels)
    assert temperature == pytest.approx(factor, rel=0.1)
    spoiled = expected_calibration_error(softmax(logits * np.float32(factor)), labels)
    mended = expected_calibration_error(softmax(logits * np.float32(factor), temperature), labels)
    assert mended < 0.03
    assert mended <= spoiled + 0.005


def test_few_labels_move_the_temperature_less() -> None:
    logits, labels = honest(2_000)
    steps = [np.log(fit_temperature(logits[:n] * 6, labels[:n])) for n in (10, 2_000)]
    assert 0 < steps[0] < steps[1]


def test_under_ten_labels_nothing_changes() -> None:
    logits, labels = honest(9)
    assert fit_temperature(logits * 50, labels) == 1.0


def test_the_temperature_stays_within_its_bounds() -> None:
    logits = np.tile([[100.0, 0.0]], (500, 1))
    assert fit_temperature(logits * 100, np.ones(500, int)) <= 20.0
    assert fit_temperature(logits / 1e6, np.zeros(500, int)) >= 0.05


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    labels = np.array([0, 1, 1, 1])
    # bins: {.9, .9} gap |.9 - .5|, {.6} gap |.6 - 1|, {1.} gap 0
    assert expected_calibration_error(probabilities, labels) == pytest.approx((2 * 0.4 + 0.4) / 4)
    with pytest.raises(ValueError):
        expected_calibration_error(np.empty((0, 2)), np.empty(0, int))


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 999))
def test_calibration_error_lies_between_zero_and_one(n: int, bins: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([1, 1, 1], size=n)
    error = expected_calibration_error(probabilities, rng.integers(3, size=n), bins)
    assert 0 <= error <= 1
