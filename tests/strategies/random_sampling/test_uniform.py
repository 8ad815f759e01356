"""Random sampling, uniform and by boosts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies import Pool, parse
from strategies.picks import INCLUSION_PROBABILITY
from tests.strategies.random_sampling.inclusion import assert_reported_exactly


def test_each_item_reports_its_chance() -> None:
    excluded = np.arange(10) < 2
    found = parse("random").select_with_branches(
        Pool(size=10, excluded=excluded), 4, np.random.default_rng(0)
    )
    assert [detail[INCLUSION_PROBABILITY] for detail in found.details] == [0.5] * 4


def test_boosts_are_proportional_chances() -> None:
    weights = np.array([1.0, 2.0, 4.0, 0.5, 0.0, 40.0, 1.0, 1.0])
    excluded = np.arange(8) == 7
    probabilities = assert_reported_exactly("random", Pool(weights=weights, excluded=excluded), 3)
    # Item 5 is certain; two seats among 1 + 2 + 4 + 0.5 + 1 = 8.5.
    assert_allclose(probabilities, [2 / 8.5, 4 / 8.5, 8 / 8.5, 1 / 8.5, 0, 1, 2 / 8.5, 0])


def test_equal_boosts_leave_chances_equal() -> None:
    probabilities = assert_reported_exactly("random", Pool(weights=np.full(6, 0.3)), 2)
    assert_allclose(probabilities, 1 / 3)


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 9.0]), min_size=1, max_size=12),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_what_has_weight_zero_comes_last(weights: list[float], size: int, seed: int) -> None:
    pool = Pool(weights=np.array(weights))
    found = parse("random").select(pool, size, np.random.default_rng(seed))
    zero = pool.weights[found] == 0.0  # type: ignore[index]
    assert (np.diff(zero.astype(int)) >= 0).all()
    assert (~zero).sum() == min(size, sum(weight > 0 for weight in weights))


def test_the_weighted_total_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(10.0, 3.0, size=30), rng.gamma(1.0, size=30)
    pool, estimates = Pool(weights=weights), []
    for _ in range(2000):
        found = parse("random").select_with_branches(pool, 8, rng)
        chances = np.array([detail[INCLUSION_PROBABILITY] for detail in found.details])
        estimates.append(float((values[found.indices] / chances).sum()))
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - values.sum()) < 5 * error
