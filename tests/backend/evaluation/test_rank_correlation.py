"""Spearman's rank correlation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backend.evaluation.rank_correlation import rank_correlation

values = arrays(np.float64, 12, elements=st.integers(-5, 5).map(float))


def test_a_textbook_example() -> None:
    # Ten pairs without ties: 1 - 6 sum d^2 / (n (n^2 - 1)) with sum d^2 = 194.
    iq = np.array([106, 100, 86, 101, 99, 103, 97, 113, 112, 110], dtype=np.float64)
    hours = np.array([7, 27, 2, 50, 28, 29, 20, 12, 6, 17], dtype=np.float64)
    assert rank_correlation(iq, hours) == pytest.approx(1 - 6 * 194 / 990)


@given(values, values)
def test_only_the_order_counts_and_ties_share_a_rank(
    one: np.ndarray[tuple[int], np.dtype[np.float64]],
    other: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    found = rank_correlation(one, other)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert found is None
        return
    assert found is not None
    assert -1 - 1e-12 <= found <= 1 + 1e-12
    assert rank_correlation(np.exp(one), other**3) == pytest.approx(found)
    assert rank_correlation(-one, other) == pytest.approx(-found)
    ranks = [np.array([(x < v).sum() + ((x == v).sum() + 1) / 2 for v in x]) for x in (one, other)]
    assert found == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_what_does_not_fit_is_refused() -> None:
    assert rank_correlation(np.ones(1), np.ones(1)) is None
    with pytest.raises(ValueError, match="one value of each"):
        rank_correlation(np.ones(2), np.ones(3))
