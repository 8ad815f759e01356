"""A control label scores only the models that had not seen it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.prequential import rolling_accuracy, scoring_versions

CLOCK = st.integers(0, 50)


def test_the_newest_model_before_the_label_scores_it() -> None:
    versions = scoring_versions(np.array([5, 10, 11, 99]), np.array([10, 20, 30]))
    assert versions.tolist() == [-1, -1, 0, 2]


@given(st.lists(CLOCK, max_size=20), st.lists(CLOCK, max_size=8).map(sorted))
def test_no_label_scores_a_model_that_could_have_seen_it(
    given_at: list[int], trained: list[int]
) -> None:
    versions = scoring_versions(np.array(given_at), np.array(trained))
    for at, version in zip(given_at, versions, strict=True):
        older = [index for index, end in enumerate(trained) if end < at]
        assert version == (older[-1] if older else -1)


def test_versions_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        scoring_versions(np.array([1]), np.array([3, 2]))


def test_the_figure_is_the_mean_over_the_last_rounds_draws() -> None:
    rounds = np.array([1, 1, 2, 4, 4, 5])
    hits = np.array([False, False, False, True, True, False])
    assert rolling_accuracy(hits, rounds, last=2).value == pytest.approx(2 / 3)
    # round 3 had no draw and counts as one of the last three
    assert rolling_accuracy(hits, rounds, last=3).items == 3
    assert rolling_accuracy(hits, rounds, last=99).items == 6


def test_rounds_need_not_be_in_order_and_groups_follow() -> None:
    found = rolling_accuracy(
        np.array([True, False, True]), np.array([9, 1, 9]), np.array(["a", "b", "a"]), last=1
    )
    assert (found.value, found.groups) == (1.0, 1)
    assert "one group" in found.reason


def test_nothing_drawn_gives_nothing() -> None:
    assert rolling_accuracy(np.empty(0, bool), np.empty(0, int)).value is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        rolling_accuracy(np.ones(1, bool), np.ones(1, int), last=0)
    with pytest.raises(ValueError, match="one each a label"):
        rolling_accuracy(np.ones(2, bool), np.ones(1, int))
