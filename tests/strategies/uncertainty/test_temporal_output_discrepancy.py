"""How far the last round of training moved a prediction."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

from strategies import MissingInputError, Pool, score
from strategies.uncertainty.temporal_output_discrepancy import temporal_output_discrepancy
from tests.strategies.uncertainty.generated import generated_members


@given(generated_members(most=(2, 6, 5), least=2))
def test_is_half_the_squared_distance_whichever_round_came_first(members: np.ndarray) -> None:
    now, before = members
    scores = temporal_output_discrepancy(now, before)
    expected = [0.5 * sum((x - y) ** 2 for x, y in zip(p, q, strict=True))
                for p, q in zip(now, before, strict=True)]  # fmt: skip
    assert_allclose(scores, expected, atol=1e-15)
    assert_array_equal(temporal_output_discrepancy(before, now), scores)
    assert ((scores >= 0.0) & (scores <= 1.0 + 1e-12)).all()


def test_a_model_that_did_not_change_gives_0_and_a_full_change_1() -> None:
    sure = np.eye(2)
    assert_array_equal(temporal_output_discrepancy(sure, sure), [0.0, 0.0])
    assert_array_equal(temporal_output_discrepancy(sure, sure[::-1]), [1.0, 1.0])


def test_the_two_rounds_may_differ_in_precision() -> None:
    now, before = np.array([[0.8, 0.2]], dtype=np.float32), np.array([[0.6, 0.4]])
    assert_allclose(temporal_output_discrepancy(now, before), [0.04], rtol=1e-6)


def test_the_first_round_has_none_before_it() -> None:
    with pytest.raises(MissingInputError, match="previous_probabilities"):
        score("temporal_output_discrepancy", Pool(probabilities=np.eye(2)))
