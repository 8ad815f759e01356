"""Cluster-Margin: smallest margins, in turn from clusters, those with the fewest first."""

import numpy as np

from strategies import Pool, score
from strategies.hybrid import cluster_margin as module
from strategies.registry import REGISTRY


def test_clusters_take_turns_the_one_with_the_fewest_candidates_first() -> None:
    rng = np.random.default_rng(0)
    blob = np.repeat(np.arange(3), [50, 5, 15])
    points = 20.0 * np.eye(3)[blob] + 0.2 * rng.normal(size=(70, 3))
    pool = Pool(embeddings=points, probabilities=np.full((70, 2), 0.5))
    picks, _ = REGISTRY["cluster_margin"].pick(
        pool, 20, np.random.default_rng(1), {"cluster_count": 3}
    )
    # Five rounds of all three; then the smallest is used up.
    assert blob[picks.indices].tolist() == [1, 2, 0] * 5 + [2, 0] * 2 + [2]
    assert set(picks.details["cluster_size"].tolist()) == {5, 15, 50}


def test_candidates_are_the_smallest_margins() -> None:
    rng = np.random.default_rng(2)
    pool = Pool(embeddings=rng.normal(size=(200, 3)), probabilities=rng.dirichlet(np.ones(4), 200))
    picks, _ = REGISTRY["cluster_margin"].pick(
        pool, 10, np.random.default_rng(3), {"candidates_per_pick": 2.0}
    )
    assert set(picks.indices) <= set(np.argsort(-score("margin", pool))[:20])


def test_within_a_cluster_every_candidate_has_the_same_chance() -> None:
    pool = Pool(embeddings=np.zeros((4, 2)), probabilities=np.full((4, 2), 0.5))
    firsts = [
        REGISTRY["cluster_margin"].pick(pool, 1, np.random.default_rng(seed), {})[0].indices[0]
        for seed in range(400)
    ]
    # 400 draws of probability 1/4: standard deviation 8.7; five of them either side.
    assert (np.abs(np.bincount(firsts, minlength=4) - 100) < 44).all()


def test_large_pools_are_linked_from_clusters_of_k_means(monkeypatch: object) -> None:
    # With few micro-clusters well apart the groups are the same as with every item on its own.
    rng = np.random.default_rng(4)
    blob = np.repeat(np.arange(4), [10, 20, 30, 40])
    points = 20.0 * np.eye(4)[blob] + 0.2 * rng.normal(size=(100, 4))
    for micro in (12, 2000):
        monkeypatch.setattr(module, "MICRO_CLUSTERS", micro)  # type: ignore[attr-defined]
        numbers = module._linked(points, np.arange(100), 4, rng, False, "cpu")
        assert len(set(zip(numbers.tolist(), blob.tolist(), strict=True))) == 4
