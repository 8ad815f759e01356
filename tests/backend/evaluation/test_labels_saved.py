"""Labels saved: by hand, never beyond twice the control, and never without saying how sure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.labels_saved import first_reach, labels_saved, monotone


def exact(accuracy: float, items: int = 100) -> np.ndarray:
    """Hits with exactly this accuracy."""
    return np.arange(items) < round(accuracy * items)


def curve(*accuracies: float) -> np.ndarray:
    return np.stack([exact(a) for a in accuracies])[None]


def test_by_hand() -> None:
    """The control's 100 labels reach 80 %; the queue's curve is there half-way from 40 to 60."""
    found = labels_saved(
        [0, 20, 40, 60, 80], curve(0.5, 0.6, 0.7, 0.9, 0.95), exact(0.8)[None], 100
    )
    assert (found.level, found.needed, found.share) == pytest.approx((0.8, 50, 0.5))
    assert (found.low, found.high) == (None, None)
    assert found.reason == "no interval: 1 refits on redrawn labels, 20 needed"


def test_a_slower_queue_saves_less_than_nothing() -> None:
    found = labels_saved([0, 100, 150], curve(0.5, 0.7, 0.8), exact(0.8)[None], 100)
    assert found.share == pytest.approx(-0.5)


def test_beyond_twice_the_control_nothing_is_followed() -> None:
    found = labels_saved([0, 200, 300], curve(0.5, 0.7, 0.8), exact(0.8)[None], 100)
    assert (found.share, found.needed) == (-1.0, None)
    assert "-1 or less" in found.reason


def test_a_control_that_has_not_raised_the_level_gives_no_share() -> None:
    found = labels_saved([0, 50], curve(0.5, 0.6), exact(0.5)[None], 100)
    assert found.share is None
    assert "not raised" in found.reason


def test_nothing_gives_nothing() -> None:
    empty = labels_saved([0], np.zeros((1, 1, 0), bool), np.zeros((1, 0), bool), 100)
    assert (empty.share, empty.level) == (None, None)
    assert labels_saved([0], curve(0.5), exact(0.5)[None], 0).share is None


def test_twenty_refits_give_an_interval_around_the_share() -> None:
    rng = np.random.default_rng(0)
    ability = rng.random(400)
    levels = np.linspace(0.5, 0.85, 8)
    strategy = np.stack(
        [np.stack([ability < a + rng.normal(0, 0.01) for a in levels]) for _ in range(20)]
    )
    control = np.stack([ability < 0.75 + rng.normal(0, 0.01) for _ in range(20)])
    sizes = list(range(0, 160, 20))
    found = labels_saved(sizes, strategy, control, 160)
    assert -1 <= found.low <= found.share <= found.high <= 1
    assert found.reason is None
    assert 0 < found.high - found.low < 0.5
    assert labels_saved(sizes, strategy, control, 160) == found
    # A hundred items, each four times over, say less than four hundred.
    fours = labels_saved(
        sizes,
        np.repeat(strategy[:, :, ::4], 4, axis=2),
        np.repeat(control[:, ::4], 4, axis=1),
        160,
        np.arange(400) // 4,
    )
    assert fours.high - fours.low > found.high - found.low


def test_monotone_by_hand() -> None:
    assert monotone(np.array([1.0, 3.0, 2.0, 2.0, 5.0])).tolist() == pytest.approx(
        [1, 7 / 3, 7 / 3, 7 / 3, 5]
    )


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=25))
def test_monotone_is_the_nearest_rising_curve(values: list[int]) -> None:
    curve = np.array(values, dtype=float)
    fitted = monotone(curve)
    assert np.all(np.diff(fitted) >= -1e-12)
    # The slow oracle: the largest of the smallest means of the stretches around each place.
    for place in range(len(curve)):
        slow = max(
            min(curve[start : end + 1].mean() for end in range(place, len(curve)))
            for start in range(place + 1)
        )
        assert fitted[place] == pytest.approx(slow, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15).map(sorted), st.floats(0, 1))
def test_first_reach_is_where_the_line_has_the_level(heights: list[float], level: float) -> None:
    points, heights_ = np.arange(len(heights)) * 10.0, np.array(heights)
    found = first_reach(points, heights_, level)
    if found is None:
        assert max(heights) < level
    else:
        assert np.interp(found, points, heights_) >= level - 1e-9
        assert found == 0 or np.interp(found * (1 - 1e-6) - 1e-6, points, heights_) <= level


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="refits"):
        labels_saved([0, 1], curve(0.5, 0.6)[0], exact(0.5)[None], 10)
    with pytest.raises(ValueError, match="increasing"):
        labels_saved([1, 1], curve(0.5, 0.6), exact(0.5)[None], 10)
