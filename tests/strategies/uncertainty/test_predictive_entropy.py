"""Predictive entropy: the entropy of the members' mean."""

import numpy as np
from hypothesis import given
from numpy.testing import assert_allclose

from strategies import Pool, score
from strategies.uncertainty.predictive_entropy import predictive_entropy
from tests.strategies.uncertainty.generated import entropy_of, generated_members


@given(generated_members())
def test_is_the_entropy_of_the_mean_and_at_least_the_mean_of_the_entropies(
    members: np.ndarray,
) -> None:
    scores = predictive_entropy(members)
    assert_allclose(scores, [entropy_of(p) for p in members.mean(axis=0)], atol=1e-12)
    own = np.mean([[entropy_of(p) for p in member] for member in members], axis=0)
    assert (scores >= own - 1e-12).all()
    assert (scores <= np.log(members.shape[2]) + 1e-12).all()


@given(generated_members(most=(1, 6, 5)))
def test_of_one_member_it_is_that_members_entropy(members: np.ndarray) -> None:
    assert_allclose(
        predictive_entropy(members), score("entropy", Pool(probabilities=members[0])), atol=1e-12
    )


def test_members_whose_mean_is_uniform_reach_the_highest_value() -> None:
    assert_allclose(predictive_entropy(np.eye(3)[:, np.newaxis]), [np.log(3)])
