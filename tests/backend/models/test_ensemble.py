"""Members disagree where the labels leave room, and are one computation."""

import numpy as np
import pytest

from backend.models.centring import CentredInputs
from backend.models.ensemble import Ensemble, train_ensemble
from backend.models.head import softmax, train_head
from tests.backend.models.test_head import CLASSES, drawn
from tests.backend.models.test_softmax_regression import oracle

KINDS = ("bootstrap", "dropout")


def made(kind: str, m: int = 60, members: int = 8, seed: int = 0) -> tuple:
    inputs, labels = drawn(m)
    head = train_head(inputs, labels, CLASSES, previous=None, seed=seed)
    ensemble = train_ensemble(
        inputs, labels, CLASSES, head=head, members=members, kind=kind, seed=seed
    )
    return inputs, labels, head, ensemble


@pytest.mark.parametrize("kind", KINDS)
def test_each_member_gives_probabilities_and_they_differ(kind: str) -> None:
    inputs, _, _, ensemble = made(kind)
    probabilities = ensemble.probabilities(inputs)
    assert probabilities.shape == (8, 60, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, atol=1e-5)
    assert probabilities.std(axis=0).max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    same = [made(kind, seed=3)[3].weights for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(same[0], made(kind, seed=4)[3].weights)


def test_a_bootstrap_member_is_the_optimum_of_its_weighted_examples() -> None:
    inputs, labels, head, ensemble = made("bootstrap", members=3)
    weights = np.random.default_rng((0, 3)).exponential(size=(3, 60))
    material = CentredInputs.of(inputs, np.ones(60))
    for member in range(3):
        best = oracle(material.inputs, labels, weights[member], head.penalty)
        scores = material.inputs @ best[:, :-1].T + best[:, -1]
        expected = softmax(scores.astype(np.float32))
        np.testing.assert_allclose(ensemble.probabilities(inputs)[member], expected, atol=0.02)


def test_dropout_members_agree_with_the_head_on_average_and_at_the_centre() -> None:
    inputs, labels = drawn(60)
    head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    ensemble = train_ensemble(
        inputs, labels, CLASSES, head=head, members=4_000, kind="dropout", seed=0
    )
    np.testing.assert_allclose(ensemble.weights.mean(axis=0), head.weights, atol=0.5)
    centre = (inputs / np.linalg.norm(inputs, axis=1, keepdims=True)).mean(axis=0)
    scores = ensemble.weights @ centre + ensemble.bias
    np.testing.assert_allclose(scores, np.broadcast_to(scores[0], scores.shape), atol=1e-3)
    kept = ensemble.weights != 0
    assert 0.4 < kept.mean() < 0.6


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_member_that_is_the_head_predicts_as_the_head(temperature: float) -> None:
    """With a class that nobody has labelled yet, whose probability is Laplace's."""
    inputs, labels = drawn(40)
    head = train_head(inputs, labels, (*CLASSES, "white"), previous=None, seed=0)
    ensemble = Ensemble(head.weights[None], head.bias[None], head.counts)
    np.testing.assert_allclose(
        ensemble.probabilities(inputs, temperature)[0],
        softmax(head.logits(inputs), temperature),
        atol=1e-5,
    )


@pytest.mark.parametrize("labels", [[], [1, 1, 1]])
@pytest.mark.parametrize("kind", KINDS)
def test_without_two_classes_all_members_agree(kind: str, labels: list[int]) -> None:
    inputs = np.random.default_rng(0).standard_normal((len(labels), 5)).astype(np.float32)
    head = train_head(inputs, np.array(labels, dtype=int), CLASSES, previous=None, seed=0)
    ensemble = train_ensemble(
        inputs,
        np.array(labels, dtype=int),
        CLASSES,
        head=head,
        members=4,
        kind=kind,
        seed=0,
    )
    pool = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    probabilities = ensemble.probabilities(pool)
    np.testing.assert_allclose(probabilities, np.broadcast_to(probabilities[0], (4, 6, 3)))
    np.testing.assert_allclose(probabilities[0], head.probabilities(pool), atol=1e-6)
