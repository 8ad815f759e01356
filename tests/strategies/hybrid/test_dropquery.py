"""DropQuery: items whose prediction does not survive dropout, one a cluster."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from strategies.hybrid.dropquery import dropquery
from tests.strategies.kernels.test_linear_head import softmax


def line(n: int) -> tuple[np.ndarray, np.ndarray]:
    """One feature; class 1 is the answer without it, and what is above 1 is class 0."""
    z = np.where(np.arange(n) % 2 == 0, 1.5, 0.5)[:, None] + 0.001 * np.arange(n)[:, None] / n
    return z, softmax(np.hstack([4.0 * (z - 1.0), np.zeros((n, 1))]))


def test_a_prediction_changes_as_often_as_its_feature_is_dropped() -> None:
    z, p = line(4000)
    rng = np.random.default_rng(0)
    picks = dropquery(z, p, np.arange(4000), 4000, rng, passes=5, dropout=0.4)
    shares = np.empty(4000)
    shares[picks.indices] = picks.details["disagreement"]
    # Above 1 it changes when dropped. Below, 0.5 / (1 - 0.4) < 1 stays, and so does 0.
    assert_allclose(shares[::2].mean(), 0.4, atol=4 * np.sqrt(0.24 / 10_000))
    assert (shares[1::2] == 0.0).all()


def test_what_is_kept_is_scaled_up() -> None:
    z, p = line(4000)
    picks = dropquery(z, p, np.arange(4000), 4000, np.random.default_rng(0), dropout=0.75)
    shares = np.empty(4000)
    shares[picks.indices] = picks.details["disagreement"]
    # Above 1 it changes when dropped; below, when kept, since 0.5 / (1 - 0.75) > 1.
    assert_allclose(shares[::2].mean(), 0.75, atol=4 * np.sqrt(0.1875 / 6_000))
    assert_allclose(shares[1::2].mean(), 0.25, atol=4 * np.sqrt(0.1875 / 6_000))


def test_the_threshold_falls_only_while_candidates_are_few() -> None:
    z, p = line(400)
    rng = np.random.default_rng(1)
    # About 170 of 200 change in two passes of three: enough for 5 picks at 25 each.
    picks = dropquery(z, p, np.arange(400), 5, rng, dropout=0.75)
    assert (picks.details["disagreement"] > 0.5).all()
    # A dropout that changes few of them: one pass in three is enough then.
    lows = [
        dropquery(z, p, np.arange(400), 20, np.random.default_rng(s), dropout=0.05)
        for s in range(5)
    ]
    assert all((low.details["disagreement"] > 0.0).all() for low in lows)
    assert any((low.details["disagreement"] < 0.5).any() for low in lows)


def test_one_pick_a_cluster_of_the_unstable() -> None:
    # Three directions of unstable items, and stable ones around the opposite of the first.
    rng = np.random.default_rng(0)
    unstable = np.repeat(np.eye(3), 30, axis=0) * 1.5
    stable = np.repeat(-np.eye(3)[:1], 60, axis=0)
    z = np.vstack([unstable, stable]) + 0.01 * rng.normal(size=(150, 3))
    p = softmax(np.column_stack([4.0 * (z.sum(axis=1) - 1.0), np.zeros(150)]))
    eligible = np.arange(1, 150)
    picks = dropquery(z, p, eligible, 3, rng)
    assert sorted(picks.indices // 30) == [0, 1, 2]
    assert (picks.details["cluster_size"] >= 20).all()


def test_candidates_come_first_and_chance_fills_up() -> None:
    z, p = line(40)
    picks = dropquery(z, p, np.arange(40), 35, np.random.default_rng(0), dropout=0.3)
    shares = picks.details["disagreement"]
    count = int((shares > 0.0).sum())
    assert 0 < count <= 20
    assert (np.diff(shares[:count]) <= 0.0).all()
    assert_array_equal(shares[count:], 0.0)
    assert len(set(picks.indices.tolist())) == 35
