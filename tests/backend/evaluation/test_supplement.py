"""The supplement: each part by itself, and both weighted by the tasks that they stand for."""

import numpy as np
import pytest

from backend.evaluation.clustered_proportion import proportion
from backend.evaluation.supplement import Frame, supplemented_figure


def hits(right: int, of: int) -> np.ndarray:
    return np.arange(of) < right


def test_parts_count_by_their_frames_and_not_by_their_labels() -> None:
    found = supplemented_figure(Frame(9_000, hits(90, 100)), Frame(1_000, hits(40, 100)))
    assert (found.frozen.value, found.late.value) == (0.9, 0.4)
    assert found.value == pytest.approx(0.9 * 0.9 + 0.1 * 0.4)
    assert found.low < found.value < found.high


def test_parts_alone_are_their_plain_figures() -> None:
    frozen = Frame(500, hits(70, 90))
    found = supplemented_figure(frozen, Frame(0, hits(0, 0)))
    plain = proportion(frozen.hits)
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)


def test_the_same_sampling_rate_in_both_gives_the_pooled_figure() -> None:
    found = supplemented_figure(Frame(3_000, hits(210, 300)), Frame(1_000, hits(60, 100)))
    pooled = proportion(hits(270, 400))
    assert found.value == pytest.approx(pooled.value)
    assert (found.low, found.high) == pytest.approx((pooled.low, pooled.high), abs=0.004)


@pytest.mark.parametrize(("size", "runs"), [(1, 400), (5, 400)])
def test_the_interval_covers_the_figure_of_the_whole_pool(size: int, runs: int) -> None:
    rng = np.random.default_rng(size)
    truth = 0.7 * 0.85 + 0.3 * 0.6
    held = 0

    def part(groups, share):
        owner = np.repeat(np.arange(groups), size)
        alike = rng.random(len(owner)) < 0.6
        right = np.where(alike, (rng.random(groups) < share)[owner], rng.random(len(owner)) < share)
        return right, owner

    for _ in range(runs):
        frozen, late = part(60, 0.85), part(25, 0.6)
        found = supplemented_figure(Frame(7_000, *frozen), Frame(3_000, *late))
        held += found.low <= truth <= found.high
    assert 0.925 <= held / runs <= 0.985


def test_equal_weights_change_nothing() -> None:
    frozen, late = Frame(800, hits(30, 40)), Frame(200, hits(12, 20))
    weighted = Frame(200, late.hits, None, np.full(20, 7.0))
    assert supplemented_figure(frozen, weighted) == supplemented_figure(frozen, late)


def test_late_arrivals_that_gave_different_parts_count_by_what_they_stand_for() -> None:
    """Two arrivals of 1,000 tasks, of which every tenth and every fortieth is a member."""
    rng = np.random.default_rng(5)
    truth = 0.5 * 0.9 + 0.5 * 0.5
    weights = np.repeat([10.0, 40.0], [100, 25])
    held = means = 0.0
    for _ in range(600):
        right = np.concatenate([rng.random(100) < 0.9, rng.random(25) < 0.5])
        found = supplemented_figure(Frame(0, hits(0, 0)), Frame(2_000, right, None, weights)).late
        means += found.value / 600
        held += found.low <= truth <= found.high
    assert means == pytest.approx(truth, abs=0.01)
    assert 0.925 <= held / 600 <= 0.985


def test_a_part_without_an_error_still_has_a_variance() -> None:
    found = supplemented_figure(Frame(800, hits(30, 30)), Frame(200, hits(10, 10)))
    assert found.value == found.high == 1.0
    assert found.low < 0.97


def test_what_cannot_be_given_says_why() -> None:
    waiting = supplemented_figure(Frame(800, hits(30, 40)), Frame(200, hits(0, 0)))
    assert waiting.value is None
    assert waiting.frozen.value == 0.75
    assert "late tasks is labelled" in str(waiting.reason)
    one_group = Frame(200, hits(5, 9), np.zeros(9))
    alike = supplemented_figure(Frame(800, hits(30, 40)), one_group)
    assert alike.value is not None
    assert alike.low is None
    assert "one group" in str(alike.reason)
    assert supplemented_figure(Frame(0, hits(0, 0)), Frame(0, hits(0, 0))).value is None
    with pytest.raises(ValueError, match="negative"):
        supplemented_figure(Frame(-1, hits(1, 2)), Frame(5, hits(1, 2)))
