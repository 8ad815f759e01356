"""k-means: against plain Lloyd steps, against every single move, and its promises at the edges."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies.kernels import products
from strategies.kernels.hartigan import Clustering
from strategies.kernels.k_means import clusters, k_means, nearest_to_centroids

Matrix = np.ndarray


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def inertia(points: Matrix, centroids: Matrix, assignment: Matrix, weights: Matrix) -> float:
    return float(
        sum(
            w * ((x - centroids[a]) ** 2).sum()
            for x, a, w in zip(points, assignment, weights, strict=True)
        )
    )


def lloyd(points: Matrix, k: int, weights: Matrix, rng: np.random.Generator) -> float:
    """k-means++ seeds and Lloyd's steps to the end, as the textbook has them."""
    centroids = [points[rng.choice(len(points), p=weights / weights.sum())]]
    while len(centroids) < k:
        squares = np.min([((points - c) ** 2).sum(axis=1) for c in centroids], axis=0)
        masses = weights * squares
        centroids.append(points[rng.choice(len(points), p=masses / masses.sum())])
    held = np.array(centroids)
    assignment = np.full(len(points), -1)
    while True:
        squares = ((points[:, None] - held) ** 2).sum(axis=2)
        if (squares.argmin(axis=1) == assignment).all():
            return inertia(points, held, assignment, weights)
        assignment = squares.argmin(axis=1)
        for cluster in np.unique(assignment):
            inside = assignment == cluster
            held[cluster] = np.average(points[inside], axis=0, weights=weights[inside])


def best_of_all(points: Matrix, k: int) -> float:
    """The least inertia of every way to part a few points into k clusters."""
    least = np.inf
    for parts in itertools.product(range(k), repeat=len(points)):
        assignment = np.array(parts)
        if len(set(parts)) < k:
            continue
        means = np.array([points[assignment == c].mean(axis=0) for c in range(k)])
        least = min(least, inertia(points, means, assignment, np.ones(len(points))))
    return least


@pytest.mark.parametrize("kind", ["blobs", "isotropic", "weighted"])
def test_ends_no_higher_than_lloyds_algorithm_on_average(kind: str) -> None:
    rng = seeded(1)
    points = rng.normal(size=(120, 8))
    if kind == "blobs":
        points += 4.0 * rng.normal(size=(6, 8))[rng.integers(6, size=120)]
    weights = rng.exponential(size=120) if kind == "weighted" else np.ones(120)
    ours, theirs = [], []
    for seed in range(6):
        centroids, assignment = k_means(points, 15, seeded(seed), weights=weights)
        ours.append(inertia(points, centroids, assignment, weights))
        theirs.append(lloyd(points, 15, weights, seeded(seed)))
    assert np.mean(ours) <= np.mean(theirs)


def test_finds_the_best_partition_of_a_few_points_in_a_few_starts() -> None:
    for seed in range(3):
        points = seeded(seed).normal(size=(7, 2))
        found = []
        for start in range(10):
            centroids, assignment = k_means(points, 3, seeded(start), tolerance=0.0)
            found.append(inertia(points, centroids, assignment, np.ones(7)))
        least = best_of_all(points, 3)
        assert min(found) == pytest.approx(least, rel=1e-9)
        assert all(value >= least * (1 - 1e-9) for value in found)


@pytest.mark.parametrize("seed", range(5))
def test_no_move_of_a_single_point_would_lower_the_sum(seed: int) -> None:
    rng = seeded(seed)
    points, weights = rng.normal(size=(50, 5)), rng.exponential(size=50) + 0.01
    centroids, assignment = k_means(points, 8, rng, weights=weights, iterations=200, tolerance=0.0)
    reached = inertia(points, centroids, assignment, weights)
    for point, target in itertools.product(range(50), range(8)):
        moved = assignment.copy()
        moved[point] = target
        if len(np.unique(moved)) < 8:
            continue
        means = np.array(
            [np.average(points[moved == c], axis=0, weights=weights[moved == c]) for c in range(8)]
        )
        # Float32 products propose the moves, so a gain of their rounding may be left.
        assert inertia(points, means, moved, weights) >= reached * (1 - 1e-6)


@pytest.mark.parametrize("count", [40, 400])
def test_many_clusters_take_the_way_of_neighbours_and_looks_at_all(count: int) -> None:
    # 40 clusters meet each other all; 400 meet their neighbours, with rough first homes.
    rng = seeded(2)
    points = rng.normal(size=(2000, 16)) * np.arange(1, 17) ** -0.5
    centroids, assignment = k_means(points, count, seeded(0))
    means = np.array([points[assignment == c].mean(axis=0) for c in range(count)])
    assert_allclose(centroids, means, atol=1e-12)
    squares = ((points[:, None, :] - centroids) ** 2).sum(axis=2)
    own = squares[np.arange(2000), assignment].sum()
    assert own <= 1.01 * squares.min(axis=1).sum()


def test_every_change_lowers_the_sum_by_what_it_says() -> None:
    rng = seeded(3)
    points = rng.normal(size=(300, 6)).astype(np.float32)
    weights = rng.exponential(size=300) + 0.1
    assignment = np.concatenate([np.arange(20), rng.integers(20, size=280)])
    clustering = Clustering(points, weights, assignment, 20)
    clustering.meet(5)
    before = clustering.inertia()
    for _ in range(6):
        gain = clustering.improve()
        after = clustering.inertia()
        assert gain >= 0.0
        assert after == pytest.approx(before - gain, rel=1e-9)
        before = after
    assert np.bincount(assignment, minlength=20).min() >= 1


@given(
    st.integers(1, 25),
    st.integers(1, 4),
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_promises_for_any_shape(
    n: int, d: int, k: int, levels: int, seed: int, weighted: bool
) -> None:
    # Few levels: many equal points.
    rng = seeded(seed)
    points = rng.integers(levels, size=(n, d)).astype(np.float64)
    weights = rng.integers(3, size=n).astype(np.float64) if weighted else None
    found = clusters(points, None, k, rng, weights=weights)
    distinct = len(np.unique(points, axis=0))
    assert len(found.centroids) == min(k, distinct)
    assert found.sizes.min() >= 1
    assert found.assignment.shape == found.distances.shape == (n,)
    size = min(k, n)
    items = found.nearest_items(size)
    assert len(set(items.tolist())) == size
    assert len(set(found.assignment[items[:distinct]].tolist())) == min(size, distinct)


def test_as_many_clusters_as_distinct_points_put_each_on_its_own() -> None:
    points = seeded(4).normal(size=(30, 3))[np.repeat(np.arange(30), 3)]
    centroids, assignment = k_means(points, 50, seeded())
    assert len(centroids) == 30
    assert_allclose(centroids[assignment], points, atol=1e-12)


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**-100, 1.0, 2.0**100, 2.0**900])
@pytest.mark.parametrize("offset", [0.0, 1024.0])
def test_neither_scale_nor_place_matters(scale: float, offset: float) -> None:
    points = seeded(5).integers(50, size=(60, 3)).astype(np.float64)
    _, expected = k_means(points, 6, seeded(1))
    _, assignment = k_means((points + offset) * scale, 6, seeded(1))
    assert_array_equal(assignment, expected)


def test_unit_length_looks_at_directions_only() -> None:
    rng = seeded(6)
    points = rng.normal(size=(80, 4))
    lengths = rng.exponential(size=(80, 1)) + 0.1
    picks = [
        nearest_to_centroids(rows, np.arange(80), 9, seeded(2), unit_length=True)
        for rows in (points / np.linalg.norm(points, axis=1, keepdims=True), points * lengths)
    ]
    assert_array_equal(picks[0], picks[1])


def test_only_candidates_count() -> None:
    rng = seeded(7)
    points = rng.normal(size=(100, 4))
    candidates = np.flatnonzero(rng.random(100) < 0.4)
    picks = nearest_to_centroids(points, candidates, 8, seeded(0))
    assert_array_equal(
        picks,
        candidates[
            nearest_to_centroids(points[candidates], np.arange(len(candidates)), 8, seeded(0))
        ],
    )


def test_weights_of_nought_neither_attract_nor_break() -> None:
    points = np.array([[0.0], [1.0], [100.0], [200.0]])
    centroids, assignment = k_means(points, 1, seeded(), weights=np.array([1.0, 3.0, 0.0, 0.0]))
    assert_allclose(centroids, [[0.75]], atol=1e-6)
    assert_array_equal(assignment, [0, 0, 0, 0])
    equal, _ = k_means(points, 1, seeded(), weights=np.zeros(4))
    assert_allclose(equal, [[75.25]])


def test_items_nearest_first_then_those_of_the_heaviest_cluster() -> None:
    # Means 1 of {0, 1, 2} and 11 of {10, 12}; then one more of each, equal ones by index.
    points = np.array([[0.0], [10.0], [1.0], [12.0], [2.0]])
    found = clusters(points, None, 2, seeded(0))
    assert found.nearest_items(5).tolist() == [2, 1, 0, 3, 4]
    weights = np.array([1.0, 9.0, 1.0, 9.0, 1.0])
    heavy = clusters(points, None, 2, seeded(0), weights=weights)
    assert heavy.nearest_items(2).tolist() == [1, 2]


def test_memory_maps_and_layouts_give_the_same(tmp_path: object) -> None:
    points = seeded(8).normal(size=(200, 10)).astype(np.float32)
    np.save(f"{tmp_path}/points.npy", points)
    mapped = np.load(f"{tmp_path}/points.npy", mmap_mode="r")
    expected = k_means(points, 15, seeded(3))[1]
    assert_array_equal(k_means(mapped, 15, seeded(3))[1], expected)
    assert_array_equal(k_means(np.asfortranarray(points), 15, seeded(3))[1], expected)
    assert_array_equal(k_means(points.astype(np.float64), 15, seeded(3))[1], expected)


@pytest.mark.parametrize("count", [20, 300])
def test_the_torch_path_gives_the_same_clusters(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyTorch's own products on the CPU stand in for a GPU: they too round in another order.
    monkeypatch.setattr(products, "to_device", lambda rows, _: torch.from_numpy(np.array(rows)))
    points = seeded(9).normal(size=(1500, 32)).astype(np.float32)
    expected = k_means(points, count, seeded(1))[1]
    assert_array_equal(k_means(points, count, seeded(1), device="cuda")[1], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")
def test_a_gpu_gives_the_same_clusters() -> None:
    points = seeded(9).normal(size=(1500, 32)).astype(np.float32)
    expected = k_means(points, 300, seeded(1))[1]
    assert_array_equal(k_means(points, 300, seeded(1), device="cuda")[1], expected)
