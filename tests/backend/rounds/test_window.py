"""The window: what each position serves is decided once, and nothing is ever drawn again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.rounds.window import (
    Choice,
    Position,
    Stock,
    compose,
    is_holdout_position,
    is_random_position,
    with_current_roles,
)

SECRET = b"s" * 32


def best_first(tasks):
    """A strategy that likes small task numbers."""

    def choose(count, taken):
        free = [task for task in tasks if task not in taken]
        return [Choice(task, "margin", float(-task)) for task in free[:count]]

    return choose


def fresh(
    size=30, *, holdouts=(), control=range(1000, 1100), tasks=range(100), others=None, **changes
):
    others = tasks if others is None else others
    arguments = {
        "kept": [],
        "replaced": [],
        "next_ordinal": 0,
        "size": size,
        "holdout_rate": 1 / 3,
        "random_share": 0.2,
        "secret": SECRET,
        "stock": Stock(list(holdouts), [(task, 0.01) for task in control], set(others)),
        "choose": best_first(tasks),
    }
    return compose(**{**arguments, **changes})


HOLDOUTS = [(2000 + n, "test" if n % 2 else "validation") for n in range(40)]


def test_one_position_in_three_serves_a_holdout_in_order_of_u_while_some_are_left():
    window = fresh(holdouts=HOLDOUTS[:4])
    served = [p.ordinal for p in window if p.family in ("test", "validation")]
    assert served == [2, 5, 8, 11]
    assert [p.task_id for p in window if p.ordinal in served] == [t for t, _ in HOLDOUTS[:4]]


@given(rate=st.floats(0, 1), count=st.integers(1, 500))
def test_the_holdout_rate_is_kept_at_every_length(rate, count):
    served = sum(is_holdout_position(ordinal, rate) for ordinal in range(count))
    assert abs(served - rate * count) < 1 + 1e-6


def test_the_coin_of_a_position_has_the_configured_probability_and_is_thrown_once():
    thrown = [is_random_position(n, 0.1, SECRET) for n in range(20_000)]
    assert 0.09 < sum(thrown) / len(thrown) < 0.11
    assert thrown == [is_random_position(n, 0.1, SECRET) for n in range(20_000)]
    assert thrown != [is_random_position(n, 0.1, b"another secret") for n in range(20_000)]


def test_holdouts_and_random_picks_are_blind_and_strategy_picks_are_not():
    window = fresh(holdouts=HOLDOUTS)
    assert {p.family for p in window} == {"test", "validation", "random", "strategy"}
    assert all(p.blind == (p.family != "strategy") for p in window)


def test_random_picks_come_in_order_of_u_and_record_their_inclusion_probability():
    window = fresh(size=60)
    drawn = [p for p in window if p.family == "random"]
    assert [p.task_id for p in drawn] == list(range(1000, 1000 + len(drawn)))
    assert all(p.probability == pytest.approx(1 / 100) for p in drawn)


def test_a_new_ranking_replaces_strategy_picks_only_and_keeps_the_others_in_their_order():
    first = fresh(holdouts=HOLDOUTS)
    answered = {p.ordinal for p in first[:7]}
    left = [p for p in first if p.ordinal not in answered]
    second = fresh(
        kept=[p for p in left if p.family != "strategy"],
        replaced=[p.ordinal for p in left if p.family == "strategy"],
        next_ordinal=30,
        holdouts=HOLDOUTS,
        tasks=range(50, 100),
    )
    carried = [p for p in left if p.family != "strategy"]
    assert [p for p in second if p in carried] == carried
    assert len(second) == 30
    replaced = {p.ordinal for p in left if p.family == "strategy"}
    assert all(p.task_id >= 50 for p in second if p.ordinal in replaced)


@settings(max_examples=60)
@given(
    size=st.integers(1, 60),
    holdouts=st.integers(0, 40),
    tasks=st.integers(0, 80),
    control=st.integers(0, 30),
    rate=st.floats(0, 0.5),
    share=st.floats(0, 0.5),
)
def test_a_window_never_holds_a_task_twice_and_composes_the_same_again(
    size, holdouts, tasks, control, rate, share
):
    arguments = {
        "holdouts": HOLDOUTS[:holdouts],
        "control": range(1000, 1000 + control),
        "tasks": range(tasks),
        "holdout_rate": rate,
        "random_share": share,
    }
    window = fresh(size, **arguments)
    ids = [p.task_id for p in window]
    assert len(set(ids)) == len(ids) <= size
    assert [p.ordinal for p in window] == sorted({p.ordinal for p in window})
    assert window == fresh(size, **arguments)
    members = {task for task, _ in HOLDOUTS}
    assert not any(p.task_id in members for p in window if p.family in ("strategy", "random"))
    assert all((p.task_id >= 1000) == (p.family != "strategy") for p in window)


def test_the_control_fills_the_queue_when_only_it_is_left_open():
    window = fresh(size=10, control=range(1000, 1006), tasks=range(3))
    assert [p.family for p in window].count("strategy") == 3
    assert [p.task_id for p in window if p.family == "random"] == list(range(1000, 1006))


def test_a_part_of_the_strategys_picks_validates_and_is_blind():
    window = fresh(size=400, tasks=range(1000), control=[], rolling_share=0.1)
    rolling = [p for p in window if p.rolling]
    assert 20 < len(rolling) < 60
    assert all(p.blind and p.family == "strategy" for p in rolling)
    # Another coin than the random draw's: the one says nothing of the other.
    again = fresh(size=400, tasks=range(1000), control=[], rolling_share=0.1)
    assert [p.ordinal for p in again if p.rolling] == [p.ordinal for p in rolling]


def test_holdouts_fill_the_queue_when_nothing_else_is_left():
    window = fresh(size=10, holdouts=HOLDOUTS[:8], control=[], tasks=[])
    assert len(window) == 8


def test_a_queued_task_that_becomes_a_holdout_goes_blind_and_keeps_its_position():
    queued = [Position(4, "random", 7, "random", None, 0.01), Position(5, "strategy", 8, "margin")]
    changed = with_current_roles(queued, {7: "test", 8: "validation"})
    assert [(p.ordinal, p.family, p.blind) for p in changed] == [
        (4, "test", True),
        (5, "validation", True),
    ]


def test_a_smaller_window_gives_up_strategy_picks_and_keeps_what_was_drawn():
    first = fresh(size=30, holdouts=HOLDOUTS)
    second = fresh(
        size=15,
        kept=[p for p in first if p.family != "strategy"],
        replaced=[p.ordinal for p in first if p.family == "strategy"],
        next_ordinal=30,
        holdouts=HOLDOUTS,
    )
    drawn = [p for p in first if p.family != "strategy"]
    assert [p for p in second if p.family != "strategy"] == drawn
    assert len(second) == max(15, len(drawn))


def test_the_strategy_is_told_of_the_window_and_not_of_holdouts_that_wait():
    told = []

    def choose(count, taken):
        told.append(taken)
        return best_first(range(100))(count, taken)

    window = fresh(holdouts=HOLDOUTS, choose=choose)
    queued = {p.task_id for p in window if p.family in ("test", "validation")}
    assert 0 < len(queued) < len(HOLDOUTS)
    assert told[0] & {task for task, _ in HOLDOUTS} == queued


def test_a_strategy_that_takes_no_more_ends_the_window_so_that_the_shares_hold():
    """At most a few of each group: topping up again and again adds no random tasks instead."""
    kept = []
    for _ in range(10):
        ordinal = max((p.ordinal for p in kept), default=-1) + 1
        kept = fresh(size=60, kept=kept, next_ordinal=ordinal, holdouts=HOLDOUTS, tasks=range(12)
                     if not kept else [], others=range(50))  # fmt: skip
    families = [p.family for p in kept]
    assert families.count("strategy") == 12
    assert len(kept) < 40
    assert kept == fresh(size=60, holdouts=HOLDOUTS, tasks=range(12), others=range(50))
