"""BADGE: the factorised sampling is that of the explicit gradients."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import InvalidPoolError, Pool, select
from strategies.hybrid.badge import badge
from strategies.kernels.d2_sampling import Factor, d2_sampling
from tests.strategies.pools import full_fields


def explicit_gradients(probabilities: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Cross-entropy's gradient by weights and bias of the last layer, for the predicted class."""
    rows = []
    for p, z in zip(probabilities, embeddings, strict=True):
        one_hot = np.zeros(len(p))
        one_hot[np.argmax(p)] = 1.0
        rows.append(np.outer(p - one_hot, np.append(z, 1.0)).ravel())
    return np.array(rows)


@given(seed=st.integers(0, 500), n=st.integers(1, 25), c=st.integers(2, 5), d=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_the_gradients_need_not_be_built(seed: int, n: int, c: int, d: int) -> None:
    fields = full_fields(n, classes=c, dimensions=d, seed=seed)
    p, z = fields["probabilities"], fields["embeddings"]
    picks = badge(p, z, np.arange(n), n, np.random.default_rng(seed))
    points = (Factor(explicit_gradients(p, z)),)
    built = d2_sampling(points, n, np.random.default_rng(seed), first="longest")
    assert_array_equal(picks.indices, built.positions)
    assert_allclose(picks.details["distance"][1:] ** 2, built.square_distances[1:], atol=1e-9)


def test_explains_each_pick_by_its_distance_and_its_length() -> None:
    fields = full_fields(30, seed=2)
    p, z = fields["probabilities"], fields["embeddings"]
    eligible = np.arange(0, 30, 2)
    picks = badge(p, z, eligible, 8, np.random.default_rng(0))
    gradients = explicit_gradients(p, z)
    lengths = np.linalg.norm(gradients, axis=1)
    assert set(picks.indices.tolist()) <= set(eligible.tolist())
    assert picks.indices[0] == eligible[np.argmax(lengths[eligible])]
    assert_allclose(picks.details["gradient_norm"], lengths[picks.indices])
    assert_array_equal(picks.details["class"], p[picks.indices].argmax(axis=1))
    for t in range(1, 8):
        apart = np.linalg.norm(gradients[picks.indices[:t]] - gradients[picks.indices[t]], axis=1)
        assert_allclose(picks.details["distance"][t], apart.min())
    assert_allclose(picks.details["distance"][0], lengths[picks.indices[0]])


def test_the_second_pick_is_drawn_by_squared_distance() -> None:
    # Gradients (-1, 1) (1 - p) for class 0 and (1, -1) (1 - p) for class 1: they lie on one line.
    p = np.array([[0.5, 0.5], [0.75, 0.25], [0.9, 0.1], [0.25, 0.75]])
    z = np.zeros((4, 1))
    counts = np.zeros(4)
    rng = np.random.default_rng(0)
    for _ in range(2000):
        counts[select("badge", Pool(probabilities=p, embeddings=z), 2, rng)[1]] += 1
    # At -0.5 (the first), -0.25, -0.1 and +0.25 on it; squares of the distances to the first.
    shares = np.array([0.0, 0.25**2, 0.4**2, 0.75**2])
    shares /= shares.sum()
    assert counts[0] == 0
    deviations = np.sqrt(2000 * shares * (1 - shares))
    assert (np.abs(counts - 2000 * shares) <= 4 * deviations).all()


def test_confident_predictions_leave_only_chance() -> None:
    pool = Pool(probabilities=np.eye(3)[[0, 1, 2, 0, 1, 2]], embeddings=np.ones((6, 2)))
    firsts = {int(select("badge", pool, 1, np.random.default_rng(s))[0]) for s in range(60)}
    assert firsts == set(range(6))


def test_many_classes_need_no_more_than_a_few_rows_at_a_time() -> None:
    rows_asked: list[int] = []

    class Watched(np.ndarray[Any, Any]):
        def __getitem__(self, rows: Any) -> Any:
            found = super().__getitem__(rows)
            rows_asked.append(np.size(found))
            return found

    fields = full_fields(3000, classes=1000, dimensions=4)
    watched = fields["probabilities"].view(Watched)
    badge(watched, fields["embeddings"], np.arange(3000), 40, np.random.default_rng(0))
    assert max(rows_asked) <= 1 << 20
    assert len(rows_asked) > 3


def test_embeddings_whose_squares_overflow_are_refused() -> None:
    fields = full_fields(10)
    fields["embeddings"] = fields["embeddings"].astype(np.float32)
    fields["embeddings"][7, 1] = 1e30
    with pytest.raises(InvalidPoolError, match="square overflows") as caught:
        select("badge", Pool(**fields), 3, np.random.default_rng(0))
    assert (caught.value.field, caught.value.row) == ("embeddings", 7)
