"""The heads of a batch of runs are those of a live round, trained one by one."""

import numpy as np
import pytest
import torch

from backend.backtest.heads import Rows, train_heads
from backend.backtest.softmax_batch import SoftmaxBatch
from backend.models.head import train_head
from tests.backend.backtest.mixture import mixture


def draws(data, counts, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.permutation(len(data))[:count] for count in counts]


@pytest.mark.parametrize("dimension", [8, 90])
@pytest.mark.parametrize("spread", [0.3, 1.5])
def test_each_head_is_the_live_rounds(dimension, spread):
    data = mixture(n=400, d=dimension, classes=4, spread=spread)
    rows = Rows(data.embeddings)
    picked = draws(data, (60, 60, 60))
    before = [None] * 3
    for count in (20, 40, 60):
        before = train_heads(
            rows,
            [some[:count] for some in picked],
            data.labels,
            data.classes,
            previous=before,
            seeds=[5, 6, 7],
        )
        for some, one, seed in zip(picked, before, (5, 6, 7), strict=True):
            live = train_head(
                data.embeddings[some[:count]],
                data.labels[some[:count]],
                data.classes,
                previous=None,
                seed=seed,
            )
            assert one.head.penalty == live.penalty
            assert (one.head.counts == live.counts).all()
            assert np.allclose(
                one.head.probabilities(data.embeddings),
                live.probabilities(data.embeddings),
                atol=4e-3,
            )
            assert len(one.head.penalty_losses) == len(live.penalty_losses)
            for (_, found), (_, known) in zip(
                one.head.penalty_losses, live.penalty_losses, strict=True
            ):
                assert found == pytest.approx(known, rel=2e-2, abs=1e-3)


def test_runs_of_different_lengths_and_classes_do_not_disturb_each_other():
    data = mixture(n=300, d=10, classes=3)
    rows = Rows(data.embeddings)
    of_two = np.flatnonzero(data.labels < 2)[:35]
    of_one = np.flatnonzero(data.labels == 2)[:7]
    picked = [*draws(data, (80,)), of_two, of_one]
    together = train_heads(
        rows, picked, data.labels, data.classes, previous=[None] * 3, seeds=[1, 2, 3]
    )
    for some, one, seed in zip(picked, together, (1, 2, 3), strict=True):
        live = train_head(
            data.embeddings[some], data.labels[some], data.classes, previous=None, seed=seed
        )
        assert np.allclose(
            one.head.probabilities(data.embeddings),
            live.probabilities(data.embeddings),
            atol=4e-3,
        )
    assert (together[1].head.weights[2] == 0).all()
    assert (together[2].head.weights == 0).all()


def test_every_problem_of_the_batch_ends_at_its_own_optimum():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(3, 50, 6)).astype(np.float32)
    labels = rng.integers(3, size=(3, 50))
    labels[1] %= 2  # a class that the second model does not know
    seen = np.array([[True] * 3, [True, True, False], [True] * 3])
    weights = rng.exponential(size=(3, 2, 50))
    penalties = np.array([1e-1, 1e-2, 1e-3])
    batch = SoftmaxBatch(inputs, labels, seen, weights, double=True)
    found = batch.solve(penalties, None, tolerances=np.full(3, 1e-7))
    assert (found[1, :, 2] == 0).all()
    for model in range(3):
        count = int(seen[model].sum())
        for fold in range(2):
            parameters = torch.tensor(found[model, fold, :count], requires_grad=True)
            scores = torch.tensor(inputs[model]).double() @ parameters[:, :-1].T
            losses = torch.nn.functional.cross_entropy(
                scores + parameters[:, -1], torch.tensor(labels[model]), reduction="none"
            )
            shares = torch.tensor(weights[model, fold] / weights[model, fold].sum())
            ridge = penalties[model] * parameters[:, :-1].square().sum()
            ((shares * losses).sum() + ridge).backward()
            assert parameters.grad.abs().max() < 1e-6
