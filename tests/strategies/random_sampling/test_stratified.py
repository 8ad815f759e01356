"""Stratified random sampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies import MissingInputError, Pool, parse
from strategies.random_sampling.stratified import allocated
from tests.strategies.random_sampling.inclusion import assert_reported_exactly

SITES = np.repeat(["a", "b", "c"], [8, 3, 1])


def spec(allocation: str, **parameters: object) -> dict[str, object]:
    return {"stratified": {"columns": ["site"], "allocation": allocation, **parameters}}


def test_proportional_allocation_gives_every_item_the_same_chance() -> None:
    pool = Pool(metadata={"site": SITES})
    assert_allclose(assert_reported_exactly(spec("proportional"), pool, 5), 5 / 12)


def test_equal_allocation_is_even_over_the_strata_that_have_items_left() -> None:
    pool = Pool(metadata={"site": SITES})
    found = assert_reported_exactly(spec("equal"), pool, 6)
    # c has one item only; a and b share five, b's half of which is 2.5 of 3.
    assert_allclose(found, np.repeat([2.5 / 8, 2.5 / 3, 1.0], [8, 3, 1]))


def test_neyman_allocation_follows_the_spread_of_the_score() -> None:
    top = np.concatenate([np.linspace(0.5, 0.9, 8), [0.6, 0.62, 0.64], [0.7]])
    probabilities = np.column_stack([top, 1.0 - top])
    pool = Pool(metadata={"site": SITES}, probabilities=probabilities)
    found = assert_reported_exactly(spec("neyman"), pool, 5)
    # c does not vary and gets one at least; N_h S_h: 8 S_a against 3 S_b, in which b falls short.
    spread_a, spread_b = 8 * np.std(top[:8], ddof=1), 3 * np.std(top[8:11], ddof=1)
    assert 4 * spread_b / (spread_a + spread_b) < 1
    assert_allclose(found, np.repeat([3 / 8, 1 / 3, 1.0], [8, 3, 1]))
    larger = assert_reported_exactly(spec("neyman"), pool, 2, draws=600)
    shares = 2 * np.array([spread_a, spread_b]) / (spread_a + spread_b)
    assert_allclose(larger, np.repeat([*shares / [8, 3], 0.0], [8, 3, 1]))


def test_boosts_shift_the_chances_within_and_between_strata() -> None:
    weights = np.ones(12)
    weights[[0, 8]] = 3.0
    weights[11] = 0.0
    pool = Pool(metadata={"site": SITES}, weights=weights)
    found = assert_reported_exactly(spec("proportional"), pool, 4)
    # 10 in a, 5 in b, 0 in c: 8/3 and 4/3 seats, by weight within.
    assert_allclose(found, np.concatenate([[0.8], np.full(7, 8 / 30), [0.8], [4 / 15] * 2, [0.0]]))


def test_sizes_of_strata_are_rounded_and_each_prefix_is_spread() -> None:
    sites = np.repeat(["a", "b"], [300, 100])
    pool = Pool(metadata={"site": sites})
    found = parse(spec("proportional")).select_with_branches(pool, 40, np.random.default_rng(0))
    levels = [detail["level"] for detail in found.details]
    assert levels.count("site = b") == 10
    assert {(detail["level"], detail["quota"]) for detail in found.details} == {
        ("site = a", 30),
        ("site = b", 10),
    }
    assert 3 <= levels[:20].count("site = b") <= 7


def test_predicted_classes_are_strata_where_no_column_is_named() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    pool = Pool(probabilities=probabilities)
    found = parse({"stratified": {"allocation": "equal"}}).select_with_branches(
        pool, 2, np.random.default_rng(0)
    )
    assert 2 in found.indices
    assert {detail["level"] for detail in found.details} == {
        "predicted class 0",
        "predicted class 1",
    }


def test_crossed_columns_and_missing_values_are_strata() -> None:
    metadata = {
        "site": np.array(["a", "a", "b", None, None], dtype=object),
        "sex": np.array(["f", "m", "f", "f", "f"]),
    }
    parsed = parse({"stratified": {"columns": ["site", "sex"], "allocation": "equal"}})
    found = parsed.select_with_branches(Pool(metadata=metadata), 4, np.random.default_rng(0))
    assert {0, 1, 2} <= set(found.indices.tolist())
    assert "site = (missing), sex = f" in {detail["level"] for detail in found.details}


def test_what_is_lacking_is_said() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(MissingInputError, match=r"metadata\['sitte'\]; did you mean 'site'"):
        parse({"stratified": {"columns": ["sitte"]}}).select(Pool(metadata={"site": SITES}), 2, rng)
    with pytest.raises(MissingInputError, match=r"metadata\['site'\]"):
        parse(spec("equal")).select(Pool(size=3), 2, rng)
    found = parse(spec("neyman")).select_with_branches(Pool(metadata={"site": SITES}), 2, rng)
    assert found.warnings == (
        "Neyman's allocation needs a model's probabilities: proportional now",
    )
    found = parse("stratified").select_with_branches(Pool(size=5), 2, rng)
    assert found.warnings == ("there is nothing to stratify by: name columns of the metadata",)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0, 7.0]), st.integers(1, 6), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    st.floats(0.0, 1.0),
)
def test_allocations_keep_total_least_and_caps(
    strata: list[tuple[float, int, bool]], part: float
) -> None:
    measures, caps, least = np.array(strata, dtype=float).T
    total = least.sum() + part * (caps.sum() - least.sum())
    shares = allocated(measures, total, caps, least)
    assert_allclose(shares.sum(), total, atol=1e-8)
    assert (shares <= caps + 1e-9).all()
    assert (shares >= least - 1e-9).all()
    free = (shares > least + 1e-6) & (shares < caps - 1e-6) & (measures > 0)
    if free.any():
        factors = shares[free] / measures[free]
        assert_allclose(factors, factors[0], rtol=1e-6)


@pytest.mark.parametrize("allocation", ["proportional", "equal", "neyman"])
@given(seed=st.integers(0, 999), size=st.integers(1, 25))
def test_the_batch_is_full_whatever_the_strata(allocation: str, seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    pool = Pool(
        metadata={"site": rng.choice(["a", "b", "c", "d"], size=20, p=[0.6, 0.2, 0.1, 0.1])},
        probabilities=rng.dirichlet(np.ones(3), size=20),
        weights=rng.choice([0.0, 1.0, 5.0], size=20),
        excluded=rng.random(20) < 0.3,
    )
    found = parse(spec(allocation)).select_with_branches(pool, size, rng)
    assert len(set(found.indices.tolist())) == min(size, len(pool.eligible))
    for detail in found.details:
        assert 0.0 < detail["inclusion_probability"] <= 1.0 + 1e-12
