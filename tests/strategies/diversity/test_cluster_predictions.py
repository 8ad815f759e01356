"""k-means in probability space: every way of being sure or unsure is picked."""

import numpy as np

from strategies import Pool
from strategies.registry import REGISTRY


def test_one_pick_for_each_way_of_predicting() -> None:
    rng = np.random.default_rng(0)
    ways = np.array([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.49, 0.49, 0.02]])
    way = np.repeat(np.arange(3), [50, 30, 5])
    probabilities = ways[way] + 0.005 * rng.random((85, 3))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    picks, _ = REGISTRY["cluster_predictions"].pick(
        Pool(probabilities=probabilities), 3, np.random.default_rng(1), {}
    )
    assert way[picks.indices].tolist() == [0, 1, 2]
    assert picks.details["cluster_size"].tolist() == [50, 30, 5]
    assert picks.details["class"].tolist() == probabilities[picks.indices].argmax(axis=1).tolist()
