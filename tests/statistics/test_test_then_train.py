"""Control labels score a model without bias before they train it, and flatter it afterwards."""

import numpy as np
import pytest

from backend.evaluation.clustered_proportion import proportion
from tests.statistics.bands import assert_share, runs, say
from tests.statistics.mixture import Mixture, hits, train

START, PICKS, CONTROL, ROUNDS, LAST = 40, 15, 10, 10, 5


@runs(quick=200, full=3_000)
@pytest.mark.parametrize("dimensions", [10, 30])
def test_test_then_train_is_unbiased_and_training_first_is_not(dimensions, runs):
    """Each round 15 random picks and 10 control labels; all of them train the next model."""
    rng = np.random.default_rng(dimensions)
    mixture = Mixture(1.0, 0.5, dimensions)
    before, after, left_out, covered = [], [], [], 0
    size = START + ROUNDS * (PICKS + CONTROL)
    for _ in range(runs):
        inputs, classes = mixture.draw(rng, size)
        # Labels in the order given: the start, then each round's control labels before its picks.
        place = np.arange(size) - START
        control = (place >= 0) & (place % (PICKS + CONTROL) < CONTROL)
        trained = START + np.arange(ROUNDS + 1) * (PICKS + CONTROL) - 1  # the last label of each
        heads = np.concatenate(
            [train(inputs[None, : end + 1], classes[None, : end + 1]) for end in trained]
        )
        exact = mixture.accuracy(heads)

        given = np.flatnonzero(control)
        # The newest model that was trained before the label was given.
        version = np.searchsorted(trained, given) - 1
        right = hits(heads, inputs[given], classes[given])[version, np.arange(len(given))]
        found = proportion(right[version > version.max() - LAST])
        truth = exact[ROUNDS - LAST : ROUNDS].mean()
        before.append(found.value - truth)
        covered += found.low <= truth <= found.high

        recent = given[-LAST * CONTROL :]
        after.append(hits(heads[-1:], inputs[recent], classes[recent]).mean() - exact[-1])
        without = train(inputs[None, ~control], classes[None, ~control])
        left_out.append(hits(without, inputs[recent], classes[recent]).mean() - exact[-1])
    error = np.std(before) / np.sqrt(runs)
    say("bias of test-then-train, points", 100 * np.mean(before))
    say("bias after training on them, points", 100 * np.mean(after))
    say("bias when they never train, points", 100 * np.mean(left_out))
    say("coverage", covered / runs)
    assert abs(np.mean(before)) < 3 * error
    assert np.mean(after) > 3 * error
    assert np.mean(after) > 0.01
    assert np.mean(left_out) < 3 * np.std(left_out) / np.sqrt(runs)
    if dimensions == 30:
        assert np.mean(left_out) < -0.005
    assert_share(covered / runs, runs, least=0.93)
