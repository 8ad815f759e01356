"""Boosts by hand against a plain sort of position over weight."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from strategies import Pool, names, parse, select
from strategies.boosts import best_boosted, boosted
from strategies.picks import GAIN, INCLUSION_PROBABILITY, Picks
from strategies.registry import REGISTRY
from tests.strategies.pools import full_fields

# A strategy that reads the weights itself draws by them: its own tests say how.
BOOSTED = [name for name in names() if "weights" not in REGISTRY[name].uses]
weight_lists = st.lists(
    st.sampled_from([0.0, 0.001, 0.5, 1.0, 1.0, 3.0, 50.0]), min_size=1, max_size=30
)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def by_key(ranking: list[int], weights: np.ndarray, size: int) -> list[int]:
    """The definition, written down: position over weight, then weight 0 in the ranking's order."""
    above = [index for index in ranking if weights[index] > 0]
    keys = {index: (place + 1) / weights[index] for place, index in enumerate(above)}
    zero = [index for index in ranking if weights[index] == 0]
    return (sorted(above, key=keys.__getitem__) + zero)[:size]


def fixed(ranking: list[int]) -> Any:
    """A strategy whose ranking is this one, whoever is eligible."""

    def rank(pool: Pool, count: int) -> Picks:
        open_items = set(pool.eligible.tolist())
        return Picks(np.array([i for i in ranking if i in open_items][:count], dtype=np.int64))

    return rank


@given(weight_lists, st.randoms(use_true_random=False), st.integers(1, 30))
def test_the_order_is_that_of_position_over_weight(
    weights: list[float], random: Any, size: int
) -> None:
    ranking = list(range(len(weights)))
    random.shuffle(ranking)
    pool, size = Pool(weights=np.array(weights)), min(size, len(weights))
    expected = by_key(ranking, np.array(weights), size)
    assert boosted(fixed(ranking), pool, size, whole=True).indices.tolist() == expected
    scores = -np.argsort(ranking).astype(np.float64)
    assert best_boosted(scores, pool, size, None).tolist() == expected


@given(st.lists(st.floats(0.5, 4.0), min_size=1, max_size=60), st.integers(1, 10))
def test_usual_weights_need_no_more_than_a_part_of_the_ranking(
    weights: list[float], size: int
) -> None:
    asked = []

    def rank(pool: Pool, count: int) -> Picks:
        asked.append(count)
        return fixed(list(range(len(weights))))(pool, count)

    pool, size = Pool(weights=np.array(weights)), min(size, len(weights))
    found = boosted(rank, pool, size).indices.tolist()
    # At most 4 over the lowest median 0.5, and four times that.
    assert max(asked) <= min(len(weights), 32 * size + 4)
    # Even the lowest weight beats whatever lies beyond four times the usual length.
    assert found == by_key(list(range(len(weights))), np.array(weights), size)


@given(weight_lists, st.integers(0, 29), st.floats(1.0, 100.0), st.integers(1, 30))
def test_a_boosted_item_never_moves_back(
    weights: list[float], which: int, factor: float, size: int
) -> None:
    which, size = which % len(weights), min(size, len(weights))
    more = np.array(weights)
    more[which] = max(more[which], 0.01) * factor
    ranking = list(range(len(weights)))
    places = []
    for given_weights in (np.array(weights), more):
        found = boosted(fixed(ranking), Pool(weights=given_weights), size, whole=True).indices
        places.append(found.tolist().index(which) if which in found else size)
    if weights[which] > 0:
        assert places[1] <= places[0]


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0, 7.0])
def test_equal_weights_change_nothing(name: str, weight: float) -> None:
    fields = full_fields(30)
    plain = parse(name).select_with_branches(Pool(**fields), 8, seeded(1))
    even = parse(name).select_with_branches(
        Pool(**fields, weights=np.full(30, weight)), 8, seeded(1)
    )
    if name in BOOSTED:
        assert_array_equal(even.indices, plain.indices)
        assert even.details == plain.details
    elif REGISTRY[name].scoring is None:
        chances = [
            sorted(detail[INCLUSION_PROBABILITY] for detail in found.details)
            for found in (plain, even)
        ]
        np.testing.assert_allclose(chances[1], chances[0])


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("size", [1, 5, 12, 30])
def test_weight_zero_comes_last(name: str, size: int) -> None:
    weights = np.where(np.arange(30) % 3 == 0, np.array([1.0, 4.0] * 15), 0.0)
    excluded = np.arange(30) == 6
    pool = Pool(**full_fields(30), weights=weights, excluded=excluded)
    found = select(name, pool, size, seeded())
    assert len(set(found.tolist())) == len(found) == min(size, 29)
    zero = weights[found] == 0.0
    assert (np.diff(zero.astype(int)) >= 0).all()
    assert (~zero).sum() == min(size, 9)


@pytest.mark.parametrize("name", [n for n in BOOSTED if REGISTRY[n].selecting is None])
def test_scores_are_moved_exactly(name: str) -> None:
    fields = full_fields(50)
    weights = seeded(5).choice([0.0, 0.2, 1.0, 3.0, 40.0], size=50)
    ranking = select(name, Pool(**fields), 50).tolist()
    found = select(name, Pool(**fields, weights=weights), 20)
    assert found.tolist() == by_key(ranking, weights, 20)


def test_few_items_above_zero_are_found_at_the_end_of_the_ranking() -> None:
    n = 5000
    weights = np.zeros(n)
    weights[[n - 3, n - 1]] = 1.0, 3.0
    pool = Pool(embeddings=seeded().normal(size=(n, 2)), weights=weights)
    assert set(select("k_center", pool, 2).tolist()) == {n - 1, n - 3}
    ranking = fixed(list(range(n)))
    assert boosted(ranking, pool, 3).indices.tolist() == [n - 1, n - 3, 0]


def test_extreme_weights_overflow_nothing() -> None:
    weights = np.array([1e-150, 1e150, 1.0, 1e140])
    found = boosted(fixed([0, 1, 2, 3]), Pool(weights=weights), 4, whole=True).indices
    assert found.tolist() == [1, 3, 2, 0]


def test_details_move_along_but_a_chance_no_longer_holds() -> None:
    def rank(pool: Pool, count: int) -> Picks:
        indices = pool.eligible[:count]
        details = {GAIN: 10.0 * indices, INCLUSION_PROBABILITY: np.full(count, 0.5)}
        return Picks(indices, details, tuple(f"b{i}" for i in indices), ("note",), ("warning",))

    found = boosted(rank, Pool(weights=np.array([1.0, 5.0, 0.0, 0.0])), 3)
    assert found.indices.tolist() == [1, 0, 2]
    assert {name: values.tolist() for name, values in found.details.items()} == {
        GAIN: [10.0, 0.0, 20.0]
    }
    assert found.branches == ("b1", "b0", "b2")
    assert (found.notes, found.warnings) == (("note",), ("warning",))
