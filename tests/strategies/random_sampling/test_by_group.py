"""Random sampling of whole groups."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies import Pool, parse
from tests.strategies.random_sampling.inclusion import assert_reported_exactly

GROUPS = np.repeat(["p", "q", "r", "s"], [1, 2, 4, 5])


def test_every_item_has_the_same_chance_whatever_the_size_of_its_group() -> None:
    found = assert_reported_exactly("random_groups", Pool(groups=GROUPS), 5)
    assert_allclose(found, 5 / 12)


def test_boosts_lift_whole_groups() -> None:
    weights = np.ones(12)
    weights[1] = 5.0
    found = assert_reported_exactly("random_groups", Pool(groups=GROUPS, weights=weights), 4)
    # The mean weight of q is 3: 4 / (1 + 6 + 4 + 5) of each weight.
    assert_allclose(found, np.repeat([0.25, 0.75, 0.25, 0.25], [1, 2, 4, 5]))


def test_groups_of_equal_size_are_whole_and_side_by_side() -> None:
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 10))
    rng = np.random.default_rng(1)
    found = parse("random_groups").select_with_branches(Pool(groups=groups), 50, rng)
    drawn = groups[found.indices]
    assert len(set(drawn.tolist())) == 5
    assert np.count_nonzero(np.diff(drawn)) == 4
    for index, detail in zip(found.indices, found.details, strict=True):
        assert detail == {
            "level": str(groups[index]),
            "quota": 10,
            "inclusion_probability": 50 / 300,
        }


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(1, 30), st.integers(0, 999)
)
def test_at_most_one_group_is_cut(numbers: list[int], size: int, seed: int) -> None:
    groups = np.array(numbers)
    rng = np.random.default_rng(seed)
    excluded = rng.random(len(groups)) < 0.2
    pool = Pool(groups=groups, excluded=excluded)
    found = parse("random_groups").select(pool, size, rng)
    assert len(set(found.tolist())) == min(size, len(pool.eligible))
    cut = [
        group
        for group in set(groups[found].tolist())
        if (groups[found] == group).sum() < (groups[pool.eligible] == group).sum()
    ]
    assert len(cut) <= 1


def test_what_has_weight_zero_comes_last() -> None:
    weights = np.where(np.arange(12) % 2 == 0, 1.0, 0.0)
    pool = Pool(groups=GROUPS, weights=weights)
    found = parse("random_groups").select(pool, 9, np.random.default_rng(0))
    assert sorted(found[:6]) == [0, 2, 4, 6, 8, 10]
