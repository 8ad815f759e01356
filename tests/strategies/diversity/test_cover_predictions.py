"""Cover by predictions: herding between the square roots of probabilities."""

import numpy as np
from numpy.testing import assert_array_equal

from strategies import Pool, select
from strategies.diversity.cover_predictions import cover_predictions
from strategies.picks import CLASS
from tests.strategies.coverage_oracle import gaussian, greedy_loop


def test_picks_are_those_of_the_plain_loop_over_square_roots() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4) * 0.3, size=300)
    expected, _ = greedy_loop(np.sqrt(probabilities), 50, gaussian(0.5))
    assert select("cover_predictions", Pool(probabilities=probabilities), 50).tolist() == expected


def test_every_way_of_being_unsure_is_seen_early() -> None:
    kinds = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5]])
    probabilities = np.repeat(kinds, [50, 30, 20, 3, 2], axis=0)
    picks = select("cover_predictions", Pool(probabilities=probabilities), 5)
    assert_array_equal(picks, [0, 50, 80, 100, 103])


def test_names_the_class_that_each_pick_stands_for() -> None:
    found = cover_predictions(np.eye(3)[[2, 2, 0]], np.arange(3), 2)
    assert found.details[CLASS].tolist() == [2, 0]
