"""The leak guard: its share, its shift, and a refusal that says what would pass."""

import re

import numpy as np
import pytest

from backend.evaluation.covariates import covariates
from backend.evaluation.leak_guard import assess_blocking
from backend.evaluation.near_duplicates import near_duplicates

POOL = covariates({"size": np.arange(100.0)})


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_a_small_share_passes_with_its_shift() -> None:
    found = assess_blocking(rows(97, 98, 99), np.array([0.99, 0.98, 0.97]), 0.97, POOL)
    assert (found.blocked, found.share, found.refusal, found.passing) == (3, 0.03, None, 0.97)
    expected = (98 - np.arange(97).mean()) / np.arange(100).std()
    assert found.shift is not None
    assert found.shift.value == pytest.approx(expected, abs=1e-5)
    assert "3 of 100 tasks (3.0%)" in found.text
    assert "+1.73 standard deviations at most (size)" in found.text


def test_exactly_a_tenth_passes_and_more_is_refused() -> None:
    cosines = np.linspace(0.99, 0.91, 11)
    assert assess_blocking(np.arange(10), cosines[:10], 0.9, POOL).refusal is None
    refused = assess_blocking(np.arange(11), cosines, 0.9, POOL)
    assert refused.refusal is not None
    assert "would block 11 of 100 tasks (11.0%)" in refused.text


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_that_is_named_passes_and_a_lower_one_would_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    holdout = rng.normal(size=(20, 3))
    pool = rng.normal(size=(400, 3))
    compared = covariates({}, pool)
    always = rng.choice(400, 10, replace=False)
    found = near_duplicates(pool, holdout, 0.9)
    refused = assess_blocking(found.rows, found.cosines, 0.9, compared, always)
    assert refused.passing is not None
    assert f"{refused.passing:.4f} would pass" in refused.text
    again = near_duplicates(pool, holdout, refused.passing)
    passed = assess_blocking(again.rows, again.cosines, refused.passing, compared, always)
    assert passed.refusal is None
    named = re.search(r"it blocks ([\d.]+)%", refused.text)
    assert named is not None
    assert float(named.group(1)) == pytest.approx(100 * passed.share, abs=0.06)
    lower = near_duplicates(pool, holdout, refused.passing - 1e-4)
    assert len(np.union1d(lower.rows, always)) > 40


def test_copies_that_every_threshold_blocks_are_named_as_such() -> None:
    found = assess_blocking(np.arange(20), np.ones(20), 0.95, POOL)
    assert found.passing is None
    assert "No threshold passes" in found.text
    always = assess_blocking(rows(), np.empty(0), 0.95, POOL, always=np.arange(30))
    assert always.passing is None
    assert always.share == 0.3


def test_an_empty_pool_is_no_error() -> None:
    found = assess_blocking(rows(), np.empty(0), 0.95, covariates({}))
    assert (found.share, found.shift, found.refusal) == (0.0, None, None)
