"""Near-duplicates: what the obvious float64 loop finds, whatever the precision of the search."""

from math import fsum, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from backend.evaluation import near_duplicates as module
from backend.evaluation.near_duplicates import (
    ROUNDING,
    cosine_error,
    near_duplicates,
    similar_pairs,
)


def cosine(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Exact products, exactly rounded sums."""
    a, b = [float(x) for x in left], [float(x) for x in right]
    norms = sqrt(fsum(x * x for x in a)) * sqrt(fsum(x * x for x in b))
    return fsum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0


def all_cosines(left, right):
    return [[cosine(one, other) for other in right] for one in left]


def obvious_near_duplicates(cosines, threshold):
    found = []
    for row, values in enumerate(cosines):
        if values and max(values) >= threshold - ROUNDING:
            nearest = next(i for i, v in enumerate(values) if v >= max(values) - ROUNDING)
            found.append((row, nearest, values[nearest]))
    return found


def obvious_pairs(cosines, threshold):
    return [
        (i, j, values[j])
        for i, values in enumerate(cosines)
        for j in range(i + 1, len(values))
        if values[j] >= threshold - ROUNDING
    ]


def agree(found, expected) -> None:
    """found: three arrays; expected: a list of triples."""
    assert [(int(a), int(b)) for a, b, _ in zip(*found, strict=True)] == [
        (a, b) for a, b, _ in expected
    ]
    assert_allclose(found[2], [value for _, _, value in expected], atol=1e-12)


@st.composite
def rows_with_many_ties(draw):
    """Rows of few small integers: equal cosines, exact thresholds and rows of zeros abound."""
    d = draw(st.integers(1, 4))
    row = st.lists(st.integers(-2, 2), min_size=d, max_size=d)
    pool = draw(st.lists(row, max_size=25))
    holdout = draw(st.lists(row, max_size=6))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    scale = draw(st.sampled_from([1.0, 1e-12, 1e12]))
    make = [np.array(x, dtype=dtype).reshape(-1, d) * dtype(scale) for x in (pool, holdout)]
    return make[0], make[1], draw(st.sampled_from([0.5, sqrt(0.5), 0.8, 1.0]))


@settings(max_examples=150, deadline=None)
@given(rows_with_many_ties())
def test_the_obvious_loop_finds_the_same(case) -> None:
    pool, holdout, threshold = case
    found = near_duplicates(pool, holdout, threshold)
    agree(
        (found.rows, found.nearest, found.cosines),
        obvious_near_duplicates(all_cosines(pool, holdout), threshold),
    )
    pairs = similar_pairs(pool, threshold)
    agree(
        (pairs.first, pairs.second, pairs.cosines),
        obvious_pairs(all_cosines(pool, pool), threshold),
    )


def narrow_cone(rng, n, d):
    return rng.normal(size=(n, d)) * 0.02 + 1


def clusters(rng, n, d):
    return rng.normal(size=(7, d))[rng.integers(7, size=n)] + rng.normal(size=(n, d)) * 0.15


def isotropic(rng, n, d):
    return rng.normal(size=(n, d))


@pytest.mark.parametrize("make", [narrow_cone, clusters, isotropic])
@pytest.mark.parametrize("d", [33, 384])
@pytest.mark.parametrize("width", [None, 32])
def test_thresholds_inside_the_float32_error_are_decided_in_float64(
    make, d, width, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threshold is a cosine that occurs, moved by less than float32 can tell."""
    monkeypatch.setattr(module, "_BLOCK_ROWS", 17)
    monkeypatch.setattr(module, "_PRODUCTS", 17 * 20)
    # With a sketch that costs nothing it is always used, and candidates are decided one by one.
    monkeypatch.setattr(module, "_SKETCH_WIDTHS", () if width is None else (width,))
    monkeypatch.setattr(module, "_SINGLE_COST", 0)
    monkeypatch.setattr(module, "_DENSE", 1)
    rows = make(np.random.default_rng(3), 70, d).astype(np.float32)
    table = all_cosines(rows, rows)
    every = sorted(value for _, _, value in obvious_pairs(table, 0.02))
    for value in (every[len(every) // 2], every[-20]):
        for threshold in (value - 1e-10, value + 1e-10):
            pairs = similar_pairs(rows, threshold)
            agree((pairs.first, pairs.second, pairs.cosines), obvious_pairs(table, threshold))
            found = near_duplicates(rows[:50], rows[50:], threshold)
            agree(
                (found.rows, found.nearest, found.cosines),
                obvious_near_duplicates([values[50:] for values in table[:50]], threshold),
            )


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([33, 100, 384]), st.floats(0.01, 3))
def test_a_sketch_never_says_less_than_the_cosine(seed: int, d: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(20, d)) * np.arange(1, d + 1) ** -spread + rng.choice([0, 1, 10])
    rows[3], rows[4] = rows[5], 0.0
    units = module.unit_rows(rows, slice(0, 20))
    directions = np.linalg.qr(rng.normal(size=(d, 32)))[0]
    for chosen in (directions, np.eye(d)[:, :32]):
        sketch = module._sketched(units, chosen)
        assert (sketch @ sketch.T >= units @ units.T - cosine_error(33)).all()


def test_the_error_bound_holds_where_rounding_is_worst() -> None:
    """Rows of one sign and equal size: every product and every partial sum rounds."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for d in (3, 384, 1_280):
        for _ in range(30):
            a, b = (module.unit_rows(rng.uniform(0.9, 1.1, (9, d)), slice(0, 9)) for _ in "ab")
            error = np.abs(a.astype(np.float32) @ b.astype(np.float32).T - a @ b.T).max()
            assert error <= cosine_error(d)
            worst = max(worst, error / cosine_error(d))
            one_by_one = np.float32(0)
            for x, y in zip(a[0].astype(np.float32), b[0].astype(np.float32), strict=True):
                one_by_one += x * y
            assert abs(float(one_by_one) - a[0] @ b[0]) <= cosine_error(d)
    assert worst > 1e-3  # the bound is about rounding that happens


def test_no_closure_a_duplicate_of_a_duplicate_stays() -> None:
    angles = np.deg2rad([0.0, 10.0, 20.0])
    rows = np.column_stack([np.cos(angles), np.sin(angles)])
    found = near_duplicates(rows[1:], rows[:1], float(np.cos(np.deg2rad(10.0))))
    assert found.rows.tolist() == [0]


def test_a_memory_map_is_read_and_not_changed(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(3_000, 80)).astype(np.float32)
    rows[2_999] = rows[5] * 3
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    found = near_duplicates(mapped, mapped[:10], 0.999)
    assert found.rows.tolist() == [*range(10), 2_999]
    assert found.nearest.tolist() == [*range(10), 5]
    pairs = similar_pairs(mapped, 0.999)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([5], [2_999])


def test_values_that_do_not_fit_are_refused() -> None:
    rows = np.eye(3)
    for threshold in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            near_duplicates(rows, rows, threshold)
    with pytest.raises(ValueError, match="do not fit"):
        near_duplicates(rows, np.eye(2), 0.9)
    with pytest.raises(ValueError, match="row 1 is not finite"):
        near_duplicates(np.array([[1.0, 0], [np.nan, 0]]), np.eye(2), 0.9)
    with pytest.raises(ValueError, match="choose a higher threshold"):
        similar_pairs(np.ones((5, 3)), 0.9, most=5)
