"""Hold-outs: permanent numbers, exact sizes, membership that nothing but the number decides."""

import hashlib
import hmac
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.evaluation.holdout import draw_holdout, holdout_sizes, permanent_random_number

SECRET = b"a project's secret"
KEYS = [str(number) for number in range(1_000)]

distinct_keys = st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=40)


def test_a_tasks_number_is_a_published_function_of_secret_and_key() -> None:
    digest = hmac.new(SECRET, b"task 17", hashlib.sha256).hexdigest()
    expected = int(digest[:16], 16) / 2**64
    assert permanent_random_number(SECRET, "task 17") == pytest.approx(expected, abs=2**-52)
    assert permanent_random_number(SECRET, "task 17") == 0.48078806228514215
    assert permanent_random_number(b"another", "task 17") != 0.48078806228514215


def test_numbers_are_uniform() -> None:
    numbers = sorted(permanent_random_number(SECRET, key) for key in KEYS)
    assert all(0 <= number < 1 for number in numbers)
    # Kolmogorov-Smirnov distance; 1.95 / sqrt(n) is exceeded once in a thousand secrets
    gaps = [abs(number - (rank + 0.5) / 1_000) for rank, number in enumerate(numbers)]
    assert max(gaps) < 1.95 / 1_000**0.5


@settings(max_examples=60)
@given(distinct_keys, st.integers(0, 30), st.integers(0, 30), st.integers(0, 99))
def test_membership_depends_on_neither_order_nor_anything_but_the_number(
    keys: list[str], test_size: int, validation_size: int, seed: int
) -> None:
    holdout = draw_holdout(keys, SECRET, test_size, validation_size)
    shuffled = Random(seed).sample(keys, len(keys))
    again = draw_holdout(shuffled, SECRET, test_size, validation_size)
    assert [keys[i] for i in holdout.test] == [shuffled[i] for i in again.test]
    assert [keys[i] for i in holdout.validation] == [shuffled[i] for i in again.validation]
    assert holdout.test_interval == again.test_interval
    assert len(holdout.test) == min(test_size, len(keys))
    assert len(holdout.validation) == min(validation_size, len(keys) - len(holdout.test))
    for index, key in enumerate(keys):
        u = permanent_random_number(SECRET, key)
        assert (u in holdout.test_interval) == (index in holdout.test)
        assert (u in holdout.validation_interval) == (index in holdout.validation)


@settings(max_examples=60)
@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(0, 20), st.integers(0, 20))
def test_a_group_is_never_split_and_sizes_are_never_exceeded(
    groups: list[str], test_size: int, validation_size: int
) -> None:
    holdout = draw_holdout(groups, SECRET, test_size, validation_size)
    assert len(holdout.test) <= test_size
    assert len(holdout.validation) <= validation_size
    test = {groups[index] for index in holdout.test}
    validation = {groups[index] for index in holdout.validation}
    rest = set(range(len(groups))) - set(holdout.test) - set(holdout.validation)
    assert not test & validation
    assert not (test | validation) & {groups[index] for index in rest}


def test_a_larger_test_split_keeps_the_members_of_a_smaller_one() -> None:
    small, large = (draw_holdout(KEYS, SECRET, size, 0) for size in (50, 100))
    assert large.test[:50] == small.test


@pytest.mark.parametrize(
    ("budget", "pool", "expected"),
    [
        (5_000, 10_000, (100, 50)),  # as wished
        (None, 10_000, (100, 50)),
        (200, 10_000, (40, 20)),  # 20 % and 10 % of the budget
        (5_000, 100, (33, 17)),  # half of the pool
        (3, 10_000, (0, 0)),
        (5_000, 0, (0, 0)),
        (5_000, 1, (0, 0)),
    ],
)
def test_sizes_stay_within_budget_and_pool(
    budget: int | None, pool: int, expected: tuple[int, int]
) -> None:
    assert holdout_sizes(budget, pool) == expected


@given(st.integers(0, 10_000), st.integers(0, 500), st.integers(0, 300), st.integers(0, 300))
def test_sizes_never_exceed_a_limit(budget: int, pool: int, test: int, validation: int) -> None:
    got_test, got_validation = holdout_sizes(budget, pool, test, validation)
    assert 0 <= got_test <= min(test, budget / 5)
    assert 0 <= got_validation <= min(validation, budget / 10)
    assert got_test + got_validation <= pool / 2


def test_negative_sizes_are_refused() -> None:
    with pytest.raises(ValueError):
        draw_holdout(KEYS, SECRET, -1, 5)
