"""Covariates: standard columns, few of them, and differences that a plain loop gives too."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from backend.evaluation.covariates import (
    covariates,
    differences_to_pool,
    differences_to_rest,
    levels,
)


def test_numbers_levels_and_directions_become_standard_columns() -> None:
    rng = np.random.default_rng(0)
    n = 500
    age = rng.normal(50, 9, n)
    age[:50] = np.nan
    site = rng.choice(["A", "B"], n)
    pool = covariates({"age": age, "site": site}, rng.normal(size=(n, 8)), directions=3)
    assert pool.names == (
        "age",
        "age = (missing)",
        *(f"site = {name}" for name in sorted("AB", key=lambda x: -(site == x).sum())),
        "embedding direction 1",
        "embedding direction 2",
        "embedding direction 3",
    )
    assert_allclose(pool.values.mean(axis=0), 0, atol=1e-5)
    assert_allclose(pool.values.std(axis=0), 1, atol=1e-5)


def test_directions_are_those_of_the_largest_variance() -> None:
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(400, 6)) * [1, 9, 1, 5, 1, 1] + 100
    pool = covariates({}, embeddings, directions=2)
    for direction, axis in ((0, 1), (1, 3)):
        correlation = np.corrcoef(pool.values[:, direction], embeddings[:, axis])[0, 1]
        assert abs(correlation) > 0.98


def test_rare_and_missing_values_are_levels_of_their_own() -> None:
    column = np.array(["x"] * 150 + ["y"] * 47 + ["z"] + [None] * 2, dtype=object)
    codes, names = levels(column)
    assert names == ("x", "y", "(missing)", "(rarer values)")
    assert np.bincount(codes).tolist() == [150, 47, 2, 1]
    for dtype in ("U1", "S1"):
        _, typed = levels(column[:198].astype(dtype))
        assert typed == ("x", "y", "(rarer values)")


def test_an_identifier_gives_no_column_at_all() -> None:
    pool = covariates(
        {"file": np.array([f"{i}.png" for i in range(1_000)]), "same": np.ones(1_000)}
    )
    assert pool.names == ()
    assert differences_to_pool(pool, np.arange(3)) == ()


def test_differences_are_means_apart_in_standard_deviations_of_the_pool() -> None:
    rng = np.random.default_rng(2)
    size, site = rng.normal(3, 2, 300), rng.choice(["A", "B", "C"], 300)
    pool = covariates({"size": size, "site": site})
    rows = np.flatnonzero(size > 4)
    found = {d.name: d.value for d in differences_to_pool(pool, rows)}
    assert found["size"] == pytest.approx((size[rows].mean() - size.mean()) / size.std(), abs=1e-5)
    is_a = (site == "A").astype(float)
    assert found["site = A"] == pytest.approx(
        (is_a[rows].mean() - is_a.mean()) / is_a.std(), abs=1e-5
    )
    others = np.setdiff1d(np.arange(300), rows)
    rest = {d.name: d.value for d in differences_to_rest(pool, rows)}
    assert rest["size"] == pytest.approx(
        (size[rows].mean() - size[others].mean()) / size.std(), abs=1e-5
    )
    ranked = [abs(d.value) for d in differences_to_pool(pool, rows)]
    assert ranked == sorted(ranked, reverse=True)
    assert differences_to_pool(pool, rows)[0].name == "size"


def test_sets_without_the_other_side_have_no_difference() -> None:
    pool = covariates({"size": np.arange(5.0)})
    assert differences_to_pool(pool, np.array([], dtype=np.int64)) == ()
    assert differences_to_rest(pool, np.arange(5)) == ()
    assert covariates({}).values.shape == (0, 0)


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        covariates({"a": np.ones(3)}, np.ones((4, 2)))
