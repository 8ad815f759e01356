"""Rough clusters: every row in one, near rows together, the same answer every time."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from strategies.kernels.rough_clusters import rough_clusters


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5))
def test_every_row_is_in_one_cluster(rows: int, count: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(-2, 3, size=(rows, 2)).astype(np.float32)
    clusters = rough_clusters(points, count)
    assert len(clusters.centroids) == min(rows, count)
    assert_array_equal(np.sort(clusters.order), np.arange(rows))
    for number in range(len(clusters.centroids)):
        members = clusters.members(number)
        assert (np.diff(members) > 0).all()
        assert (clusters.numbers[members] == number).all()
    assert clusters.starts[0] == 0
    assert clusters.starts[-1] == rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_go_to_their_nearest_centroid(dtype: type) -> None:
    points = np.random.default_rng(0).normal(size=(3000, 16)).astype(dtype)
    clusters = rough_clusters(points, 12)
    distances = ((points[:, None] - clusters.centroids) ** 2).sum(axis=2)
    chosen = distances[np.arange(3000), clusters.numbers]
    assert (chosen <= distances.min(axis=1) + 1e-4).all()


def test_groups_that_lie_apart_are_never_mixed() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(6, size=5000)
    points = (1000 + 20 * rng.normal(size=(6, 8))[groups] + rng.normal(size=(5000, 8))).astype(
        np.float32
    )
    # More clusters than groups: each group may be split.
    clusters = rough_clusters(points, 60)
    for number in range(60):
        assert len(np.unique(groups[clusters.members(number)])) <= 1


def test_with_a_scale_the_directions_are_clustered() -> None:
    rng = np.random.default_rng(2)
    directions = np.repeat(np.eye(3), 200, axis=0) + 0.01 * rng.normal(size=(600, 3))
    points = directions * rng.uniform(0.01, 1000, size=(600, 1))
    clusters = rough_clusters(points, 30, scale=1 / np.linalg.norm(points, axis=1))
    groups = np.repeat([0, 1, 2], 200)
    for number in range(30):
        assert len(np.unique(groups[clusters.members(number)])) <= 1


@pytest.mark.parametrize("value", [1e-300, 1.0, 1e150])
def test_the_unit_of_the_points_does_not_matter(value: float) -> None:
    points = np.random.default_rng(3).normal(size=(400, 4))
    assert_array_equal(rough_clusters(points * value, 9).numbers, rough_clusters(points, 9).numbers)


def test_a_memory_map_gives_the_same_clusters(tmp_path: Path) -> None:
    points = np.random.default_rng(4).normal(size=(5000, 8)).astype(np.float32)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    assert_array_equal(rough_clusters(mapped, 20).numbers, rough_clusters(points, 20).numbers)


def test_identical_points_need_no_special_care() -> None:
    clusters = rough_clusters(np.full((50, 3), 0.1, dtype=np.float32), 8)
    assert_array_equal(np.sort(clusters.order), np.arange(50))
