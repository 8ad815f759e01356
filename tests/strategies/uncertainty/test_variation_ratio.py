"""The variation ratio of one prediction."""

import numpy as np
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, score
from tests.strategies.uncertainty.generated import generated_members


@given(generated_members(most=(1, 6, 5)))
def test_is_the_share_off_the_mode_which_is_least_confidence(members: np.ndarray) -> None:
    pool = Pool(probabilities=members[0])
    scores = score("variation_ratio", pool)
    assert_allclose(scores, [1 - max(p) for p in members[0]], atol=1e-12)
    assert_array_equal(scores, score("least_confidence", pool))
