"""A share of hits: known intervals, groups, and what is said of very little."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.clustered_proportion import proportion, wilson

GROUPED = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=60)


def test_without_groups_it_is_wilson() -> None:
    found = proportion(np.arange(100) < 80)
    assert (found.value, found.items, found.effective_items) == (0.8, 100, 100.0)
    assert (found.low, found.high) == pytest.approx((0.71117, 0.86663), abs=1e-5)


def test_groups_of_one_are_no_groups() -> None:
    hits = np.arange(30) % 3 > 0
    assert proportion(hits, np.arange(30)) == proportion(hits)


def test_effective_items_follow_the_formula() -> None:
    """20 patients of 5 slices, half of them all right and half right in 2 of 5."""
    hits = np.concatenate([np.ones(50), np.tile([1, 1, 0, 0, 0], 10)]).astype(bool)
    found = proportion(hits, np.repeat(np.arange(20), 5))
    v = 20 / 19 * 20 * 1.5**2 / 100**2  # every k_g is 1.5 from p·m_g = 3.5
    assert found.effective_items == pytest.approx(0.7 * 0.3 / v)
    low, high = wilson(0.7, 0.7 * 0.3 / v, 2.093024)  # Student's quantile with 19 degrees
    assert (found.low, found.high) == pytest.approx((low, high))


def test_groups_that_are_more_alike_than_chance_are_not_worth_more() -> None:
    hits = np.tile([True, True, True, False], 25)
    found = proportion(hits, np.repeat(np.arange(25), 4))
    assert found.effective_items == 100
    assert (found.low, found.high) == (proportion(hits).low, proportion(hits).high)


def test_all_right_is_worth_the_number_of_groups() -> None:
    found = proportion(np.ones(100, bool), np.repeat(np.arange(10), 10))
    assert (found.value, found.high, found.effective_items) == (1.0, 1.0, 10.0)
    assert found.low < proportion(np.ones(10, bool)).low + 1e-9


def test_errors_of_few_groups_leave_their_correlation_open() -> None:
    """One slice of one patient is wrong: v is tiny, n_eff is G + (n - G)/10 all the same."""
    hits = np.ones(200, bool)
    hits[7] = False
    found = proportion(hits, np.repeat(np.arange(20), 10))
    assert found.effective_items == pytest.approx(20 + 180 / 10)


def test_one_group_gives_a_value_without_an_interval() -> None:
    found = proportion(np.array([True, False, True, True]), np.zeros(4))
    assert (found.value, found.low, found.high) == (0.75, None, None)
    assert "one group" in found.reason


def test_nothing_gives_nothing() -> None:
    found = proportion(np.empty(0, bool))
    assert (found.value, found.low, found.high, found.items) == (None, None, None, 0)
    assert found.reason == "nothing is labelled yet"
    assert json.loads(json.dumps(asdict(found)))["value"] is None


@given(GROUPED)
def test_an_interval_lies_in_0_to_1_around_the_share(rows: list[tuple[bool, int]]) -> None:
    found = proportion(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))
    if found.low is None:
        assert found.groups == 1
        return
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert 0 < found.effective_items <= found.items
    json.dumps(asdict(found), allow_nan=False)


@given(GROUPED)
def test_groups_never_narrow_the_interval_of_independent_items(
    rows: list[tuple[bool, int]],
) -> None:
    hits = np.array([r[0] for r in rows])
    found, plain = proportion(hits, np.array([r[1] for r in rows])), proportion(hits)
    if found.low is not None:
        assert found.high - found.low >= plain.high - plain.low - 1e-9


@given(GROUPED)
def test_hits_and_errors_are_treated_alike(rows: list[tuple[bool, int]]) -> None:
    hits, groups = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    one, two = proportion(hits, groups), proportion(~hits, groups)
    if one.low is not None:
        assert (one.low, one.high) == pytest.approx((1 - two.high, 1 - two.low))


def test_hits_and_errors_are_treated_alike_when_the_variance_is_that_of_single_items() -> None:
    groups = np.array([0, 1, 2, 2, 2, 3, 3, 4, 4, 5, 0, 1])
    hits = np.arange(12) >= 10
    one, two = proportion(hits, groups), proportion(~hits, groups)
    assert (one.low, one.high) == pytest.approx((1 - two.high, 1 - two.low))


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, math.nan])
def test_levels_outside_0_to_1_are_refused(level: float) -> None:
    for hits in (np.empty(0, bool), np.ones(4, bool)):
        with pytest.raises(ValueError, match="expected"):
            proportion(hits, level=level)
