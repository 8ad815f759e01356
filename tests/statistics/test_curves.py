"""What curves are made to say, against curves whose continuation is known."""

import numpy as np
import pytest

from backend.evaluation.forecast import forecast
from backend.evaluation.labels_saved import labels_saved
from backend.evaluation.stopping import gain_per_100
from tests.statistics.bands import assert_share, runs, say
from tests.statistics.mixture import Mixture, hits, train

WORLDS = {"easy": Mixture(1.0, 0.3, 10), "hard": Mixture(1.5, 0.5, 30)}


@runs(quick=40, full=1_000)
@pytest.mark.parametrize("world", WORLDS)
def test_forecasts_and_bounds_of_the_gain_hold(world, runs):
    """Models at 50, 100 … 800 labels on 400 items; then at 900, and at 1,600."""
    mixture, rng = WORLDS[world], np.random.default_rng(21)
    points = list(range(50, 801, 50))
    set_covered = all_covered = bounded = 0
    widths = []
    for _ in range(runs):
        inputs, classes = mixture.draw(rng, 1_600)
        heads = np.concatenate(
            [train(inputs[None, :n], classes[None, :n]) for n in (*points, 900, 1_600)]
        )
        right, exact = hits(heads, *mixture.draw(rng, 400)), mixture.accuracy(heads)
        seen = right.mean(axis=1)
        past = seen[: len(points)]
        error = float(np.sqrt(past[-1] * (1 - past[-1]) / 400))
        of_set = forecast(points, past, 1_600)
        of_all = forecast(points, past, 1_600, standard_error=error)
        set_covered += of_set.low <= seen[-1] <= of_set.high
        all_covered += of_all.low <= exact[-1] <= of_all.high
        widths.append(of_set.high - of_set.low)
        half = len(points) // 2
        gain = gain_per_100(points[half:], right[half : len(points)])
        bounded += gain.upper >= exact[-2] - exact[len(points) - 1]
    say("forecast of the set's figure, coverage", set_covered / runs)
    say("its width", float(np.mean(widths)))
    say("forecast of the accuracy everywhere, coverage", all_covered / runs)
    say("upper bounds of the gain that held", bounded / runs)
    assert_share(set_covered / runs, runs, least=0.93)
    assert_share(all_covered / runs, runs, least=0.93)
    assert_share(bounded / runs, runs, least=0.95)
    assert np.mean(widths) < 0.15


@runs(quick=25, full=500)
@pytest.mark.parametrize("world", WORLDS)
def test_random_picks_save_no_labels(world, runs):
    """100 control labels in 10 blocks, 20 refits: the interval of the saving holds zero."""
    mixture, rng = WORLDS[world], np.random.default_rng(22)
    control_labels, blocks, refits = 100, 10, 20
    sizes = range(0, 2 * control_labels + 1, 20)
    shares, covered = [], 0
    for _ in range(runs):
        start, validation = mixture.draw(rng, 30), mixture.draw(rng, 300)
        control = mixture.draw(rng, control_labels)
        picks = mixture.draw(rng, 2 * control_labels)
        of_control = redrawn(rng, control_labels, blocks, refits)
        of_picks = redrawn(rng, 2 * control_labels, 2 * blocks, refits)
        found = labels_saved(
            list(sizes),
            np.stack(
                [hits(added(start, picks, of_picks[:, :n]), *validation) for n in sizes], axis=1
            ),
            hits(added(start, control, of_control), *validation),
            control_labels,
            draws=200,
        )
        if found.share is None:
            continue
        shares.append(found.share)
        covered += found.low <= 0 <= found.high
    say("mean share", float(np.mean(shares)))
    say("given", len(shares) / runs)
    say("coverage", covered / len(shares))
    assert len(shares) > 0.8 * runs
    # Curves that do not get there count as -1 however far they miss, and lucky ones save at most 1
    # and mostly less: on the whole chance costs labels, and never seems to save any.
    stray = 3 * np.std(shares) / np.sqrt(len(shares))
    assert -0.3 - stray < np.mean(shares) < stray
    assert_share(covered / len(shares), len(shares), least=0.93)


def redrawn(rng, labels, blocks, refits):
    """Places (refits, labels): first as they came, then blocks of rounds with replacement."""
    places = np.arange(labels).reshape(blocks, -1)
    again = places[rng.integers(blocks, size=(refits - 1, blocks))].reshape(refits - 1, labels)
    return np.concatenate([np.arange(labels)[None], again])


def added(start, labels, places):
    """Heads on the start and the labels at `places` (k, m)."""
    one, two = (
        np.concatenate([np.stack([start[i]] * len(places)), labels[i][places]], axis=1)
        for i in (0, 1)
    )
    return train(one, two)
