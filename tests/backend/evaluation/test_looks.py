"""Looks are planned: few, at doublings, sharing one error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.looks import due_look, extend_plan, plan_looks


def test_looks_double_and_share_alpha() -> None:
    plan = plan_looks(50, 500)
    assert plan.at == (50, 100, 200, 400)
    assert plan.alphas == (0.0125,) * 4


def test_there_is_always_one_look() -> None:
    assert plan_looks(50, 10).at == (50,)


def test_a_look_is_due_only_once_the_labels_have_doubled() -> None:
    plan = plan_looks(50, 500)
    assert due_look(plan, 49, 0) is None
    assert due_look(plan, 50, 0) == 0
    assert due_look(plan, 99, 1) is None
    assert due_look(plan, 100, 1) == 1
    assert due_look(plan, 10_000, 4) is None


def test_looks_passed_at_once_lapse_but_for_the_latest() -> None:
    assert due_look(plan_looks(50, 500), 250, 0) == 2


def test_a_greater_budget_shares_what_is_left() -> None:
    plan = plan_looks(50, 200)  # three looks
    longer = extend_plan(plan, 1, 800)
    assert longer.at == (50, 100, 200, 400, 800)
    assert longer.alphas[0] == pytest.approx(0.05 / 3)
    assert longer.alphas[1:] == pytest.approx((0.05 * 2 / 3 / 4,) * 4)


def test_when_all_is_spent_no_look_comes() -> None:
    plan = plan_looks(50, 200)
    assert extend_plan(plan, 3, 3_200) == plan
    assert due_look(extend_plan(plan, 3, 3_200), 3_200, 3) is None


def test_a_smaller_budget_gives_what_is_left_to_fewer() -> None:
    shorter = extend_plan(plan_looks(50, 800), 1, 100)
    assert shorter.at == (50, 100)
    assert shorter.alphas == pytest.approx((0.01, 0.04))


@given(
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 10_000)), min_size=1, max_size=5),
)
def test_changed_budgets_never_spend_more_than_alpha(
    first: int, changes: list[tuple[int, int]]
) -> None:
    plan = plan_looks(first, changes[0][1])
    taken = 0
    for more, most in changes:
        taken = min(len(plan.at), taken + more)
        spent = plan.alphas[:taken]
        plan = extend_plan(plan, taken, most)
        assert plan.alphas[:taken] == spent
        assert sum(plan.alphas) <= plan.alpha + 1e-12
        assert len(plan.at) == len(plan.alphas)


def test_what_cannot_be_planned_is_refused() -> None:
    for first, alpha in ((0, 0.05), (5, 0.0), (5, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            plan_looks(first, 100, alpha)
    with pytest.raises(ValueError, match="1 looks"):
        extend_plan(plan_looks(50, 10), 2, 100)
