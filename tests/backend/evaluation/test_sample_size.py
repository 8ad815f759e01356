"""The size of the test set: ±5 points where the budget allows, and the truth where it does not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.sample_size import (
    design_effect,
    half_width,
    labels_needed,
    precision,
    wanted_test_size,
)

group_sizes = st.lists(st.integers(1, 50), min_size=1, max_size=200)
correlations = st.floats(0, 1)


def test_five_points_need_385_independent_labels() -> None:
    assert labels_needed() == 385
    assert half_width(385) <= 0.05 < half_width(384)
    assert wanted_test_size([1] * 10_000, 10_000) == 385


def test_a_smaller_set_says_what_it_measures_and_what_five_points_need() -> None:
    found = precision([1] * 100)
    assert (found.size, found.wanted) == (100, 385)
    assert found.half_width == pytest.approx(1.96 * math.sqrt(0.25 / 100), abs=1e-5)
    assert "100 test labels measure accuracy to ±9.8 points" in found.text
    assert "±5 points need 385" in found.text
    assert "need" not in precision([1] * 385).text


def test_groups_need_more_labels() -> None:
    # ten a group: 1 + 9 × 0.5
    wanted = wanted_test_size([10] * 1_000, 50_000)
    assert wanted == math.ceil(385 * 5.5)
    found = precision([10] * 212)
    assert found.design_effect == 5.5
    assert found.half_width == pytest.approx(0.05, abs=1e-4)
    assert "1/5.5 of an independent one" in found.text


def test_unequal_groups_count_by_the_group_that_an_item_lies_in() -> None:
    # 100 items alone and one group of 100: half of the items have 99 companions.
    assert design_effect([1] * 100 + [100], 0.4) == 1 + (0.5 * 1 + 0.5 * 100 - 1) * 0.4


@given(group_sizes, correlations)
def test_the_design_effect_lies_between_independent_items_and_groups_as_items(
    sizes: list[int], correlation: float
) -> None:
    effect = design_effect(sizes, correlation)
    assert 1 <= effect <= max(sizes) + 1e-9
    assert design_effect(sizes, 0) == 1


@given(group_sizes, st.integers(0, 20_000))
def test_the_size_never_exceeds_a_limit(sizes: list[int], budget: int) -> None:
    wanted = labels_needed(0.05, design_effect(sizes))
    assert wanted_test_size(sizes, budget) == min(wanted, sum(sizes), budget // 5)


def test_the_variance_of_a_mean_over_whole_groups_is_inflated_by_it() -> None:
    """Right and wrong answers with correlation rho in groups of unequal sizes, simulated."""
    rng = np.random.default_rng(0)
    sizes = np.array([1, 2, 5, 12] * 25)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    correlation = 0.3
    # An item copies its group's answer with probability sqrt(rho), two items both with rho.
    means = []
    for _ in range(4_000):
        own = rng.random(len(owner)) < 0.5
        groups = (rng.random(len(sizes)) < 0.5)[owner]
        copies = rng.random(len(owner)) < math.sqrt(correlation)
        means.append(np.where(copies, groups, own).mean())
    inflation = np.var(means) / (0.25 / len(owner))
    assert inflation == pytest.approx(design_effect(sizes.tolist(), correlation), rel=0.1)


def test_an_empty_pool_or_budget_has_no_test_set() -> None:
    assert wanted_test_size([], 1_000) == 0
    assert wanted_test_size([1] * 50, 4) == 0
    empty = precision([])
    assert (empty.size, empty.half_width) == (0, None)
    assert "no test set" in empty.text


def test_values_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="correlation"):
        design_effect([1], 1.5)
    with pytest.raises(ValueError, match="at least 1"):
        design_effect([0, 3])
    with pytest.raises(ValueError, match="half-width"):
        labels_needed(0.0)
