"""The spread of the members' probabilities."""

import statistics

import numpy as np
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

from strategies.uncertainty.mean_standard_deviation import mean_standard_deviation
from tests.strategies.uncertainty.generated import generated_members


@given(generated_members())
def test_is_the_mean_over_classes_of_the_population_standard_deviation(
    members: np.ndarray,
) -> None:
    _, n, classes = members.shape
    scores = mean_standard_deviation(members)
    for i in range(n):
        spreads = [statistics.pstdev(members[:, i, y].tolist()) for y in range(classes)]
        assert_allclose(scores[i], statistics.fmean(spreads), atol=1e-12)
    assert (scores >= 0.0).all()
    assert (scores <= 0.5 + 1e-12).all()


@given(generated_members())
def test_is_exactly_0_where_the_members_agree(members: np.ndarray) -> None:
    agreeing = np.repeat(members[:1], 3, axis=0)
    assert_array_equal(mean_standard_deviation(agreeing), np.zeros(members.shape[1]))


def test_two_members_sure_of_the_two_classes_reach_the_highest_value() -> None:
    assert_allclose(mean_standard_deviation(np.eye(2)[:, np.newaxis]), [0.5])


def test_a_tiny_spread_around_a_large_probability_keeps_its_digits() -> None:
    offsets = np.array([-1e-9, 1e-9])
    members = np.stack([0.9 + offsets, 0.1 - offsets], axis=1)[:, np.newaxis]
    assert_allclose(mean_standard_deviation(members), [1e-9], rtol=1e-6)
