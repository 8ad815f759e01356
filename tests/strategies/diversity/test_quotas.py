"""Seats for levels: a heap-free form of Webster's rule against the rule itself."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from strategies.diversity.quotas import ranks_within, seated


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=25),
    st.lists(st.integers(0, 6), min_size=5, max_size=5),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0]), min_size=5, max_size=5),
    st.permutations(range(5)),
)
def test_seats_are_given_one_by_one_by_the_lowest_quotient(
    levels: list[int], held: list[int], shares: list[float], priority: list[int]
) -> None:
    def quotient(level: int) -> tuple[float, int]:
        seats = held[level] + taken[level] + 0.5
        return (seats / shares[level] if shares[level] else np.inf, priority[level])

    taken = [0] * 5
    waiting = {level: [i for i, own in enumerate(levels) if own == level] for level in range(5)}
    expected = []
    while any(waiting.values()):
        best = min((level for level in range(5) if waiting[level]), key=quotient)
        expected.append(waiting[best].pop(0))
        taken[best] += 1
    found = seated(
        np.array(levels),
        len(levels),
        np.array(held, dtype=float),
        np.array(shares),
        np.array(priority),
    )
    assert found.tolist() == expected


def test_ranks_count_the_earlier_places_of_the_same_level() -> None:
    assert ranks_within(np.array([2, 0, 2, 2, 0])).tolist() == [0, 0, 1, 2, 1]
