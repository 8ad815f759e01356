"""Whole runs with all their looks: what is said at any of them is wrong in at most one of 20."""

import numpy as np
import pytest

from backend.evaluation.clustered_variance import clustered_variance
from backend.evaluation.looks import plan_looks
from backend.evaluation.stopping import target_reached
from tests.statistics.bands import assert_share, runs, say
from tests.statistics.live_runs import (
    START,
    margin_picks,
    random_picks,
    sure_picks,
    telling_picks,
    whole_run,
)
from tests.statistics.mixture import Mixture, hits, train

MIXTURES = {"easy": Mixture(1.0, 0.3, 10), "hard": Mixture(0.7, 0.5, 20)}


@runs(quick=100, full=2_000)
@pytest.mark.parametrize("world", MIXTURES)
@pytest.mark.parametrize(("first", "count", "size"), [(20, 5, START), (50, 4, START), (20, 5, 10)])
def test_a_strategy_that_is_random_is_hardly_ever_flagged(world, first, count, size, runs):
    """Looks at 20, 40, … 320 (or 50, 100, 200 and 400) control labels, blocks cut anew at each.

    A live project's start may be as small as ten labels of two classes.
    """
    rng = np.random.default_rng(11)
    mixture = MIXTURES[world]
    flagged = 0
    for _ in range(runs):
        start, validation = mixture.draw(rng, size), mixture.draw(rng, 200)
        while len(np.unique(start[1])) < 2:
            start = mixture.draw(rng, size)
        looks = whole_run(mixture, random_picks, start, validation, 80, rng, first=first)
        assert len(looks) == count
        flagged += any(look.found.verdict != "not visible" for look in looks)
    say("flagged", flagged / runs)
    assert_share(flagged / runs, runs, most=0.05)


@runs(quick=60, full=400)
@pytest.mark.parametrize("blocks", [5, 20])
def test_five_blocks_do_no_harm_but_see_less(blocks, runs):
    rng = np.random.default_rng(12)
    mixture = MIXTURES["easy"]
    flagged, widths = 0, []
    for _ in range(runs):
        start, validation = mixture.draw(rng, START), mixture.draw(rng, 200)
        looks = whole_run(mixture, random_picks, start, validation, 40, rng, blocks=blocks)
        flagged += any(look.found.verdict != "not visible" for look in looks)
        widths.append(looks[-1].found.half_width)
    say("flagged", flagged / runs)
    say("half-width", float(np.mean(widths)))
    assert_share(flagged / runs, runs, most=0.05)


@runs(quick=100, full=1_000)
def test_intervals_over_items_alone_would_flag_it_often(runs):
    """The reason for blocks: 20 looks at one pair of models, with the spread of items only."""
    rng = np.random.default_rng(13)
    mixture = MIXTURES["hard"]
    flagged = 0
    for _ in range(runs):
        start, validation = mixture.draw(rng, START), mixture.draw(rng, 200)
        picks, control = mixture.draw(rng, 200), mixture.draw(rng, 200)
        for size in range(10, 201, 10):
            one, two = (
                np.concatenate(
                    [np.stack([start[i]] * 2), np.stack([picks[i], control[i]])[:, :size]], 1
                )
                for i in (0, 1)
            )
            right = hits(train(one, two), *validation).astype(float)
            difference = right[0] - right[1]
            error = np.sqrt(clustered_variance(difference).variance)
            if abs(difference.mean()) > 1.96 * error:
                flagged += 1
                break
    say("flagged", flagged / runs)
    assert flagged / runs > 0.4


@runs(quick=20, full=150)
@pytest.mark.parametrize(
    ("order", "mixture", "size", "visible"),
    [
        (margin_picks, Mixture(1.5, 0.5, 10), 10, "below"),
        (sure_picks, Mixture(1.0, 0.3, 10), 20, None),
        (telling_picks, Mixture(1.0, 0.3, 10), 20, None),
    ],
)
def test_the_interval_holds_the_true_lift_at_every_look(order, mixture, size, visible, runs):
    """The truth: the mean over runs from one start of the compared models' exact difference.

    Where labels are this few, picks at the boundary alone leave the head without a slope: harm.
    """
    rng = np.random.default_rng(14)
    start = mixture.draw(rng, size)
    found = [whole_run(mixture, order, start, mixture.draw(rng, 200), 40, rng) for _ in range(runs)]
    exact = np.array([[look.exact for look in one] for one in found]).mean(axis=0)
    wrong = np.mean(
        [
            any(
                not look.found.low <= truth <= look.found.high
                for look, truth in zip(one, exact, strict=True)
            )
            for one in found
        ]
    )
    verdicts = [one[-1].found.verdict for one in found]
    say("wrong", wrong)
    say("true lift at the last look", exact[-1])
    say("seen above", verdicts.count("above") / runs)
    say("seen below", verdicts.count("below") / runs)
    assert_share(wrong, runs, most=0.05)
    if visible:
        assert verdicts.count(visible) > 0.2 * runs


@runs(quick=2_000, full=20_000)
@pytest.mark.parametrize("together", [True, False])
def test_a_target_that_is_not_reached_is_seldom_called_reached(together, runs):
    """The accuracy rises to just under the target; looks on the same items, or on others."""
    rng = np.random.default_rng(15)
    plan = plan_looks(100, 800)
    target = 0.9
    claimed = 0
    for _ in range(runs):
        luck = rng.random(200)
        for alpha, accuracy in zip(plan.alphas, (0.885, 0.895, 0.899, 0.8999), strict=True):
            luck = luck if together else rng.random(200)
            if target_reached(luck < accuracy, target, alpha).reached:
                claimed += 1
                break
    say("claimed", claimed / runs)
    assert_share(claimed / runs, runs, most=0.05)
