"""The share of members that leave the majority."""

from collections import Counter

import numpy as np
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

from strategies.uncertainty.members_variation_ratio import members_variation_ratio
from tests.strategies.uncertainty.generated import generated_members


@given(generated_members())
def test_counts_the_votes(members: np.ndarray) -> None:
    count, n, classes = members.shape
    scores = members_variation_ratio(members)
    for i in range(n):
        votes = Counter(max(range(classes), key=lambda y, i=i, j=j: members[j, i, y])
                        for j in range(count))  # fmt: skip
        assert_allclose(scores[i], 1 - votes.most_common(1)[0][1] / count, atol=1e-12)
    assert (scores >= 0).all()
    assert (scores <= 1 - 1 / min(count, classes) + 1e-12).all()


@given(generated_members(most=(1, 6, 5)))
def test_one_member_always_agrees_with_itself(members: np.ndarray) -> None:
    assert_array_equal(members_variation_ratio(members), 0.0)
