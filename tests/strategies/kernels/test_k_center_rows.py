"""The bound of the quick distances' error: never exceeded, in either precision."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.kernels.k_center_rows import PlacedRows, square_distances


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([0.0, 1.0, 1000.0]),
    st.sampled_from([1e-12, 1.0, 1e12]),
    st.booleans(),
)
def test_quick_distances_are_off_by_less_than_the_bound(
    seed: int, dimensions: int, dtype: type, offset: float, unit: float, unit_length: bool
) -> None:
    rng = np.random.default_rng(seed)
    points = (unit * (offset + rng.standard_t(2, size=(40, dimensions)))).astype(dtype)
    longest = float(np.sqrt(np.square(points.astype(np.float64)).sum(axis=1).max()))
    rows = PlacedRows(points, rng.permutation(40), unit_length, longest)
    quick, norms = rows.quick, rows.square_norms
    found = (norms - 2 * (quick @ quick.T) + norms[:, None]).astype(np.float64)
    exact = rows.exact(np.arange(40))
    true = np.stack([square_distances(exact, row) for row in exact])
    bound = rows.frame.error(np.float32, rows.radius) * rows.frame.unit**2
    assert np.abs(found * rows.frame.unit**2 - true).max() <= bound


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_the_middle_item_is_the_one_of_a_plain_search(seed: int, rows: int) -> None:
    points = np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32)
    order = np.random.default_rng(seed + 1).permutation(rows)
    placed = PlacedRows(points, order, False, 100.0)
    exact = points.astype(np.float64)
    expected = int(np.argmin(np.square(exact - exact.mean(axis=0)).sum(axis=1)))
    assert order[placed.nearest_to_mean()] == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_pairs_have_equal_distances_wherever_they_stand(dtype: type) -> None:
    points = np.random.default_rng(0).normal(size=(1, 391)).astype(dtype)
    rows = PlacedRows(np.repeat(points, 50, axis=0), np.arange(50), True, 100.0)
    other = np.random.default_rng(1).normal(size=391)
    together = square_distances(rows.exact(np.arange(50)), other)
    alone = [square_distances(rows.exact(np.array([i])), other)[0] for i in range(50)]
    assert (together == together[0]).all()
    assert (np.array(alone) == together[0]).all()
