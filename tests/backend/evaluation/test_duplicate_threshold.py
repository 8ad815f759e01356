"""The cosine threshold: random pairs do not reach it, planted copies do, for every encoder."""

import numpy as np
import pytest

from backend.evaluation.duplicate_threshold import (
    CEILING,
    FLOOR,
    example_pairs,
    threshold_from_random_pairs,
)
from backend.evaluation.near_duplicates import near_duplicates, unit_rows

ROWS, HOLDOUT = 4_000, 300


def isotropic(rng):
    return rng.normal(size=(ROWS, 100))


def clustered(rng):
    return 1.2 * rng.normal(size=(25, 100))[rng.integers(25, size=ROWS)] + rng.normal(
        size=(ROWS, 100)
    )


def narrow_cone(rng):
    """Random pairs at about 0.96, as in encoders whose vectors all point one way."""
    return 1 + 0.2 * rng.normal(size=(ROWS, 100))


def narrow_and_uneven(rng):
    """Most of the variance in few directions, so that the tail of random pairs is long."""
    return 1 + rng.normal(size=(ROWS, 100)) * np.arange(1, 101) ** -0.7


@pytest.mark.parametrize("make", [isotropic, clustered, narrow_cone, narrow_and_uneven])
def test_random_pairs_do_not_pass_and_copies_do(make) -> None:
    rng = np.random.default_rng(0)
    rows = make(rng).astype(np.float32)
    holdout, pool = rows[:HOLDOUT], rows[HOLDOUT:]
    # Copies with a little noise, among the pool.
    noise = 0.05 * np.std(rows - rows.mean(axis=0)) * rng.normal(size=(40, rows.shape[1]))
    pool[:40] = holdout[:40] + noise
    found = threshold_from_random_pairs(rows, seed=1, holdout_size=HOLDOUT)
    assert FLOOR <= found.cosine <= CEILING
    assert found.quantiles[0] > found.median
    blocked = near_duplicates(pool, holdout, found.cosine).rows
    assert set(range(40)) <= set(blocked.tolist())
    assert len(blocked) - 40 <= 0.01 * len(pool)


def test_near_duplicates_among_the_random_pairs_do_not_lift_the_threshold() -> None:
    """Ten slices a patient: 0.3% of all pairs are near-duplicates."""
    rng = np.random.default_rng(2)
    patients = 1 + 0.3 * rng.normal(size=(300, 60))
    rows = np.repeat(patients, 10, axis=0) + 0.02 * rng.normal(size=(3_000, 60))
    found = threshold_from_random_pairs(rows, seed=0)
    units = unit_rows(rows, slice(0, 3_000))
    within = np.einsum("ij,ij->i", units[0::10], units[5::10])
    assert found.cosine < within.min()


def test_identical_rows_count_once() -> None:
    """A fifth of the pool are copies of one empty text."""
    rng = np.random.default_rng(3)
    rows = 1 + 0.2 * rng.normal(size=(2_000, 50))
    alone = threshold_from_random_pairs(rows, seed=0, holdout_size=100)
    with_copies = np.concatenate([rows, np.repeat(rows[:1], 500, axis=0)])
    found = threshold_from_random_pairs(with_copies, seed=0, holdout_size=100)
    assert found.cosine == pytest.approx(alone.cosine, abs=0.005)


def test_a_larger_search_needs_a_higher_threshold() -> None:
    rows = narrow_and_uneven(np.random.default_rng(4))
    few, many = (threshold_from_random_pairs(rows, 0, holdout_size=h) for h in (10, 2_000))
    assert many.cosine > few.cosine
    assert few.rule == many.rule == "random pairs"


def test_the_rule_that_decided_is_named() -> None:
    rng = np.random.default_rng(5)
    assert threshold_from_random_pairs(rng.normal(size=(500, 50)), 0).rule == "floor"
    cone = 1 + 1e-3 * rng.normal(size=(500, 50))
    assert threshold_from_random_pairs(cone, 0).rule == "ceiling"
    assert threshold_from_random_pairs(rng.normal(size=(9, 50)), 0).rule == "too few rows"
    assert threshold_from_random_pairs(np.empty((0, 5)), 0).rule == "too few rows"


def test_the_seed_alone_decides() -> None:
    rows = clustered(np.random.default_rng(6))
    assert threshold_from_random_pairs(rows, 7) == threshold_from_random_pairs(rows, 7)
    assert example_pairs(rows, 0.5, 7) == example_pairs(rows, 0.5, 7)


def test_examples_lie_around_the_threshold_and_show_no_row_twice() -> None:
    rows = clustered(np.random.default_rng(8)).astype(np.float32)
    units = unit_rows(rows, slice(0, ROWS))
    pairs = example_pairs(rows, 0.6, seed=0, count=3)
    cosines = [pair.cosine for pair in pairs]
    assert cosines == sorted(cosines)
    assert sum(cosine < 0.6 for cosine in cosines) == 3
    assert len(pairs) == 6
    assert max(abs(cosine - 0.6) for cosine in cosines) < 1e-3  # millions of pairs lie around it
    shown = [row for pair in pairs for row in (pair.first, pair.second)]
    assert len(set(shown)) == 12
    for pair in pairs:
        assert pair.first < pair.second
        assert pair.cosine == pytest.approx(units[pair.first] @ units[pair.second], abs=1e-9)


def test_a_side_without_pairs_shows_none() -> None:
    rows = isotropic(np.random.default_rng(9))
    pairs = example_pairs(rows, 0.9, 0)
    assert len(pairs) == 4
    assert all(pair.cosine < 0.9 for pair in pairs)
    assert example_pairs(np.empty((0, 3)), 0.9, 0) == ()
