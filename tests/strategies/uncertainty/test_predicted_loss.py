"""The loss that a head of its own predicts."""

import numpy as np
from numpy.testing import assert_array_equal

from strategies import Pool, score, select


def test_takes_the_numbers_as_they_are_in_a_copy_of_its_own() -> None:
    losses = np.array([0.25, -3.0, 7.5], dtype=np.float32)
    scores = score("predicted_loss", Pool(predicted_loss=losses))
    assert_array_equal(scores, [0.25, -3.0, 7.5])
    scores[:] = 0.0
    assert_array_equal(losses, [0.25, -3.0, 7.5])


def test_the_largest_loss_comes_first() -> None:
    pool = Pool(predicted_loss=np.array([0.25, -3.0, 7.5]))
    assert select("predicted_loss", pool, 3).tolist() == [2, 0, 1]
