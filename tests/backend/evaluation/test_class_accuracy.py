"""Sensitivity and specificity of each class, and "too few"."""

import numpy as np
import pytest

from backend.evaluation.class_accuracy import class_accuracies
from backend.evaluation.clustered_proportion import proportion


def test_by_hand() -> None:
    truth = np.array([0] * 20 + [1] * 12)
    said = np.array([0] * 15 + [1] * 5 + [1] * 9 + [0] * 3)
    one, two = class_accuracies(truth, said, ("ill", "well"))
    assert (one.positives, two.positives) == (20, 12)
    assert (one.sensitivity.value, one.specificity.value) == (0.75, 0.75)
    assert (two.sensitivity.value, two.specificity.value) == (0.75, 0.75)
    assert one.sensitivity == proportion(np.arange(20) < 15)


def test_under_ten_positives_are_too_few() -> None:
    truth = np.array([0] * 9 + [1] * 30)
    one, two, never = class_accuracies(truth, truth, ("rare", "often", "never"))
    assert one.sensitivity.value is None
    assert one.sensitivity.low is None
    assert one.sensitivity.reason.startswith("too few: 9 labelled items")
    assert one.sensitivity.hits == 9
    assert one.specificity.value == 1.0
    assert two.specificity.value is None
    assert never.positives == 0
    assert never.sensitivity.reason.startswith("too few: 0")
    assert never.specificity.value == 1.0


def test_ten_are_enough_and_groups_widen() -> None:
    truth = np.repeat([0, 1], 20)
    said = np.where(np.arange(40) % 20 < 10, truth, 1 - truth)
    alone = class_accuracies(truth, said, ("a", "b"))[0].sensitivity
    grouped = class_accuracies(truth, said, ("a", "b"), np.arange(40) // 5)[0].sensitivity
    assert alone.groups == 20
    assert grouped.groups == 4
    assert grouped.high - grouped.low > alone.high - alone.low


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="one each an item"):
        class_accuracies(np.zeros(3, int), np.zeros(2, int), ("a",))
    with pytest.raises(ValueError, match="1 classes"):
        class_accuracies(np.array([1]), np.array([0]), ("a",))
