"""The variance of a mean by group, against the obvious loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.clustered_variance import clustered_variance, group_numbers

VALUES = st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 6)), min_size=2, max_size=40)


@given(VALUES)
def test_it_is_the_formula(rows: list[tuple[float, int]]) -> None:
    values, groups = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found = clustered_variance(values, groups)
    names = set(groups.tolist())
    if len(names) == 1:
        assert found.variance is None
        return
    mean, total = values.mean(), 0.0
    for name in names:
        total += sum(x - mean for x, group in rows if group == name) ** 2
    expected = len(names) / (len(names) - 1) * total / len(rows) ** 2
    assert found.variance == pytest.approx(expected, abs=1e-9)
    assert 1 <= found.effective_groups <= found.groups + 1e-9


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40))
def test_without_groups_it_is_the_usual_variance_of_a_mean(values: list[float]) -> None:
    x = np.array(values)
    assert clustered_variance(x).variance == pytest.approx(x.var(ddof=1) / len(x), abs=1e-12)


def test_repeating_every_item_adds_no_knowledge() -> None:
    x = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    ten = clustered_variance(np.repeat(x, 10), np.repeat(np.arange(5), 10))
    assert ten.variance == pytest.approx(clustered_variance(x).variance)
    assert (ten.items, ten.groups, ten.effective_groups) == (50, 5, 5.0)


def test_unequal_groups_are_worth_fewer() -> None:
    found = clustered_variance(np.zeros(12), np.array(["a"] * 10 + ["b", "c"]))
    assert found.effective_groups == pytest.approx(144 / 102)


def test_nothing_and_one_group_have_no_variance() -> None:
    assert clustered_variance(np.empty(0)).variance is None
    assert clustered_variance(np.ones(1)).variance is None
    assert clustered_variance(np.arange(4.0), np.zeros(4)).variance is None


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one an item"):
        group_numbers(np.zeros(3), 4)
