"""The loss head ranks what the model will get wrong above what it will get right."""

import numpy as np
import pytest

from backend.models.head import train_head
from backend.models.loss_head import train_loss_head
from tests.backend.models.test_head import CLASSES, drawn


def losses(head, inputs, labels):
    return -np.log(head.probabilities(inputs)[np.arange(len(labels)), labels])


def test_it_ranks_unseen_items_by_their_loss_better_than_chance() -> None:
    inputs, labels = drawn(400, noise=1.5)
    head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    loss_head = train_loss_head(inputs, labels, head, seed=0)
    pool, truth = drawn(1_000, noise=1.5, seed=7)
    predicted = loss_head.predict(pool, head.probabilities(pool))
    true = losses(head, pool, truth)
    # Of random pairs, the share in which the larger loss has the larger prediction.
    rng = np.random.default_rng(0)
    left, right = rng.integers(1_000, size=(2, 20_000))
    agree = np.sign(predicted[left] - predicted[right]) == np.sign(true[left] - true[right])
    assert agree[left != right].mean() > 0.6


def test_the_seed_decides_and_global_random_state_does_not() -> None:
    import torch

    inputs, labels = drawn(80)
    head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    found = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        found.append(train_loss_head(inputs, labels, head, seed=5).output)
        assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("m", "c"), [(20, 3), (60, 1)])
def test_with_too_little_to_learn_from_there_is_none(m: int, c: int) -> None:
    inputs, labels = drawn(m, c=c)
    head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    assert train_loss_head(inputs, labels, head, seed=0) is None


def test_two_classes_and_a_class_with_one_example_are_enough() -> None:
    inputs, labels = drawn(70, c=2)
    labels = np.concatenate([labels, [2]])
    inputs = np.concatenate([inputs, -inputs[:1]])
    head = train_head(inputs, labels, CLASSES, previous=None, seed=0)
    loss_head = train_loss_head(inputs, labels, head, seed=0)
    predicted = loss_head.predict(inputs, head.probabilities(inputs))
    assert np.isfinite(predicted).all()
    assert predicted.std() > 0
