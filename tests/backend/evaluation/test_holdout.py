"""Hold-outs: permanent numbers, exact sizes, membership that nothing but the number decides."""

import hashlib
import hmac
import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.evaluation.holdout import (
    Intervals,
    Role,
    Sizes,
    affordable_sizes,
    draw_intervals,
    narrowed,
    permanent_random_number,
)

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


def draw(keys: list[str], sizes: Sizes, strata: list[str] | None = None) -> list[Role | None]:
    """Each key's role."""
    numbers = [permanent_random_number(SECRET, key) for key in keys]
    strata = strata or ["all"] * len(keys)
    found = draw_intervals(SECRET, numbers, strata, sizes)
    return [found[s].role_of(u) for s, u in zip(strata, numbers, strict=True)]


@settings(max_examples=60)
@given(distinct_keys, *[st.integers(0, 30)] * 3, st.integers(0, 99))
def test_membership_depends_on_neither_order_nor_anything_but_the_number(
    keys: list[str], test: int, validation: int, control: int, seed: int
) -> None:
    sizes = Sizes(test, validation, control)
    roles = dict(zip(keys, draw(keys, sizes), strict=True))
    shuffled = Random(seed).sample(keys, len(keys))
    assert dict(zip(shuffled, draw(shuffled, sizes), strict=True)) == roles
    held = list(roles.values())
    assert held.count("test") == min(test, len(keys))
    assert held.count("validation") == min(validation, len(keys) - held.count("test"))
    rest = len(keys) - held.count("test") - held.count("validation")
    assert held.count("control") == min(control, rest)
    in_order = [role for _, role in sorted((permanent_random_number(SECRET, k), str(r))
                                           for k, r in roles.items())]  # fmt: skip
    known = {"test": 0, "validation": 1, "None": 2, "control": 3}
    assert in_order == sorted(in_order, key=known.__getitem__)


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=40),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_a_group_is_never_split_and_a_part_has_its_number_of_groups(
    groups: list[str], test: int, validation: int, control: int
) -> None:
    roles = draw(groups, Sizes(test, validation, control))
    role_of = dict(zip(groups, roles, strict=True))
    for group, role in zip(groups, roles, strict=True):
        assert role_of[group] == role
    held = list(role_of.values())
    assert held.count("test") == min(test, len(held))
    assert held.count("validation") == min(validation, len(held) - held.count("test"))
    rest = len(held) - held.count("test") - held.count("validation")
    assert held.count("control") == min(control, rest)


def test_large_groups_are_in_every_part_as_often_as_in_the_pool() -> None:
    """A part that ended before the first group that does not fit would hold small ones only."""
    groups = [f"small {n // 2}" for n in range(900)] + [f"large {n // 60}" for n in range(3_000)]
    large = total = 0
    for secret in range(60):
        keys = sorted(set(groups))
        number = {k: permanent_random_number(secret.to_bytes(4, "big"), k) for k in keys}
        found = draw_intervals(
            SECRET, [number[g] for g in groups], ["all"] * len(groups), Sizes(49, 25, 0)
        )["all"]
        part = [k for k in keys if number[k] in found.validation]
        assert part
        large += sum(k.startswith("large") for k in part)
        total += len(part)
    assert 0.05 < large / total < 0.16  # 50 of 500 groups


def test_an_empty_part_owns_no_number() -> None:
    numbers = [permanent_random_number(SECRET, key) for key in KEYS]
    found = draw_intervals(SECRET, numbers, ["all"] * 1_000, Sizes(0, 10, 0))["all"]
    assert found.test.low == found.test.high
    assert found.control.low == found.control.high == 1.0
    narrow = narrowed(found, {"test": 0.5, "validation": 0.004, "control": 0.5})
    assert narrow.validation.low == found.validation.low
    assert narrow.validation.high == pytest.approx(found.validation.low + 0.004)
    assert (narrow.test.high, narrow.control.low) == (0.0, 1.0)


def test_every_stratum_gives_in_proportion_to_its_tasks() -> None:
    strata = ["rare" if number % 10 == 0 else "common" for number in range(1_000)]
    roles = draw(KEYS, Sizes(100, 50, 200), strata)
    for role, rare, common in (("test", 10, 90), ("validation", 5, 45), ("control", 20, 180)):
        held = [s for s, r in zip(strata, roles, strict=True) if r == role]
        assert (held.count("rare"), held.count("common")) == (rare, common)


def test_strata_too_small_to_give_one_each_give_as_many_together_and_chance_decides_which() -> None:
    """Three hundred strata of one to four groups: none is left out for its name or its size."""
    strata = [f"s{n}" for n in range(300) for _ in range(1 + n % 4)]
    keys = [str(n) for n in range(len(strata))]
    sizes = {"test": 100, "validation": 60, "control": 150}
    held = {role: dict.fromkeys(keys, 0) for role in sizes}
    for seed in range(2_000):
        secret = seed.to_bytes(4, "big")
        numbers = [permanent_random_number(secret, key) for key in keys]
        found = draw_intervals(secret, numbers, strata, Sizes(**sizes))
        mine = [found[s].role_of(u) for u, s in zip(numbers, strata, strict=True)]
        assert {role: mine.count(role) for role in sizes} == sizes
        for key, role in zip(keys, mine, strict=True):
            if role is not None:
                held[role][key] += 1
    for role, size in sizes.items():
        share = size / len(keys)
        assert all(
            abs(count - 2_000 * share) < 5 * (2_000 * share * (1 - share)) ** 0.5
            for count in held[role].values()
        )


def test_every_group_has_the_same_chance_of_every_role() -> None:
    # Over secrets, each of 20 groups is a test member 5 times in 20 (binomial, 4.5 sigma).
    keys = [str(n) for n in range(20)]
    held = dict.fromkeys(keys, 0)
    for secret in range(2_000):
        numbers = [permanent_random_number(secret.to_bytes(4, "big"), key) for key in keys]
        found = draw_intervals(SECRET, numbers, ["all"] * 20, Sizes(5, 0, 0))["all"]
        for key, u in zip(keys, numbers, strict=True):
            held[key] += found.role_of(u) == "test"
    assert all(abs(count - 500) < 4.5 * (2_000 * 0.25 * 0.75) ** 0.5 for count in held.values())


def test_a_larger_test_set_keeps_the_members_of_a_smaller_one() -> None:
    small, large = (draw(KEYS, Sizes(size, 0, 0)) for size in (50, 100))
    assert all(now == "test" for before, now in zip(small, large, strict=True) if before)


@given(st.floats(0, 1, exclude_max=True))
def test_intervals_come_back_from_json_exactly(u: float) -> None:
    numbers = [permanent_random_number(SECRET, key) for key in KEYS]
    found = draw_intervals(SECRET, numbers, ["all"] * 1_000, Sizes(100, 50, 200))["all"]
    again = Intervals.of_document(json.loads(json.dumps(found.as_document())))
    assert again == found
    assert again.role_of(u) == found.role_of(u)


def afford(
    budget: int, pool: int, test: int = 385, validation: int = 50, groups: int | None = None
) -> Sizes:
    return affordable_sizes(
        budget,
        pool,
        pool if groups is None else groups,
        test=test,
        validation=validation,
        random_share=0.1,
        evaluation_cap=0.3,
    )


@pytest.mark.parametrize(
    ("budget", "pool", "expected"),
    [
        (5_000, 10_000, Sizes(385, 50, 500)),  # as wished
        (500, 10_000, Sizes(66, 34, 50)),  # 30 % less the control's 10 %, in the ratio 100 : 50
        (5_000, 100, Sizes(44, 6, 25)),  # half and a quarter of the pool
        (3, 10_000, Sizes(0, 0, 0)),
        (5_000, 0, Sizes(0, 0, 0)),
        (5_000, 1, Sizes(0, 0, 0)),
    ],
)
def test_sizes_stay_within_budget_and_pool(budget: int, pool: int, expected: Sizes) -> None:
    assert afford(budget, pool) == expected


@given(st.integers(0, 10_000), st.integers(0, 5_000), st.integers(0, 3_000), st.integers(0, 300))
def test_sizes_never_exceed_a_limit(budget: int, pool: int, test: int, validation: int) -> None:
    sizes = afford(budget, pool, test, validation)
    assert 0 <= sizes.test <= min(test, budget / 5)
    assert 0 <= sizes.validation <= min(validation, budget / 10)
    assert sizes.test + sizes.validation <= pool / 2
    assert sizes.test + sizes.validation + round(0.1 * budget) <= max(
        0.3 * budget, round(0.1 * budget)
    )
    assert 0 <= sizes.control <= pool / 4


@pytest.mark.parametrize(
    ("budget", "groups", "expected"),
    [
        (5_000, 1_000, Sizes(38, 5, 50)),  # ten tasks a group, rounded down
        (500, 100, Sizes(1, 0, 1)),  # a hundred a group: the cap leaves a hundred labels, one group
        (400, 100, Sizes(0, 0, 1)),  # eighty labels: no group at all, and a control as it comes
        (5_000, 4, Sizes(0, 0, 1)),
        (50_000, 3, Sizes(1, 0, 0)),  # half of the groups, and of three none for the control alone
    ],
)
def test_whole_groups_stay_within_the_limits_too(budget: int, groups: int, expected: Sizes) -> None:
    assert afford(budget, 10_000, groups=groups) == expected


@given(st.integers(0, 10_000), st.integers(1, 3_000), st.data())
def test_groups_of_any_size_leave_a_quarter_of_them_to_the_strategy(
    budget: int, pool: int, data: st.DataObject
) -> None:
    groups = data.draw(st.integers(1, pool))
    sizes = afford(budget, pool, groups=groups)
    mean = pool / groups
    assert (sizes.test + sizes.validation) * mean <= min(
        pool / 2, max(0.3 * budget - round(0.1 * budget), 0)
    ) + 1e-6
    assert sizes.control <= max(groups / 4, 0)
    assert sizes.test + sizes.validation + sizes.control < groups or groups == 1
