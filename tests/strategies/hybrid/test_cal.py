"""CAL: predictions unlike those of the labelled neighbours."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from strategies import Pool, score
from strategies.kernels.labelled_predictions import labelled_probabilities


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("labelled", "neighbours"), [(40, 10), (40, 1), (4, 10)])
def test_is_the_mean_divergence_from_the_nearest_labelled(labelled: int, neighbours: int) -> None:
    rng = seeded(labelled)
    embeddings, known = rng.normal(size=(70, 5)), rng.normal(size=(labelled, 5))
    head, shift = rng.normal(size=(5, 3)), rng.normal(size=3)
    p, q = softmax(embeddings @ head + shift), softmax(known @ head + shift)
    expected = []
    for z, px in zip(embeddings, p, strict=True):
        nearest = np.argsort(((known - z) ** 2).sum(axis=1))[:neighbours]
        expected.append(np.mean([(q[j] * np.log(q[j] / px)).sum() for j in nearest]))
    pool = Pool(embeddings=embeddings, probabilities=p, labelled_embeddings=known)
    assert_allclose(score("cal", pool, neighbours=neighbours), expected, rtol=1e-5, atol=1e-7)


def test_is_0_where_the_model_says_the_same_everywhere() -> None:
    rng = seeded(1)
    pool = Pool(
        embeddings=rng.normal(size=(20, 3)),
        probabilities=np.tile([0.7, 0.2, 0.1], (20, 1)),
        labelled_embeddings=rng.normal(size=(6, 3)),
    )
    assert_allclose(score("cal", pool), 0.0, atol=1e-9)


@pytest.mark.parametrize("labelled", [None, np.empty((0, 3))])
def test_without_labelled_items_nothing_is_contrasted(labelled: np.ndarray | None) -> None:
    rng = seeded(1)
    pool = Pool(
        embeddings=rng.normal(size=(20, 3)),
        probabilities=rng.dirichlet(np.ones(3), size=20),
        labelled_embeddings=labelled,
    )
    assert_array_equal(score("cal", pool), 0.0)


def test_a_prediction_of_exactly_0_gives_a_finite_score() -> None:
    rng = seeded(1)
    pool = Pool(
        embeddings=rng.normal(size=(20, 3)),
        probabilities=np.eye(3)[rng.integers(3, size=20)],
        labelled_embeddings=rng.normal(size=(6, 3)),
    )
    scores = score("cal", pool)
    assert np.isfinite(scores).all()
    assert (scores <= -np.log(1e-12) + 1e-9).all()


def test_embeddings_far_from_the_origin_keep_their_neighbours() -> None:
    rng = seeded(2)
    embeddings, known = rng.normal(size=(30, 4)), rng.normal(size=(12, 4))
    p = softmax(embeddings @ rng.normal(size=(4, 3)))
    near = Pool(embeddings=embeddings, probabilities=p, labelled_embeddings=known)
    far = Pool(embeddings=embeddings + 1e4, probabilities=p, labelled_embeddings=known + 1e4)
    assert_allclose(score("cal", far, neighbours=2), score("cal", near, neighbours=2), atol=1e-3)


def test_a_linear_head_is_recovered_from_the_pool() -> None:
    rng = seeded(3)
    embeddings, known = rng.normal(size=(200, 6)), rng.normal(size=(30, 6))
    head, shift = 3.0 * rng.normal(size=(6, 4)), rng.normal(size=4)
    p = softmax(embeddings @ head + shift)
    expected = softmax(known @ head + shift)
    assert_allclose(labelled_probabilities(embeddings, p, known), expected, atol=1e-6)
    single = labelled_probabilities(embeddings.astype(np.float32), p.astype(np.float32), known)
    assert_allclose(single, expected, atol=1e-4)


def test_fewer_items_than_dimensions_still_give_predictions() -> None:
    rng = seeded(3)
    few = labelled_probabilities(
        rng.normal(size=(3, 9)), rng.dirichlet(np.ones(4), size=3), rng.normal(size=(5, 9))
    )
    assert_allclose(few.sum(axis=1), 1.0)
    none = labelled_probabilities(np.empty((0, 9)), np.empty((0, 4)), rng.normal(size=(5, 9)))
    assert_allclose(none, 0.25)
