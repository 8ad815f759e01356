"""Matching the distribution of classes, against a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies import Pool, parse


def distance(share: np.ndarray, target: np.ndarray, divergence: str) -> float:
    if divergence == "l2":
        return float(((share - target) ** 2).sum())
    target = np.maximum(target, 1e-12)
    return float(sum(q * np.log(q / r) for q, r in zip(share, target, strict=True) if q > 0))


def assert_greedy(
    probabilities: np.ndarray, labels: np.ndarray | None, size: int, target: str, divergence: str
) -> None:
    """Every pick comes as near as the best of a plain loop over all that are left."""
    n, classes = probabilities.shape
    pool = Pool(probabilities=probabilities, labels=labels)
    spec = {"label_distribution_matching": {"target": target, "divergence": divergence}}
    found = parse(spec).select_with_branches(pool, size)
    wanted = np.full(classes, 1 / classes)
    if target == "pool":
        wanted = probabilities.mean(axis=0, dtype=np.float64)
    held = np.zeros(classes)
    if labels is not None:
        held += np.bincount(labels, minlength=classes)
    left = set(range(n))
    before = distance(held / held.sum(), wanted, divergence) if held.sum() else None
    for index, detail in zip(found.indices.tolist(), found.details, strict=True):
        after = {
            i: distance((held + probabilities[i]) / (held.sum() + 1), wanted, divergence)
            for i in left
        }
        assert after[index] <= min(after.values()) + 1e-9
        assert_allclose(detail["gain"], 0.0 if before is None else before - after[index], atol=1e-7)
        left.remove(index)
        held = held + probabilities[index]
        before = after[index]


@settings(max_examples=30)
@given(
    st.integers(1, 5),
    st.integers(1, 14),
    st.integers(0, 6),
    st.sampled_from(["pool", "uniform"]),
    st.sampled_from(["l2", "kl"]),
    st.integers(0, 99),
)
def test_each_pick_is_the_best_of_all(
    classes: int, n: int, labelled: int, target: str, divergence: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.4), size=n)
    labels = rng.integers(classes, size=labelled) if labelled else None
    assert_greedy(probabilities, labels, n, target, divergence)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("divergence", ["l2", "kl"])
def test_the_shortlist_finds_the_best_of_many(dtype: type, divergence: str) -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(6, 0.3), size=700).astype(dtype)
    assert_greedy(probabilities, rng.integers(6, size=40), 25, "uniform", divergence)


@pytest.mark.parametrize("divergence", ["l2", "kl"])
def test_a_lopsided_start_is_evened_out(divergence: str) -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([2.0, 1.0, 0.7], size=600)
    labels = np.zeros(30, dtype=int)
    spec = {"label_distribution_matching": {"target": "uniform", "divergence": divergence}}
    found = parse(spec).select(Pool(probabilities=probabilities, labels=labels), 100)
    shares = np.bincount(labels, minlength=3) + probabilities[found].sum(axis=0)
    random_shares = np.bincount(labels, minlength=3) + 100 * probabilities.mean(axis=0)
    assert np.ptp(shares) < 0.2 * np.ptp(random_shares)


def test_equal_items_are_taken_by_index() -> None:
    pool = Pool(probabilities=np.full((200, 4), 0.25))
    for divergence in ("l2", "kl"):
        spec = {"label_distribution_matching": {"divergence": divergence}}
        assert parse(spec).select(pool, 100).tolist() == list(range(100))
