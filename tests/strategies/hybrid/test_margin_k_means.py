"""Margin with k-means: only small margins, spread over clusters."""

import numpy as np
import pytest

from strategies import Pool, score
from strategies.registry import REGISTRY


def pool_of(n: int) -> Pool:
    rng = np.random.default_rng(0)
    return Pool(embeddings=rng.normal(size=(n, 4)), probabilities=rng.dirichlet(np.ones(3), n))


@pytest.mark.parametrize("ratio", [1.0, 2.5, 10.0])
def test_picks_are_among_the_smallest_margins(ratio: float) -> None:
    pool = pool_of(300)
    picks, _ = REGISTRY["margin_k_means"].pick(
        pool, 8, np.random.default_rng(1), {"candidates_per_pick": ratio}
    )
    ranking = np.argsort(-score("margin", pool))
    assert set(picks.indices) <= set(ranking[: round(8 * ratio)])
    assert picks.details["cluster_size"].sum() == round(8 * ratio)
    top = np.sort(pool.probabilities[picks.indices], axis=1)[:, ::-1]  # type: ignore[index]
    assert picks.details["margin"] == pytest.approx(top[:, 0] - top[:, 1])


def test_one_pick_a_direction() -> None:
    direction = np.repeat(np.arange(3), [6, 4, 2])
    lengths = np.random.default_rng(2).exponential(size=(12, 1)) + 0.1
    pool = Pool(embeddings=np.eye(3)[direction] * lengths, probabilities=np.full((12, 2), 0.5))
    picks, _ = REGISTRY["margin_k_means"].pick(pool, 3, np.random.default_rng(1), {})
    assert direction[picks.indices].tolist() == [0, 1, 2]
