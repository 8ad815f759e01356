"""Prediction-powered accuracy; other implementations' figures are in tests/statistics."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from backend.evaluation.prediction_powered import prediction_powered


def sample(n: int, pool: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, n + pool)
    hits = rng.random(n + pool) < 0.2 + 0.7 * confidence
    return hits[:n], confidence[:n], confidence[n:]


def test_by_the_formulas() -> None:
    hits, f, rest = sample(200, 800)
    y = hits.astype(float)
    weight = np.cov(y, f)[0, 1] / (1.25 * np.concatenate([f, rest]).var(ddof=1))
    value = weight * rest.mean() + (y - weight * f).mean()
    everywhere = weight**2 * rest.var(ddof=1) / 800 + (y - weight * f).var(ddof=1) / 200
    pool = 0.8 * (y - 1.25 * weight * f).var(ddof=1) / 200
    for target, variance in (("population", everywhere), ("pool", pool)):
        found = prediction_powered(hits, f, rest, target=target)
        assert found.weight == pytest.approx(weight)
        assert found.value == pytest.approx(value)
        half = 1.959964 * np.sqrt(variance)
        assert (found.low, found.high) == pytest.approx((value - half, value + half), abs=1e-6)


def test_a_random_part_of_the_pool_lies_between_the_pool_and_where_it_came_from() -> None:
    hits, f, rest = sample(200, 800)
    whole, everywhere = (
        prediction_powered(hits, f, rest, target=t) for t in ("pool", "population")
    )
    widths = [
        one.high - one.low
        for one in (
            whole,
            prediction_powered(hits, f, rest, pool_size=1_500),
            prediction_powered(hits, f, rest, pool_size=100_000),
        )
    ]
    assert widths == sorted(widths)
    assert widths[0] < widths[1] < widths[2]
    assert widths[2] == pytest.approx(everywhere.high - everywhere.low, rel=0.05)
    assert prediction_powered(hits, f, rest, pool_size=1_000) == whole


def test_a_confidence_that_does_not_vary_leaves_the_plain_mean() -> None:
    hits = np.arange(100) < 70
    found = prediction_powered(hits, np.full(100, 0.7), np.full(300, 0.7), target="population")
    assert (found.weight, found.value) == (0.0, pytest.approx(0.7))
    assert found.worth_labels == pytest.approx(100)


def test_a_confidence_that_says_the_wrong_is_not_used() -> None:
    hits, f, rest = sample(200, 400)
    assert prediction_powered(hits, 1 - f, 1 - rest).weight == 0.0


def test_a_finite_pool_is_known_better_than_where_it_came_from() -> None:
    hits, f, rest = sample(300, 100)
    pool = prediction_powered(hits, f, rest)
    population = prediction_powered(hits, f, rest, target="population")
    assert pool.target == "pool"
    assert pool.value == population.value
    assert pool.high - pool.low < 0.6 * (population.high - population.low)


@pytest.mark.parametrize(("errors", "hits"), [(19, 100), (100, 19), (0, 0)])
def test_below_twenty_errors_or_hits_there_is_a_reason_instead(errors: int, hits: int) -> None:
    y = np.arange(errors + hits) < hits
    found = prediction_powered(y, np.full(len(y), 0.5), np.full(50, 0.5))
    assert (found.value, found.low, found.weight) == (None, None, None)
    assert found.reason.startswith(f"too few: {errors} errors and {hits} hits")


def test_twenty_of_each_are_enough() -> None:
    hits, f, rest = np.arange(40) < 20, np.linspace(1, 0, 40), np.linspace(1, 0, 60)
    assert prediction_powered(hits, f, rest).reason is None


def test_groups_widen_the_interval_and_one_group_gives_none() -> None:
    hits, f, rest = sample(200, 200)
    hits, f = np.sort(hits), np.full(200, 0.5)
    alone = prediction_powered(hits, f, rest)
    groups = np.arange(200) // 10
    grouped = prediction_powered(hits, f, rest, groups=groups, unlabelled_groups=groups)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    for target in ("pool", "population"):
        one = prediction_powered(
            hits, f, rest, groups=np.zeros(200), unlabelled_groups=groups, target=target
        )
        assert one.value is None
        assert "one group" in one.reason


def test_values_stay_within_0_to_1_and_are_json() -> None:
    y = np.concatenate([np.ones(400), np.zeros(20)]).astype(bool)
    found = prediction_powered(y, y.astype(float), np.ones(30), target="population")
    assert found.high <= 1
    json.dumps(asdict(found), allow_nan=False)


def test_no_unlabelled_task_is_a_reason() -> None:
    hits, f, rest = sample(200, 0)
    assert "no unlabelled" in prediction_powered(hits, f, rest).reason


def test_what_does_not_fit_is_refused() -> None:
    hits, f, rest = sample(100, 100)
    with pytest.raises(ValueError, match="one each a label"):
        prediction_powered(hits, f[1:], rest)
    with pytest.raises(ValueError, match="unlabelled_groups"):
        prediction_powered(hits, f, rest, groups=np.arange(100), target="population")
