"""Equal rows found, and samples that are even, weighted and free of chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies.kernels.facility_sample import distinct_rows, even_sample, inclusion


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30), st.data()
)
def test_each_different_row_is_stood_for_by_its_first_eligible_item(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    n = len(rows)
    eligible = sorted(data.draw(st.sets(st.integers(0, n - 1))))
    found = distinct_rows(np.array(rows, dtype=np.float32), np.array(eligible, dtype=np.int64))
    expected = set()
    for row in set(rows):
        alike = [i for i in range(n) if rows[i] == row]
        expected.add(next((i for i in alike if i in eligible), alike[0]))
    assert found.items.tolist() == sorted(expected)
    assert [rows[i] for i in found.items[found.group]] == rows


def test_negative_zero_equals_zero() -> None:
    rows = np.array([[0.0, 1.0], [-0.0, 1.0]])
    assert distinct_rows(rows, np.arange(2)).items.tolist() == [0]


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=60).map(np.array),
    st.integers(1, 70),
)
def test_inclusion_probabilities_sum_to_the_size_of_the_sample(
    weights: np.ndarray, size: int
) -> None:
    probabilities = inclusion(weights, size)
    assert (probabilities > 0.0).all()
    assert (probabilities <= 1.0 + 1e-12).all()
    assert_allclose(probabilities.sum(), min(size, len(weights)))
    order = np.argsort(weights, kind="stable")
    assert len(even_sample(order, probabilities)) == min(size, len(weights))


def test_half_of_a_sample_is_even_and_half_follows_the_weights() -> None:
    # Share of each of four: 1/8 + w / 2 of 10: 1/8, 1/8, 1/8, 5/8; times 2, the last is certain.
    assert_allclose(inclusion(np.array([0.0, 0.0, 0.0, 10.0]), 2), [1 / 3, 1 / 3, 1 / 3, 1.0])


@pytest.mark.parametrize("size", [1, 7, 50, 99, 100])
def test_an_even_sample_is_even_along_the_order(size: int) -> None:
    order = np.random.default_rng(0).permutation(100)
    places = np.argsort(order)[even_sample(order, inclusion(np.zeros(100), size))]
    gaps = np.diff(np.sort(places))
    assert len(places) == size
    assert_array_equal(np.abs(gaps - 100 / size) < 1.0, True)
