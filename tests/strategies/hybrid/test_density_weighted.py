"""Information density against the mean over all pairs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, score
from tests.strategies.coverage_oracle import clustered

EMBEDDINGS = clustered(200, 7, np.float64, spread=1.0) + 0.5
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(3), size=200)
POOL = Pool(embeddings=EMBEDDINGS, probabilities=PROBABILITIES)


@pytest.mark.parametrize("uncertainty", ["entropy", "margin", "least_confidence"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_is_uncertainty_times_the_mean_cosine_to_the_pool(uncertainty: str, beta: float) -> None:
    unit = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    similarity = np.array([np.mean([row @ other for other in unit]) for row in unit])
    expected = score(uncertainty, POOL) * np.maximum(similarity, 0.0) ** beta
    found = score("density_weighted", POOL, uncertainty=uncertainty, beta=beta)
    assert_allclose(found, expected, atol=1e-12)


def test_without_density_it_is_the_uncertainty() -> None:
    assert_array_equal(score("density_weighted", POOL, beta=0), score("entropy", POOL))


def test_an_outlier_counts_for_less_than_an_equal_item_in_the_crowd() -> None:
    embeddings = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [-1.0, 0.0], [0.0, 0.0]])
    even = Pool(embeddings=embeddings, probabilities=np.full((5, 2), 0.5))
    scores = score("density_weighted", even)
    assert scores[0] > scores[1] > 0.0
    # Opposite to the pool, and without a direction.
    assert_array_equal(scores[3:], [0.0, 0.0])
