"""Quotas of the batch by predicted class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import Pool, StrategyError, parse, select
from strategies.combining.specification import Selection


def batch(probabilities: np.ndarray, size: int, **parameters: object) -> Selection:
    pool = Pool(probabilities=probabilities)
    return parse({"class_quota": parameters}).select_with_branches(pool, size)


def skewed(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet([6.0, 3.0, 0.7], size=n)


def test_classes_get_equal_quotas_as_far_as_their_items_go() -> None:
    probabilities = skewed(300)
    predicted = probabilities.argmax(axis=1)
    found = batch(probabilities, 60)
    available = np.bincount(predicted)
    assert available[2] < 20 < 30 < available[1]
    rest = 60 - available[2]
    expected = [rest - rest // 2, rest // 2, available[2]]
    assert np.bincount(predicted[found.indices]).tolist() == expected
    for index, detail in zip(found.indices, found.details, strict=True):
        assert detail["class"] == predicted[index]
        assert detail["quota"] == expected[predicted[index]]


def test_given_shares_are_kept_by_every_prefix() -> None:
    probabilities = np.repeat(np.eye(3) * 0.9 + 0.1 / 3, 100, axis=0)
    found = batch(probabilities / probabilities.sum(axis=1, keepdims=True), 60, shares={"1": 4.0})
    classes = np.array([detail["class"] for detail in found.details])
    assert np.bincount(classes).tolist() == [10, 40, 10]
    for size in range(1, 61):
        assert (
            np.abs(np.bincount(classes[:size], minlength=3) - size * np.array([1, 4, 1]) / 6).max()
            < 1
        )


def test_a_class_of_share_zero_comes_last() -> None:
    probabilities = skewed(60)
    predicted = probabilities.argmax(axis=1)
    found = batch(probabilities, 60, shares={"0": 0.0})
    assert (predicted[found.indices[: (predicted != 0).sum()]] != 0).all()


@pytest.mark.parametrize(("prefer", "sign"), [("uncertain", 1), ("confident", -1)])
def test_within_a_class_the_margin_decides(prefer: str, sign: int) -> None:
    probabilities = skewed(80, seed=3)
    ordered = np.sort(probabilities, axis=1)
    gaps = sign * (ordered[:, -1] - ordered[:, -2])
    found = batch(probabilities, 80, prefer=prefer).indices
    predicted = probabilities.argmax(axis=1)
    for label in range(3):
        own = found[predicted[found] == label]
        assert (np.diff(gaps[own]) >= 0).all()


@pytest.mark.parametrize("key", ["3", "-1", "cat", "1.0", ""])
def test_a_share_of_an_unknown_class_is_refused(key: str) -> None:
    with pytest.raises(StrategyError, match=r'the model\'s classes are "0" to "2"'):
        select("class_quota", Pool(probabilities=skewed(9)), 3, shares={key: 2.0})


@given(st.integers(1, 6), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_no_class_is_more_than_a_seat_ahead_of_one_that_has_items_left(
    classes: int, n: int, size: int, seed: int
) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), size=n)
    predicted = probabilities.argmax(axis=1)
    taken = np.bincount(predicted[batch(probabilities, size).indices], minlength=classes)
    left = np.bincount(predicted, minlength=classes) - taken
    assert all(taken.max() - taken[label] <= 1 for label in range(classes) if left[label])
