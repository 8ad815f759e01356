"""ALFA-Mix: the closed form is the mixing loop of the paper."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, select
from strategies.hybrid.alfa_mix import alfa_mix
from tests.strategies.kernels.test_linear_head import head, softmax


def flips(z: np.ndarray, w: np.ndarray, b: np.ndarray, anchors: np.ndarray, epsilon: float) -> bool:
    """Whether mixing in any anchor by the best alpha changes the prediction of one item."""
    p = softmax((z @ w.T + b)[None])[0]
    predicted = int(p.argmax())
    gradient = w.T @ (p - np.eye(len(p))[predicted])
    for anchor in anchors:
        way = anchor - z
        reach = epsilon / np.sqrt(len(z)) * np.linalg.norm(way)
        alpha = reach * gradient / (np.linalg.norm(gradient) * way)
        mixed = alpha * anchor + (1.0 - alpha) * z
        if int((mixed @ w.T + b).argmax()) != predicted:
            return True
    return False


@given(
    seed=st.integers(0, 300),
    d=st.integers(1, 6),
    c=st.integers(2, 5),
    epsilon=st.sampled_from([0.05, 0.2, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_candidates_are_those_of_the_mixing_loop(seed: int, d: int, c: int, epsilon: float) -> None:
    z, p, w, b = head(seed, 40, d, c)
    rng = np.random.default_rng(seed)
    labelled, labels = rng.normal(size=(15, d)) * 2.0, rng.integers(c, size=15)
    anchors = np.array([labelled[labels == k].mean(axis=0) for k in np.unique(labels)])
    picks = alfa_mix(z, p, np.arange(40), 40, rng, labelled, labels, epsilon=epsilon)
    mixing = np.empty(40)
    mixing[picks.indices] = picks.details["mixing"]
    for item in range(40):
        # The recovered head is off by 1e-5 or so; what lies on the edge may go either way.
        if abs(mixing[item] - epsilon) > 1e-3 * epsilon:
            assert (mixing[item] < epsilon) == flips(z[item], w, b, anchors, epsilon)


def test_candidates_come_first_and_chance_fills_up() -> None:
    z, p, _, _ = head(7, 60, 3, 3)
    labelled, labels = np.eye(3) * 3.0, np.arange(3)
    drawn = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        picks = alfa_mix(z, p, np.arange(60), 50, rng, labelled, labels, epsilon=0.1)
        mixing = picks.details["mixing"]
        count = int((mixing < 0.1).sum())
        assert 0 < count < 50
        assert (np.diff(mixing[:count]) >= 0).all()
        assert (mixing[count:] >= 0.1).all()
        drawn.append((picks.indices[:count].tolist(), picks.indices[count:].tolist()))
    assert all(first == drawn[0][0] for first, _ in drawn)
    assert any(rest != drawn[0][1] for _, rest in drawn)


def test_one_candidate_a_cluster_where_there_are_more_than_picks() -> None:
    # Three directions, all close to the boundary between equal classes.
    rng = np.random.default_rng(0)
    z = np.repeat(np.eye(3), 20, axis=0) * 5.0 + 0.01 * rng.normal(size=(60, 3))
    w = np.array([[0.01, 0.02, -0.01], [0.0, 0.0, 0.0]])
    picks = alfa_mix(
        z, softmax(z @ w.T), np.arange(60), 3, rng, z[:2] - 50.0, np.array([0, 1]), epsilon=2.0
    )
    assert sorted(picks.indices // 20) == [0, 1, 2]
    assert_array_equal(picks.details["cluster_size"], [20, 20, 20])
    assert (picks.details["mixing"] < 2.0).all()


def test_without_labels_every_item_is_a_candidate() -> None:
    rng = np.random.default_rng(0)
    z = np.repeat(np.eye(3), 5, axis=0) + 0.01 * rng.normal(size=(15, 3))
    p = np.full((15, 2), 0.5)
    for fields in ({}, {"labelled_embeddings": np.empty((0, 3)), "labels": np.empty(0, int)}):
        pool = Pool(embeddings=z, probabilities=p, **fields)
        assert sorted(select("alfa_mix", pool, 3, np.random.default_rng(1)) // 5) == [0, 1, 2]


def test_says_where_the_head_is_far_from_linear() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 2))
    p = softmax(np.column_stack([np.square(z).sum(axis=1) * 3.0, np.zeros(300)]))
    given = (np.arange(300), 5, rng, z[:4], np.array([0, 1, 0, 1]))
    assert "linear head" in alfa_mix(z, p, *given).warnings[0]
    w = np.array([[1.0, 2.0], [0.0, 0.0]])
    assert alfa_mix(z, softmax(z @ w.T), *given).warnings == ()


def test_the_least_mixing_has_a_closed_form() -> None:
    # Logits z and -z: the loss rises fastest towards 0, which is reached after |z|; the farthest
    # anchor is 4 + |z| away.
    z = np.array([[0.1], [2.0], [-3.0]])
    p = softmax(np.hstack([z, -z]))
    anchors = np.array([[4.0], [-4.0]])
    rng = np.random.default_rng(0)
    picks = alfa_mix(z, p, np.arange(3), 3, rng, anchors, np.array([0, 1]), epsilon=5.0)
    mixing = np.empty(3)
    mixing[picks.indices] = picks.details["mixing"]
    assert_allclose(mixing, [0.1 / 4.1, 2.0 / 6.0, 3.0 / 7.0], rtol=1e-5)
