"""Facility location: the plain loop's picks, and what greedy promises."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies import Pool, select
from strategies.diversity.facility_location import facility_location
from strategies.picks import COVERED, GAIN
from tests.strategies.coverage_oracle import clipped_cosine, clustered, greedy_loop


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("labelled_count", [0, 40])
@pytest.mark.parametrize("excluded_share", [0.0, 0.8])
def test_picks_are_those_of_the_plain_loop(
    dtype: type, labelled_count: int, excluded_share: float
) -> None:
    embeddings = clustered(500, 24, dtype)
    labelled = clustered(labelled_count, 24, dtype, seed=1)
    excluded = np.random.default_rng(2).random(500) < excluded_share
    pool = Pool(embeddings=embeddings, labelled_embeddings=labelled, excluded=excluded)
    expected, _ = greedy_loop(
        embeddings, 60, clipped_cosine, labelled=labelled, eligible=np.flatnonzero(~excluded)
    )
    assert select("facility_location", pool, 60).tolist() == expected


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=8),
    st.integers(1, 4),
)
def test_reaches_at_least_what_greedy_guarantees_of_the_optimum(
    points: list[tuple[int, int]], size: int
) -> None:
    embeddings = np.array(points, dtype=np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = np.where(lengths > 0, embeddings / np.where(lengths > 0, lengths, 1.0), 0.0)
    similarity = np.maximum(unit @ unit.T, 0.0)
    size = min(size, len(points))
    optimum = max(
        similarity[list(chosen)].max(axis=0).mean()
        for chosen in combinations(range(len(points)), size)
    )
    found = facility_location(embeddings, np.arange(len(points)), size)
    reached = similarity[found.indices].max(axis=0).mean()
    assert_allclose(found.details[GAIN].sum(), reached, atol=1e-9)
    assert reached >= (1.0 - (1.0 - 1.0 / size) ** size) * optimum - 1e-9


def test_a_negative_cosine_is_no_coverage() -> None:
    rows = np.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])
    found = facility_location(rows, np.arange(3), 3)
    assert found.indices.tolist() == [0, 2, 1]
    assert found.details[COVERED].tolist() == [2, 1, 0]
    assert_allclose(found.details[GAIN], [2 / 3, 1 / 3, 0])


def test_a_row_of_zeros_covers_nothing_and_comes_last() -> None:
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    assert select("facility_location", Pool(embeddings=rows), 3).tolist() == [1, 2, 0]
