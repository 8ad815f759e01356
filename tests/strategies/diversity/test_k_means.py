"""k-means as a strategy: one pick a cluster, and what is told of each."""

import numpy as np
from numpy.testing import assert_allclose

from strategies import Pool
from strategies.registry import REGISTRY


def picks_of(
    pool: Pool, size: int, **parameters: object
) -> tuple[list[int], dict[str, np.ndarray]]:
    picks, _ = REGISTRY["k_means"].pick(pool, size, np.random.default_rng(0), parameters)
    return picks.indices.tolist(), dict(picks.details)


def test_one_pick_from_each_blob_that_of_the_largest_first() -> None:
    rng = np.random.default_rng(1)
    blob = np.repeat(np.arange(4), [10, 40, 20, 30])
    points = 10.0 * np.eye(4)[blob] + 0.1 * rng.normal(size=(100, 4))
    indices, details = picks_of(Pool(embeddings=points), 4)
    assert blob[indices].tolist() == [1, 3, 2, 0]
    assert details["cluster_size"].tolist() == [40, 30, 20, 10]
    for index, distance in zip(indices, details["distance_to_centroid"], strict=True):
        inside = points[blob == blob[index]]
        apart = np.linalg.norm(inside - inside.mean(axis=0), axis=1)
        assert_allclose(distance, apart.min())


def test_excluded_items_are_not_clustered() -> None:
    points = np.array([[0.0], [1.0], [2.0], [100.0]])
    indices, _ = picks_of(Pool(embeddings=points, excluded=np.array([0, 0, 0, 1], dtype=bool)), 1)
    assert indices == [1]


def test_cosine_clusters_directions() -> None:
    # By place the far one is alone; by direction the first three are together.
    points = np.array([[1.0, 0.0], [100.0, 1.0], [1.0, 0.02], [0.0, 1.0]])
    assert picks_of(Pool(embeddings=points), 2)[0] in ([2, 1], [0, 1])
    assert picks_of(Pool(embeddings=points), 2, metric="cosine")[0] == [1, 3]
