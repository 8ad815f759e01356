"""The nearest centroid: the answer of a float64 loop, even where float32 cannot tell."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from strategies.kernels.nearest_centroid import nearest_centroids, rather_near_centroids
from strategies.kernels.products import Products


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def obvious(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    squares = np.empty((len(points), len(centroids)))
    for j, centroid in enumerate(centroids.astype(np.float64)):
        squares[:, j] = ((points.astype(np.float64) - centroid) ** 2).sum(axis=1)
    return squares.argmin(axis=1)


def lengths(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points.astype(np.float64), axis=1)


@pytest.mark.parametrize("spread", [1.0, 1e-3, 3e-7])
def test_is_that_of_a_float64_loop(spread: float) -> None:
    # The smallest spread is below what float32 products of this length resolve.
    rng = seeded(1)
    points = rng.normal(size=(500, 64)).astype(np.float32)
    middle = rng.normal(size=64)
    centroids = (middle + spread * rng.normal(size=(40, 64))).astype(np.float32)
    found, _ = nearest_centroids(Products(points), lengths(points), centroids)
    assert_array_equal(found, obvious(points, centroids))


def test_the_least_spread_above_is_beyond_float32() -> None:
    rng = seeded(1)
    points = rng.normal(size=(500, 64)).astype(np.float32)
    middle = rng.normal(size=64)
    centroids = (middle + 3e-7 * rng.normal(size=(40, 64))).astype(np.float32)
    quick = (points @ centroids.T - np.square(centroids).sum(axis=1) / 2).argmax(axis=1)
    assert (quick != obvious(points, centroids)).any()


def test_equal_centroids_go_to_the_first() -> None:
    points = seeded(2).normal(size=(50, 8)).astype(np.float32)
    centroids = points[[3, 3, 7, 3, 7]]
    found, _ = nearest_centroids(Products(points), lengths(points), centroids)
    assert set(found.tolist()) == {0, 2}


def test_one_centroid_is_nearest_to_all() -> None:
    points = seeded(3).normal(size=(10, 4)).astype(np.float32)
    found, _ = nearest_centroids(Products(points), lengths(points), points[:1])
    assert_array_equal(found, np.zeros(10))


def test_rather_near_is_mostly_nearest_where_points_lie_in_clusters() -> None:
    rng = seeded(4)
    middles = rng.normal(size=(60, 32))
    points = (middles[rng.integers(60, size=4000)] + 0.3 * rng.normal(size=(4000, 32))).astype(
        np.float32
    )
    centroids = points[:600]
    found = rather_near_centroids(Products(points), lengths(points), centroids)
    assert (found == obvious(points, centroids)).mean() > 0.95


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")
def test_a_gpu_gives_the_same() -> None:
    rng = seeded(5)
    points = rng.normal(size=(3000, 64)).astype(np.float32)
    centroids = (points[:300] * 1e-3).astype(np.float32)
    on_gpu, _ = nearest_centroids(Products(points, "cuda"), lengths(points), centroids)
    on_cpu, _ = nearest_centroids(Products(points), lengths(points), centroids)
    assert_array_equal(on_gpu, on_cpu)
