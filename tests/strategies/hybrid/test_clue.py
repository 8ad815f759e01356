"""CLUE: uncertain regions get more clusters, and heavier picks come first."""

import numpy as np
from numpy.testing import assert_allclose

from strategies import Pool
from strategies.registry import REGISTRY


def test_uncertain_regions_get_more_clusters() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 2)) + 50.0 * (np.arange(400) >= 200)[:, None]
    sure = np.where(np.arange(400) < 200, 0.999, 0.6)
    pool = Pool(embeddings=points, probabilities=np.column_stack([sure, 1.0 - sure]))
    picks, _ = REGISTRY["clue"].pick(pool, 20, np.random.default_rng(1), {})
    unsure = picks.indices >= 200
    assert unsure.sum() >= 15
    p = sure[picks.indices]
    assert_allclose(picks.details["entropy"], -p * np.log(p) - (1 - p) * np.log(1 - p))


def test_where_all_is_certain_it_is_k_means() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(60, 3))
    pool = Pool(embeddings=points, probabilities=np.eye(2)[rng.integers(2, size=60)])
    clue, _ = REGISTRY["clue"].pick(pool, 7, np.random.default_rng(3), {})
    plain, _ = REGISTRY["k_means"].pick(pool, 7, np.random.default_rng(3), {})
    assert clue.indices.tolist() == plain.indices.tolist()
