"""Rare labels per hundred, next to the control's."""

import numpy as np
import pytest

from backend.evaluation.rare_labels import rare_labels_per_100


def some(hits: int, items: int) -> np.ndarray:
    return np.arange(items) < hits


def test_newcombes_own_example() -> None:
    """56 of 70 and 48 of 80: 0.2000, interval 0.0524 to 0.3339 (his table II, method 10)."""
    found = rare_labels_per_100(some(56, 70), some(48, 80))
    assert (found.strategy, found.control) == (80.0, 60.0)
    assert found.difference == pytest.approx(20.0)
    assert (found.low, found.high) == pytest.approx((5.24, 33.39), abs=0.005)
    assert (found.strategy_found, found.control_found) == (56, 48)


def test_exchanging_the_two_turns_the_sign() -> None:
    there, back = (
        rare_labels_per_100(some(5, 60), some(1, 30)),
        rare_labels_per_100(some(1, 30), some(5, 60)),
    )
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_groups_widen_it() -> None:
    alone = rare_labels_per_100(some(20, 100), some(10, 100))
    groups = np.arange(100) // 10
    grouped = rare_labels_per_100(some(20, 100), some(10, 100), groups, groups)
    assert grouped.high - grouped.low > alone.high - alone.low


def test_too_few_labels_give_a_reason() -> None:
    found = rare_labels_per_100(some(3, 50), some(1, 9))
    assert (found.strategy, found.difference) == (None, None)
    assert found.reason == "too few: 50 picks and 9 control labels, 10 are needed"
    assert rare_labels_per_100(some(0, 0), some(0, 0)).reason.startswith("too few: 0")


def test_one_group_gives_values_without_an_interval() -> None:
    found = rare_labels_per_100(some(3, 50), some(1, 20), np.zeros(50))
    assert (found.strategy, found.low) == (6.0, None)
    assert "one group" in found.reason
