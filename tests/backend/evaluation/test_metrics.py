"""Metrics by hand, and what they say of nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.metrics import compute_metrics

CLASSES = ("a", "b", "c", "never")


def one_hot(predictions: list[int]) -> np.ndarray:
    return np.eye(4)[predictions]


def test_by_hand() -> None:
    metrics = compute_metrics(one_hot([0, 0, 1, 2]), np.array([0, 1, 1, 0]), CLASSES)
    assert metrics.labelled == 4
    assert metrics.accuracy == 0.5
    assert metrics.confusion == ((1, 0, 1, 0), (1, 1, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))
    a, b, c, never = metrics.per_class
    assert (a.precision, a.recall, a.f1, a.support) == (0.5, 0.5, 0.5, 2)
    assert (b.precision, b.recall, b.support) == (1.0, 0.5, 2)
    assert b.f1 == pytest.approx(2 / 3)
    assert (c.precision, c.recall, c.f1, c.support) == (0.0, None, 0.0, 0)
    assert (never.precision, never.recall, never.f1) == (None, None, None)
    # "never" occurs neither among the truths nor among the predictions
    assert metrics.macro_f1 == pytest.approx((0.5 + 2 / 3 + 0) / 3)
    assert metrics.expected_calibration_error == pytest.approx(0.5)


def test_nothing_labelled_gives_no_figures() -> None:
    metrics = compute_metrics(np.empty((0, 4)), np.empty(0, int), CLASSES)
    assert metrics.labelled == 0
    assert metrics.accuracy is None
    assert metrics.macro_f1 is None
    assert metrics.expected_calibration_error is None
    assert [one.support for one in metrics.per_class] == [0, 0, 0, 0]


@given(st.integers(1, 40), st.integers(0, 999))
def test_figures_agree_with_each_other(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=n)
    metrics = compute_metrics(rng.dirichlet(np.ones(4), size=n), labels, CLASSES)
    confusion = np.array(metrics.confusion)
    assert confusion.sum() == n
    assert metrics.accuracy == pytest.approx(np.trace(confusion) / n)
    assert [one.support for one in metrics.per_class] == confusion.sum(axis=1).tolist()
    recalls = [(one.recall or 0) * one.support for one in metrics.per_class]
    assert sum(recalls) == pytest.approx(np.trace(confusion))
    assert metrics.macro_f1 is not None
    assert 0 <= metrics.macro_f1 <= 1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        compute_metrics(np.ones((2, 3)), np.zeros(2, int), CLASSES)
    with pytest.raises(ValueError, match=r"expected 0\.\.3"):
        compute_metrics(one_hot([0]), np.array([4]), CLASSES)
