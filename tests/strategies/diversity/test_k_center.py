"""k-center greedy against a plain loop, and its bound against the exact optimum."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from strategies import InvalidPoolError, Pool, select


def plain_loop(
    embeddings: np.ndarray,
    size: int,
    labelled: np.ndarray | None = None,
    excluded: np.ndarray | None = None,
    unit_length: bool = False,
) -> list[int]:
    """Farthest-first traversal as one would write it down."""

    def placed(rows: np.ndarray) -> np.ndarray:
        rows = rows.astype(np.float64)
        if unit_length:
            lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
            rows = rows / np.where(lengths > 0, lengths, 1.0)
        return rows

    points = placed(embeddings)
    allowed = np.ones(len(points), bool) if excluded is None else ~excluded
    nearest = np.full(len(points), np.inf)
    for centre in () if labelled is None else placed(labelled):
        nearest = np.minimum(nearest, ((points - centre) ** 2).sum(axis=1))
    picks: list[int] = []
    while len(picks) < min(size, int(allowed.sum())):
        if np.isinf(nearest).all():
            mean = points[allowed].mean(axis=0)
            distances = ((points - mean) ** 2).sum(axis=1)
            pick = int(np.argmin(np.where(allowed, distances, np.inf)))
        else:
            open_items = allowed & ~np.isin(np.arange(len(points)), picks)
            pick = int(np.argmax(np.where(open_items, nearest, -np.inf)))
        picks.append(pick)
        nearest = np.minimum(nearest, ((points - points[pick]) ** 2).sum(axis=1))
    return picks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("labelled_count", [0, 1, 40])
@pytest.mark.parametrize("excluded_share", [0.0, 0.2, 0.8])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_picks_are_those_of_the_plain_loop(
    dtype: type, labelled_count: int, excluded_share: float, metric: str
) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 32))
    embeddings = (centres[rng.integers(12, size=1500)] + 0.3 * rng.normal(size=(1500, 32))).astype(
        dtype
    )
    labelled = embeddings[:labelled_count] + dtype(0.01)
    excluded = rng.random(1500) < excluded_share
    pool = Pool(embeddings=embeddings, labelled_embeddings=labelled, excluded=excluded)
    picks = select("k_center", pool, 120, metric=metric)
    expected = plain_loop(embeddings, 120, labelled, excluded, unit_length=metric == "cosine")
    assert picks.tolist() == expected


def test_narrow_cone_in_float32_is_decided_as_in_float64() -> None:
    # Far from the origin: float32 products lose most digits of the distances between the points.
    rng = np.random.default_rng(1)
    embeddings = (1000.0 + rng.normal(size=(800, 24))).astype(np.float32)
    picks = select("k_center", Pool(embeddings=embeddings), 60)
    assert picks.tolist() == plain_loop(embeddings, 60)


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=25),
    st.integers(1, 25),
    st.integers(0, 3),
)
def test_exact_ties_go_to_the_lowest_index(
    points: list[tuple[int, int]], size: int, labelled_count: int
) -> None:
    # Whole coordinates: many duplicates and many equal distances, all exact in both precisions.
    # From a labelled item on, no step of either computation rounds.
    embeddings = np.array(points, dtype=np.float32)
    labelled = embeddings[: max(1, labelled_count)]
    pool = Pool(embeddings=embeddings, labelled_embeddings=labelled)
    assert select("k_center", pool, size).tolist() == plain_loop(embeddings, size, labelled)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=9, unique=True),
    st.integers(1, 4),
)
def test_covering_radius_is_at_most_twice_the_optimum(
    points: list[tuple[float, float]], size: int
) -> None:
    embeddings = np.array(points, dtype=np.float64)
    distances = np.sqrt(((embeddings[:, None] - embeddings[None]) ** 2).sum(axis=2))

    def radius(centres: tuple[int, ...]) -> float:
        return float(distances[:, centres].min(axis=1).max())

    size = min(size, len(points))
    optimum = min(radius(centres) for centres in combinations(range(len(points)), size))
    picks = select("k_center", Pool(embeddings=embeddings), size)
    assert radius(tuple(picks)) <= 2 * optimum + 1e-9


def test_a_longer_batch_begins_with_the_shorter_one() -> None:
    pool = Pool(embeddings=np.random.default_rng(2).normal(size=(200, 5)))
    assert_array_equal(select("k_center", pool, 50)[:20], select("k_center", pool, 20))


def test_all_identical_items_come_in_the_order_of_the_pool() -> None:
    embeddings = np.full((40, 3), 0.1, dtype=np.float32)
    pool = Pool(embeddings=embeddings, labelled_embeddings=embeddings[:7])
    assert select("k_center", pool, 10).tolist() == list(range(10))


@pytest.mark.parametrize(("metric", "value"), [("euclidean", 1e30), ("cosine", 1e-36)])
def test_lengths_that_float32_cannot_square_are_refused(metric: str, value: float) -> None:
    embeddings = np.ones((6, 2), dtype=np.float32)
    embeddings[4] = value
    with pytest.raises(InvalidPoolError, match=r"^embeddings, row 4: ") as caught:
        select("k_center", Pool(embeddings=embeddings), 2, metric=metric)
    assert caught.value.row == 4
    excluded = np.array([True, True, True, True, False, True])
    with pytest.raises(InvalidPoolError, match=r"^embeddings, row 4: "):
        select("k_center", Pool(embeddings=embeddings, excluded=excluded), 1, metric=metric)
