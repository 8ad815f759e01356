"""What skips can do to an accuracy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.skip_bounds import skip_bounds

COUNTS = st.integers(0, 200)


def test_bounds_by_hand() -> None:
    found = skip_bounds(right=70, wrong=20, skipped=10)
    assert (found.low, found.high, found.asked, found.skipped) == (0.7, 0.8, 100, 10)
    assert "10 of 100" in found.warning
    assert "70.0% to 80.0%" in found.warning


def test_the_warning_begins_above_five_per_cent() -> None:
    assert skip_bounds(right=95, wrong=0, skipped=5).warning is None
    assert skip_bounds(right=94, wrong=0, skipped=6).warning is not None


def test_nothing_asked_gives_nothing() -> None:
    found = skip_bounds(0, 0, 0)
    assert (found.low, found.high, found.warning) == (None, None, None)


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 200))
def test_whatever_the_skipped_would_have_been_lies_between(
    right: int, wrong: int, skipped: int, would_be_right: int
) -> None:
    found = skip_bounds(right, wrong, skipped)
    if found.asked:
        truth = (right + min(would_be_right, skipped)) / found.asked
        assert found.low <= truth <= found.high


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        skip_bounds(1, -1, 0)
