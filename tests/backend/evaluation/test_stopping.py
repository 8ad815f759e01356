"""Signs that more labels are not worth their price."""

import numpy as np
import pytest

from backend.evaluation.clustered_proportion import proportion
from backend.evaluation.stopping import gain_per_100, predictions_stable, target_reached


def test_a_target_is_reached_by_the_lower_bound() -> None:
    hits = np.arange(400) < 380
    low = proportion(hits, level=0.9875).low
    assert target_reached(hits, low - 0.001, 0.0125).reached is True
    assert target_reached(hits, low + 0.001, 0.0125).reached is False
    assert target_reached(hits, 0.95, 0.0125).reached is False


def test_an_unknown_accuracy_has_not_failed_a_target() -> None:
    assert target_reached(np.empty(0, bool), 0.9, 0.05).reached is None
    assert target_reached(np.ones(9, bool), 0.1, 0.05, np.zeros(9)).reached is None


def predictions(*changed: int) -> np.ndarray:
    """A row of 300 predictions for each model, `changed` many unlike those of the first."""
    rows = np.tile(np.arange(300) % 3, (len(changed), 1))
    for row, many in zip(rows, changed, strict=True):
        row[:many] = (row[:many] + 1) % 3
    return rows


def test_models_that_agree_are_stable() -> None:
    found = predictions_stable([100, 120, 140, 160, 180], predictions(90, 0, 1, 1, 0))
    assert found.stable is True
    assert len(found.kappas) == 3
    assert found.kappa == pytest.approx(sum(found.kappas) / 3)


def test_each_is_compared_with_the_newest_at_nine_tenths_of_its_labels() -> None:
    """104 is too near to 110: the models of 95 and 85 are the newest that are far enough."""
    rows = predictions(0, 30, 60, 120)
    found = predictions_stable([85, 95, 104, 110], rows, window=2)
    assert found.kappas == pytest.approx((1 - 60 / 200, 1 - 90 / 200))
    same = predictions_stable([85, 95, 104, 110], predictions(5, 0, 120, 0), window=1)
    assert same.kappas == (1.0,)


def test_changing_models_are_not_stable() -> None:
    found = predictions_stable([100, 120, 140, 160], predictions(0, 30, 0, 30))
    assert found.stable is False
    assert found.kappa < 0.99


def test_models_that_give_one_class_agree() -> None:
    found = predictions_stable([100, 120, 140, 160], np.zeros((4, 50), int))
    assert found.kappas == (1.0, 1.0, 1.0)


def test_too_few_comparisons_give_a_reason() -> None:
    found = predictions_stable([100, 105, 109], predictions(0, 0, 0))
    assert (found.kappa, found.stable) == (None, None)
    assert found.reason.startswith("too few: 0 comparisons")
    assert predictions_stable([10, 20, 40, 80], np.zeros((4, 0), int)).stable is None
    assert predictions_stable([], np.zeros((0, 9), int)).stable is None


def rising(accuracies: list[float], items: int = 1000) -> np.ndarray:
    return np.stack([np.arange(items) < round(a * items) for a in accuracies])


def test_the_gain_is_the_slope_per_hundred_labels() -> None:
    found = gain_per_100([100, 150, 200, 250, 300], rising([0.8, 0.81, 0.82, 0.83, 0.84]))
    assert found.per_100 == pytest.approx(0.02)
    # No point is off the line: what is left is the spread over items, with 3 degrees of freedom.
    slopes = np.array([-100, -50, 0, 50, 100]) / 25_000 @ rising([0.8, 0.81, 0.82, 0.83, 0.84])
    half = 2.3533634 * slopes.std(ddof=1) / np.sqrt(1000)
    assert found.upper == pytest.approx(100 * (slopes.mean() + half))


def test_points_off_the_line_and_groups_raise_the_bound() -> None:
    labels = [100, 150, 200, 250, 300]
    straight = gain_per_100(labels, rising([0.8, 0.81, 0.82, 0.83, 0.84]))
    ragged = gain_per_100(labels, rising([0.8, 0.84, 0.79, 0.86, 0.83]))
    assert ragged.upper - ragged.per_100 > straight.upper - straight.per_100
    grouped = gain_per_100(labels, rising([0.8, 0.81, 0.82, 0.83, 0.84]), np.arange(1000) // 50)
    assert grouped.upper > straight.upper


def test_a_gain_needs_five_models_and_items() -> None:
    assert gain_per_100([1, 2, 3, 4], rising([0.5] * 4)).reason.startswith("too few: 4 models")
    assert gain_per_100([1, 2, 3, 4, 5], np.zeros((5, 0), bool)).per_100 is None
    assert gain_per_100([1, 2, 3, 4, 5], rising([0.5] * 5), np.zeros(1000)).upper is None


def test_models_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        gain_per_100([1, 2, 2, 3, 4], rising([0.5] * 5))
    with pytest.raises(ValueError, match="models, items"):
        predictions_stable([1, 2], predictions(0))


def test_models_that_are_always_right_may_still_gain() -> None:
    """Sixteen items of which nothing was ever wrong say little of the next hundred labels."""
    labels = [100, 150, 200, 250, 300]
    few = gain_per_100(labels, np.ones((5, 16), dtype=bool))
    many = gain_per_100(labels, np.ones((5, 1_600), dtype=bool))
    assert few.per_100 == many.per_100 == 0.0
    assert few.upper is not None
    assert many.upper is not None
    assert few.upper > 0.03
    assert 0 < many.upper < few.upper / 50
