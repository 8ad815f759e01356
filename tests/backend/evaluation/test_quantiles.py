"""Quantiles against tables and against themselves; SciPy's are in tests/statistics."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.quantiles import normal_quantile, student_quantile


def test_normal_quantiles_of_the_table() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)
    assert normal_quantile(0.5) == 0


def test_one_degree_of_freedom_is_the_cauchy_distribution() -> None:
    for p in (0.01, 0.3, 0.5, 0.9, 0.9999):
        assert student_quantile(p, 1) == pytest.approx(
            math.tan(math.pi * (p - 0.5)), rel=1e-9, abs=1e-12
        )


def test_two_degrees_of_freedom_have_a_closed_form() -> None:
    for p in (0.02, 0.6, 0.99):
        expected = (2 * p - 1) / math.sqrt(2 * p * (1 - p))
        assert student_quantile(p, 2) == pytest.approx(expected)


@given(st.floats(0.001, 0.999), st.floats(0.5, 500))
def test_quantiles_are_symmetric_and_wider_than_normal_ones(p: float, freedom: float) -> None:
    value = student_quantile(p, freedom)
    assert value == pytest.approx(-student_quantile(1 - p, freedom), rel=1e-6, abs=1e-6)
    assert abs(value) >= abs(normal_quantile(p)) - 1e-9


def test_many_degrees_of_freedom_come_to_the_normal_distribution() -> None:
    for freedom in (1e6, 1e9, math.inf):
        assert student_quantile(0.99, freedom) == pytest.approx(normal_quantile(0.99), rel=1e-5)


@pytest.mark.parametrize(("p", "freedom"), [(0, 3), (1, 3), (0.5, 0), (0.5, -1), (math.nan, 3)])
def test_what_has_no_quantile_is_refused(p: float, freedom: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        student_quantile(p, freedom)
