"""Rounds are cut into blocks by the counts of control labels alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.control_blocks import Block, control_blocks

COUNTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=40)


def test_equal_rounds_make_equal_blocks() -> None:
    blocks = control_blocks([5] * 20, [45] * 20, blocks=5)
    assert blocks == tuple(Block(4 * b, 4 * b + 3, 20) for b in range(5))


def test_a_round_is_never_cut() -> None:
    assert len(control_blocks([5] * 8, [45] * 8, blocks=20)) == 8
    assert control_blocks([0, 0, 30], [9, 9, 9]) == (Block(0, 2, 27),)


def test_the_fewer_of_both_decide_the_size() -> None:
    assert [b.size for b in control_blocks([5, 5], [3, 45], blocks=2)] == [3, 5]


def test_a_block_without_picks_is_left_out() -> None:
    assert control_blocks([5, 5], [0, 45], blocks=2) == (Block(1, 1, 5),)


@given(COUNTS, st.integers(1, 30))
def test_blocks_are_disjoint_in_order_and_no_more_than_asked(
    rounds: list[tuple[int, int]], blocks: int
) -> None:
    control, picks = [r[0] for r in rounds], [r[1] for r in rounds]
    found = control_blocks(control, picks, blocks)
    assert len(found) <= blocks
    end = -1
    for block in found:
        assert end < block.first <= block.last < len(rounds)
        end = block.last
        part = slice(block.first, block.last + 1)
        assert 0 < block.size == min(sum(control[part]), sum(picks[part]))
    if sum(control) and all(picks):
        assert sum(sum(control[b.first : b.last + 1]) for b in found) == sum(control)


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one count each"):
        control_blocks([1], [1, 2])
