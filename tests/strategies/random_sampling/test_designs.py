"""Designs with exact inclusion probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies.random_sampling.designs import (
    capped_shares,
    inclusion_probabilities,
    pivotal,
    systematic,
)

positive = st.floats(1e-3, 1e3)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=12), st.floats(0.0, 1.0))
def test_shares_are_proportional_up_to_their_caps(
    pairs: list[tuple[float, float]], part: float
) -> None:
    measures, caps = np.array(pairs).T
    total = part * caps.sum()
    shares = capped_shares(measures, total, caps)
    assert_allclose(shares.sum(), total, rtol=1e-9, atol=1e-12)
    assert (shares <= caps * (1 + 1e-12)).all()
    free = shares < caps * (1 - 1e-9)
    if free.any():
        factors = shares[free] / measures[free]
        assert_allclose(factors, factors[0], rtol=1e-9)
        # Whoever is capped would have got no less than the cap.
        assert (factors[0] * measures[~free] >= caps[~free] * (1 - 1e-6)).all()


def test_inclusion_probabilities_by_hand() -> None:
    # 8 would get 4 * 8/11 > 1: certain; the other three share two in the ratio 1 : 1 : 1.
    found = inclusion_probabilities(np.array([8.0, 1.0, 1.0, 1.0]), 3)
    assert_allclose(found, [1.0, 2 / 3, 2 / 3, 2 / 3])
    # Weights above 0 leave two seats to the four of weight 0.
    found = inclusion_probabilities(np.array([0.0, 2.0, 0.0, 0.0, 1.0, 0.0]), 4)
    assert_allclose(found, [0.5, 1.0, 0.5, 0.5, 1.0, 0.5])
    assert_allclose(inclusion_probabilities(np.zeros(5), 2), 0.4)
    assert_allclose(inclusion_probabilities(np.array([1e-300, 1e300]), 1), [0.0, 1.0], atol=1e-12)


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 50.0]), min_size=1, max_size=15),
    st.integers(0, 15),
    st.integers(0, 99),
)
def test_systematic_sampling_gives_the_size_and_rounds_every_run(
    weights: list[float], size: int, seed: int
) -> None:
    size = min(size, len(weights))
    rng = np.random.default_rng(seed)
    probabilities = inclusion_probabilities(np.array(weights), size)
    assert_allclose(probabilities.sum(), size)
    order = rng.permutation(len(weights))
    found = systematic(probabilities, order, size, rng)
    assert len(set(found.tolist())) == len(found) == size
    assert set(np.flatnonzero(probabilities >= 1.0)) <= set(found)
    taken = np.isin(order, found)
    uncertain = probabilities[order] < 1.0
    sums = np.concatenate([[0.0], np.cumsum(probabilities[order][uncertain])])
    counts = np.concatenate([[0], np.cumsum(taken[uncertain])])
    for start in range(len(sums)):
        for end in range(start, len(sums)):
            exact = sums[end] - sums[start]
            assert np.floor(exact - 1e-9) <= counts[end] - counts[start] <= np.ceil(exact + 1e-9)


def test_systematic_sampling_keeps_the_probabilities() -> None:
    probabilities = inclusion_probabilities(np.array([5.0, 1.0, 2.0, 0.5, 1.5, 30.0]), 3)
    rng = np.random.default_rng(0)
    times = np.zeros(6)
    for _ in range(4000):
        times[systematic(probabilities, rng.permutation(6), 3, rng)] += 1
    deviation = np.sqrt(4000 * probabilities * (1 - probabilities))
    assert (np.abs(times - 4000 * probabilities) <= 5 * deviation).all()


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(0.0, 1.0)), min_size=1, max_size=15),
    st.integers(0, 99),
)
def test_the_pivotal_method_leaves_at_most_one_count_between(
    pairs: list[tuple[int, float]], seed: int
) -> None:
    caps = np.array([cap for cap, _ in pairs], dtype=float)
    expected = caps * np.array([share for _, share in pairs])
    counts = pivotal(expected, caps, np.random.default_rng(seed))
    assert_allclose(counts.sum(), expected.sum(), atol=1e-9)
    assert ((counts >= 0) & (counts <= caps)).all()
    assert ((counts > 1e-9) & (counts < caps - 1e-9)).sum() <= 1


@pytest.mark.parametrize("expected", [[1.0, 2.5, 0.5, 2.0], [0.1, 0.1, 0.1, 5.7]])
def test_the_pivotal_method_keeps_the_means(expected: list[float]) -> None:
    caps = np.array([3.0, 4.0, 1.0, 6.0])
    rng = np.random.default_rng(0)
    draws = np.array([pivotal(np.array(expected), caps, rng) for _ in range(4000)])
    deviation = draws.std(axis=0) / np.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - expected) <= 5 * deviation + 1e-12).all()
