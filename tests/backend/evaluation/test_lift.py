"""The lift by its formula, its words, and when there is none to give."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.evaluation.lift import in_words, lift


def block_hits(blocks: int, items: int, accuracy: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((blocks, items)) < accuracy


def test_by_the_formula() -> None:
    strategy, control = block_hits(10, 200, 0.8, 1), block_hits(10, 200, 0.75, 2)
    found = lift(strategy, control, alpha=0.0125)
    e = strategy.astype(float) - control
    variance = e.mean(axis=1).var(ddof=1) / 10 + e.mean(axis=0).var(ddof=1) / 200
    half = 3.1109348 * np.sqrt(variance)  # t of 9 degrees at 1 - 0.0125 / 2
    assert found.value == pytest.approx(e.mean())
    assert (found.low, found.high) == pytest.approx((e.mean() - half, e.mean() + half))
    assert found.half_width == pytest.approx(half)
    assert found.smallest_visible == pytest.approx(half + 0.8834039 * np.sqrt(variance))
    assert (found.blocks, found.items, found.alpha) == (10, 200, 0.0125)


def test_groups_of_items_widen_it() -> None:
    one, control = np.repeat(block_hits(8, 20, 0.9), 10, axis=1), np.zeros((8, 200), bool)
    alone = lift(one, control)
    grouped = lift(one, control, np.repeat(np.arange(20), 10))
    assert grouped.half_width > alone.half_width
    # Ten copies of an item are one item.
    single = lift(one[:, ::10], control[:, ::10])
    assert grouped.half_width == pytest.approx(single.half_width)


def test_the_verdict_follows_the_interval() -> None:
    good, bad = block_hits(6, 300, 0.95), block_hits(6, 300, 0.6, 1)
    assert lift(good, bad).verdict == "above"
    assert lift(bad, good).verdict == "below"
    assert lift(bad, block_hits(6, 300, 0.6, 2)).verdict == "not visible"


def test_words_never_say_that_there_is_none() -> None:
    text = in_words(lift(block_hits(6, 300, 0.6, 1), block_hits(6, 300, 0.6, 2)))
    assert text.startswith("Lift not visible: ")
    assert "no lift" not in text.lower()
    assert "would be seen four times of five" in text
    assert in_words(lift(block_hits(6, 300, 0.95), block_hits(6, 300, 0.6, 1))).startswith(
        "Lift above zero: +3"
    )


def test_below_five_blocks_there_is_a_reason_instead() -> None:
    found = lift(block_hits(4, 100, 0.8), block_hits(4, 100, 0.7, 1))
    assert (found.value, found.low, found.smallest_visible) == (None, None, None)
    assert found.verdict == "not visible"
    assert "5 are needed" in in_words(found)
    assert lift(block_hits(5, 100, 0.8), block_hits(5, 100, 0.7, 1)).value is not None


def test_without_items_or_with_one_group_there_is_a_reason_instead() -> None:
    hits = block_hits(5, 10, 0.8)
    assert lift(hits[:, :0], hits[:, :0]).value is None
    assert "one group" in lift(hits, ~hits, np.zeros(10)).reason


@given(st.integers(5, 12), st.integers(2, 30), st.integers(0, 999))
def test_exchanging_the_two_turns_the_sign(blocks: int, items: int, seed: int) -> None:
    one, two = block_hits(blocks, items, 0.7, seed), block_hits(blocks, items, 0.6, seed + 1)
    there, back = lift(one, two), lift(two, one)
    assert there.value == pytest.approx(-back.value)
    assert there.low == pytest.approx(-back.high)
    assert there.half_width < there.smallest_visible or there.half_width == 0
    json.dumps(asdict(there), allow_nan=False)


def test_identical_models_have_a_lift_of_nothing() -> None:
    hits = block_hits(5, 50, 0.8)
    found = lift(hits, hits)
    assert (found.value, found.verdict) == (0.0, "not visible")


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(blocks, items\)"):
        lift(block_hits(5, 10, 0.5), block_hits(6, 10, 0.5))


def test_heads_that_all_say_the_same_are_no_certainty_that_none_will_differ() -> None:
    """Twenty blocks, none of which changed anything on the few items that there are."""
    same = np.ones((20, 14), dtype=bool)
    found = lift(same, same, alpha=0.01)
    assert found.value == 0.0
    assert found.half_width is not None
    assert found.smallest_visible is not None
    assert found.half_width > 0.5 / 14
    assert found.smallest_visible > found.half_width
    many = lift(np.ones((20, 1_400), dtype=bool), np.ones((20, 1_400), dtype=bool), alpha=0.01)
    assert many.half_width is not None
    assert many.half_width < found.half_width / 50
