"""Cohen's kappa by hand, at its ends, and by group; other implementations: tests/statistics."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.agreement import cohens_kappa

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40)


def test_by_hand() -> None:
    """20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: p_o = 0.7, p_e = 0.5, kappa 0.4."""
    first = np.repeat(["yes", "yes", "no", "no"], [20, 5, 10, 15])
    second = np.repeat(["yes", "no", "yes", "no"], [20, 5, 10, 15])
    found = cohens_kappa(first, second)
    assert (found.observed, found.expected) == pytest.approx((0.7, 0.5))
    assert found.kappa == pytest.approx(0.4)
    assert found.low < 0.4 < found.high


def test_full_agreement_is_one_with_an_interval_below() -> None:
    labels = np.arange(30) % 3
    found = cohens_kappa(labels, labels)
    assert (found.kappa, found.high) == (1.0, 1.0)
    assert 0.7 < found.low < 0.9


def test_one_class_throughout_gives_a_reason() -> None:
    found = cohens_kappa(np.zeros(9), np.zeros(9))
    assert (found.kappa, found.observed) == (None, 1.0)
    assert "chance" in found.reason


def test_one_annotator_who_always_says_the_same_agrees_by_chance() -> None:
    found = cohens_kappa(np.zeros(40, int), np.arange(40) % 2)
    assert found.kappa == pytest.approx(0.0)


def test_nothing_and_one_group() -> None:
    assert cohens_kappa(np.empty(0), np.empty(0)).kappa is None
    found = cohens_kappa(np.arange(6) % 2, np.arange(6) % 3, np.zeros(6))
    assert found.kappa is not None
    assert found.low is None
    assert "one group" in found.reason


def test_groups_widen_it() -> None:
    first = np.arange(100) % 2
    second = np.where(np.arange(100) < 70, first, 1 - first)
    groups = np.arange(100) // 10
    alone, grouped = cohens_kappa(first, second), cohens_kappa(first, second, groups)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@given(PAIRS)
def test_it_is_symmetric_and_within_its_range(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    there, back = cohens_kappa(first, second), cohens_kappa(second, first)
    if there.kappa is None:
        return
    assert there.kappa == pytest.approx(back.kappa)
    assert there.low == pytest.approx(back.low)
    assert there.low <= there.kappa + 1e-12
    assert there.kappa <= there.high + 1e-12
    assert there.high <= 1
    json.dumps(asdict(there), allow_nan=False)


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one each an item"):
        cohens_kappa(np.zeros(3), np.zeros(4))
