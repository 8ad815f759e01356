"""TypiClust: the order of clusters, and typicality against an obvious loop."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from strategies import Pool
from strategies.diversity.typiclust import most_typical, typiclust
from strategies.registry import REGISTRY


def obvious(rows: np.ndarray, size: int) -> tuple[list[int], list[float]]:
    """The definition, with all distances computed anew for each pick."""
    left, picks, values = list(range(len(rows))), [], []
    for _ in range(size):
        k = min(20, len(left) // 2)
        best = (-np.inf, -1)
        for i in left:
            distances = sorted(float(np.linalg.norm(rows[i] - rows[j])) for j in left if j != i)
            mean = sum(distances[:k]) / max(k, 1)
            best = max(best, (1.0 / (mean + 1e-5), -i))
        values.append(best[0])
        picks.append(-best[1])
        left.remove(picks[-1])
    return picks, values


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 2), (12, 12), (70, 9)])
def test_typicality_is_that_of_the_definition(count: int, size: int) -> None:
    rows = np.random.default_rng(count).normal(size=(count, 3))
    picks, values = most_typical(rows, size)
    expected, expected_values = obvious(rows, size)
    # The last two of a cluster are equally typical.
    sure = max(0, min(size, count - 3))
    assert picks[:sure].tolist() == expected[:sure]
    assert len(set(picks.tolist())) == size
    assert_allclose(values, expected_values)


def blobs(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    blob = np.repeat(np.arange(len(sizes)), sizes)
    return 20.0 * np.eye(len(sizes))[blob] + 0.2 * rng.normal(size=(len(blob), len(sizes))), blob


def test_clusters_without_labels_first_the_largest_of_them_first() -> None:
    points, blob = blobs([40, 30, 20, 10])
    pool = Pool(embeddings=points, labelled_embeddings=20.0 * np.eye(4)[:1] + 0.01)
    # 1 labelled + 3 picks: four clusters, and that of the label has to wait.
    picks, _ = REGISTRY["typiclust"].pick(pool, 3, np.random.default_rng(0), {})
    assert blob[picks.indices].tolist() == [1, 2, 3]
    assert picks.details["labelled_in_cluster"].tolist() == [0, 0, 0]
    assert picks.details["cluster_size"].tolist() == [30, 20, 10]


def test_turns_go_on_when_every_cluster_has_had_its_own() -> None:
    points, blob = blobs([30, 20, 3])
    picks = typiclust(
        points,
        np.arange(53),
        8,
        np.random.default_rng(0),
        None,
        metric="euclidean",
        most_clusters=3,
    )
    # The cluster of 3 is small: it waits until the others are used up.
    assert blob[picks.indices].tolist() == [0, 1] * 4


def test_small_clusters_come_when_the_others_are_used_up() -> None:
    points, blob = blobs([8, 6, 3])
    picks = typiclust(
        points,
        np.arange(17),
        17,
        np.random.default_rng(0),
        None,
        metric="euclidean",
        most_clusters=3,
    )
    assert blob[picks.indices].tolist() == [0, 1] * 6 + [0, 0] + [2] * 3


def test_each_pick_is_the_most_typical_of_its_cluster() -> None:
    points, blob = blobs([40, 30, 20])
    picks = typiclust(
        points,
        np.arange(90),
        3,
        np.random.default_rng(0),
        None,
        metric="euclidean",
        most_clusters=3,
    )
    for index, value in zip(picks.indices, picks.details["typicality"], strict=True):
        inside = np.flatnonzero(blob == blob[index])
        expected, values = obvious(points[inside], 1)
        assert inside[expected[0]] == index
        assert value == pytest.approx(values[0])
