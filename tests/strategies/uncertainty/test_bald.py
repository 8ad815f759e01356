"""BALD: the information of a label about the members."""

import numpy as np
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, score
from strategies.uncertainty.bald import bald
from tests.strategies.uncertainty.generated import entropy_of, generated_members


@given(generated_members())
def test_is_the_plain_double_loop(members: np.ndarray) -> None:
    count, n, _ = members.shape
    expected = [
        entropy_of(members[:, i].mean(axis=0))
        - sum(entropy_of(members[j, i]) for j in range(count)) / count
        for i in range(n)
    ]
    assert_allclose(bald(members), expected, atol=1e-12)


@given(generated_members())
def test_lies_between_0_and_what_the_members_or_the_classes_can_hold(members: np.ndarray) -> None:
    count, _, classes = members.shape
    scores = bald(members)
    assert (scores >= 0.0).all()
    assert (scores <= np.log(min(count, classes)) + 1e-12).all()


@given(generated_members())
def test_is_exactly_0_where_the_members_agree(members: np.ndarray) -> None:
    agreeing = np.repeat(members[:1], 3, axis=0)
    assert_array_equal(bald(agreeing), np.zeros(members.shape[1]))
    assert_array_equal(bald(agreeing.astype(np.float32)), np.zeros(members.shape[1]))


@given(generated_members())
def test_with_the_members_own_entropies_it_makes_the_predictive_entropy(
    members: np.ndarray,
) -> None:
    pool = Pool(members=members)
    own = [[entropy_of(p) for p in member] for member in members]
    assert_allclose(
        score("bald", pool) + np.mean(own, axis=0), score("predictive_entropy", pool), atol=1e-12
    )


def test_members_that_are_sure_of_different_classes_reach_the_highest_value() -> None:
    assert_allclose(bald(np.eye(4)[:, np.newaxis]), [np.log(4)])


def test_a_pool_of_several_blocks_gives_each_item_the_score_it_has_alone() -> None:
    members = np.random.default_rng(0).dirichlet(np.ones(50), size=(20, 3000))
    scores = bald(members)
    for item in (0, 1047, 1048, 1049, 2999):
        assert_array_equal(bald(members[:, item : item + 1]), scores[item : item + 1])


def test_single_precision_gives_the_same_scores_to_its_accuracy() -> None:
    members = np.random.default_rng(0).dirichlet(np.ones(10), size=(20, 200))
    assert_allclose(bald(members.astype(np.float32)), bald(members), atol=1e-6)
