"""The head: right optimum, sensible with few or no labels, honest about unseen classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.models.centring import CentredInputs
from backend.models.head import (
    DEFAULT_PENALTY,
    LABELS_FOR_CROSS_VALIDATION,
    PENALTIES,
    Head,
    softmax,
    train_head,
)
from tests.backend.models.test_softmax_regression import oracle

CLASSES = ("red", "green", "blue")


def drawn(
    m: int, d: int = 12, c: int = 3, seed: int = 0, noise: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(c), rng.integers(c, size=max(m - c, 0))])[:m]
    centres = np.random.default_rng(99).standard_normal((c, d)) + 0.5
    inputs = centres[labels] + noise * rng.standard_normal((m, d))
    return inputs.astype(np.float32), labels


def test_the_probabilities_are_those_of_the_penalised_optimum_on_normalised_inputs() -> None:
    inputs, labels = drawn(40)
    head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    assert head.penalty == DEFAULT_PENALTY
    assert head.penalty_losses == ()
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    centred = unit - unit.mean(axis=0)
    centred /= np.sqrt((centred**2).sum(axis=1).mean())
    best = oracle(centred, labels, np.ones(40), DEFAULT_PENALTY)
    expected = softmax((centred @ best[:, :-1].T + best[:, -1]).astype(np.float32))
    np.testing.assert_allclose(head.probabilities(inputs), expected, atol=1e-3)


@settings(deadline=None, max_examples=25)
@given(
    m=st.integers(0, 30), c=st.integers(1, 5), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99)
)
def test_rows_are_positive_sum_to_one_and_ignore_an_embeddings_length(
    m: int, c: int, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((m, 6)).astype(np.float32)
    labels = rng.integers(c, size=m)
    head = train_head(inputs, labels, [str(i) for i in range(c)], previous=None, seed=seed)
    pool = rng.standard_normal((9, 6)).astype(np.float32)
    probabilities = head.probabilities(pool)
    assert probabilities.dtype == np.float32
    assert (probabilities > 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        head.probabilities(pool * np.float32(scale)), probabilities, atol=1e-4
    )
    np.testing.assert_allclose(softmax(head.logits(pool)), probabilities, atol=1e-6)


def test_without_labels_all_classes_are_equal() -> None:
    head = train_head(np.empty((0, 4)), np.empty(0, int), CLASSES, previous=None, seed=0)
    np.testing.assert_allclose(head.probabilities(np.eye(4)), 1 / 3, atol=1e-6)


def test_with_one_class_seen_the_prior_is_smoothed() -> None:
    head = train_head(np.eye(4), np.ones(4, int), CLASSES, previous=None, seed=0)
    np.testing.assert_allclose(
        head.probabilities(np.eye(4)), np.tile([1 / 7, 5 / 7, 1 / 7], (4, 1)), atol=1e-6
    )


def test_a_class_never_seen_keeps_a_small_probability_that_shrinks_with_labels() -> None:
    for m in (10, 200):
        inputs, labels = drawn(m, c=2)
        head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
        np.testing.assert_allclose(head.probabilities(inputs)[:, 2], 1 / (m + 3), rtol=1e-4)


def test_equal_embeddings_with_different_labels_give_their_shares() -> None:
    head = train_head(np.ones((4, 3)), np.array([0, 0, 0, 1]), CLASSES, previous=None, seed=0)
    np.testing.assert_allclose(
        head.probabilities(np.ones((1, 3)))[0], [0.75 * 6 / 7, 0.25 * 6 / 7, 1 / 7], atol=1e-3
    )


@pytest.mark.parametrize("m", [12, 80])
def test_a_warm_start_ends_at_the_cold_optimum(m: int) -> None:
    inputs, labels = drawn(m)
    previous = train_head(inputs[:9], labels[:9], CLASSES, previous=None, seed=0)
    cold = train_head(inputs, labels, CLASSES, previous=None, seed=3)
    warm = train_head(inputs, labels, CLASSES, previous=previous, seed=3)
    assert warm.penalty == cold.penalty
    pool, _ = drawn(50, seed=5)
    np.testing.assert_allclose(warm.probabilities(pool), cold.probabilities(pool), atol=5e-3)


def test_a_warm_start_begins_with_the_previous_scores() -> None:
    """Of a round that brought no label: the search then starts at its end."""
    from backend.models.head import _warm_start

    inputs, labels = drawn(30)
    previous = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    centre = np.full(12, 0.1, dtype=np.float32)
    material = CentredInputs((unit - centre) / 2.0, centre, 2.0, np.eye(12))
    start = _warm_start(previous, ["blue", "new", "red"], material)[0]
    scores = material.inputs @ start[:, :-1].T + start[:, -1]
    expected = unit @ previous.weights.T + previous.bias
    np.testing.assert_allclose(scores[:, [0, 2]], expected[:, [2, 0]], atol=1e-4)
    assert not start[1].any()


def test_classes_may_be_added_removed_and_reordered_between_rounds() -> None:
    inputs, labels = drawn(60)
    previous = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    order = ("violet", "blue", "red")
    kept = labels != 1
    renamed = np.where(labels[kept] == 2, 1, 2)
    warm = train_head(inputs[kept], renamed, order, previous=previous, seed=0)
    cold = train_head(inputs[kept], renamed, order, previous=None, seed=0)
    assert warm.classes == order
    np.testing.assert_allclose(warm.probabilities(inputs), cold.probabilities(inputs), atol=5e-3)


def test_a_previous_head_of_another_encoder_is_ignored() -> None:
    inputs, labels = drawn(20)
    other = train_head(np.eye(3), np.arange(3), CLASSES, previous=None, seed=0)
    head = train_head(inputs, labels, CLASSES, previous=other, seed=0)
    assert head.weights.shape == (3, 12)


def test_the_penalty_is_chosen_by_held_out_loss_once_there_are_labels_enough() -> None:
    pool, truth = drawn(600, d=40, seed=7, noise=5)
    clear, clear_labels = drawn(200, d=40, noise=0.1)
    noisy, noisy_labels = drawn(200, d=40, noise=5)
    few = train_head(noisy[:49], noisy_labels[:49], CLASSES, previous=None, seed=0)
    assert LABELS_FOR_CROSS_VALIDATION == 50
    assert few.penalty_losses == ()
    easy = train_head(clear, clear_labels, CLASSES, previous=None, seed=0)
    hard = train_head(noisy, noisy_labels, CLASSES, previous=None, seed=0)
    for head in (easy, hard):
        assert head.penalty in PENALTIES
        assert dict(head.penalty_losses)[head.penalty] == min(dict(head.penalty_losses).values())
    assert hard.penalty > easy.penalty  # noise asks for a stronger penalty
    chosen = hard.probabilities(pool)[np.arange(600), truth]
    loss = -np.log(chosen).mean()
    assert loss == pytest.approx(min(dict(hard.penalty_losses).values()), abs=0.15)


def test_one_label_in_a_second_class_is_not_enough_to_cross_validate() -> None:
    inputs, _ = drawn(60)
    labels = np.zeros(60, int)
    labels[0] = 1
    assert train_head(inputs, labels, CLASSES, previous=None, seed=0).penalty_losses == ()


def test_the_same_seed_gives_the_same_head() -> None:
    inputs, labels = drawn(120, noise=2)
    one, two = (train_head(inputs, labels, CLASSES, previous=None, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.weights, two.weights)
    assert one.penalty_losses == two.penalty_losses


def test_an_examples_weight_counts_like_repeating_it() -> None:
    inputs, labels = drawn(20)
    weights = np.ones(20)
    weights[:7] = 3
    repeated = np.concatenate([inputs, inputs[:7], inputs[:7]])
    targets = np.concatenate([labels, labels[:7], labels[:7]])
    weighted = train_head(inputs, labels, CLASSES, previous=None, seed=0, weights=weights)
    expected = train_head(repeated, targets, CLASSES, previous=None, seed=0)
    np.testing.assert_allclose(
        weighted.probabilities(inputs), expected.probabilities(inputs), atol=5e-3
    )


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, labels = drawn(50)
    head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    whole = head.probabilities(inputs)
    monkeypatch.setattr("backend.models.head._BLOCK", 7)
    np.testing.assert_allclose(head.probabilities(inputs), whole, atol=1e-6)
    assert head.probabilities(inputs[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 1, 3])}, "labels: expected 0..2"),
        ({"labels": np.array([0, 1])}, "must agree"),
        ({"classes": ("red", "red", "blue")}, "distinct"),
        ({"embeddings": np.full((3, 2), np.nan)}, "NaN"),
        ({"weights": np.array([1.0, 0.0, 1.0])}, "weights"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    arguments = {"embeddings": np.eye(3), "labels": np.arange(3), "classes": CLASSES} | change
    with pytest.raises(ValueError, match=message):
        train_head(**arguments, previous=None, seed=0)
    with pytest.raises(ValueError, match="expected shape"):
        Head(CLASSES, np.zeros((3, 4)), np.zeros(3), np.zeros(3, int)).logits(np.eye(3))
