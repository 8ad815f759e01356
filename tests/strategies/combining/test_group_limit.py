"""At most so many items of a group in one batch, for every strategy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import MissingInputError, Pool, names, parse, score
from strategies.picks import INCLUSION_PROBABILITY
from strategies.registry import REGISTRY
from tests.strategies.pools import full_fields

# Strategies whose score of an item does not change with what is picked.
FIXED_SCORES = [
    name
    for name in names()
    if REGISTRY[name].selecting is None
    and not REGISTRY[name].uses & {"labels", "labelled_embeddings", "labelled_metadata"}
]


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def limited(member: Any, at_most: int) -> Any:
    return parse({"groups": {"at_most": at_most, "of": member}})


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize(("at_most", "size"), [(1, 5), (1, 40), (2, 12), (3, 40), (50, 40)])
def test_no_group_is_over_its_limit_and_the_batch_is_as_full_as_they_allow(
    name: str, at_most: int, size: int
) -> None:
    groups = np.array([f"patient {i}" for i in seeded(1).integers(6, size=40) ** 2 // 5])
    excluded = np.arange(40) % 7 == 0
    pool = Pool(**{**full_fields(40), "groups": groups}, excluded=excluded)
    found = limited(name, at_most).select(pool, size, seeded())
    counts = np.unique(groups[found], return_counts=True)[1]
    assert counts.max() <= at_most
    available = np.unique(groups[~excluded], return_counts=True)[1]
    assert len(found) == min(size, int(np.minimum(available, at_most).sum()))
    assert len(set(found.tolist())) == len(found)
    assert not excluded[found].any()


@pytest.mark.parametrize("name", FIXED_SCORES)
@settings(max_examples=15)
@given(
    groups=st.lists(st.integers(0, 5), min_size=25, max_size=25),
    at_most=st.integers(1, 4),
    size=st.integers(0, 25),
)
def test_the_order_of_the_scores_is_kept(
    name: str, groups: list[int], at_most: int, size: int
) -> None:
    fields = {**full_fields(25), "groups": np.array(groups)}
    expected: list[int] = []
    for index in np.argsort(-score(name, Pool(**fields)), kind="stable").tolist():
        alike = sum(groups[pick] == groups[index] for pick in expected)
        if len(expected) < size and alike < at_most:
            expected.append(index)
    assert limited(name, at_most).select(Pool(**fields), size).tolist() == expected


def test_a_limit_that_never_binds_changes_only_how_many_are_asked_for() -> None:
    pool = Pool(**{**full_fields(30), "groups": np.arange(30)})
    assert (
        limited("k_center", 1).select(pool, 8).tolist()
        == parse("k_center").select(pool, 8).tolist()
    )


def test_what_was_picked_counts_for_the_next_round() -> None:
    # One group holds the four outer points; only one of them may be taken.
    embeddings = np.array([[-10.0], [-9.0], [0.0], [1.0], [2.0], [9.0], [10.0]])
    groups = np.array([0, 0, 1, 2, 3, 0, 0])
    found = limited("k_center", 1).select(Pool(embeddings=embeddings, groups=groups), 7)
    assert len(found) == 4
    assert set(groups[found]) == {0, 1, 2, 3}


def test_few_large_groups_take_few_rounds() -> None:
    rounds = []
    parsed = limited("entropy", 1)
    original = type(parsed.member).pick

    class Counted(type(parsed.member)):  # type: ignore[misc]
        def pick(self, pool: Pool, size: int, rng: Any) -> Any:
            rounds.append(size)
            return original(self, pool, size, rng)

    object.__setattr__(parsed, "member", Counted(parsed.member.strategy))
    n = 20_000
    # The most uncertain items are of the same group: the worst case for a limit.
    chance = np.linspace(0.5, 1.0, n)
    pool = Pool(probabilities=np.column_stack([chance, 1.0 - chance]), groups=np.arange(n) // 200)
    found = parsed.select(pool, 1000)
    assert found.tolist() == list(range(0, n, 200))
    assert len(rounds) <= 10


def test_a_chance_of_the_member_no_longer_holds() -> None:
    pool = Pool(groups=np.array([0, 0, 0, 1]))
    found = limited("random", 1).select_with_branches(pool, 2, seeded())
    assert all(INCLUSION_PROBABILITY not in detail for detail in found.details)
    assert found.branches == ("random", "random")


def test_groups_are_needed() -> None:
    with pytest.raises(MissingInputError, match="needs groups"):
        limited("random", 1).select(Pool(size=3), 2, seeded())


def test_groups_of_mixed_types_are_told_apart_as_they_are_written() -> None:
    groups = np.array([1, "1", 2, "b"], dtype=object)
    assert len(limited("random", 1).select(Pool(groups=groups), 4, seeded())) == 3
