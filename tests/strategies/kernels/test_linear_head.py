"""The head behind the predictions: given back where it is linear, approximated where it is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from strategies.kernels import linear_head as module
from strategies.kernels.linear_head import centred_logits, linear_head


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def head(seed: int, n: int, d: int, c: int) -> tuple[np.ndarray, ...]:
    """Embeddings, probabilities, and the weights and biases that made them."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d)) + rng.normal(size=d)
    weights, biases = rng.normal(size=(c, d)) / np.sqrt(d), rng.normal(size=c)
    return embeddings, softmax(embeddings @ weights.T + biases), weights, biases


@given(seed=st.integers(0, 500), d=st.integers(1, 8), c=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_gives_back_a_linear_head_up_to_what_no_prediction_shows(seed: int, d: int, c: int) -> None:
    embeddings, probabilities, weights, biases = head(seed, 60, d, c)
    found = linear_head(embeddings, probabilities)
    assert_allclose(found.weights, weights - weights.mean(axis=0), atol=1e-5)
    assert_allclose(found.biases, biases - biases.mean(), atol=1e-5)
    assert found.residual < 1e-5


def test_gives_back_the_predictions_from_float32_too() -> None:
    embeddings, probabilities, _, _ = head(1, 500, 20, 5)
    found = linear_head(embeddings.astype(np.float32), probabilities.astype(np.float32))
    again = softmax(embeddings @ found.weights.T + found.biases)
    assert_allclose(again, probabilities, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_rows_than_dimensions_are_still_explained(n: int) -> None:
    embeddings, probabilities, _, _ = head(2, n, 12, 4)
    found = linear_head(embeddings, probabilities)
    again = softmax(embeddings @ found.weights.T + found.biases)
    assert_allclose(again, probabilities, atol=1e-5)


def test_only_eligible_rows_are_looked_at() -> None:
    embeddings, probabilities, weights, _ = head(3, 80, 4, 3)
    probabilities[40:] = 1 / 3
    found = linear_head(embeddings, probabilities, np.arange(40))
    assert_allclose(found.weights, weights - weights.mean(axis=0), atol=1e-5)


def test_clipped_rows_do_not_bend_the_head() -> None:
    embeddings, _, weights, biases = head(4, 400, 3, 3)
    sure = embeddings @ weights.T * 8.0 + biases
    found = linear_head(embeddings, softmax(sure))
    assert (softmax(sure).min(axis=1) < module.LEAST_PROBABILITY).any()
    assert_allclose(found.weights, 8.0 * (weights - weights.mean(axis=0)), atol=1e-4)


def test_is_the_least_squares_where_the_head_is_not_linear() -> None:
    embeddings, _, weights, _ = head(5, 300, 4, 3)
    probabilities = softmax(np.tanh(embeddings @ weights.T) + 0.3 * embeddings[:, :3] ** 2)
    found = linear_head(embeddings, probabilities)
    design = np.hstack([embeddings, np.ones((300, 1))])
    expected, *_ = np.linalg.lstsq(design, centred_logits(probabilities), rcond=None)
    assert_allclose(found.weights, expected[:4].T, atol=1e-6)
    assert_allclose(found.biases, expected[4], atol=1e-6)
    left = centred_logits(probabilities) - design @ expected
    centred = centred_logits(probabilities)
    centred = centred - centred.mean(axis=0)
    assert_allclose(found.residual, np.linalg.norm(left) / np.linalg.norm(centred), rtol=1e-5)
    assert found.residual > 0.1


def test_a_sample_is_enough_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, probabilities, weights, _ = head(6, 1000, 5, 4)
    monkeypatch.setattr(module, "SAMPLE_ROWS", 50)
    found = linear_head(embeddings, probabilities)
    assert_allclose(found.weights, weights - weights.mean(axis=0), atol=1e-5)
