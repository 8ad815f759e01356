"""k-center greedy against a plain loop, and its bound against the exact optimum."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import InvalidPoolError, Pool, select
from strategies.diversity import k_center as k_center_module
from strategies.diversity.k_center import k_center
from strategies.kernels import k_center_cover, k_center_greedy
from strategies.picks import DISTANCE


def plain_loop(
    embeddings: np.ndarray,
    size: int,
    labelled: np.ndarray | None = None,
    excluded: np.ndarray | None = None,
    unit_length: bool = False,
) -> list[int]:
    """Farthest-first traversal as one would write it down."""
    return plain_loop_with_distances(embeddings, size, labelled, excluded, unit_length)[0]


def plain_loop_with_distances(
    embeddings: np.ndarray,
    size: int,
    labelled: np.ndarray | None = None,
    excluded: np.ndarray | None = None,
    unit_length: bool = False,
) -> tuple[list[int], list[float]]:

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
    reached: list[float] = []
    while len(picks) < min(size, int(allowed.sum())):
        if np.isinf(nearest).all():
            mean = points[allowed].mean(axis=0)
            distances = ((points - mean) ** 2).sum(axis=1)
            pick = int(np.argmin(np.where(allowed, distances, np.inf)))
        else:
            open_items = allowed & ~np.isin(np.arange(len(points)), picks)
            pick = int(np.argmax(np.where(open_items, nearest, -np.inf)))
        picks.append(pick)
        reached.append(float(np.sqrt(nearest[pick])))
        nearest = np.minimum(nearest, ((points - points[pick]) ** 2).sum(axis=1))
    return picks, reached


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


def clustered(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.normal(size=(30, 24))[rng.integers(30, size=rows)] + 0.4 * rng.normal(
        size=(rows, 24)
    )


def two_tight_bunches(rng: np.random.Generator, rows: int) -> np.ndarray:
    # So tight that float32 products cannot tell the items of a bunch apart.
    return rng.integers(2, size=(rows, 1)) + 1e-6 * rng.normal(size=(rows, 12))


SHAPES = {
    "isotropic": lambda rng, rows: rng.normal(size=(rows, 24)),
    "clustered": clustered,
    "one cluster far from the origin": lambda rng, rows: 100 + 1e-3 * rng.normal(size=(rows, 24)),
    "two tight bunches": two_tight_bunches,
    "heavy tails": lambda rng, rows: rng.standard_t(1.2, size=(rows, 24)),
    "many copies": lambda rng, rows: clustered(rng, 150)[rng.integers(150, size=rows)],
    "a grid": lambda rng, rows: rng.integers(-3, 4, size=(rows, 3)),
    "a coarse grid": lambda rng, rows: rng.integers(0, 3, size=(rows, 4)),
    "corners of a cube": lambda rng, rows: rng.integers(0, 2, size=(rows, 14)),
    "one of twelve": lambda rng, rows: np.eye(12)[rng.integers(12, size=rows)],
    "one feature": lambda rng, rows: rng.normal(size=(rows, 1)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_pool_of_several_fronts_has_the_picks_of_the_plain_loop(
    shape: str, dtype: type, metric: str
) -> None:
    rng = np.random.default_rng(5)
    rows = SHAPES[shape](rng, 2100).astype(dtype)
    labelled, embeddings = rows[:30], rows[30:]
    size = 200
    picks = k_center(embeddings, np.arange(2070), size, labelled, metric=metric)
    expected, reached = plain_loop_with_distances(
        embeddings, size, labelled, unit_length=metric == "cosine"
    )
    assert picks.indices.tolist() == expected
    assert_allclose(picks.details[DISTANCE], reached, rtol=1e-12, atol=0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(SHAPES)),
    st.integers(1, 60),
    st.integers(0, 12),
    st.sampled_from([np.float32, np.float64]),
)
def test_rounds_of_any_width_give_the_same_picks(
    seed: int, shape: str, size: int, labelled_count: int, dtype: type
) -> None:
    # Fronts, blocks and clusters of a few rows: every path that a large pool takes, on a small one.
    rng = np.random.default_rng(seed)
    embeddings = SHAPES[shape](rng, 80).astype(dtype)
    labelled = embeddings[rng.integers(80, size=max(1, labelled_count))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(k_center_greedy, "FRONT", int(rng.integers(1, 9)))
        patch.setattr(k_center_greedy, "LARGEST_FRONT", int(rng.integers(9, 40)))
        patch.setattr(k_center_greedy, "AT_LEAST", int(rng.integers(1, 6)))
        patch.setattr(k_center_greedy, "GUESS", float(rng.uniform(0, 1)))
        patch.setattr(k_center_cover, "CENTRES_AT_ONCE", int(rng.integers(1, 6)))
        patch.setattr(k_center_cover, "ROWS_AT_ONCE", int(rng.integers(4, 12)))
        patch.setattr(k_center_module, "CENTRES_PER_CLUSTER", int(rng.integers(1, 9)))
        patch.setattr(k_center_module, "FIRST_CENTRES", int(rng.integers(1, 4)))
        patch.setattr(k_center_module, "LABELLED_ROWS", int(rng.integers(1, 9)))
        picks = k_center(embeddings, np.arange(80), size, labelled)
    assert picks.indices.tolist() == plain_loop(embeddings, size, labelled)


def test_an_item_far_away_does_not_blur_the_others() -> None:
    rng = np.random.default_rng(6)
    embeddings = rng.normal(size=(900, 16)).astype(np.float32)
    embeddings[17] = 1e6
    picks = select("k_center", Pool(embeddings=embeddings), 100)
    assert picks.tolist() == plain_loop(embeddings, 100)


def test_copies_of_labelled_items_change_nothing() -> None:
    rng = np.random.default_rng(7)
    embeddings = clustered(rng, 500).astype(np.float32)
    labelled = embeddings[:5]
    once = k_center(embeddings, np.arange(500), 60, labelled)
    often = k_center(embeddings, np.arange(500), 60, np.repeat(labelled, 40, axis=0))
    assert_array_equal(once.indices, often.indices)


def test_picks_say_how_far_they_were_and_the_first_of_all_was_from_nothing() -> None:
    line = np.array([[0.0], [1.0], [4.0], [10.0], [11.0]])
    picks = k_center(line, np.arange(5), 5)
    assert picks.indices.tolist() == [2, 4, 0, 1, 3]
    assert picks.details[DISTANCE].tolist() == [np.inf, 7.0, 4.0, 1.0, 1.0]
    assert picks.details[DISTANCE].dtype == np.float64


@pytest.mark.parametrize("eligible_count", [1, 7, 400, 1500])
def test_few_eligible_rows_are_picked_as_if_they_were_the_pool(eligible_count: int) -> None:
    rng = np.random.default_rng(8)
    embeddings = clustered(rng, 1500).astype(np.float32)
    eligible = np.sort(rng.choice(1500, eligible_count, replace=False))
    size = min(eligible_count, 40)
    picks = k_center(embeddings, eligible, size).indices
    own = k_center(embeddings[eligible], np.arange(eligible_count), size).indices
    assert_array_equal(picks, eligible[own])


@pytest.mark.parametrize(
    "device",
    [
        "cpu:0",  # PyTorch on the CPU
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
@pytest.mark.parametrize("labelled_count", [0, 50])
def test_the_device_does_not_change_the_picks(device: str, labelled_count: int) -> None:
    embeddings = clustered(np.random.default_rng(9), 2000).astype(np.float32)
    arguments = (embeddings[50:], np.arange(1950), 200, embeddings[:labelled_count])
    expected = k_center(*arguments).indices
    assert_array_equal(k_center(*arguments, device=device).indices, expected)  # type: ignore[arg-type]


def test_a_memory_map_gives_the_same_picks_and_stays_as_it_is(tmp_path: Path) -> None:
    embeddings = clustered(np.random.default_rng(10), 700).astype(np.float32)
    np.save(tmp_path / "embeddings.npy", embeddings)
    mapped = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    for layout in (mapped, np.asfortranarray(embeddings)):
        picks = k_center(layout, np.arange(700), 80, metric="cosine").indices
        assert_array_equal(picks, k_center(embeddings, np.arange(700), 80, metric="cosine").indices)
    assert_array_equal(mapped, embeddings)
